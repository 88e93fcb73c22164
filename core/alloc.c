/* alloc.c - the public allocation calls: the fast path, and the slow path that fills its caches.
 *
 *     malloc   cache of the module ─ generation current? ─ slab of the size class ─ pop           no lock,
 *     free     pagemap ─ slab ─ mine? ─ push                                                       no atomic RMW
 *
 * What does not fit goes to the slow path, in a section of its own: find the route, the arena and this
 * thread's heap, ask the backend, install the slab that served for the next time.
 */
#include "core/alloc.h"

#include <errno.h>
#include <string.h>

#include "core/bootstrap.h"
#include "core/bump.h"
#include "core/control.h"
#include "core/emergency.h"
#include "core/error.h"
#include "core/header.h"
#include "core/limit.h"
#include "core/log.h"
#include "core/os.h"
#include "core/phase.h"
#include "core/phase_check.h"
#include "core/route.h"
#include "core/size_class.h"
#include "core/thread.h"

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* ---- Counters of a heap: one writer ---------------------------------------------------------- */

static inline void add(_Atomic uint64_t *n, uint64_t more)
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

static bool keeps_limit(const struct sluice_arena *a)
{
    return (a->ops->capabilities & SLUICE_BACKEND_KEEPS_LIMIT) != 0;
}

static bool has_slabs(const struct sluice_arena *a)
{
    return a->ops->slab_event != NULL;
}

static bool bumps(const struct sluice_arena *a)
{
    return (a->ops->capabilities & SLUICE_BACKEND_BUMPS) != 0;
}

/* The fast path serves it, so the backend counts, and notes growth and turns itself. */
static bool is_fast(const struct sluice_arena *a)
{
    return has_slabs(a) || bumps(a);
}

static void count_alloc(struct heap *h, size_t usable)
{
    if (is_fast(h->arena))
        return;
    add(&h->allocated, 1);
    add(&h->allocated_bytes, usable);
}

static void count_free(struct heap *h, size_t usable)
{
    if (is_fast(h->arena))
        return;
    add(&h->freed, 1);
    add(&h->freed_bytes, usable);
}

/* ---- One arena ------------------------------------------------------------------------------ */

/* What a free that is put off writes into the object (core/emergency.c). */
#define OBJECT_MIN sizeof(void *)

static size_t padding_of(const struct sluice_arena *a, size_t alignment)
{
    size_t padding = header_padding(alignment);
    return a->tracked && padding < TRACK_PADDING ? TRACK_PADDING : padding;
}

static void track_add(struct sluice_arena *a, void *base, size_t padding)
{
    struct track *track = base;
    track->prev = NULL;
    track->padding = padding;
    lock_acquire(&a->track_lock);
    track->next = a->tracks;
    if (a->tracks != NULL)
        a->tracks->prev = track;
    a->tracks = track;
    lock_release(&a->track_lock);
}

static void track_remove(struct sluice_arena *a, void *base)
{
    struct track *track = base;
    lock_acquire(&a->track_lock);
    if (track->prev != NULL)
        track->prev->next = track->next;
    else
        a->tracks = track->next;
    if (track->next != NULL)
        track->next->prev = track->prev;
    lock_release(&a->track_lock);
}

static void *alloc_with_header(struct sluice_arena *a, struct heap *h, size_t size,
                               size_t alignment, unsigned flags, size_t *usable)
{
    size_t padding = padding_of(a, alignment);
    if (size > HEADER_SIZE_MAX - 2 * padding)
        return NULL;
    size = size < OBJECT_MIN ? OBJECT_MIN : size;
    char *base = a->ops->alloc(a->instance, &h->state, size + padding, alignment, flags, usable);
    if (base == NULL)
        return NULL;
    *usable -= padding;
    header_write(base + padding, a->id, *usable, padding);
    if (UNLIKELY(a->tracked))
        track_add(a, base, padding);
    return base + padding;
}

void *arena_alloc(struct thread *t, struct sluice_arena *a, size_t size, size_t alignment,
                  unsigned flags)
{
    struct heap *h = heap_of(t, a);
    if (h == NULL)
        return NULL;
    bool charge = !keeps_limit(a);
    if (charge && !limit_take(h, size))
        return NULL;
    size_t usable = 0;
    void *p = (a->ops->capabilities & SLUICE_BACKEND_OWNS_ADDRESS_SPACE) != 0
                  ? a->ops->alloc(a->instance, &h->state, size, alignment, flags, &usable)
                  : alloc_with_header(a, h, size, alignment, flags, &usable);
    if (p == NULL) {
        if (charge)
            limit_give(h, size);
        return NULL;
    }
    if (charge)
        h->credit -=
            (int64_t)(usable - size); /* given back with the object; made good at the next */
    count_alloc(h, usable);
    return p;
}

