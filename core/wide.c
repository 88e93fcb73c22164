/* wide.c - see wide.h. */
#include "core/wide.h"

#include "core/os.h"

bool wide_map(struct wide *w, size_t size)
{
    w->base = os_map_readable(size);
    w->size = w->base == NULL ? 0 : size;
    return w->base != NULL;
}

bool wide_open(struct wide *w, const void *entries, size_t bytes)
{
    size_t first = (size_t)((const char *)entries - w->base) / WIDE_BLOCK;
    size_t last = ((size_t)((const char *)entries - w->base) + bytes - 1) / WIDE_BLOCK;
    for (size_t block = first; block <= last; block++) {
        char *at = w->base + block * WIDE_BLOCK;
        if (wide_is_open(w, at))
            continue;
        size_t left = w->size - block * WIDE_BLOCK;
        if (!os_protect(at, left < WIDE_BLOCK ? left : WIDE_BLOCK, true))
            return false;
        atomic_fetch_or_explicit(&w->open[block / 32], (uint32_t)1 << block % 32,
                                 memory_order_release);
    }
    return true;
}
