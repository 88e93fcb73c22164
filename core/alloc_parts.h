/* alloc_parts.h - what the files of the allocation calls share, and nobody else needs:
 *
 *   alloc_fast.h  the fast path
 *   alloc.c       what is just behind it, an arena's own allocation and free, and the public calls for them
 *   alloc_slow.c  what no cache serves
 *   realloc.c     another size, another arena
 *   place.c       from an address to its owner
 */
#ifndef SLUICE_CORE_ALLOC_PARTS_H
#define SLUICE_CORE_ALLOC_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/alloc.h"
#include "core/control.h"
#include "core/emergency.h"
#include "core/thread.h"

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* What a free that is put off writes into the object (core/emergency.c). */
#define ALLOC_OBJECT_MIN sizeof(void *)

/* What a public call was called from: its return address. Where it lies in a known place it is read there, so that the
 * fast path does not read it (the compiler puts __builtin_return_address() at the function's start). */
#if defined(__x86_64__)
#define CALLER (((const void *const volatile *)__builtin_dwarf_cfa())[-1])
#else
#define CALLER __builtin_return_address(0)
#endif

static inline bool arena_keeps_limit(const struct sluice_arena *a)
{
    return (a->ops->capabilities & SLUICE_BACKEND_KEEPS_LIMIT) != 0;
}

static inline bool arena_bumps(const struct sluice_arena *a)
{
    return (a->ops->capabilities & SLUICE_BACKEND_BUMPS) != 0;
}

/* The fast path serves it, so the backend counts, and notes growth and turns itself. */
static inline bool arena_is_fast(const struct sluice_arena *a)
{
    return arena_has_slabs(a) || arena_bumps(a);
}

/* What is done after a slow operation, outside of its section. */
static inline void alloc_after_slow(void)
{
    if (UNLIKELY(emergency_has_deferred()) && !thread_is_diverted())
        alloc_free_deferred();
    control_run_wanted();
    if (UNLIKELY(thread_is_exiting()))
        thread_end_late();
}

/* sluice_malloc(), in the name of its caller. */
void *alloc_for(sluice_module module, size_t size, const void *caller);

/* Where an allocation goes: NULL: to what serves the thread; this: past all phases; else to that instance. */
extern struct phase_instance alloc_outside_phases;

/* An allocation by the route of its module. `alignment` is a power of two, at least ALLOC_ALIGNMENT; `flags` are those of
 * <sluice/backend.h>. NULL with errno and the thread's error. Outside sections; any thread, also while a fork is under way. */
__attribute__((noinline)) void *alloc_slow(sluice_module module, size_t size, size_t alignment,
                                           unsigned flags, struct phase_instance *where,
                                           const void *caller);

/* NULL, with errno set to `error`; counts for the module (NULL: for none). */
void *alloc_fail(struct module *m, int error);

/* The same with ENOMEM, and why: an error that names the module and the size in bytes. */
void *alloc_fail_size(struct module *m, size_t size, bool limit_hit, enum no_arena no_arena);

#endif