/* ---- Allocation, slow ----------------------------------------------------------------------- */

/* Makes what served the fast path's for its whole size class, when this rule decides for all sizes of it: the slab, the
 * cursor, or the heap. */
static void install(struct tcache *c, const struct route_rule *rules, const struct route_rule *rule,
                    struct heap *h, size_t size)
{
    if (size > SIZE_CLASS_MAX)
        return;
    unsigned k = size_class_of(size);
    size_t smallest = k == 0 ? 0 : size_class_bytes[k - 1] + 1;
    if (size_class_bytes[k] > rule->max_size)
        return;
    for (; rules < rule; rules++)
        if (smallest <= rules->max_size)
            return;
    if (bumps(h->arena)) {
        struct bump *bump = h->state;
        bump->bins = c->bin;
        c->bin[k] = &bump->stand_in;
        return;
    }
    if (!has_slabs(h->arena)) {
        c->bin[k] = &h->stand_in;
        return;
    }
    struct slab_heap *slabs = h->state;
    slabs->bins = c->bin;
    c->bin[k] = slabs->current[k];
}

static void *alloc_by_rule(struct thread *t, struct tcache *c, struct route *route,
                           struct route_rule *rule, size_t size, size_t alignment, unsigned flags)
{
    bool asked;
    struct sluice_arena *a = route_rule_arena(route, rule, &asked);
    if (a == NULL) {
        t->no_arena = asked ? ARENA_REFUSED : ARENA_REFUSED_BEFORE;
        return NULL;
    }
    void *p = arena_alloc(t, a, size, alignment, flags);
    if (p != NULL && c != NULL && alignment <= ALLOC_ALIGNMENT)
        install(c, route->rules, rule, t->heaps[a->id], size);
    return p;
}

/* Objects of a phase: from the arenas of one instance. */
static void *alloc_in_instance(struct thread *t, struct tcache *c, struct route *route,
                               struct phase_instance *instance, size_t size, size_t alignment,
                               unsigned flags)
{
    size_t needed = size < alignment && alignment > ALLOC_ALIGNMENT ? alignment : size;
    bool checked = instance->check != POLICY_CHECK_OFF;
    if (checked)
        c = NULL; /* each object comes by here */
    for (size_t i = 0; i < route->phase_rule_count; i++) {
        struct route_rule *rule = &route->phase_rules[i];
        bool bounded = rule->backend->ops->max_size != 0;
        if ((bounded ? needed : size) > rule->max_size)
            continue;
        bool tracked = route->phase_tracked && i == 0;
        struct sluice_arena *a = phase_arena_find(instance, route->module, rule->backend, tracked);
        bool ask = a == NULL && route_rule_may_ask(rule);
        if (ask) {
            a = phase_arena_get(instance, route->module, rule->backend, tracked);
            route_rule_note(route, rule, a == NULL);
        }
        if (a == NULL) {
            t->no_arena = ask ? ARENA_REFUSED : ARENA_REFUSED_BEFORE;
            continue;
        }
        t->no_arena = ARENA_THERE;
        void *p = arena_alloc(t, a, size, alignment, flags);
        if (p != NULL && c != NULL && alignment <= ALLOC_ALIGNMENT)
            install(c, route->phase_rules, rule, t->heaps[a->id], size);
        if (p != NULL && checked)
            phase_check_note(instance, a, p, t->caller);
        if (p != NULL || t->limit_hit || !bounded)
            return p;
    }
    return NULL;
}

/* Where an allocation goes: NULL: to what serves the thread; or past all phases; or an instance. */
static struct phase_instance outside_phases;

