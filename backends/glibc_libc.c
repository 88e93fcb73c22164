/* glibc_libc.c - see glibc_libc.h. */
#include "backends/glibc_libc.h"

#include <malloc.h>
#include <stdlib.h>

#define WEAK __attribute__((weak))

WEAK void *libc_malloc(size_t size)
{
    return malloc(size);
}

WEAK void *libc_calloc(size_t size)
{
    return calloc(1, size);
}

WEAK void *libc_aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size); /* unlike aligned_alloc, takes any size */
}

WEAK void *libc_realloc(void *p, size_t size)
{
    return realloc(p, size);
}

WEAK void libc_free(void *p)
{
    free(p);
}

WEAK size_t libc_usable_size(void *p)
{
    return malloc_usable_size(p);
}

WEAK size_t libc_free_bytes(void)
{
    return mallinfo2().fordblks;
}

WEAK void libc_trim(void)
{
    malloc_trim(0);
}
