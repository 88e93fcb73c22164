/* arena.c - see arena.h. */
#include "core/arena.h"

#include <sched.h>
#include <string.h>

#include "core/chunk.h"
#include "core/control.h"
#include "core/error.h"
#include "core/header.h"
#include "core/limit.h"
#include "core/log.h"
#include "core/meta.h"
#include "core/os.h"
#include "core/route.h"

/* How long giving memory back waits for a thread to leave its section, ns. */
#define TRIM_PATIENCE 20000000

static struct lock arenas_lock;
static struct lock maintenance_lock;
static _Atomic(struct sluice_arena *) *arenas; /* by id; ARENA_CAPACITY, mapped */
static struct sluice_arena *all;
static uint32_t used_ids, free_ids[64], free_id_count;
static _Atomic uint32_t arena_count, draining_count;

/* ---- Identity ------------------------------------------------------------------------------- */

static bool options_equal(const struct sluice_arena *a, const struct policy_backend *b)
{
    if (a->option_count != b->option_count)
        return false;
    for (size_t i = 0; i < a->option_count; i++)
        if (strcmp(a->options[i].key, b->options[i].key) != 0 ||
            strcmp(a->options[i].value, b->options[i].value) != 0)
            return false;
    return true;
}

static bool values_equal(const struct sluice_arena *a, const struct policy_backend *b)
{
    return a->ops->param_count == 0 ||
           memcmp(a->values, b->values, a->ops->param_count * sizeof *b->values) == 0;
}

static bool same_backend(const struct sluice_arena *a, const struct policy_backend *b)
{
    return a->ops == b->ops && strcmp(a->name, b->name) == 0;
}

bool arena_matches(const struct sluice_arena *a, const struct policy_backend *b)
{
    return same_backend(a, b) && values_equal(a, b) && options_equal(a, b);
}

/* One that serves the module whatever the phase. */
static bool is_arena_of(const struct sluice_arena *a, const struct policy_backend *b)
{
    return a->phase == NULL && arena_matches(a, b);
}

/* ---- Making and ending ---------------------------------------------------------------------- */

static uint32_t take_id(void)
{
    if (free_id_count > 0)
        return free_ids[--free_id_count];
    if (used_ids < ARENA_CAPACITY)
        return used_ids++;
    for (uint32_t i = 0; i < used_ids; i++) /* an id that the short list had no room for */
        if (arenas[i] == NULL)
            return i;
    return ARENA_CAPACITY;
}

static void give_id(uint32_t id)
{
    if (free_id_count < sizeof free_ids / sizeof *free_ids)
        free_ids[free_id_count++] = id;
}

static bool copy_config(struct sluice_arena *a, const struct policy_backend *b)
{
    struct meta_region *r = a->memory;
    size_t n = b->ops->param_count;
    a->name = meta_region_strndup(r, b->name, strlen(b->name));
    a->values = meta_region_alloc(r, (n + 1) * sizeof *a->values);
    a->options = meta_region_alloc(r, (b->option_count + 1) * sizeof *a->options);
    if (a->name == NULL || a->values == NULL || a->options == NULL)
        return false;
    if (n > 0)
        memcpy(a->values, b->values, n * sizeof *a->values);
    for (size_t i = 0; i < b->option_count; i++) {
        const struct sluice_option *o = &b->options[i];
        a->options[i].key = meta_region_strndup(r, o->key, strlen(o->key));
        a->options[i].value = meta_region_strndup(r, o->value, strlen(o->value));
        if (a->options[i].key == NULL || a->options[i].value == NULL)
            return false;
    }
    a->option_count = b->option_count;
    return true;
}

static struct sluice_arena_config config_of(struct sluice_arena *a)
{
    return (struct sluice_arena_config){
        .struct_size = sizeof(struct sluice_arena_config),
        .owner = a,
        .name = a->name,
        .module = a->module->id,
        .values = a->values,
        .options = a->options,
        .option_count = a->option_count,
    };
}