static void *alloc_in_section(struct thread *t, struct module *m, size_t size, size_t alignment,
                              unsigned flags, struct phase_instance *where)
{
    /* Before the table and the phase's instance are read: what changes from here on outdates the cache again. */
    uint64_t generation =
        atomic_load_explicit(&route_module_generation[m->id], memory_order_acquire);
    struct route_table *table = route_table_current();
    struct route *route = route_of(table, m);
    if (route == NULL)
        return NULL;
    struct tcache *c = thread_cache_for(t, m->id); /* NULL: no memory, then without */
    if (c != NULL && c->generation != generation) {
        for (unsigned i = 0; i < SIZE_CLASS_COUNT; i++)
            c->bin[i] = &slab_none;
        c->generation = generation;
    }
    if (UNLIKELY(limit_soft_exceeded(m))) {
        uint32_t action = atomic_load_explicit(&m->on_soft, memory_order_relaxed);
        if (action == POLICY_ACTION_FAIL) {
            t->limit_hit = true;
            return NULL;
        }
        if (action == POLICY_ACTION_FALLBACK && route->soft_fallback != NULL)
            return alloc_by_rule(t, NULL, route, route->soft_fallback, size, alignment, flags);
    }
    struct phase_instance *instance =
        route->phase == NULL || where != NULL ? where : phase_instance_for(t, route->phase);
    if (where != NULL)
        c = NULL; /* the cache is for what serves the thread */
    if (instance != NULL && instance != &outside_phases && route->phase == instance->kind) {
        void *p = alloc_in_instance(t, c, route, instance, size, alignment, flags);
        if (p != NULL || !t->limit_hit || route->hard_fallback == NULL)
            return p;
    }
    /* A backend with a largest size may also refuse an alignment: the next rule is asked. */
    size_t needed = size < alignment && alignment > ALLOC_ALIGNMENT ? alignment : size;
    for (size_t i = 0; i < route->rule_count; i++) {
        struct route_rule *rule = &route->rules[i];
        bool bounded = rule->backend->ops->max_size != 0;
        if ((bounded ? needed : size) > rule->max_size)
            continue;
        t->no_arena = ARENA_THERE;
        void *p = alloc_by_rule(t, c, route, rule, size, alignment, flags);
        if (p != NULL)
            return p;
        if (t->limit_hit || (!bounded && t->no_arena == ARENA_THERE))
            break;
    }
    if (t->limit_hit && route->hard_fallback != NULL) {
        t->beyond_limit = true;
        void *p = alloc_by_rule(t, NULL, route, route->hard_fallback, size, alignment, flags);
        t->beyond_limit = false;
        return p;
    }
    return NULL;
}

void alloc_free_deferred(void)
{
    for (void *p = emergency_take_deferred(), *next; p != NULL; p = next) {
        next = *(void **)p;
        sluice_free(p);
    }
}

/* What is done after a slow operation, outside of its section. */
static void after_slow(void)
{
    if (UNLIKELY(emergency_has_deferred()) && !thread_is_diverted())
        alloc_free_deferred();
    control_run_wanted();
    if (UNLIKELY(thread_is_exiting()))
        thread_end_late();
}

static void *fail(struct module *m, int error)
{
    if (m != NULL)
        atomic_fetch_add_explicit(&m->failed, 1, memory_order_relaxed);
    errno = error;
    return NULL;
}

static void *fail_size(struct module *m, size_t size, bool limit_hit, enum no_arena no_arena)
{
    if (limit_hit)
        limit_explain(m, size);
    else if (no_arena != ARENA_THERE)
        error_set(SLUICE_ERROR_NO_MEMORY,
                  "module \"%s\": no memory for %zu bytes: their backend has no arena (why, stands "
                  "in the log)",
                  m->name, size);
    else
        error_set(SLUICE_ERROR_NO_MEMORY, "module \"%s\": no memory for %zu bytes", m->name, size);
    return fail(m, ENOMEM);
}

static __attribute__((noinline)) void *alloc_slow(sluice_module module, size_t size,
                                                  size_t alignment, unsigned flags,
                                                  struct phase_instance *where, const void *caller)
{
    if (!bootstrap_done() && !bootstrap()) {
        void *early = emergency_alloc(size, alignment);
        return early != NULL ? early : fail(NULL, ENOMEM);
    }
    struct module *m = module_get(module);
    if (UNLIKELY(m == NULL)) {
        error_set(SLUICE_ERROR_INVALID, "no module with id %u", module);
        return fail(NULL, EINVAL);
    }
    if (UNLIKELY(size > (size_t)PTRDIFF_MAX - alignment))
        return fail_size(m, size, false, ARENA_THERE);
    int saved = errno;
    threads_reap();
    void *p = NULL;
    bool limit_hit = false;
    enum no_arena no_arena = ARENA_THERE;
    for (int attempt = 0; p == NULL && attempt < 2; attempt++) {
        struct thread *t = thread_current();
        if (t == NULL || !thread_enter(t)) {
            if (thread_is_diverted() && thread_outlast_fork()) {
                attempt--;
                continue;
            }
            p = emergency_alloc(size, alignment);
            break;
        }
        t->limit_hit = false;
        t->no_arena = ARENA_THERE;
        t->caller = caller;
        p = alloc_in_section(t, m, size == 0 ? 1 : size, alignment, flags, where);
        limit_hit = t->limit_hit;
        no_arena = t->no_arena;
        thread_leave(t);
        if (UNLIKELY(atomic_load_explicit(&m->pending, memory_order_relaxed) != 0))
            limit_act_soft(m);
        if (p == NULL && (attempt > 0 || (!limit_hit && no_arena == ARENA_REFUSED_BEFORE) ||
                          !limit_act_hard(m, size, limit_hit)))
            break;
    }
    after_slow();
    if (p == NULL)
        return fail_size(m, size, limit_hit, no_arena);
    errno = saved;
    return p;
}

