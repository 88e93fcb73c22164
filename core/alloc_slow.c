/* alloc_slow.c - an allocation that no cache serves, in a section of its own: find the route, the arena and this thread's heap,
 * ask the backend, install what served for the next time; and what is to be done when nothing does.
 */
#include <errno.h>
#include <string.h>

#include "core/alloc_parts.h"
#include "core/bootstrap.h"
#include "core/bump.h"
#include "core/direct.h"
#include "core/emergency.h"
#include "core/error.h"
#include "core/limit.h"
#include "core/phase.h"
#include "core/phase_check.h"
#include "core/route.h"
#include "core/size_class.h"
#include "core/thread.h"

/* Does this rule decide for all sizes of the class? */
static bool decides(const struct route_rule *rules, const struct route_rule *rule, unsigned k)
{
    size_t smallest = k == 0 ? 0 : size_class_most(k - 1) + 1;
    if (size_class_most(k) > rule->max_size)
        return false;
    for (; rules < rule; rules++)
        if (smallest <= rules->max_size)
            return false;
    return true;
}

static struct magazine *bin_for(struct tcache *c, struct heap *h, unsigned k)
{
    if (arena_bumps(h->arena)) {
        struct bump *bump = h->state;
        bump->bins = c->bin;
        return &bump->stand_in;
    }
    if (!arena_has_slabs(h->arena))
        return direct_bin(h, size_class_most(k));
    struct magazine *m = &((struct slab_heap *)h->state)->magazine[k];
    return m->kind == MAGAZINE_EMPTY ? &magazine_none : m;
}

/* Makes what served a size the fast path's for its whole size class. In a cache that was outdated also for the other classes that
 * the heap has served before: else a reload would send each of them through here. */
static void install(struct tcache *c, const struct route_rule *rules, const struct route_rule *rule,
                    struct heap *h, size_t size)
{
    if (size > SIZE_CLASS_MAX)
        return;
    unsigned first = size_class_of(size), end = first + 1;
    if (c->is_bare)
        first = 0, end = SIZE_CLASS_PLAIN;
    c->is_bare = false;
    for (unsigned k = first; k < end; k++)
        if (decides(rules, rule, k))
            c->bin[k] = bin_for(c, h, k);
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

/* Nobody comes behind a fallback, so one that takes no large memory that shall be zero is asked for any. */
static void *alloc_by_fallback(struct thread *t, struct route *route, struct route_rule *rule,
                               size_t size, size_t alignment, unsigned flags)
{
    void *p = alloc_by_rule(t, NULL, route, rule, size, alignment, flags);
    if (p != NULL || (flags & SLUICE_ALLOC_ZERO) == 0 || rule->backend->ops->max_size == 0)
        return p;
    p = alloc_by_rule(t, NULL, route, rule, size, alignment, flags & ~SLUICE_ALLOC_ZERO);
    return p == NULL ? NULL : memset(p, 0, size);
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

struct phase_instance alloc_outside_phases;

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
        for (unsigned i = 0; i < SIZE_CLASS_PLAIN; i++)
            c->bin[i] = &magazine_none;
        c->generation = generation;
        c->is_bare = true;
    }
    if (UNLIKELY(limit_soft_exceeded(m))) {
        uint32_t action = atomic_load_explicit(&m->on_soft, memory_order_relaxed);
        if (action == POLICY_ACTION_FAIL) {
            t->limit_hit = true;
            return NULL;
        }
        if (action == POLICY_ACTION_FALLBACK && route->soft_fallback != NULL)
            return alloc_by_fallback(t, route, route->soft_fallback, size, alignment, flags);
    }
    struct phase_instance *instance =
        route->phase == NULL || where != NULL ? where : phase_instance_for(t, route->phase);
    if (where != NULL)
        c = NULL; /* the cache is for what serves the thread */
    if (instance != NULL && instance != &alloc_outside_phases && route->phase == instance->kind) {
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
        void *p = alloc_by_fallback(t, route, route->hard_fallback, size, alignment, flags);
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

void *alloc_fail(struct module *m, int error)
{
    if (m != NULL)
        atomic_fetch_add_explicit(&m->failed, 1, memory_order_relaxed);
    errno = error;
    return NULL;
}

void *alloc_fail_size(struct module *m, size_t size, bool limit_hit, enum no_arena no_arena)
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
    return alloc_fail(m, ENOMEM);
}

void *alloc_slow(sluice_module module, size_t size, size_t alignment, unsigned flags,
                 struct phase_instance *where, const void *caller)
{
    if (!bootstrap_done() && !bootstrap()) {
        void *early = emergency_alloc(size, alignment);
        return early != NULL ? early : alloc_fail(NULL, ENOMEM);
    }
    struct module *m = module_get(module);
    if (UNLIKELY(m == NULL)) {
        error_set(SLUICE_ERROR_INVALID, "no module with id %u", module);
        return alloc_fail(NULL, EINVAL);
    }
    if (UNLIKELY(size > (size_t)PTRDIFF_MAX - alignment))
        return alloc_fail_size(m, size, false, ARENA_THERE);
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
    alloc_after_slow();
    if (p == NULL)
        return alloc_fail_size(m, size, limit_hit, no_arena);
    errno = saved;
    return p;
}
