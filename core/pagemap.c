/* pagemap.c - see pagemap.h. */
#include "core/pagemap.h"

#include "core/os.h"

struct pagemap pagemap;

bool pagemap_init(void)
{
    uintptr_t count = (uintptr_t)1 << (PAGEMAP_ADDRESS_BITS - CHUNK_SHIFT);
    void *slot = os_map(count * sizeof(uintptr_t), OS_PAGE_SIZE);
    uintptr_t first = 0;
    if (slot == NULL) {
        /* A window around what the kernel hands out next: it maps from the top down, so most of the
         * window lies below a fresh mapping. */
        count = (uintptr_t)1 << (38 - CHUNK_SHIFT); /* 256 GiB in 1 MiB */
        slot = os_map(count * sizeof(uintptr_t), OS_PAGE_SIZE);
        if (slot == NULL)
            return false;
        uintptr_t here = (uintptr_t)slot >> CHUNK_SHIFT;
        first = here > count ? here - count : 1;
    }
    pagemap.slot = slot;
    pagemap.first = first;
    atomic_store_explicit(&pagemap.count, count, memory_order_release); /* last: now it is there */
    return true;
}

bool pagemap_is_window(void)
{
    return pagemap.first != 0;
}

void pagemap_window(uintptr_t *low, uintptr_t *high)
{
    *low = pagemap.first << CHUNK_SHIFT;
    *high = (pagemap.first + pagemap.count) << CHUNK_SHIFT;
}

void pagemap_set(const void *p, size_t size, uintptr_t entry)
{
    uintptr_t i = ((uintptr_t)p >> CHUNK_SHIFT) - pagemap.first;
    uintptr_t end = i + ((size + ((size_t)1 << CHUNK_SHIFT) - 1) >> CHUNK_SHIFT);
    for (; i < end; i++)
        atomic_store_explicit(&pagemap.slot[i], entry, memory_order_release);
}