/* ---- Allocation, fast ----------------------------------------------------------------------- */

/* The slab that serves a size of a module in this thread; &slab_none: the slow path has to see to it. In a section of t. */
static inline __attribute__((always_inline)) struct slab *bin_of(struct thread *t,
                                                                 sluice_module module, size_t size)
{
    if (UNLIKELY(module >= atomic_load_explicit(&t->cache_limit, memory_order_acquire)))
        return &slab_none;
    struct tcache *c = t->cache[module];
    if (UNLIKELY(c->generation !=
                 atomic_load_explicit(&route_module_generation[module], memory_order_relaxed)))
        return &slab_none;
    if (LIKELY(size <= SIZE_CLASS_TABLE_MAX))
        return c->bin[size_class_of(size)];
    return size <= SIZE_CLASS_MAX ? c->bin[size_class_of(size)] : &slab_none;
}

/* Always inline, as the compiler thinks it too large: the part behind a slab that is empty lies apart, and the part before
 * it is as long as if that were not there. */
static inline __attribute__((always_inline)) void *alloc_fast(sluice_module module, size_t size)
{
    struct thread *t = thread_self;
    thread_section_begin(t);
    struct slab *s = bin_of(t, module, size);
    void *p = slab_pop(s);
    if (UNLIKELY(p == NULL)) /* or the bin has a cursor */
        p = bump_take_from_bin(s, size);
    thread_leave(t);
    return p;
}

/* In a section of t. What stands in a bin is empty: its backend is asked, who finds another slab for the bin. NULL: the slow
 * path has to see to it. */
static void *refill(struct thread *t, struct slab *s, size_t size, unsigned flags)
{
    if (s == &slab_none || s->capacity == SLAB_MARK_BUMP)
        return NULL;
    bool is_direct = s->capacity == SLAB_MARK_DIRECT;
    struct sluice_arena *a =
        is_direct ? ((struct heap *)s)->arena
                  : ((struct chunk *)(pagemap_lookup(s->base) - PAGEMAP_SLABS))->arena;
    if (limit_soft_exceeded(a->module) ||
        atomic_load_explicit(&a->module->pending, memory_order_relaxed) != 0)
        return NULL;
    size = size == 0 ? 1 : size;
    if (is_direct)
        return arena_alloc(t, a, size, ALLOC_ALIGNMENT, flags);
    size_t usable;
    return a->ops->alloc(a->instance, &t->heaps[a->id]->state, size, ALLOC_ALIGNMENT, flags,
                         &usable);
}

/* Behind the fast path. */
static __attribute__((noinline)) void *alloc_behind(sluice_module module, size_t size,
                                                    unsigned flags, const void *caller)
{
    struct thread *t = thread_self;
    int saved = errno;
    thread_section_begin(t);
    void *p = refill(t, bin_of(t, module, size), size, flags);
    thread_leave(t);
    if (UNLIKELY(p == NULL))
        return alloc_slow(module, size, ALLOC_ALIGNMENT, flags, NULL, caller);
    struct module *m = module_get(module);
    if (UNLIKELY(atomic_load_explicit(&m->pending, memory_order_relaxed) != 0))
        limit_act_soft(m);
    after_slow();
    errno = saved;
    return p;
}

/* What a public call was called from: its return address. Where it lies in a known place it is read there, so that the
 * fast path does not read it (the compiler puts __builtin_return_address() at the function's start). */
#if defined(__x86_64__)
#define CALLER (((const void *const volatile *)__builtin_dwarf_cfa())[-1])
#else
#define CALLER __builtin_return_address(0)
#endif

void *sluice_malloc(sluice_module module, size_t size)
{
    void *p = alloc_fast(module, size);
    if (LIKELY(p != NULL))
        return p;
    return alloc_behind(module, size, 0, CALLER);
}

/* The same for other public calls, in the name of their callers. */
static void *malloc_for(sluice_module module, size_t size, const void *caller)
{
    void *p = alloc_fast(module, size);
    if (LIKELY(p != NULL))
        return p;
    return alloc_behind(module, size, 0, caller);
}

void *sluice_calloc(sluice_module module, size_t count, size_t size)
{
    size_t total;
    if (UNLIKELY(__builtin_mul_overflow(count, size, &total))) {
        error_set(SLUICE_ERROR_NO_MEMORY, "%zu x %zu bytes are more than there can be", count,
                  size);
        return fail(module_get(module), ENOMEM);
    }
    void *p = alloc_fast(module, total);
    if (LIKELY(p != NULL))
        return memset(p, 0, total);
    return alloc_behind(module, total, SLUICE_ALLOC_ZERO, CALLER);
}

