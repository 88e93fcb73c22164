/* reload.c - see reload.h. */
#include "core/reload.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bootstrap.h"
#include "core/control.h"
#include "core/error.h"
#include "core/limit.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/meta.h"
#include "core/os.h"
#include "core/process.h"
#include "core/route.h"
#include "core/signal.h"
#include "core/thread.h"

#define ERROR_SIZE 4096
#define FILES_MAX  64
#define LINKS_MAX  16

static struct lock reload_lock;
static struct sluice_reload_status status = {.struct_size = sizeof status};
static struct policy_file_state
    states[FILES_MAX]; /* of the files of the policy in force, when read last */
static char error_text[ERROR_SIZE];
static char watched_path[PATH_MAX]; /* what a reload reads; "": nothing */
static _Atomic bool wants_watch, wants_observers;

/* ---- Signals -------------------------------------------------------------------------------- */

static int policy_signal; /* the one that the policy asked for; 0: none */

static void follow_signal(int signo)
{
    if (signo == policy_signal)
        return;
    if (policy_signal != 0)
        signal_unhandle(policy_signal);
    if (signo != 0 && signal_handle(signo) != SLUICE_OK)
        log_line(LOG_LEVEL_ERROR, "reload.signal: %s", sluice_error_message());
    policy_signal = signo;
}

enum sluice_result sluice_reload_on_signal(int signo)
{
    bootstrap_wait();
    lock_acquire(&reload_lock);
    enum sluice_result result = signal_handle(signo);
    lock_release(&reload_lock);
    return result;
}

/* ---- Loading: all with the reload lock held -------------------------------------------------- */

static struct policy_file_state state_of(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct policy_file_state){0};
    return (struct policy_file_state){st.st_dev, st.st_ino, (uint64_t)st.st_size, st.st_mtim.tv_sec,
                                      st.st_mtim.tv_nsec};
}

static bool same_state(const struct policy_file_state *a, const struct policy_file_state *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->seconds == b->seconds && a->nanoseconds == b->nanoseconds;
}

static struct policy *policy_in_force(void)
{
    return route_table_current()->policy;
}

static size_t watched_count(const struct policy *policy)
{
    return policy->file_count < FILES_MAX ? policy->file_count : FILES_MAX;
}

__attribute__((weak)) bool reload_observes_builtin(void)
{
    return false;
}

/* After every load: what came of it decides what there is to do. */
static void note_wishes(void)
{
    const struct policy *policy = policy_in_force();
    bool has_own = status.attempts > 0; /* a broken one, too: it is what one asks about */
    bool observe = policy->observe && (has_own || reload_observes_builtin()) && !os_is_privileged();
    atomic_store_explicit(&wants_watch, policy->reload.watch && policy->file_count > 0,
                          memory_order_relaxed);
    if (atomic_exchange_explicit(&wants_observers, observe, memory_order_relaxed) != observe)
        control_poke();
}

static void note_failure(const char *why)
{
    status.failures++;
    snprintf(status.last_error, sizeof status.last_error, "%.1000s", why);
}

/* Tells all backends that may be asked under that policy. */
static void prepare(const struct policy *policy)
{
    for (uint32_t i = 0; i < policy->backend_count; i++)
        if (policy_uses_backend(policy, i) || module_is_overridden_with(policy->backends[i].name))
            policy_prepare_backend(policy, i);
}

static enum sluice_result put_in_force(struct policy *policy)
{
    prepare(policy);
    struct route_table *table = route_table_create(policy);
    if (table == NULL) {
        policy_destroy(policy);
        note_failure("no memory for a route table");
        return error_set(SLUICE_ERROR_NO_MEMORY, "%s", status.last_error);
    }
    /* First, as the report is of what came of it. */
    bool *renewed = meta_alloc(policy->backend_count + 1);
    arenas_configure(policy, renewed);
    policy_diff(policy_in_force(), policy, renewed, status.last_report, sizeof status.last_report);
    meta_free(renewed, policy->backend_count + 1);
    if (policy->file_count > 0)
        memcpy(states, policy->file_states, watched_count(policy) * sizeof *states);
    snprintf(watched_path, sizeof watched_path, "%s", policy->path == NULL ? "" : policy->path);
    process_follow(&policy->process);
    snprintf(status.path, sizeof status.path, "%s", policy->path == NULL ? "" : policy->path);
    route_table_publish(table);
    policy_follow(policy);
    follow_signal(policy->reload.signal);
    bool watched = reload_wants_watch();
    note_wishes();
    if (status.successes == 0 || watched || reload_wants_watch()) /* other files, or none */
        control_poke();
    status.successes++;
    status.last_success_time = os_wall_time();
    status.last_error[0] = '\0';
    log_line(LOG_LEVEL_INFO, "policy %s in force, generation %llu",
             policy->path == NULL ? "<string>" : policy->path,
             (unsigned long long)atomic_load(&route_generation));
    return SLUICE_OK;
}

