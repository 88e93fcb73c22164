/* pagemap.c - see pagemap.h. */
#include "core/pagemap.h"

#include "core/os.h"

struct pagemap pagemap;

/* Below it lies what is not mapped on demand: programs that are not relocatable, and their heap. */
#define WINDOW_LOW  ((uintptr_t)1 << 32)
#define WINDOW_HIGH ((uintptr_t)1 << 38) /* 256 GiB in 1 MiB of map */
#define WHOLE       ((uintptr_t)1 << (PAGEMAP_ADDRESS_BITS - CHUNK_SHIFT))

bool pagemap_init(void)
{
    uintptr_t count = WHOLE;
    void *slot = os_map(count * sizeof(uintptr_t), OS_PAGE_SIZE);
    if (slot == NULL) {
        count = WINDOW_HIGH >> CHUNK_SHIFT;
        slot = os_map(count * sizeof(uintptr_t), OS_PAGE_SIZE);
        if (slot == NULL)
            return false;
    }
    pagemap.slot = slot;
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

void pagemap_set(const void *p, size_t size, uintptr_t entry)
{
    uintptr_t i = (uintptr_t)p >> CHUNK_SHIFT;
    uintptr_t end = i + ((size + ((size_t)1 << CHUNK_SHIFT) - 1) >> CHUNK_SHIFT);
    for (; i < end; i++)
        atomic_store_explicit(&pagemap.slot[i], entry, memory_order_release);
}
