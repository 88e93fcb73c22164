/* home.h - address -> the magazine that takes the object back: all that the fast path of free asks, in one load.
 *
 * A flat array with one word for each 64 KiB piece (core/slab.h) of a part of the address space around the place where the system
 * puts what is mapped; only touched pages exist. It knows no more than chunks and slabs do, and need not know all: what it does
 * not tell, a chunk outside of it as well as another thread's slab, is found by the pagemap.
 *
 *     entry:  0                   ask the pagemap
 *             magazine ^ mark     a slab's piece; its owner, whose mark that is, frees into the magazine
 *
 * A mark is a thread's number, in those bits that are 0 in each magazine's address: the low five, and those above the user
 * half. So the owner finds its magazine, and anybody else a word that is no address, with one operation.
 */
#ifndef SLUICE_CORE_HOME_H
#define SLUICE_CORE_HOME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/brief.h"
#include "core/magazine.h"
#include "core/pagemap.h"

#define HOME_PIECE_SHIFT 16

#define HOME_LOW_BITS 5 /* magazines lie at multiples of 32 */
#define HOME_LOW_MASK (((uintptr_t)1 << HOME_LOW_BITS) - 1)
#define HOME_MARK     (HOME_LOW_MASK | ~(((uintptr_t)1 << PAGEMAP_ADDRESS_BITS) - 1))

/* Threads are numbered from 0 to less than this: as many as a Linux system can have, on x86-64. */
#define HOME_THREADS \
    (((uint32_t)1 << (HOME_LOW_BITS + sizeof(uintptr_t) * 8 - PAGEMAP_ADDRESS_BITS)) - 2)

/* No entry has that mark: with it in its hands, a thread finds no magazine. */
#define HOME_MARK_HELD HOME_MARK

struct home_map {
    _Atomic uintptr_t *entry;
    uintptr_t zero;          /* where the entry of address 0 would be */
    uintptr_t low;           /* entry[i] is of the piece at low + (i << HOME_PIECE_SHIFT) */
    _Atomic uintptr_t count; /* 0: there is none, every lookup misses */
};

extern struct home_map home_map; /* set once: threads have copies, which are shorter to come to */

/* The mark of a thread with that number. */
static inline uintptr_t home_mark(uint32_t number)
{
    uintptr_t n = (uintptr_t)number + 1;
    return (n & HOME_LOW_MASK) | n >> HOME_LOW_BITS << PAGEMAP_ADDRESS_BITS;
}

/* Does the copy of the map have an entry of the address? Not for what is not aligned as objects are: rotated, its low bits make
 * the index too large. */
static inline bool home_covers(const struct home_map *map, const void *p)
{
    uintptr_t at = (uintptr_t)p - map->low;
    uintptr_t i = (at >> 4 | at << (sizeof at * 8 - 4)) >> (HOME_PIECE_SHIFT - 4);
    return is_below(i, &map->count);
}

/* The magazine that takes the object of an address that is covered, for the thread whose mark that is. false: it is not that
 * thread's. The address of the entry is made anew, so that it waits for nothing that only the check above needs. */
static inline bool home_is_mine(const struct home_map *map, const void *p, uintptr_t mark,
                                struct magazine **m)
{
    uintptr_t i = (uintptr_t)p >> HOME_PIECE_SHIFT;
    uintptr_t at = xor_held(mark, (const _Atomic uintptr_t *)(map->zero + i * sizeof(uintptr_t)));
    *m = (struct magazine *)at;
    return (at & HOME_MARK) == 0;
}

/* Says of `pieces` pieces from that address on where their objects go. Any thread; with the right to change those slabs. */
void home_set(const void *base, size_t pieces, const struct magazine *m, uintptr_t mark);
void home_forget(const void *base, size_t pieces);

/* Makes the map, if there is address space for one. Once, behind pagemap_init(). */
void home_init(void);

#endif
