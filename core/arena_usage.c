/* arena_usage.c - what arenas and modules hold: sums over the counters of heaps and of backends, and peaks. See arena.h. */
#include "core/arena.h"

#include "core/arena_parts.h"
#include "core/direct.h"
#include "core/header.h"
#include "core/os.h"

static uint64_t load(const _Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

static bool counts(const struct sluice_arena *a)
{
    return (a->ops->capabilities & SLUICE_BACKEND_COUNTS) != 0;
}

/* The counters of heaps, those that are gone included. */
static void add_heaps(struct sluice_arena *a, struct arena_usage *out)
{
    lock_acquire(&a->heaps_lock);
    uint64_t allocated = a->past_allocated, freed = a->past_freed;
    uint64_t bytes = a->past_allocated_bytes - a->past_freed_bytes;
    struct direct_sums in = {0};
    for (struct heap *h = a->heaps; h != NULL; h = h->next) {
        out->metadata_bytes += sizeof *h;
        direct_add(h, &in);
        /* Frees first: an object that is freed elsewhere meanwhile was allocated before. */
        uint64_t freed_bytes = load(&h->freed_bytes);
        freed += load(&h->freed);
        allocated += load(&h->allocated);
        bytes += load(&h->allocated_bytes) - freed_bytes;
    }
    lock_release(&a->heaps_lock);
    if (counts(a))
        return;
    allocated += in.allocated;
    freed += in.freed;
    bytes += in.allocated_bytes - in.freed_bytes;
    out->cached_bytes += in.kept_bytes;
    out->metadata_bytes += in.own_bytes;
    out->allocated = allocated;
    out->freed = freed;
    /* Modulo 2^64, and a torn reading of busy threads may be a little below zero. */
    out->live_objects = (int64_t)(allocated - freed) > 0 ? allocated - freed : 0;
    out->live_bytes = (int64_t)bytes > 0 ? bytes : 0;
    if ((a->ops->capabilities & SLUICE_BACKEND_OWNS_ADDRESS_SPACE) == 0)
        out->metadata_bytes += (out->live_objects + in.kept) * HEADER_SIZE;
}

void arena_usage(struct sluice_arena *a, struct arena_usage *out)
{
    if (arena_is_watched(a)) {
        *out = a->usage_when_watched;
        return;
    }
    struct sluice_backend_stats stats = {.struct_size = sizeof stats};
    a->ops->stats(a->instance, &stats);
    *out = (struct arena_usage){
        .live_objects = stats.live_objects,
        .live_bytes = stats.live_bytes,
        .allocated = stats.allocated_objects,
        .freed = stats.freed_objects,
        .cached_bytes = stats.cached_bytes,
        .metadata_bytes = stats.metadata_bytes + sizeof *a + OS_PAGE_SIZE,
    };
    add_heaps(a, out);
}

/* Only what is live: other figures may cost a backend dear. */
static uint64_t arena_live(struct sluice_arena *a)
{
    struct arena_usage usage = {0};
    if (a->ops->live_bytes != NULL && !arena_is_watched(a))
        return a->ops->live_bytes(a->instance);
    if (counts(a))
        arena_usage(a, &usage);
    else
        add_heaps(a, &usage);
    return usage.live_bytes;
}

static void keep_peak(struct module *m, uint64_t live)
{
    uint64_t peak = load(&m->peak);
    while (live > peak && !atomic_compare_exchange_weak_explicit(
                              &m->peak, &peak, live, memory_order_relaxed, memory_order_relaxed))
        ;
}

void module_usage(struct module *m, struct arena_usage *out, uint64_t *draining_bytes)
{
    *out = (struct arena_usage){0};
    *draining_bytes = 0;
    lock_acquire(&arenas_lock);
    out->allocated = m->past_allocated;
    out->freed = m->past_freed;
    for (struct sluice_arena *a = m->arenas; a != NULL; a = a->module_next) {
        struct arena_usage one;
        arena_usage(a, &one);
        out->live_objects += one.live_objects;
        out->live_bytes += one.live_bytes;
        out->allocated += one.allocated;
        out->freed += one.freed;
        out->cached_bytes += one.cached_bytes;
        out->metadata_bytes += one.metadata_bytes;
        if (a->draining)
            *draining_bytes += one.live_bytes;
    }
    lock_release(&arenas_lock);
    keep_peak(m, out->live_bytes);
}

void arena_note_growth(struct sluice_arena *arena, int64_t bytes)
{
    atomic_fetch_add_explicit(&arena->module->grown, bytes, memory_order_relaxed);
}

static uint64_t sample_peak(struct module *m)
{
    uint64_t live = 0;
    lock_acquire(&arenas_lock);
    for (struct sluice_arena *a = m->arenas; a != NULL; a = a->module_next)
        live += arena_live(a);
    lock_release(&arenas_lock);
    keep_peak(m, live);
    return live;
}

void arena_note_turn(struct sluice_arena *arena)
{
    struct module *m = arena->module;
    if (atomic_load_explicit(&m->grown, memory_order_relaxed) < (int64_t)load(&m->step))
        return;
    atomic_store_explicit(&m->grown, 0, memory_order_relaxed);
    /* Adding up costs time in proportion to what there is; so does what must grow before the next. What there is, is what
     * the module holds, where others free at once what one allocates: little is live then, in as many slabs. */
    uint64_t live = sample_peak(m), held = load(&m->held);
    uint64_t step = (live > held ? live : held) / 32;
    atomic_store_explicit(&m->step, step > 0 ? step : 1, memory_order_relaxed);
}

static void look_now(struct heap *h, uint64_t net)
{
    h->look_at = (int64_t)(net + net / 32) + HEAP_LOOK_FIRST;
    sample_peak(h->arena->module);
}

void heap_note_turn(struct heap *h)
{
    uint64_t net = load(&h->allocated_bytes) - load(&h->freed_bytes);
    /* A heap whose objects others free is always at a high, one that frees for others is below zero. */
    if ((int64_t)net <= (int64_t)(h->high + (h->high >> 9)))
        return;
    h->high = net;
    look_now(h, net);
}

void heap_note_growth(struct heap *h)
{
    look_now(h, load(&h->allocated_bytes) - load(&h->freed_bytes));
}

void arena_note_drop(struct sluice_arena *a)
{
    /* Adding up takes time with what there is, so it is done when more is held than the last time. */
    struct module *m = a->module;
    uint64_t held = load(&m->held);
    if (held <= load(&m->held_at_peak))
        return;
    atomic_store_explicit(&m->held_at_peak, held, memory_order_relaxed);
    sample_peak(m);
}

uint64_t arena_forget_objects(struct sluice_arena *a, uint64_t *charged)
{
    lock_acquire(&a->heaps_lock);
    uint64_t objects = a->past_allocated - a->past_freed;
    uint64_t bytes = a->past_allocated_bytes - a->past_freed_bytes;
    int64_t credit = 0;
    for (struct heap *h = a->heaps; h != NULL; h = h->next) {
        credit += h->credit;
        h->credit = 0;
        objects += load(&h->allocated) - load(&h->freed);
        bytes += load(&h->allocated_bytes) - load(&h->freed_bytes);
        h->high = 0;
        h->look_at = HEAP_LOOK_FIRST;
    }
    a->past_freed += objects;
    a->past_freed_bytes += bytes;
    lock_release(&a->heaps_lock);
    *charged = bytes + (uint64_t)credit;
    return bytes;
}
