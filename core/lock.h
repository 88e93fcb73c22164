/* lock.h - a small mutex on a futex: one word, no allocation, no pthread.
 *
 * Order: a thread that holds a lock may take only locks further down.
 *
 *     reload          one load of a policy at a time                      (core/reload.c)
 *     maintenance     purging, trimming, ending arenas                    (core/arena_purge.c, arena.c)
 *     threads         the list of thread records; holding threads         (core/thread.c)
 *     registry        the list of backends                                (core/registry.c)
 *     modules         names and overrides                                 (core/module.c)
 *     ---- fork takes those above; those below are taken only in a section (core/thread.h) or below one of those above
 *     routes          filling in a route table                            (core/route.c)
 *     phases          kinds and instances of phases                       (core/phase.c)
 *     purge           purging or resetting one arena; tried in sections   (core/arena_purge.c)
 *     reset           resetting one arena, or a thread leaving it         (core/arena_purge.c)
 *     arenas          the list of arenas, making and ending one           (core/arena.c)
 *     heaps           the heaps of one arena                              (core/arena.c)
 *     an arena        each backend's own                                  (backends)
 *     a watch         objects of an instance with a check; alone          (core/phase_check.c)
 *     chunks          free address space                                  (core/chunk.c)
 *     meta            records                                             (core/meta.c)
 *
 * So when fork has its locks and holds every thread outside of sections, no lock at all is held by another thread.
 * (modules is also taken below routes, to look up an override: it is a leaf and taken alone elsewhere.)
 */
#ifndef SLUICE_CORE_LOCK_H
#define SLUICE_CORE_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
    _Atomic uint32_t state; /* 0 free, 1 held, 2 held and somebody sleeps */
};

/* Tells the processor that this is a loop that waits. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void lock_wait(struct lock *lock);
void lock_wake(struct lock *lock);

static inline bool lock_try(struct lock *lock)
{
    uint32_t free_state = 0;
    return atomic_compare_exchange_strong_explicit(&lock->state, &free_state, 1,
                                                   memory_order_acquire, memory_order_relaxed);
}

static inline void lock_acquire(struct lock *lock)
{
    if (!lock_try(lock))
        lock_wait(lock);
}

static inline void lock_release(struct lock *lock)
{
    if (atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2)
        lock_wake(lock);
}

#endif