void *sluice_aligned_alloc(sluice_module module, size_t alignment, size_t size)
{
    if (UNLIKELY(alignment == 0 || (alignment & (alignment - 1)) != 0 ||
                 alignment > ALLOC_ALIGNMENT_MAX)) {
        error_set(SLUICE_ERROR_INVALID, "alignment %zu is not a power of two up to 1 GiB",
                  alignment);
        return fail(NULL, EINVAL);
    }
    if (alignment <= ALLOC_ALIGNMENT)
        return malloc_for(module, size, CALLER);
    return alloc_slow(module, size, alignment, 0, NULL, CALLER);
}

char *sluice_strdup(sluice_module module, const char *s)
{
    if (s == NULL) {
        error_set(SLUICE_ERROR_INVALID, "sluice_strdup: the string is NULL");
        return fail(NULL, EINVAL);
    }
    size_t n = strlen(s) + 1;
    char *copy = malloc_for(module, n, CALLER);
    return copy == NULL ? NULL : memcpy(copy, s, n);
}

/* ---- Finding the owner ---------------------------------------------------------------------- */

/* Can the 16 bytes before p be read, and be a header? For an object that should be one only the start of a page is
 * asked for, as what is unmapped ends there: of an object that was the first of a mapping, as libc's large ones are, the
 * header is gone with it. */
static bool may_have_header(const void *p, uintptr_t entry, bool doubtful)
{
    struct header copy;
    uintptr_t at = (uintptr_t)p;
    if (entry != 0 || (at & (ALLOC_ALIGNMENT - 1)) != 0 || at <= OS_PAGE_SIZE ||
        at >> PAGEMAP_ADDRESS_BITS != 0)
        return false;
    return (!doubtful && (at & (OS_PAGE_SIZE - 1)) > 2 * HEADER_SIZE) ||
           os_read(&copy, header_at(p), sizeof copy);
}

/* `doubtful`: p may be anything; the backend is asked whether it is an object before anything else. */
static struct place_of find(const void *p, bool doubtful)
{
    struct place_of at = {.entry = pagemap_lookup(p)};
    if ((at.entry & PAGEMAP_SLABS) != 0) {
        at.slab = slab_near(at.entry, p);
        at.arena = ((struct chunk *)(at.entry - PAGEMAP_SLABS))->arena;
        if (atomic_load_explicit(&at.slab->owner, memory_order_relaxed) == SLAB_UNUSED)
            return (struct place_of){0};
        at.place = PLACE_SLAB;
        at.usable = at.slab->object_size;
    } else if ((at.entry & PAGEMAP_CHUNK) != 0) {
        at.place = PLACE_CHUNK;
        at.arena = ((struct chunk *)(at.entry - PAGEMAP_CHUNK))->arena;
        if (doubtful && at.arena->ops->check != NULL &&
            !at.arena->ops->check(at.arena->instance, p))
            return (struct place_of){0};
        at.usable = at.arena->ops->usable_size(at.arena->instance, p);
    } else if ((at.entry & PAGEMAP_EMERGENCY) != 0) {
        at.place = PLACE_EMERGENCY;
        at.usable = emergency_usable(at.entry);
    } else if (may_have_header(p, at.entry, doubtful) && header_is_valid(p) &&
               (at.arena = arena_by_id(header_arena(p))) != NULL) {
        at.place = PLACE_HEADER;
        at.usable = header_usable(p);
    }
    return at;
}

struct place_of place_find(const void *p)
{
    return find(p, false);
}

static __attribute__((noreturn, cold)) void misuse(const char *call, const void *p)
{
    uintptr_t entry = pagemap_lookup(p);
    if ((entry & (PAGEMAP_TAGS | PAGEMAP_ENDED)) == PAGEMAP_ENDED) {
        char phase[320];
        phase_describe(((struct chunk *)(entry - PAGEMAP_ENDED))->arena->phase, phase,
                       sizeof phase);
        log_fatal("%s(%p): the object went with its phase: %s", call, p, phase);
    }
    log_fatal("%s(%p): the pointer is not an object of Sluice, or was freed before", call, p);
}

void slab_refuse(const void *p)
{
    misuse("sluice_free", p);
}

static bool is_slab_object(const struct slab *s, const void *p)
{
    uint32_t size = s->object_size;
    size_t offset = (size_t)((const char *)p - s->base);
    return size != 0 && offset % size == 0 && offset / size < s->carved;
}

/* Does an object start there? For calls that have the time to ask the backend. */
static bool starts_object(const struct place_of *at, const void *p)
{
    if (at->place == PLACE_SLAB)
        return is_slab_object(at->slab, p);
    if (at->place != PLACE_CHUNK || at->arena->ops->check == NULL)
        return at->place != PLACE_NOWHERE;
    struct thread *t = thread_current(); /* a backend locks: in a section */
    if (t == NULL || !thread_enter(t))
        return true;
    bool starts = at->arena->ops->check(at->arena->instance, p);
    thread_leave(t);
    return starts;
}

