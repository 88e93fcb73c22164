/* malloc.c - libc's malloc family, served by Sluice, with glibc's contract.
 *
 * Where glibc and the standard differ, programs were tested against glibc: realloc(p, 0) frees; memalign rounds an alignment
 * up to a power of two; aligned_alloc takes any size; free keeps errno.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

#include <sluice/sluice.h>

#include "core/alloc_fast.h"
#include "core/os.h"
#include "tools/preload/caller.h"

/* No header declares it any more. */
void cfree(void *p);

static void *too_large(void)
{
    errno = ENOMEM;
    return NULL;
}

static __attribute__((noinline)) void *make_for_caller(size_t size, const void *pc, const void *cfa)
{
    sluice_module module = attribution_module(pc, cfa);
    void *p = alloc_fast(module, size);
    return LIKELY(p != NULL) ? p : alloc_behind(module, size, 0, pc);
}

EXPORT void *malloc(size_t size)
{
    if (attribution_is_on())
        return make_for_caller(size, CALLER_PLACE);
    void *p = alloc_fast(SLUICE_MODULE_DEFAULT, size);
    return LIKELY(p != NULL) ? p : alloc_behind(SLUICE_MODULE_DEFAULT, size, 0, CALLER);
}

EXPORT void free(void *p)
{
    free_fast(p);
}

EXPORT void cfree(void *p)
{
    sluice_free(p);
}

EXPORT void *calloc(size_t count, size_t size)
{
    return sluice_calloc(CALLER_MODULE(), count, size);
}

static void *resize(sluice_module module, void *p, size_t size)
{
    if (p != NULL && size == 0) {
        sluice_free(p);
        return NULL;
    }
    return sluice_realloc(module, p, size);
}

EXPORT void *realloc(void *p, size_t size)
{
    return resize(p == NULL ? CALLER_MODULE() : SLUICE_MODULE_DEFAULT, p, size);
}

EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return too_large();
    return resize(p == NULL ? CALLER_MODULE() : SLUICE_MODULE_DEFAULT, p, total);
}

/* ---- Aligned -------------------------------------------------------------------------------- */

#define ALIGNMENT_MAX ((size_t)1 << 30) /* of sluice_aligned_alloc() */

static void *aligned(sluice_module module, size_t alignment, size_t size)
{
    if (alignment > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    size_t power = sizeof(void *);
    while (power < alignment)
        power *= 2;
    return power > ALIGNMENT_MAX ? too_large() : sluice_aligned_alloc(module, power, size);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    return aligned(CALLER_MODULE(), alignment, size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return aligned(CALLER_MODULE(), alignment, size);
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0)
        return EINVAL;
    int saved = errno;
    void *p = aligned(CALLER_MODULE(), alignment, size);
    errno = saved;
    if (p == NULL)
        return ENOMEM;
    *out = p;
    return 0;
}

EXPORT void *valloc(size_t size)
{
    return aligned(CALLER_MODULE(), OS_PAGE_SIZE, size);
}

EXPORT void *pvalloc(size_t size)
{
    if (size > SIZE_MAX - OS_PAGE_SIZE)
        return too_large();
    size = (size + OS_PAGE_SIZE - 1) & ~((size_t)OS_PAGE_SIZE - 1);
    return aligned(CALLER_MODULE(), OS_PAGE_SIZE, size);
}

EXPORT size_t malloc_usable_size(void *p)
{
    return sluice_usable_size(p);
}
