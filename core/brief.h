/* brief.h - operations on counters and marks that others may read, each in one instruction where the processor has one: compilers
 * load, change and store atomic variables apart, and do not compare with them in memory. ThreadSanitizer sees the long forms.
 *
 * Counters have one writer, and wrap; all is relaxed that does not say more. */
#ifndef SLUICE_CORE_BRIEF_H
#define SLUICE_CORE_BRIEF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define BRIEF_X86 1
#else
#define BRIEF_X86 0
#endif

/* A variable that is never another object's, nor a program's that is linked to the library: its address needs no look. */
#define HIDDEN __attribute__((visibility("hidden")))

static inline uint64_t count_load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline void count_add(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

static inline void count_one(_Atomic uint64_t *counter)
{
#if BRIEF_X86
    __asm__("incq %0" : "+m"(*counter));
#else
    count_add(counter, 1);
#endif
}

/* Counts down; true at 0. */
static inline bool count_down(_Atomic uint32_t *room)
{
    bool is_zero;
#if BRIEF_X86
    __asm__("subl $1, %0" : "+m"(*room), "=@ccz"(is_zero));
#else
    uint32_t left = atomic_load_explicit(room, memory_order_relaxed) - 1;
    atomic_store_explicit(room, left, memory_order_relaxed);
    is_zero = left == 0;
#endif
    return __builtin_expect(is_zero, 0);
}

/* Is the number less than what the variable holds? An acquire, as the next one. */
static inline bool is_below(uintptr_t number, const _Atomic uintptr_t *limit)
{
    bool is;
#if BRIEF_X86
    __asm__("cmpq %2, %1" : "=@ccb"(is) : "r"(number), "m"(*limit));
    atomic_signal_fence(memory_order_acquire);
#else
    is = number < atomic_load_explicit(limit, memory_order_acquire);
#endif
    return is;
}

/* Is that what the variable holds? */
static inline bool is_held(uintptr_t number, const _Atomic uintptr_t *variable)
{
    bool is;
#if BRIEF_X86
    __asm__("cmpq %2, %1" : "=@cce"(is) : "r"(number), "m"(*variable));
    atomic_signal_fence(memory_order_acquire);
#else
    is = number == atomic_load_explicit(variable, memory_order_acquire);
#endif
    return is;
}

/* What the variable holds, but for those bits turned. */
static inline uintptr_t xor_held(uintptr_t bits, const _Atomic uintptr_t *variable)
{
#if BRIEF_X86
    __asm__("xorq %1, %0" : "+r"(bits) : "m"(*variable));
    return bits;
#else
    return bits ^ atomic_load_explicit(variable, memory_order_relaxed);
#endif
}

#endif