size_t sluice_usable_size(const void *p)
{
    if (p == NULL)
        return 0;
    struct place_of at = place_find(p);
    if (UNLIKELY(!starts_object(&at, p)))
        misuse("sluice_usable_size", p);
    return at.usable;
}

enum sluice_result sluice_owner(const void *p, struct sluice_owner *out)
{
    if (out == NULL || out->struct_size < offsetof(struct sluice_owner, backend))
        return error_set(SLUICE_ERROR_INVALID, "sluice_owner: struct_size is not set");
    /* In a section, as backends lock here, and so that no arena ends meanwhile. */
    struct thread *t = bootstrap_done() ? thread_current() : NULL;
    bool entered = t != NULL && thread_enter(t);
    struct place_of at = find(p, true);
    if (at.place == PLACE_SLAB && !is_slab_object(at.slab, p))
        at.place = PLACE_NOWHERE;
    if (entered)
        thread_leave(t);
    if (at.place == PLACE_NOWHERE)
        return error_set(SLUICE_ERROR_NOT_OWNED, "%p is not an object of Sluice", p);
    struct sluice_owner found = {
        .struct_size = out->struct_size,
        .module = at.arena == NULL ? SLUICE_MODULE_DEFAULT : at.arena->module->id,
        .backend = at.arena == NULL ? "emergency" : at.arena->name,
        .kind = at.arena == NULL ? "emergency" : at.arena->ops->name,
        .phase = at.arena == NULL || at.arena->phase == NULL
                     ? NULL
                     : phase_kind_name(at.arena->phase->kind),
        .object_size = at.usable,
    };
    memcpy(out, &found, out->struct_size < sizeof found ? out->struct_size : sizeof found);
    return SLUICE_OK;
}

/* ---- Free ----------------------------------------------------------------------------------- */

/* A thread that has no heap in the arena and no memory for one. */
static void free_without_heap(struct sluice_arena *a, void *base, size_t padding)
{
    void *state = NULL;
    size_t usable = a->ops->free(a->instance, &state, base) - padding;
    if (state != NULL && a->ops->thread_exit != NULL)
        a->ops->thread_exit(a->instance, state);
    lock_acquire(&a->heaps_lock);
    a->past_freed++;
    a->past_freed_bytes += usable;
    lock_release(&a->heaps_lock);
    if (!keeps_limit(a))
        limit_uncharge(a->module, usable);
}

static void free_to_backend(struct thread *t, struct sluice_arena *a, void *base, size_t padding)
{
    struct heap *h = heap_of(t, a);
    if (UNLIKELY(h == NULL)) {
        free_without_heap(a, base, padding);
        return;
    }
    if (!is_fast(a))
        heap_note_turn(h);
    size_t usable = a->ops->free(a->instance, &h->state, base) - padding;
    if (!keeps_limit(a))
        limit_give(h, usable);
    count_free(h, usable);
}

static void free_in_section(struct thread *t, void *p)
{
    struct place_of at = {.entry = pagemap_lookup(p)};
    if ((at.entry & PAGEMAP_SLABS) != 0) {
        struct slab *s = slab_of(at.entry, p);
        uintptr_t owner = atomic_load_explicit(&s->owner, memory_order_relaxed);
        if (UNLIKELY(owner == SLAB_UNUSED))
            misuse("sluice_free", p);
        if (owner != (uintptr_t)t) {
            slab_push_remote(s, p);
        } else if (slab_push(s, p)) {
            struct sluice_arena *a = ((struct chunk *)(at.entry - PAGEMAP_SLABS))->arena;
            a->ops->slab_event(a->instance, &t->heaps[a->id]->state, s);
        }
    } else if ((at.entry & PAGEMAP_CHUNK) != 0) {
        free_to_backend(t, ((struct chunk *)(at.entry - PAGEMAP_CHUNK))->arena, p, 0);
    } else {
        at = place_find(p);
        if (UNLIKELY(at.place != PLACE_HEADER))
            misuse("sluice_free", p);
        char *base = header_base(p);
        header_erase(p);
        if (UNLIKELY(at.arena->tracked))
            track_remove(at.arena, base);
        free_to_backend(t, at.arena, base, (size_t)((char *)p - base));
    }
}

/* An object without a slab, of an arena that this thread has a heap in: in a short section. The backend's object begins
 * `padding` bytes before p. false: the long way. */
