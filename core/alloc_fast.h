/* alloc_fast.h - the fast path of allocation and free, for those that are a program's malloc and free themselves, and have
 * not an instruction to spare; for core/alloc.c, whose picture shows it; and for nobody else. */
#ifndef SLUICE_CORE_ALLOC_FAST_H
#define SLUICE_CORE_ALLOC_FAST_H

#include <stddef.h>
#include <stdint.h>

#include "core/alloc_parts.h"
#include "core/bump.h"
#include "core/home.h"
#include "core/magazine.h"
#include "core/route.h"
#include "core/size_class.h"
#include "core/thread.h"

/* The magazine that serves a size of a module in this thread; &magazine_none: the slow path has to see to it. In a section
 * of t. */
static inline __attribute__((always_inline)) struct magazine *bin_of(struct thread *t,
                                                                     size_t module, size_t size)
{
    if (UNLIKELY(!is_below(module, &t->cache_limit)))
        return &magazine_none;
    struct tcache *c = t->cache[module];
    if (UNLIKELY(c->generation !=
                 atomic_load_explicit(&route_module_generation[module], memory_order_relaxed)))
        return &magazine_none;
    if (LIKELY(size <= SIZE_CLASS_TABLE_MAX))
        return c->bin[size_class_of(size)];
    return size <= SIZE_CLASS_MAX ? c->bin[size_class_of(size)] : &magazine_none;
}

/* Always inline, as the compiler thinks it too large: the part behind a magazine that is empty lies apart, and the part before
 * it is as long as if that were not there. */
static inline __attribute__((always_inline)) void *alloc_fast(size_t module, size_t size)
{
    struct thread *t = thread_self;
    thread_section_begin(t);
    struct magazine *m = bin_of(t, module, size);
    void *p = magazine_pop(m);
    if (UNLIKELY(p == NULL)) /* or the bin has a cursor */
        p = bump_take_from_bin(m, size);
    thread_leave(t);
    return p;
}

/* Behind alloc_fast(), when that returned NULL: the whole allocation, as sluice_malloc(). `flags` are those of
 * <sluice/backend.h>; caller: the return address of the public call. */
__attribute__((noinline)) void *alloc_behind(sluice_module module, size_t size, unsigned flags,
                                             const void *caller);

/* Behind free_fast(): what the map of homes does not know as this thread's. */
__attribute__((noinline)) void free_elsewhere(struct thread *t, void *p);

/* The magazine's frees have been counted down. In a section of t, which ends here. */
__attribute__((noinline)) void free_event(struct thread *t, struct magazine *m);

/* sluice_free(). Every other way out is a jump, so that no register has to be saved. */
static inline __attribute__((always_inline)) void free_fast(void *p)
{
    struct thread *t = thread_self;
    if (UNLIKELY(!home_covers(&t->homes, p)))
        return free_elsewhere(t, p);
    thread_section_begin(t);
    struct magazine *m;
    uintptr_t mark = atomic_load_explicit(&t->mark, memory_order_acquire);
    if (UNLIKELY(!home_is_mine(&t->homes, p, mark, &m))) {
        thread_leave(t);
        return free_elsewhere(t, p);
    }
    if (UNLIKELY(magazine_push(m, p)))
        return free_event(t, m);
    thread_leave(t);
}

#endif
