/* pagemap.c - see pagemap.h. */
#include "core/pagemap.h"

#include "core/home.h"
#include "core/wide.h"

struct pagemap pagemap;

/* Below it lies what is not mapped on demand: programs that are not relocatable, and their heap. */
#define WINDOW_LOW  ((uintptr_t)1 << 32)
#define WINDOW_HIGH ((uintptr_t)1 << 38) /* 256 GiB in 1 MiB of map */
#define WHOLE       ((uintptr_t)1 << (PAGEMAP_ADDRESS_BITS - CHUNK_SHIFT))

static struct wide table;

bool pagemap_init(void)
{
    uintptr_t count = WHOLE;
    if (!wide_map(&table, count * sizeof(uintptr_t))) {
        count = WINDOW_HIGH >> CHUNK_SHIFT;
        if (!wide_map(&table, count * sizeof(uintptr_t)))
            return false;
    }
    pagemap.slot = (_Atomic uintptr_t *)(void *)table.base;
    atomic_store_explicit(&pagemap.count, count, memory_order_release); /* last: now it is there */
    return true;
}

bool pagemap_is_window(void)
{
    return pagemap.count < WHOLE;
}

void pagemap_window(uintptr_t *low, uintptr_t *high)
{
    *low = pagemap_is_window() ? WINDOW_LOW : 0;
    *high = pagemap.count << CHUNK_SHIFT;
}

bool pagemap_open(const void *p, size_t size)
{
    uintptr_t first = (uintptr_t)p >> CHUNK_SHIFT, last = ((uintptr_t)p + size - 1) >> CHUNK_SHIFT;
    return wide_open(&table, &pagemap.slot[first], (last - first + 1) * sizeof(uintptr_t));
}

void pagemap_set(const void *p, size_t size, uintptr_t entry)
{
    uintptr_t i = (uintptr_t)p >> CHUNK_SHIFT;
    uintptr_t end = i + ((size + ((size_t)1 << CHUNK_SHIFT) - 1) >> CHUNK_SHIFT);
    for (; i < end; i++) {
        uintptr_t old = atomic_load_explicit(&pagemap.slot[i], memory_order_relaxed);
        if (old == entry)
            continue; /* perhaps it may not be written */
        atomic_store_explicit(&pagemap.slot[i], entry, memory_order_release);
        if ((old & PAGEMAP_SLABS) != 0)
            home_forget((void *)(i << CHUNK_SHIFT), (size_t)1 << (CHUNK_SHIFT - HOME_PIECE_SHIFT));
    }
}