static inline bool free_to_heap(struct thread *t, struct sluice_arena *a, void *p, size_t padding)
{
    thread_section_begin(t);
    struct heap *h = NULL;
    if (LIKELY(atomic_load_explicit(&t->token, memory_order_acquire) == (uintptr_t)t &&
               a->id < t->heap_capacity))
        h = t->heaps[a->id];
    if (UNLIKELY(h == NULL)) {
        thread_leave(t);
        return false;
    }
    bool may_ask_for_purge = true;
    if (bumps(a)) {
        may_ask_for_purge = a->ops->free(a->instance, &h->state, p) > SIZE_CLASS_MAX;
    } else {
        if (padding != 0)
            header_erase(p);
        free_to_backend(t, a, (char *)p - padding, padding);
    }
    thread_leave(t);
    if (may_ask_for_purge)
        after_slow();
    return true;
}

/* The short ways of objects without a slab. */
static inline bool free_quickly(struct thread *t, uintptr_t entry, void *p)
{
    if ((entry & PAGEMAP_CHUNK) != 0)
        return free_to_heap(t, ((struct chunk *)(entry - PAGEMAP_CHUNK))->arena, p, 0);
    if (!may_have_header(p, entry, false) || !header_is_valid(p))
        return false;
    struct sluice_arena *a = arena_by_id(header_arena(p));
    return a != NULL && !a->tracked &&
           free_to_heap(t, a, p, (size_t)((char *)p - (char *)header_base(p)));
}

static __attribute__((noinline)) void free_slow(void *p)
{
    if (p == NULL)
        return;
    int saved = errno;
    uintptr_t entry = pagemap_lookup(p);
    if ((entry & (PAGEMAP_SLABS | PAGEMAP_EMERGENCY)) == 0 && free_quickly(thread_self, entry, p)) {
        errno = saved;
        return;
    }
    if ((entry & (PAGEMAP_SLABS | PAGEMAP_CHUNK | PAGEMAP_EMERGENCY)) == PAGEMAP_EMERGENCY) {
        if (((uintptr_t)p & (SLUICE_CHUNK_SIZE - 1)) != 0)
            misuse("sluice_free", p);
        emergency_free(p, entry);
        errno = saved;
        return;
    }
    if (!bootstrap_done())
        misuse("sluice_free", p); /* nothing but emergencies was ever allocated */
    threads_reap();
    struct thread *t = thread_current();
    if (t == NULL || !thread_enter(t)) {
        emergency_defer_free(p);
    } else {
        free_in_section(t, p);
        thread_leave(t);
        after_slow();
    }
    errno = saved;
}

/* In a section of t, which ends here: the slab of an object that came home wants its owner to act. */
static __attribute__((noinline)) void free_event(struct thread *t, const struct slab_chunk *c,
                                                 struct slab *s)
{
    struct sluice_arena *a = c->chunk.arena;
    a->ops->slab_event(a->instance, &t->heaps[a->id]->state, s);
    thread_leave(t);
    after_slow(); /* the event may have left work for a control thread that does not run yet */
}

/* Every other way out is a jump, so that no register has to be saved. */
void sluice_free(void *p)
{
    struct thread *t = thread_self;
    uintptr_t entry = pagemap_lookup(p);
    if (UNLIKELY((entry & PAGEMAP_SLABS) == 0))
        return free_slow(p);
    thread_section_begin(t);
    struct slab *s = slab_of(entry, p);
    if (UNLIKELY(atomic_load_explicit(&s->owner, memory_order_relaxed) !=
                 atomic_load_explicit(&t->token, memory_order_acquire))) {
        thread_leave(t);
        return free_slow(p);
    }
    if (UNLIKELY(slab_push(s, p)))
        return free_event(t, (const struct slab_chunk *)(entry - PAGEMAP_SLABS), s);
    thread_leave(t);
}

void sluice_free_sized(void *p, size_t size)
{
    (void)size;
    sluice_free(p);
}

/* ---- Realloc -------------------------------------------------------------------------------- */