/* In arenas_lock. */
static struct sluice_arena *arena_create(struct module *module, const struct policy_backend *b)
{
    uint32_t id = take_id();
    if (id == ARENA_CAPACITY) {
        error_set(SLUICE_ERROR_LIMIT, "all %d arenas are in use", ARENA_CAPACITY);
        return NULL;
    }
    struct sluice_arena *a = meta_alloc(sizeof *a);
    struct meta_region *memory = a == NULL ? NULL : meta_region_create_small();
    enum sluice_result why = SLUICE_ERROR_NO_MEMORY;
    if (memory != NULL) {
        a->ops = b->ops;
        a->module = module;
        a->id = id;
        a->memory = memory;
        a->purge_due = UINT64_MAX;
        if (copy_config(a, b)) {
            struct sluice_arena_config config = config_of(a);
            why = b->ops->arena_create(&config, &a->instance);
        }
    }
    if (why != SLUICE_OK) {
        if (why == SLUICE_ERROR_NO_MEMORY)
            error_set(why, "no memory for an arena of backend \"%s\"", b->name);
        meta_region_destroy(memory);
        meta_free(a, sizeof *a);
        give_id(id);
        return NULL;
    }
    a->module_next = module->arenas;
    module->arenas = a;
    a->next = all;
    if (all != NULL)
        all->prev = a;
    all = a;
    arena_count++;
    atomic_store_explicit(&arenas[id], a, memory_order_release);
    return a;
}

/* In arenas_lock. */
static bool arenas_mapped(void)
{
    if (arenas == NULL)
        arenas = os_map(ARENA_CAPACITY * sizeof *arenas, OS_PAGE_SIZE);
    return arenas != NULL;
}

struct sluice_arena *arena_get(struct module *module, const struct policy_backend *backend)
{
    lock_acquire(&arenas_lock);
    bool mapped = arenas_mapped();
    struct sluice_arena *a = module->arenas;
    while (a != NULL && !is_arena_of(a, backend))
        a = a->module_next;
    if (a != NULL && a->draining) {
        a->draining = false;
        draining_count--;
    } else if (a == NULL && mapped) {
        a = arena_create(module, backend);
    }
    lock_release(&arenas_lock);
    return a;
}

struct sluice_arena *arena_make_for_phase(struct module *module,
                                          const struct policy_backend *backend,
                                          struct phase_instance *phase, bool tracked)
{
    lock_acquire(&arenas_lock);
    struct sluice_arena *a = arenas_mapped() ? arena_create(module, backend) : NULL;
    if (a != NULL) {
        a->phase = phase;
        a->tracked = tracked;
    }
    lock_release(&arenas_lock);
    return a;
}

void arena_retire(struct sluice_arena *a)
{
    lock_acquire(&arenas_lock);
    a->draining = true;
    draining_count++;
    lock_release(&arenas_lock);
    control_poke();
}

struct sluice_arena *arena_by_id(uint32_t id)
{
    if (id >= ARENA_CAPACITY || arenas == NULL)
        return NULL;
    return atomic_load_explicit(&arenas[id], memory_order_acquire);
}

/* In arenas_lock; the arena has no live object, no heap, and no table leads to it. */
static void arena_end(struct sluice_arena *a)
{
    struct arena_usage usage;
    arena_usage(a, &usage);
    struct module *m = a->module;
    m->past_allocated += usage.allocated;
    m->past_freed += usage.freed;
    a->ops->arena_destroy(a->instance);
    struct sluice_arena **at = &m->arenas;
    while (*at != a)
        at = &(*at)->module_next;
    *at = a->module_next;
    if (a->prev != NULL)
        a->prev->next = a->next;
    else
        all = a->next;
    if (a->next != NULL)
        a->next->prev = a->prev;
    atomic_store_explicit(&arenas[a->id], NULL, memory_order_release);
    give_id(a->id);
    arena_count--;
    draining_count--;
    meta_region_destroy(a->memory);
    meta_free(a, sizeof *a);
}

static bool is_empty(struct sluice_arena *a)
{
    struct arena_usage usage;
    arena_usage(a, &usage);
    return usage.live_objects == 0;
}

/* Heaps of arenas that are being collected. The list of arenas may get longer meanwhile, in front, but not shorter. */
static void end_heaps_in(struct thread *t, void *first)
{
    for (struct sluice_arena *a = first; a != NULL; a = a->next)
        if (a->collected && a->id < t->heap_capacity && t->heaps[a->id] != NULL)
            heap_destroy(t->heaps[a->id]);
}

unsigned arenas_collect(void)
{
    lock_acquire(&maintenance_lock); /* the control thread may wait for a fork */
    lock_acquire(&arenas_lock);
    struct sluice_arena *first = all;
    unsigned left = 0, chosen = 0;
    for (struct sluice_arena *a = first; a != NULL; a = a->next) {
        a->collected = a->draining && is_empty(a);
        left += a->draining;
        chosen += a->collected;
    }
    lock_release(&arenas_lock);
    /* A free may be between the backend and our counters: holding each thread once ends that. Once for all arenas, since
     * a thread that was interrupted inside a section keeps us waiting for its next turn. */
    if (chosen > 0)
        threads_each_held(NULL, end_heaps_in, first, 0);
    lock_acquire(&arenas_lock);
    for (struct sluice_arena *a = chosen > 0 ? first : NULL, *next; a != NULL; a = next) {
        next = a->next;
        if (a->collected && a->draining && a->heaps == NULL && is_empty(a)) {
            arena_end(a);
            left--;
        }
    }
    lock_release(&arenas_lock);
    lock_release(&maintenance_lock);
    return left;
}

