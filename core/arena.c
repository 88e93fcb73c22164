/* arena.c - see arena.h. */
#include "core/arena.h"

#include <string.h>

#include "core/arena_parts.h"
#include "core/control.h"
#include "core/direct.h"
#include "core/error.h"
#include "core/limit.h"
#include "core/meta.h"
#include "core/os.h"
#include "core/route.h"

struct lock arenas_lock, maintenance_lock;
struct sluice_arena *arenas_first;
static _Atomic(struct sluice_arena *) *arenas; /* by id; ARENA_CAPACITY, mapped */
static uint32_t used_ids, free_ids[64], free_id_count;
static _Atomic uint32_t arena_count, draining_count;

/* ---- Identity ------------------------------------------------------------------------------- */

static bool options_equal(const struct sluice_arena *a, const struct policy_backend *b)
{
    return policy_same_options(a->options, a->option_count, b->options, b->option_count);
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
    a->next = arenas_first;
    if (arenas_first != NULL)
        arenas_first->prev = a;
    arenas_first = a;
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
    control_wake_at(0);
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
        arenas_first = a->next;
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
    struct sluice_arena *first = arenas_first;
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
    bool any = draining_count > 0;
    meta_free(used, policy->backend_count + 1);
    lock_release(&maintenance_lock);
    if (any)
        control_wake_at(0);
}

/* Before the new table is in force: a living arena of the same name takes the new parameters, where its backend can. */
void arenas_configure(const struct policy *policy, bool *renewed)
{
    lock_acquire(&arenas_lock);
    for (struct sluice_arena *a = arenas_first; a != NULL; a = a->next)
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
    magazine_init(&h->stand_in, MAGAZINE_ASKS, arena->id, 0);
    h->arena = arena;
    h->look_at = HEAP_LOOK_FIRST;
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

/* Is what stands in a bin among those? By its address alone: what an old bin leads to may be gone. */
static bool lies_in(const struct magazine *m, const void *from, size_t size)
{
    return from != NULL && (uintptr_t)m - (uintptr_t)from < size;
}

/* No bin leads to the heap any more. */
static void uninstall(struct heap *h)
{
    sluice_module module = h->arena->module->id;
    if (module >= h->thread->cache_capacity)
        return;
    struct magazine **bin = h->thread->cache[module]->bin;
    for (unsigned k = 0; k < SIZE_CLASS_PLAIN; k++)
        if (lies_in(bin[k], &h->stand_in, sizeof h->stand_in) ||
            lies_in(bin[k], h->magazines, DIRECT_CLASSES * sizeof *h->magazines) ||
            (arena_has_slabs(h->arena) &&
             lies_in(bin[k], ((struct slab_heap *)h->state)->magazine, SLAB_MAGAZINES_SIZE)))
            bin[k] = &magazine_none;
}

void heap_destroy(struct heap *h)
{
    struct sluice_arena *a = h->arena;
    uninstall(h);
    direct_flush(h);
    if (h->state != NULL && a->ops->thread_exit != NULL) {
        lock_acquire(&a->reset_lock);
        a->ops->thread_exit(a->instance, h->state);
        lock_release(&a->reset_lock);
    }
    lock_acquire(&a->heaps_lock);
    limit_return_credit(h);
    struct direct_sums in = {0};
    direct_add(h, &in);
    a->past_allocated += h->allocated + in.allocated;
    a->past_allocated_bytes += h->allocated_bytes + in.allocated_bytes;
    a->past_freed += h->freed + in.freed;
    a->past_freed_bytes += h->freed_bytes + in.freed_bytes;
    if (h->prev != NULL)
        h->prev->next = h->next;
    else
        a->heaps = h->next;
    if (h->next != NULL)
        h->next->prev = h->prev;
    lock_release(&a->heaps_lock);
    h->thread->heaps[a->id] = NULL;
    direct_free(h);
    meta_free(h, sizeof *h);
}

/* ---- Fork ----------------------------------------------------------------------------------- */

void arenas_fork_prepare(void)
{
    lock_acquire(&maintenance_lock);
}

void arenas_fork_end(void)
{
    lock_release(&maintenance_lock);
}
