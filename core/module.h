/* module.h - modules: names, ids, and what is kept for each: its arenas, limit and totals.
 *
 * A module is never removed. Its record may be read at any time without a lock once its id is known.
 */
#ifndef SLUICE_CORE_MODULE_H
#define SLUICE_CORE_MODULE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sluice/sluice.h>

#include "core/policy.h"

#define MODULE_CAPACITY 16384
#define MODULE_NAME_MAX 255

struct module {
    sluice_module id;
    const char *name;
    struct sluice_arena *arenas; /* by module_next; in the arenas lock */

    /* The limit in force (core/limit.c). held: bytes taken for objects, a little ahead of what is live. */
    _Atomic uint64_t held;
    _Atomic uint64_t soft, hard;       /* 0: none */
    _Atomic uint32_t on_soft, on_hard; /* enum policy_action */
    _Atomic bool over_soft;   /* the soft action was carried out and held has not fallen since */
    _Atomic uint32_t pending; /* LIMIT_PENDING_...: to do when outside of sections */

    _Atomic uint64_t failed; /* allocations */
    _Atomic uint64_t peak;   /* live bytes */
    _Atomic int64_t
        grown; /* bytes handed to caches, less what came back, since the peak was last looked at */
    _Atomic uint64_t held_at_peak; /* `held` when an end of a phase last looked at the peak */
    _Atomic uint64_t step;         /* look again when so much has grown */

    /* Of arenas that are gone; in the arenas lock. */
    uint64_t past_allocated, past_freed;
};

/* The module of an id, or NULL. Any thread, no lock. */
struct module *module_get(sluice_module id);

/* Finds or registers; as sluice_module_register(), without errno: *why tells. */
sluice_module module_register(const char *name, enum sluice_result *why);

/* The same for a thread that is about to allocate, and may hold a lock that fork waits for. SLUICE_MODULE_INVALID: not
 * while a fork is under way; or as above. */
sluice_module module_register_unless_forking(const char *name);

/* Number of ids in use: 0 to module_count() - 1. */
uint32_t module_count(void);

/* Records an override, for a module that may not exist yet. NULL backend clears. */
enum sluice_result module_set_override(const char *module, const char *backend);

/* The override of a module by name, copied into buffer (256 bytes); false when there is none. */
bool module_get_override(const char *module, char *buffer);

/* Does any override name that backend? */
bool module_is_overridden_with(const char *backend);

bool module_init(void);

void modules_fork_prepare(void);
void modules_fork_end(void);

#endif