/* Lets the backend resize; NULL: it cannot, or a limit forbids it (then *limit_hit). */
static void *realloc_in_section(struct thread *t, const struct place_of *at, void *p, size_t size)
{
    struct sluice_arena *a = at->arena;
    if (a->ops->realloc == NULL || a->tracked)
        return NULL;
    struct route *route = route_of(route_table_current(), a->module);
    if (route == NULL)
        return NULL;
    if (a->phase == NULL) {
        struct route_rule *rule = route_rule_for(route, size);
        if (rule == NULL || atomic_load_explicit(&rule->arena, memory_order_acquire) != a)
            return NULL; /* this size is now served elsewhere */
    } else if (a->ops->max_size != 0 && size > a->ops->max_size) {
        return NULL;
    }
    struct heap *h = heap_of(t, a);
    if (h == NULL)
        return NULL;
    bool header = at->place == PLACE_HEADER;
    void *base = header ? header_base(p) : p;
    size_t padding = (size_t)((char *)p - (char *)base);
    if (padding > HEADER_SIZE || size > HEADER_SIZE_MAX - HEADER_SIZE)
        return NULL;
    if (header && size < OBJECT_MIN)
        size = OBJECT_MIN;
    bool charge = !keeps_limit(a);
    size_t more = size > at->usable ? size - at->usable : 0;
    if (more > 0 && UNLIKELY(limit_soft_exceeded(a->module))) {
        uint32_t action = atomic_load_explicit(&a->module->on_soft, memory_order_relaxed);
        if (action == POLICY_ACTION_FAIL || action == POLICY_ACTION_FALLBACK)
            return NULL; /* the way of a new object: it fails, or comes from elsewhere */
    }
    if (charge && more > 0 && !limit_take(h, more))
        return NULL;
    if (size < at->usable)
        heap_note_turn(h);
    size_t usable = 0;
    char *q = a->ops->realloc(a->instance, &h->state, base, size + padding, &usable);
    if (q == NULL) {
        if (charge && more > 0)
            limit_give(h, more);
        return NULL;
    }
    usable -= padding;
    if (header)
        header_write(q + padding, a->id, usable, padding);
    if (charge && usable < at->usable)
        limit_give(h, at->usable - usable);
    else if (charge)
        h->credit -= (int64_t)(usable - at->usable - more);
    if (usable > at->usable) {
        add(&h->allocated_bytes, usable - at->usable);
    } else {
        add(&h->freed_bytes, at->usable - usable);
    }
    if (a->phase != NULL && a->phase->check != POLICY_CHECK_OFF)
        phase_check_note(a->phase, a, q + padding, t->caller);
    return q + padding;
}

/* An alignment that the object's place has not by chance. */
static size_t alignment_of(const struct place_of *at, const void *p)
{
    size_t by_address = (size_t)((uintptr_t)p & -(uintptr_t)p);
    size_t most = at->place == PLACE_SLAB     ? at->usable & -at->usable
                  : at->place == PLACE_HEADER ? (size_t)((const char *)p - (char *)header_base(p))
                                              : ALLOC_ALIGNMENT_MAX;
    return by_address < most ? by_address : most;
}

void *sluice_phase_promote(void *p)
{
    if (p == NULL)
        return NULL;
    struct place_of at = place_find(p);
    if (UNLIKELY(at.place == PLACE_NOWHERE))
        misuse("sluice_phase_promote", p);
    if (at.arena == NULL || at.arena->phase == NULL)
        return p;
    void *q = alloc_slow(at.arena->module->id, at.usable, alignment_of(&at, p), 0, &outside_phases,
                         CALLER);
    if (q == NULL)
        return NULL;
    memcpy(q, p, at.usable);
    phase_note_promoted(at.arena->phase, at.usable);
    return q;
}

void *sluice_realloc(sluice_module module, void *p, size_t size)
{
    if (p == NULL)
        return malloc_for(module, size, CALLER);
    struct place_of at = place_find(p);
    if (UNLIKELY(!starts_object(&at, p)))
        misuse("sluice_realloc", p);
    struct module *m = at.arena == NULL ? module_get(SLUICE_MODULE_DEFAULT) : at.arena->module;
    if (UNLIKELY(size > (size_t)PTRDIFF_MAX - ALLOC_ALIGNMENT))
        return fail_size(m, size, false, ARENA_THERE);
    /* Close enough: the object stays. */
    if (at.place == PLACE_SLAB ? size <= at.usable && (size >= at.usable / 2 || at.usable == 16)
                               : size <= at.usable && at.usable - size < at.usable / 8)
        return p;
    if (at.place == PLACE_CHUNK || at.place == PLACE_HEADER) {
        int saved = errno;
        struct thread *t = thread_current();
        if (t != NULL && thread_enter(t)) {
            t->caller = CALLER;
            void *q = realloc_in_section(t, &at, p, size == 0 ? 1 : size);
            thread_leave(t);
            after_slow();
            errno = saved;
            if (q != NULL)
                return q;
        }
    }
    int saved = errno;
    /* What belongs to an instance of a phase stays there, whichever one serves the thread now. */
    void *q = at.arena != NULL && at.arena->phase != NULL
                  ? alloc_slow(m->id, size, ALLOC_ALIGNMENT, 0, at.arena->phase, CALLER)
                  : malloc_for(m == NULL ? SLUICE_MODULE_DEFAULT : m->id, size, CALLER);
    if (q == NULL && size <= at.usable) { /* shrinking never fails */
        errno = saved;
        return p;
    }
    if (q == NULL)
        return NULL;
    memcpy(q, p, size < at.usable ? size : at.usable);
    sluice_free(p);
    return q;
}