void arenas_follow(const struct policy *policy)
{
    lock_acquire(&maintenance_lock);
    bool *used = meta_alloc(policy->backend_count + 1);
    lock_acquire(&arenas_lock);
    for (uint32_t id = 0; used != NULL && id < module_count(); id++) {
        struct module *m = module_get((sluice_module)id);
        if (m->arenas == NULL)
            continue;
        memset(used, 0, policy->backend_count);
        route_backends_of(policy, m, used);
        for (struct sluice_arena *a = m->arenas; a != NULL; a = a->module_next) {
            if (a->phase != NULL)
                continue; /* its instance decides */
            bool routed = false;
            for (size_t b = 0; b < policy->backend_count && !routed; b++)
                if (used[b] && is_arena_of(a, &policy->backends[b])) {
                    routed = true;
                    used[b] = false; /* the first one is who arena_get() finds; its twins drain */
                }
            if (routed == a->draining) {
                a->draining = !routed;
                draining_count += routed ? -1u : 1u;
            }
        }
    }
    lock_release(&arenas_lock);
    meta_free(used, policy->backend_count + 1);
    lock_release(&maintenance_lock);
    control_poke();
}

/* Before the new table is in force: a living arena of the same name takes the new parameters, where its backend can. */
void arenas_configure(const struct policy *policy, bool *renewed)
{
    lock_acquire(&arenas_lock);
    for (struct sluice_arena *a = all; a != NULL; a = a->next)
        for (size_t i = 0; !a->draining && i < policy->backend_count; i++) {
            const struct policy_backend *b = &policy->backends[i];
            if (!same_backend(a, b) || !options_equal(a, b) || values_equal(a, b))
                continue;
            if (arena_is_watched(a))
                continue; /* its instance gives it up when the watch ends */
            struct sluice_arena_config config = config_of(a);
            config.values = b->values;
            if (a->ops->configure != NULL && a->ops->configure(a->instance, &config) == SLUICE_OK)
                memcpy(a->values, b->values, a->ops->param_count * sizeof *b->values);
            else if (renewed != NULL)
                renewed[i] = true;
        }
    lock_release(&arenas_lock);
}

void arenas_count(uint64_t *total, uint64_t *draining)
{
    *total = arena_count;
    *draining = draining_count;
}

/* ---- Heaps ---------------------------------------------------------------------------------- */

struct heap *heap_make(struct thread *t, struct sluice_arena *arena)
{
    if (!thread_reserve_heaps(t, arena->id))
        return NULL;
    struct heap *h = meta_alloc(sizeof *h);
    if (h == NULL)
        return NULL;
    h->stand_in.owner = SLAB_UNUSED;
    h->stand_in.event_at = SLAB_NO_EVENT;
    h->stand_in.capacity = SLAB_MARK_DIRECT;
    h->arena = arena;
    h->thread = t;
    lock_acquire(&arena->heaps_lock);
    h->next = arena->heaps;
    if (arena->heaps != NULL)
        arena->heaps->prev = h;
    arena->heaps = h;
    lock_release(&arena->heaps_lock);
    t->heaps[arena->id] = h;
    return h;
}

/* No bin leads to the heap any more. */
static void uninstall(struct heap *h)
{
    sluice_module module = h->arena->module->id;
    if (module >= h->thread->cache_capacity)
        return;
    struct slab **bin = h->thread->cache[module]->bin;
    for (unsigned k = 0; k < SIZE_CLASS_COUNT; k++)
        if (bin[k] == &h->stand_in)
            bin[k] = &slab_none;
}

void heap_destroy(struct heap *h)
{
    struct sluice_arena *a = h->arena;
    uninstall(h);
    if (h->state != NULL && a->ops->thread_exit != NULL) {
        lock_acquire(&a->reset_lock);
        a->ops->thread_exit(a->instance, h->state);
        lock_release(&a->reset_lock);
    }
    lock_acquire(&a->heaps_lock);
    limit_return_credit(h);
    a->past_allocated += h->allocated;
    a->past_allocated_bytes += h->allocated_bytes;
    a->past_freed += h->freed;
    a->past_freed_bytes += h->freed_bytes;
    if (h->prev != NULL)
        h->prev->next = h->next;
    else
        a->heaps = h->next;
    if (h->next != NULL)
        h->next->prev = h->prev;
    lock_release(&a->heaps_lock);
    h->thread->heaps[a->id] = NULL;
    meta_free(h, sizeof *h);
}

