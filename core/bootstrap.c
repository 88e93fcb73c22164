/* bootstrap.c - see bootstrap.h.
 *
 * First everything that needs no policy, then the built-in policy, so that allocations work; then the policy that the
 * user named, as an ordinary load. What goes wrong in the first part cannot be survived. */
#include "core/bootstrap.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "core/control.h"
#include "core/error.h"
#include "core/fork.h"
#include "core/header.h"
#include "core/home.h"
#include "core/log.h"
#include "core/module.h"
#include "core/object.h"
#include "core/os.h"
#include "core/pagemap.h"
#include "core/policy.h"
#include "core/registry.h"
#include "core/reload.h"
#include "core/thread.h"

_Atomic int bootstrap_state;
uint64_t header_secret;

static void read_log_level(void)
{
    const char *level = getenv("SLUICE_LOG");
    if (level != NULL && *level != '\0' && !log_set_level(level))
        log_line(LOG_LEVEL_ERROR, "SLUICE_LOG=%s: expected error, warn, info or debug", level);
}

/* SLUICE_OVERRIDE: module=backend,module=backend. The last '=' parts the two: a module's name may have one. */
static void read_overrides(void)
{
    const char *at = getenv("SLUICE_OVERRIDE");
    while (at != NULL && *at != '\0') {
        size_t n = strcspn(at, ",");
        char item[2 * (MODULE_NAME_MAX + 1)];
        snprintf(item, sizeof item, "%.*s", (int)n, at);
        char *equals = strrchr(item, '=');
        if (n > 0 && (n >= sizeof item || equals == NULL || equals == item || equals[1] == '\0')) {
            log_line(LOG_LEVEL_ERROR, "SLUICE_OVERRIDE: \"%.*s\": expected MODULE=BACKEND", (int)n,
                     at);
        } else if (n > 0) {
            *equals = '\0';
            if (module_set_override(item, equals + 1) != SLUICE_OK)
                log_line(LOG_LEVEL_ERROR, "SLUICE_OVERRIDE: %s", sluice_error_message());
        }
        at += n + (at[n] == ',');
    }
}

static enum sluice_result start(const char *path)
{
    /* First: whoever allocates meanwhile waits for the pagemap alone. */
    if (!pagemap_init())
        log_fatal("no address space to start");
    home_init();
    const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM); /* 16 bytes */
    if (random != NULL)
        memcpy(&header_secret, random, sizeof header_secret);
    bool trusted = !os_is_privileged();
    if (trusted)
        read_log_level();
    os_process_barrier_init();
    if (!module_init() || !thread_init())
        log_fatal("no memory to start");
    registry_init();
    object_init();
    fork_register();
    struct policy *builtin = policy_read_builtin();
    if (builtin == NULL || reload_start(builtin) != SLUICE_OK)
        log_fatal("no memory for the built-in policy");
    atomic_store_explicit(&bootstrap_state, 2, memory_order_release);

    if (trusted)
        read_overrides();
    if (path == NULL && trusted)
        path = getenv("SLUICE_POLICY");
    enum sluice_result result = SLUICE_OK;
    if (path != NULL && *path != '\0') {
        result = reload_load_file(path, true);
    } else if (trusted && getenv("SLUICE_OVERRIDE") != NULL) {
        reload_refresh();
    }
    return result;
}

/* true: this call did the start. */
static bool start_once(const char *path, enum sluice_result *result)
{
    int zero = 0;
    if (!atomic_compare_exchange_strong(&bootstrap_state, &zero, 1))
        return false;
    int saved = errno;
    *result = start(path);
    errno = saved;
    return true;
}

bool bootstrap(void)
{
    enum sluice_result result;
    return start_once(NULL, &result) || bootstrap_done();
}

void bootstrap_wait(void)
{
    while (!bootstrap())
        sched_yield();
}

enum sluice_result sluice_init(const char *policy_path)
{
    enum sluice_result result = SLUICE_OK;
    if (!start_once(policy_path, &result)) {
        bootstrap_wait();
        result = policy_path == NULL ? SLUICE_OK : reload_load_file(policy_path, false);
    }
    control_run_wanted();
    return result;
}
