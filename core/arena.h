/* arena.h - arenas, and each thread's heap in them.
 *
 *   arena  one instance of a backend with its parameters, for one module. It is found by (module, backend name,
 *          parameters): a policy that comes back finds the arena that it had.
 *   heap   one thread's part of one arena: the backend's thread state and this thread's counters.
 *
 * An arena that no route leads to drains: its objects are freed to it as before, and when the last is gone the
 * control thread ends it. What it counted stays in its module's totals.
 */
#ifndef SLUICE_CORE_ARENA_H
#define SLUICE_CORE_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sluice/backend.h>

#include "core/lock.h"
#include "core/module.h"
#include "core/policy.h"
#include "core/thread.h"

#define ARENA_CAPACITY 65536 /* ids fit the header of objects that carry one */

struct arena_usage {
    uint64_t live_objects, live_bytes, allocated, freed, cached_bytes, metadata_bytes;
};

struct sluice_arena {
    const struct sluice_backend_ops *ops;
    void *instance; /* the backend's */
    struct module *module;
    uint32_t id;
    bool draining;  /* in the arenas lock */
    bool tracked;   /* its objects are on a list: `tracks` */
    bool collected; /* about to be ended, if it stays empty; in the maintenance lock */
    _Atomic bool
        watched; /* its memory is watched for a phase that has ended: the backend is left alone */
    const char *name;
    uint64_t *values;
    struct sluice_option *options;
    size_t option_count;
    struct meta_region *memory; /* holds name, values and options */

    struct lock heaps_lock; /* below "arenas" */
    struct heap *heaps;     /* of all threads, by next */
    /* Of heaps that are gone. */
    uint64_t past_allocated, past_allocated_bytes, past_freed, past_freed_bytes;

    struct phase_instance *phase; /* whose objects go at its end; or NULL */
    struct lock purge_lock;       /* purge() and reset() exclude each other; see arena_reset() */
    struct lock reset_lock;       /* a thread's exit and reset() exclude each other */
    struct lock track_lock;
    struct track *tracks;
    struct arena_usage usage_when_watched; /* in the arenas lock */
    _Atomic uint64_t held;                 /* with SLUICE_BACKEND_KEEPS_LIMIT: bytes charged */

    _Atomic uint64_t purge_due; /* CLOCK_MONOTONIC ns; UINT64_MAX: nothing to do */

    struct sluice_arena *module_next, *next, *prev;
};

/* At the start of an object that is tracked, in front of its header. */
struct track {
    struct track *next, *prev;
    size_t padding; /* from here to the object */
};

#define TRACK_PADDING 64 /* at least: a power of two with room for this and a header */

#define HEAP_LOOK_FIRST (64 << 10) /* bytes: see look_at */

struct heap {
    struct magazine stand_in; /* for bins of classes that the backend is asked for */
    struct sluice_arena *arena;
    struct thread *thread;
    void *state; /* the backend's thread_state */
    /* Written by the thread alone; read by anyone. Unused when the backend counts. */
    _Atomic uint64_t allocated, allocated_bytes, freed, freed_bytes;
    int64_t credit; /* bytes charged to the module's limit and not used */
    uint64_t high;  /* largest allocated_bytes - freed_bytes at which the peak was looked at */
    int64_t
        look_at; /* what they shall be when it is looked at without a free, as others may free all */
    struct magazine *magazines; /* core/direct.h; or NULL */
    struct heap *next, *prev;
};

/* Its magazines are filled from slabs: a thread state begins as struct slab_heap does. */
static inline bool arena_has_slabs(const struct sluice_arena *arena)
{
    return arena->ops->slab_event != NULL;
}

/* The arena for a module and a named backend of a policy, made when it does not exist. NULL: no memory, or
 * what the backend said (error_set). Inside sections. */
struct sluice_arena *arena_get(struct module *module, const struct policy_backend *backend);

/* One of an instance of a phase, for this module; never shared. NULL as arena_get(). Inside sections. */
struct sluice_arena *arena_make_for_phase(struct module *module,
                                          const struct policy_backend *backend,
                                          struct phase_instance *phase, bool tracked);

/* Is it what that backend of a policy would be? */
bool arena_matches(const struct sluice_arena *arena, const struct policy_backend *backend);