/* ---- Usage ---------------------------------------------------------------------------------- */

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
    for (struct heap *h = a->heaps; h != NULL; h = h->next) {
        out->metadata_bytes += sizeof *h;
        /* Frees first: an object that is freed elsewhere meanwhile was allocated before. */
        uint64_t freed_bytes = load(&h->freed_bytes);
        freed += load(&h->freed);
        allocated += load(&h->allocated);
        bytes += load(&h->allocated_bytes) - freed_bytes;
    }
    lock_release(&a->heaps_lock);
    if (counts(a))
        return;
    out->allocated = allocated;
    out->freed = freed;
    /* Modulo 2^64, and a torn reading of busy threads may be a little below zero. */
    out->live_objects = (int64_t)(allocated - freed) > 0 ? allocated - freed : 0;
    out->live_bytes = (int64_t)bytes > 0 ? bytes : 0;
    if ((a->ops->capabilities & SLUICE_BACKEND_OWNS_ADDRESS_SPACE) == 0)
        out->metadata_bytes += out->live_objects * HEADER_SIZE;
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

void arena_note_growth(struct sluice_arena *arena, size_t bytes)
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
    if (load(&m->grown) < load(&m->step))
        return;
    atomic_store_explicit(&m->grown, 0, memory_order_relaxed);
    /* Adding up costs time in proportion to what there is; so does what must grow before the next. */
    uint64_t step = sample_peak(m) / 32;
    atomic_store_explicit(&m->step, step > 0 ? step : 1, memory_order_relaxed);
}

void heap_note_turn(struct heap *h)
{
    uint64_t net = load(&h->allocated_bytes) - load(&h->freed_bytes);
    /* A heap whose objects others free is always at a high, one that frees for others is below zero. */
    if ((int64_t)net <= (int64_t)(h->high + (h->high >> 9)))
        return;
    h->high = net;
    sample_peak(h->arena->module);
}

/* ---- Dropping everything ---------------------------------------------------------------------- */

/* The objects that the core counts are free now. Returns their bytes; *charged gets what the limit counts for them. */
static uint64_t forget_objects(struct sluice_arena *a, uint64_t *charged)
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
    }
    a->past_freed += objects;
    a->past_freed_bytes += bytes;
    lock_release(&a->heaps_lock);
    *charged = bytes + (uint64_t)credit;
    return bytes;
}

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

/* Allocation has turned: the objects that go at once may have been the module's peak. Adding up takes time with what
 * there is, so it is done when more is held than the last time. */
static void note_peak(struct sluice_arena *a)
{
    struct module *m = a->module;
    uint64_t held = load(&m->held);
    if (held <= load(&m->held_at_peak))
        return;
    atomic_store_explicit(&m->held_at_peak, held, memory_order_relaxed);
    sample_peak(m);
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
    note_peak(a);
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
    uint64_t charged, bytes = forget_objects(a, &charged);
    if ((a->ops->capabilities & SLUICE_BACKEND_KEEPS_LIMIT) != 0) {
        bytes = load(&a->held);
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

/* ---- Maintenance ---------------------------------------------------------------------------- */

/* In the maintenance lock. */
static uint64_t walk(uint64_t (*fn)(struct sluice_arena *arena, void *arg), void *arg)
{
    lock_acquire(&arenas_lock);
    struct sluice_arena *a = all;
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
    if (a->ops->purge == NULL)
        return 0;
    uint64_t next = UINT64_MAX;
    atomic_store_explicit(&a->purge_due, UINT64_MAX, memory_order_relaxed);
    lock_acquire(&a->purge_lock);
    size_t bytes = arena_is_watched(a) ? 0 : a->ops->purge(a->instance, now, flags, &next);
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
    *next_due = UINT64_MAX;
    lock_acquire(&maintenance_lock); /* the control thread may wait for a fork */
    size_t bytes = chunk_expire_lazy(now, every, next_due);
    lock_release(&maintenance_lock);
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

void sluice_purge_wanted(struct sluice_arena *owner, uint64_t due)
{
    uint64_t old = load(&owner->purge_due);
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

void arenas_fork_prepare(void)
{
    lock_acquire(&maintenance_lock);
}

void arenas_fork_end(void)
{
    lock_release(&maintenance_lock);
}