/* How long the memory of one reload waits for the next. */
#define BLOCKS_TIME UINT64_C(1000000000)

static void expect_more(void)
{
    uint64_t until = os_now() + BLOCKS_TIME;
    meta_keep_blocks(until);
    control_wake_at(until);
}

static enum sluice_result load(const char *path, const char *yaml, size_t length, bool log)
{
    struct policy *policy = NULL;
    if (status.attempts++ > 0)
        expect_more();
    status.last_attempt_time = os_wall_time();
    bool again = path != NULL && strcmp(path, watched_path) == 0;
    static struct policy_file_state earlier[FILES_MAX];
    for (size_t i = 0; again && i < watched_count(policy_in_force()); i++)
        earlier[i] = state_of(policy_in_force()->files[i]);
    enum sluice_result result =
        path != NULL ? policy_read_file(path, &policy, error_text, sizeof error_text)
                     : policy_read_string(yaml, length, &policy, error_text, sizeof error_text);
    if (result == SLUICE_OK) {
        result = put_in_force(policy);
    } else {
        note_failure(error_text);
        error_set(result, "%s", error_text);
        if (again) /* the same mistake is not read again and again */
            memcpy(states, earlier, sizeof states);
    }
    note_wishes();
    if (result != SLUICE_OK && log)
        log_line(LOG_LEVEL_ERROR, "%s\nthe policy that was in force stays", sluice_error_message());
    return result;
}

enum sluice_result reload_start(struct policy *builtin)
{
    prepare(builtin);
    struct route_table *table = route_table_create(builtin);
    if (table == NULL)
        return SLUICE_ERROR_NO_MEMORY;
    route_table_publish(table);
    note_wishes();
    return SLUICE_OK;
}

enum sluice_result reload_load_file(const char *path, bool log)
{
    lock_acquire(&reload_lock);
    if (watched_path[0] == '\0') /* a reload reads it again, also when it is broken now */
        snprintf(watched_path, sizeof watched_path, "%s", path);
    enum sluice_result result = load(path, NULL, 0, log);
    lock_release(&reload_lock);
    return result;
}

static enum sluice_result refresh(void)
{
    struct route_table *table = route_table_create(policy_in_force());
    if (table == NULL)
        return error_set(SLUICE_ERROR_NO_MEMORY, "no memory for a route table");
    route_table_publish(table);
    return SLUICE_OK;
}

enum sluice_result reload_refresh(void)
{
    lock_acquire(&reload_lock);
    enum sluice_result result = refresh();
    lock_release(&reload_lock);
    return result;
}

/* ---- The public calls ------------------------------------------------------------------------ */

enum sluice_result sluice_policy_load_file(const char *path)
{
    if (path == NULL || *path == '\0')
        return error_set(SLUICE_ERROR_INVALID, "sluice_policy_load_file: no file is named");
    bootstrap_wait();
    enum sluice_result result = reload_load_file(path, false);
    control_run_wanted();
    return result;
}

enum sluice_result sluice_policy_load_string(const char *yaml, size_t length)
{
    if (yaml == NULL)
        return error_set(SLUICE_ERROR_INVALID, "sluice_policy_load_string: no text");
    bootstrap_wait();
    lock_acquire(&reload_lock);
    enum sluice_result result = load(NULL, yaml, length, false);
    lock_release(&reload_lock);
    control_run_wanted();
    return result;
}

static enum sluice_result reload_path(bool log)
{
    char path[PATH_MAX];
    memcpy(path, watched_path, sizeof path);
    if (path[0] == '\0')
        return error_set(SLUICE_ERROR_STATE, "the policy in force came from no file");
    return load(path, NULL, 0, log);
}

enum sluice_result sluice_policy_reload(void)
{
    bootstrap_wait();
    lock_acquire(&reload_lock);
    enum sluice_result result = reload_path(false);
    lock_release(&reload_lock);
    control_run_wanted();
    return result;
}

enum sluice_result sluice_module_override(const char *module, const char *backend)
{
    bootstrap_wait();
    lock_acquire(&reload_lock);
    expect_more();
    enum sluice_result result = SLUICE_OK;
    if (backend != NULL && policy_find_backend(policy_in_force(), backend) == UINT32_MAX)
        result =
            error_set(SLUICE_ERROR_UNKNOWN, "the policy in force has no backend \"%s\"", backend);
    if (result == SLUICE_OK)
        result = module_set_override(module, backend);
    if (result == SLUICE_OK && backend != NULL)
        policy_prepare_backend(policy_in_force(), policy_find_backend(policy_in_force(), backend));
    if (result == SLUICE_OK)
        result = refresh();
    lock_release(&reload_lock);
    return result;
}

