/* size_class.h - size classes of slab objects: steps of 16 bytes up to 128, then four to each doubling, up
 * to 512 KiB. Rounding up wastes at most a fifth (the spacing is jemalloc's).
 *
 * From 16 KiB on, an object is a cache line longer than what may be asked for. If objects, and their pages, began at multiples
 * of a page, their first lines would all get in each other's way in the processor's caches, and the beginning is what most
 * programs touch most. (The idea is that of colours, J. Bonwick, "The Slab Allocator", 1994.) For who wants alignment there are
 * classes without that line. */
#ifndef SLUICE_CORE_SIZE_CLASS_H
#define SLUICE_CORE_SIZE_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIZE_CLASS_MAX   ((size_t)512 << 10)
#define SIZE_CLASS_PLAIN 56 /* those for sizes; the others, up to COUNT, are for alignment */
#define SIZE_CLASS_COUNT 64

#define SIZE_CLASS_LONGER     35 /* the first with a line more, of 16 KiB, to the last for sizes */
#define SIZE_CLASS_CACHE_LINE 64

#define SIZE_CLASS_TABLE_MAX ((size_t)1024)
extern const uint8_t size_class_table[SIZE_CLASS_TABLE_MAX + 1]; /* by size */
extern const uint32_t size_class_bytes[SIZE_CLASS_COUNT];        /* of an object */

static inline bool size_class_is_longer(unsigned c)
{
    return c >= SIZE_CLASS_LONGER && c < SIZE_CLASS_PLAIN;
}

/* The largest size that the class is for. */
static inline size_t size_class_most(unsigned c)
{
    return size_class_bytes[c] - (size_class_is_longer(c) ? SIZE_CLASS_CACHE_LINE : 0);
}

/* The smallest class that holds `size` bytes, 0 to SIZE_CLASS_MAX. */
static inline unsigned size_class_of(size_t size)
{
    if (__builtin_expect(size <= SIZE_CLASS_TABLE_MAX, 1))
        return size_class_table[size];
    /* 2^k < size <= 2^(k+1), cut in four; class 8 begins above 128 = 2^7. */
    unsigned k = 63u - (unsigned)__builtin_clzll(size - 1);
    return 8 + (k - 7) * 4 + (unsigned)((size - 1) >> (k - 2) & 3);
}

/* The smallest class that holds `size` bytes and whose objects all lie at multiples of `alignment` (a
 * power of two, up to a piece), or SIZE_CLASS_COUNT. Small ones are in front, and those for alignment behind. */
static inline unsigned size_class_aligned(size_t size, size_t alignment)
{
    for (unsigned c = size_class_of(size); c < SIZE_CLASS_COUNT; c++)
        if (size_class_bytes[c] >= size && (size_class_bytes[c] & (alignment - 1)) == 0)
            return c;
    return SIZE_CLASS_COUNT;
}

#endif
