/* size_class.h - size classes of slab objects: steps of 16 bytes up to 128, then four to each doubling, up
 * to 64 KiB. Rounding up wastes at most a fifth (the spacing is jemalloc's). */
#ifndef SLUICE_CORE_SIZE_CLASS_H
#define SLUICE_CORE_SIZE_CLASS_H

#include <stddef.h>
#include <stdint.h>

#define SIZE_CLASS_MAX   ((size_t)64 << 10)
#define SIZE_CLASS_COUNT 44

#define SIZE_CLASS_TABLE_MAX ((size_t)1024)
extern const uint8_t size_class_table[SIZE_CLASS_TABLE_MAX / 16 + 1]; /* by (size + 15) / 16 */
extern const uint32_t size_class_bytes[SIZE_CLASS_COUNT];

/* The smallest class that holds `size` bytes, 0 to SIZE_CLASS_MAX. */
static inline unsigned size_class_of(size_t size)
{
    if (__builtin_expect(size <= SIZE_CLASS_TABLE_MAX, 1))
        return size_class_table[(size + 15) >> 4];
    /* 2^k < size <= 2^(k+1), cut in four; class 8 begins above 128 = 2^7. */
    unsigned k = 63u - (unsigned)__builtin_clzll(size - 1);
    return 8 + (k - 7) * 4 + (unsigned)((size - 1) >> (k - 2) & 3);
}

/* The smallest class that holds `size` bytes and whose objects all lie at multiples of `alignment` (a
 * power of two, up to a piece), or SIZE_CLASS_COUNT. */
static inline unsigned size_class_aligned(size_t size, size_t alignment)
{
    for (unsigned c = size_class_of(size); c < SIZE_CLASS_COUNT; c++)
        if ((size_class_bytes[c] & (alignment - 1)) == 0)
            return c;
    return SIZE_CLASS_COUNT;
}

#endif
