/* pagemap.h - address -> owner of the chunk: one load to find who owns a pointer.
 *
 * A flat array with one word for each 2 MiB of the user half of the address space: 512 MiB of address
 * space on x86-64, of which only touched pages exist (one page spans 1 GiB of program memory). Where so
 * much address space cannot be had (RLIMIT_AS), the array covers the lower addresses alone, which the kernel
 * leaves free when it is not asked, and chunks are taken only from there.
 *
 *     entry:  0                   nobody's: a backend without address space of its own, or not ours
 *             chunk | 1           a slab chunk (core/slab.h), the only odd entries
 *             chunk | 2           another chunk (core/chunk.h)
 *             chunk | 16          a slab chunk whose objects went with their phase, until it is used again
 *             8                   address space that is kept free: a pointer into it is wrong
 *             size << 3 | 4       memory taken in an emergency (core/emergency.c); size in pages
 *
 * Readers need no lock: an object that somebody may free keeps its entry alive.
 */
#ifndef SLUICE_CORE_PAGEMAP_H
#define SLUICE_CORE_PAGEMAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/brief.h"

#define CHUNK_SHIFT 21

/* Of the user half of the address space. */
#if defined(__aarch64__)
#define PAGEMAP_ADDRESS_BITS 48
#else
#define PAGEMAP_ADDRESS_BITS 47
#endif

enum {
    PAGEMAP_SLABS = 1,
    PAGEMAP_CHUNK = 2,
    PAGEMAP_EMERGENCY = 4,
    PAGEMAP_TAGS = 7,
    PAGEMAP_FREE = 8,
    PAGEMAP_ENDED = 16
};

struct pagemap {
    _Atomic uintptr_t *slot; /* slot[i] is the chunk at address i << CHUNK_SHIFT */
    _Atomic uintptr_t count; /* 0 before pagemap_init(): every lookup misses */
};

extern struct pagemap pagemap; /* set once: threads have copies, which are shorter to come to */

static inline uintptr_t pagemap_lookup(const void *p)
{
    uintptr_t count = atomic_load_explicit(&pagemap.count, memory_order_acquire);
    uintptr_t i = (uintptr_t)p >> CHUNK_SHIFT;
    if (__builtin_expect(i >= count, 0))
        return 0;
    return atomic_load_explicit(&pagemap.slot[i], memory_order_acquire);
}

/* The same in a copy, and 0 for what is not aligned as objects are: rotated, its low bits make the index too large. */
static inline uintptr_t pagemap_lookup_object(const struct pagemap *map, const void *p)
{
    uintptr_t rotated = (uintptr_t)p >> 4 | (uintptr_t)p << (sizeof p * 8 - 4);
    uintptr_t i = rotated >> (CHUNK_SHIFT - 4);
    if (__builtin_expect(!is_below(i, &map->count), 0))
        return 0;
    return atomic_load_explicit(&map->slot[i], memory_order_acquire);
}

/* false without address space. Once, before anything is allocated. */
bool pagemap_init(void);

/* The addresses that a chunk may have: [low, high). */
void pagemap_window(uintptr_t *low, uintptr_t *high);
bool pagemap_is_window(void); /* only a part of the address space is covered */

/* Before an address gets its first entry other than 0. false: the kernel refused (core/wide.h). Any thread, without locks. */
bool pagemap_open(const void *p, size_t size);

/* Sets the entries of the chunks in [p, p + size), which are open, or 0 and stay so. What core/home.h knew of slabs there is
 * forgotten. */
void pagemap_set(const void *p, size_t size, uintptr_t entry);

#endif
