/* realloc.c - an object gets another size, or another arena: where it is when its backend can, else by a copy. */
#include <errno.h>
#include <string.h>

#include "core/alloc_parts.h"
#include "core/direct.h"
#include "core/header.h"
#include "core/limit.h"
#include "core/phase.h"
#include "core/phase_check.h"
#include "core/place.h"
#include "core/route.h"
#include "core/thread.h"

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
    size = direct_size(a, size);
    if (header && size < ALLOC_OBJECT_MIN)
        size = ALLOC_OBJECT_MIN;
    bool charge = !arena_keeps_limit(a);
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
        usable = direct_usable(a, size, usable);
    direct_note_class(a, q, usable);
    if (header)
        header_write(q + padding, a->id, usable, padding);
    if (charge && usable < at->usable)
        limit_give(h, at->usable - usable);
    else if (charge)
        h->credit -= (int64_t)(usable - at->usable - more);
    if (usable > at->usable) {
        count_add(&h->allocated_bytes, usable - at->usable);
    } else {
        count_add(&h->freed_bytes, at->usable - usable);
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
        place_misuse("sluice_phase_promote", p);
    if (at.arena == NULL || at.arena->phase == NULL)
        return p;
    void *q = alloc_slow(at.arena->module->id, at.usable, alignment_of(&at, p), 0,
                         &alloc_outside_phases, CALLER);
    if (q == NULL)
        return NULL;
    memcpy(q, p, at.usable);
    phase_note_promoted(at.arena->phase, at.usable);
    return q;
}

void *sluice_realloc(sluice_module module, void *p, size_t size)
{
    if (p == NULL)
        return alloc_for(module, size, CALLER);
    struct place_of at = place_find(p);
    if (UNLIKELY(!place_starts_object(&at, p)))
        place_misuse("sluice_realloc", p);
    struct module *m = at.arena == NULL ? module_get(SLUICE_MODULE_DEFAULT) : at.arena->module;
    if (UNLIKELY(size > (size_t)PTRDIFF_MAX - ALLOC_ALIGNMENT))
        return alloc_fail_size(m, size, false, ARENA_THERE);
    /* Close enough: the object stays. */
    if (at.place == PLACE_SLAB ? size <= at.usable && (size >= at.usable / 2 || at.usable == 16)
                               : size <= at.usable && at.usable - size < at.usable / 8)
        return p;
    if (at.arena != NULL && at.place != PLACE_SLAB) { /* in a chunk, or with a header */
        int saved = errno;
        struct thread *t = thread_current();
        if (t != NULL && thread_enter(t)) {
            t->caller = CALLER;
            void *q = realloc_in_section(t, &at, p, size == 0 ? 1 : size);
            thread_leave(t);
            alloc_after_slow();
            errno = saved;
            if (q != NULL)
                return q;
        }
    }
    int saved = errno;
    /* What belongs to an instance of a phase stays there, whichever one serves the thread now. */
    void *q = at.arena != NULL && at.arena->phase != NULL
                  ? alloc_slow(m->id, size, ALLOC_ALIGNMENT, 0, at.arena->phase, CALLER)
                  : alloc_for(m == NULL ? SLUICE_MODULE_DEFAULT : m->id, size, CALLER);
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
