/* arena_purge.c - arenas give up what they hold: all objects at once (arena_reset), or what they keep for reuse, when it is
 * due or when somebody asks. See arena.h. */
#include "core/arena.h"

#include <sched.h>

#include "core/arena_parts.h"
#include "core/chunk.h"
#include "core/control.h"
#include "core/direct.h"
#include "core/header.h"
#include "core/limit.h"
#include "core/meta.h"
#include "core/os.h"

/* How long giving memory back waits for a thread to leave its section, ns. */
#define TRIM_PATIENCE 20000000

/* ---- Dropping everything ---------------------------------------------------------------------- */

/* One by one, for a backend that knows no other way. */
static void free_tracked(struct thread *t, struct sluice_arena *a)
{
    struct heap *h = heap_of(t, a);
    void *no_state = NULL;
    void **state = h != NULL ? &h->state : &no_state;
    for (struct track *track = a->tracks, *next; track != NULL; track = next) {
        next = track->next;
        header_erase((char *)track + track->padding);
        a->ops->free(a->instance, state, track);
    }
    a->tracks = NULL;
    if (no_state != NULL && a->ops->thread_exit != NULL)
        a->ops->thread_exit(a->instance, no_state);
}

/* In purge_lock. */
static void start_watch(struct sluice_arena *a)
{
    lock_acquire(&arenas_lock); /* others ask for its usage in it */
    arena_usage(a, &a->usage_when_watched);
    atomic_store_explicit(&a->watched, true, memory_order_release);
    lock_release(&arenas_lock);
}

void arena_unwatch(struct sluice_arena *a)
{
    lock_acquire(&arenas_lock);
    bool was = atomic_exchange_explicit(&a->watched, false, memory_order_acq_rel);
    lock_release(&arenas_lock);
    if (was)
        sluice_purge_wanted(a, os_now()); /* what came due meanwhile */
}

uint64_t arena_reset(struct thread *t, struct sluice_arena *a, bool watch)
{
    arena_note_drop(a);
    for (unsigned round = 0; !lock_try(&a->purge_lock); round++) {
        thread_leave(t); /* the purger may wait for us to */
        sched_yield();
        while (!thread_enter(t))
            sched_yield();
    }
    lock_acquire(&a->reset_lock);
    if (a->tracked)
        free_tracked(t, a);
    else
        a->ops->reset(a->instance);
    uint64_t charged, bytes = arena_forget_objects(a, &charged);
    if ((a->ops->capabilities & SLUICE_BACKEND_KEEPS_LIMIT) != 0) {
        bytes = atomic_load_explicit(&a->held, memory_order_relaxed);
        sluice_arena_uncharge(a, bytes);
    } else {
        limit_uncharge(a->module, charged);
    }
    if (watch)
        start_watch(a);
    lock_release(&a->reset_lock);
    lock_release(&a->purge_lock);
    return bytes;
}

/* ---- Giving memory back ----------------------------------------------------------------------- */

/* In the maintenance lock. */
static uint64_t walk(uint64_t (*fn)(struct sluice_arena *arena, void *arg), void *arg)
{
    lock_acquire(&arenas_lock);
    struct sluice_arena *a = arenas_first;
    lock_release(&arenas_lock);
    uint64_t sum = 0;
    for (; a != NULL; a = a->next)
        sum += fn(a, arg);
    return sum;
}

uint64_t arenas_walk(uint64_t (*fn)(struct sluice_arena *arena, void *arg), void *arg)
{
    lock_acquire(&maintenance_lock); /* the control thread may wait for a fork */
    uint64_t sum = walk(fn, arg);
    lock_release(&maintenance_lock);
    return sum;
}

size_t arena_purge(struct sluice_arena *a, uint64_t now, unsigned flags)
{
    bool flush =
        (flags & SLUICE_PURGE_FORCE) != 0 && (a->ops->capabilities & SLUICE_BACKEND_MAGAZINES) != 0;
    if (a->ops->purge == NULL && !flush)
        return 0;
    uint64_t next = UINT64_MAX;
    atomic_store_explicit(&a->purge_due, UINT64_MAX, memory_order_relaxed);
    lock_acquire(&a->purge_lock);
    size_t bytes = 0;
    if (!arena_is_watched(a)) {
        if (flush)
            arena_flush_threads(a, NULL, NULL);
        if (a->ops->purge != NULL)
            bytes = a->ops->purge(a->instance, now, flags, &next);
    }
    lock_release(&a->purge_lock);
    if (next != UINT64_MAX)
        sluice_purge_wanted(a, next);
    return bytes;
}