/* Drops all objects at once. No thread is inside the arena. Inside a section, which is left and entered again while the
 * arena is being purged. Returns the bytes that they held: what was charged, else their usable bytes. With `watch` the
 * arena is left alone from then on, until arena_unwatch(): it is not purged, and its figures stand still. */
uint64_t arena_reset(struct thread *t, struct sluice_arena *arena, bool watch);
void arena_unwatch(struct sluice_arena *arena);

static inline bool arena_is_watched(const struct sluice_arena *arena)
{
    return atomic_load_explicit(&arena->watched, memory_order_acquire);
}

/* An arena of a phase that is not needed any more: empty, it is ended soon. Inside sections. */
void arena_retire(struct sluice_arena *arena);

/* By id, or NULL. Any thread that knows a live object of it. */
struct sluice_arena *arena_by_id(uint32_t id);

/* Before a new policy is in force: a living arena whose backend changed its parameters takes them, where it can.
 * renewed[i] (NULL: nobody asks) becomes true where an arena of backends[i] did not: new allocations get a new one. Outside
 * sections. */
void arenas_configure(const struct policy *policy, bool *renewed);

/* After it is in force, and nobody uses an older table: marks what drains. Outside sections. */
void arenas_follow(const struct policy *policy);

/* Ends the arenas that drain and are empty. Outside sections. Returns how many drain still. */
unsigned arenas_collect(void);

/* Runs fn for each arena; what it returns is added up. Arenas are not ended meanwhile, but new ones may be missed. One
 * walk at a time (the maintenance lock); outside sections. 0 when a fork is under way. */
uint64_t arenas_walk(uint64_t (*fn)(struct sluice_arena *arena, void *arg), void *arg);

/* Numbers of arenas: all, and those that drain. */
void arenas_count(uint64_t *total, uint64_t *draining);

/* This thread's heap in an arena; made when need be. NULL without memory. In a section of t. */
struct heap *heap_make(struct thread *t, struct sluice_arena *arena);

static inline struct heap *heap_of(struct thread *t, struct sluice_arena *arena)
{
    struct heap *h = arena->id < t->heap_capacity ? t->heaps[arena->id] : NULL;
    return __builtin_expect(h != NULL, 1) ? h : heap_make(t, arena);
}

/* Hands what the heap holds back to its arena, adds its counters there, and removes it from its thread. The
 * caller has the thread to itself. */
void heap_destroy(struct heap *heap);

/* What an arena holds now. In the arenas lock, unless the arena is the caller's; takes heaps_lock and the backend's own. */
void arena_usage(struct sluice_arena *arena, struct arena_usage *out);

/* Gives memory back: what is due at `now`, or everything (SLUICE_PURGE_FORCE). From arenas_walk() only. */
size_t arena_purge(struct sluice_arena *arena, uint64_t now, unsigned flags);

/* chunk_expire_lazy(), and meta_expire_blocks(), in the maintenance lock. */
size_t chunks_expire(uint64_t now, bool every, uint64_t *next_due);

/* Gives everything back that a module keeps for reuse (NULL: all modules). Outside sections. */
size_t arenas_trim(struct module *module);

/* The same for the arenas of an instance of a phase. Outside sections. */
size_t arenas_trim_phase(struct phase_instance *phase);

/* For a backend's purge(): runs ops->thread_flush for every thread that has a heap in the arena and that it concerns (NULL:
 * all; see threads_each_held), each held outside of sections. Outside sections. */
void arena_flush_threads(struct sluice_arena *arena,
                         bool (*concerns)(const struct thread *t, void *arg), void *arg);

/* Peak of a module (called by backends that keep slabs): memory was made ready for allocation; an allocation
 * trend turned. */
void arena_note_growth(struct sluice_arena *arena, int64_t bytes);
void arena_note_turn(struct sluice_arena *arena);

/* The same for the counters of a heap, before something is freed. Cheap unless there is a new high. */
void heap_note_turn(struct heap *heap);
void heap_note_growth(struct heap *heap); /* has allocated more than its look_at */

/* Adds up what a module holds, and keeps its peak. Inside sections. */
void module_usage(struct module *module, struct arena_usage *out, uint64_t *draining_bytes);

/* For fork: no walk is under way between the two. */
void arenas_fork_prepare(void);
void arenas_fork_end(void);

#endif