uint64_t sluice_policy_generation(void)
{
    bootstrap_wait();
    return atomic_load_explicit(&route_generation, memory_order_acquire);
}

enum sluice_result sluice_reload_status(struct sluice_reload_status *out)
{
    if (out == NULL || out->struct_size < 2 * sizeof(size_t))
        return error_set(SLUICE_ERROR_INVALID, "sluice_reload_status: struct_size is not set");
    bootstrap_wait();
    size_t size = out->struct_size < sizeof status ? out->struct_size : sizeof status;
    lock_acquire(&reload_lock);
    status.generation = atomic_load_explicit(&route_generation, memory_order_acquire);
    size_t given = out->struct_size;
    memcpy(out, &status, size);
    out->struct_size = given;
    lock_release(&reload_lock);
    return SLUICE_OK;
}

/* ---- On request, and on change --------------------------------------------------------------- */

void reload_on_request(void)
{
    lock_acquire(&reload_lock);
    if (reload_path(true) == SLUICE_ERROR_STATE)
        log_line(LOG_LEVEL_WARN,
                 "a reload was asked for, but the policy in force came from no file");
    lock_release(&reload_lock);
}

void reload_if_changed(void)
{
    lock_acquire(&reload_lock);
    const struct policy *policy = policy_in_force();
    bool changed = false;
    for (size_t i = 0; policy->reload.watch && i < watched_count(policy); i++) {
        struct policy_file_state now = state_of(policy->files[i]);
        /* A file that is away for a moment is being replaced. */
        changed |= now.inode != 0 && !same_state(&now, &states[i]);
    }
    if (changed)
        reload_path(true);
    lock_release(&reload_lock);
}

bool reload_wants_watch(void)
{
    return atomic_load_explicit(&wants_watch, memory_order_relaxed);
}

bool reload_wants_observers(void)
{
    return atomic_load_explicit(&wants_observers, memory_order_relaxed);
}

static void folder_of(const char *path, char *folder)
{
    const char *slash = strrchr(path, '/');
    int n = slash == NULL ? 0 : slash == path ? 1 : (int)(slash - path);
    snprintf(folder, PATH_MAX, "%.*s", n == 0 ? 1 : n, n == 0 ? "." : path);
}

/* Every folder on the way from a name to the file: where a link, or the file, may be replaced. A link in the middle of the
 * path counts too (Kubernetes swaps such a one), so the path is walked part by part. */
static void watch_file(const char *path, void (*fn)(const char *, void *), void *arg)
{
    /* The control thread's stack is small; the reload lock is held. */
    static char now[PATH_MAX], folder[PATH_MAX], part[PATH_MAX], target[PATH_MAX],
        next[3 * PATH_MAX];
    snprintf(now, sizeof now, "%s", path);
    for (int links = 0; links < LINKS_MAX; links++) {
        folder_of(now, folder);
        fn(folder, arg);
        ssize_t n = 0;
        size_t i = 1;
        for (; n <= 0 && now[i - 1] != '\0'; i++) {
            if (now[i] != '/' && now[i] != '\0')
                continue;
            memcpy(part, now, i);
            part[i] = '\0';
            n = readlink(part, target, sizeof target - 1);
        }
        if (n <= 0)
            return;
        target[n] = '\0';
        folder_of(part, folder);
        fn(folder, arg);
        const char *rest = now + i - 1;
        int length = target[0] == '/'
                         ? snprintf(next, sizeof next, "%s%s", target, rest)
                         : snprintf(next, sizeof next, "%s/%s%s", folder, target, rest);
        if (length >= PATH_MAX)
            return;
        memcpy(now, next, (size_t)length + 1);
    }
}

bool reload_watch_folders(void (*fn)(const char *folder, void *arg), void *arg)
{
    lock_acquire(&reload_lock);
    const struct policy *policy = policy_in_force();
    bool any = policy->reload.watch && policy->file_count > 0;
    for (size_t i = 0; any && i < policy->file_count && i < FILES_MAX; i++)
        watch_file(policy->files[i], fn, arg);
    lock_release(&reload_lock);
    return any;
}

void reload_fork_prepare(void)
{
    lock_acquire(&reload_lock);
}

void reload_fork_end(void)
{
    lock_release(&reload_lock);
}