static uint64_t trim_one(struct sluice_arena *a, void *module)
{
    if (module != NULL && a->module != module)
        return 0;
    return arena_purge(a, os_now(), SLUICE_PURGE_FORCE);
}

/* Of a thread that is held. In the lock, since a phase may be ending. */
static void return_credit(struct heap *h)
{
    lock_acquire(&h->arena->heaps_lock);
    limit_return_credit(h);
    lock_release(&h->arena->heaps_lock);
}

static void return_credits(struct thread *t, void *module)
{
    for (uint32_t i = 0; i < t->heap_capacity; i++)
        if (t->heaps[i] != NULL && (module == NULL || t->heaps[i]->arena->module == module))
            return_credit(t->heaps[i]);
}

size_t chunks_expire(uint64_t now, bool every, uint64_t *next_due)
{
    uint64_t blocks_due;
    lock_acquire(&maintenance_lock); /* the control thread may wait for a fork */
    size_t bytes = chunk_expire_lazy(now, every, next_due);
    meta_expire_blocks(now, &blocks_due);
    lock_release(&maintenance_lock);
    *next_due = blocks_due < *next_due ? blocks_due : *next_due;
    return bytes;
}

size_t arenas_trim(struct module *module)
{
    if (!thread_lock_unless_diverted(&maintenance_lock))
        return 0;
    size_t bytes = walk(trim_one, module);
    uint64_t next;
    chunk_expire_lazy(0, true, &next); /* counted already, when it was given back */
    threads_each_held(NULL, return_credits, module, TRIM_PATIENCE);
    lock_release(&maintenance_lock);
    return bytes;
}

static uint64_t trim_in_phase(struct sluice_arena *a, void *phase)
{
    return a->phase == phase ? arena_purge(a, os_now(), SLUICE_PURGE_FORCE) : 0;
}

size_t arenas_trim_phase(struct phase_instance *phase)
{
    if (!thread_lock_unless_diverted(&maintenance_lock))
        return 0;
    size_t bytes = walk(trim_in_phase, phase);
    lock_release(&maintenance_lock);
    return bytes;
}

struct flush {
    struct sluice_arena *arena;
    bool (*concerns)(const struct thread *t, void *arg);
    void *arg;
};

static bool flush_concerns(const struct thread *t, void *arg)
{
    struct flush *flush = arg;
    return flush->concerns == NULL || flush->concerns(t, flush->arg);
}

static void flush_heap_in(struct thread *t, void *arg)
{
    struct sluice_arena *a = ((struct flush *)arg)->arena;
    struct heap *h = a->id < t->heap_capacity ? t->heaps[a->id] : NULL;
    if (h == NULL)
        return;
    direct_flush(h);
    if (h->state != NULL && a->ops->thread_flush != NULL)
        a->ops->thread_flush(a->instance, h->state);
    return_credit(h);
}

void arena_flush_threads(struct sluice_arena *arena,
                         bool (*concerns)(const struct thread *t, void *arg), void *arg)
{
    struct flush flush = {arena, concerns, arg};
    threads_each_held(flush_concerns, flush_heap_in, &flush, TRIM_PATIENCE);
}

/* ---- What backends ask ------------------------------------------------------------------------ */

void sluice_purge_wanted(struct sluice_arena *owner, uint64_t due)
{
    uint64_t old = atomic_load_explicit(&owner->purge_due, memory_order_relaxed);
    while (due < old &&
           !atomic_compare_exchange_weak_explicit(&owner->purge_due, &old, due,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    control_wake_at(due);
}

int sluice_arena_charge(struct sluice_arena *owner, size_t bytes)
{
    if (!limit_charge(owner->module, bytes))
        return 0;
    atomic_fetch_add_explicit(&owner->held, bytes, memory_order_relaxed);
    return 1;
}

void sluice_arena_uncharge(struct sluice_arena *owner, size_t bytes)
{
    atomic_fetch_sub_explicit(&owner->held, bytes, memory_order_relaxed);
    limit_uncharge(owner->module, bytes);
}

void *sluice_metadata_alloc(size_t size)
{
    return meta_alloc(size);
}

void sluice_metadata_free(void *p, size_t size)
{
    meta_free(p, size);
}
