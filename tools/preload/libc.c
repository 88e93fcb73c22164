/* libc.c - libc's own allocator, for the backend `glibc`: under the names that libc exports beside the plain ones, which are
 * ours here. (They are as old as the library, GLIBC_2.2.5.) */
#include "tools/preload/libc.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>

#include "backends/glibc_libc.h"
#include "core/object.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *p);
extern int __libc_mallopt(int parameter, int value);

static libc_cell usable_size_cell, mallinfo2_cell, malloc_trim_cell;

void *libc_next(libc_cell *cell, const char *name)
{
    void *found = atomic_load_explicit(cell, memory_order_acquire);
    if (found == NULL) {
        found = dlsym(RTLD_NEXT, name);
        atomic_store_explicit(cell, found, memory_order_release);
    }
    return found;
}

/* From libc's table of symbols: redis-server is linked to jemalloc, which must not be asked of glibc's objects. (dlopen()
 * would find libc too, but allocates, and so would come back here.) */
void *libc_own(libc_cell *cell, const char *name)
{
    void *found = atomic_load_explicit(cell, memory_order_acquire);
    struct object libc;
    if (found == NULL) {
        const ElfW(Addr) *value = object_at((uintptr_t)(void *)&__libc_malloc, &libc)
                                      ? object_symbol_value(&libc, name)
                                      : NULL;
        if (value == NULL)
            return libc_next(cell, name);
        found = (void *)(libc.map->l_addr + *value);
        atomic_store_explicit(cell, found, memory_order_release);
    }
    return found;
}

void *libc_malloc(size_t size)
{
    return __libc_malloc(size);
}

void *libc_calloc(size_t size)
{
    return __libc_calloc(1, size);
}

void *libc_aligned_alloc(size_t alignment, size_t size)
{
    return __libc_memalign(alignment, size);
}

void *libc_realloc(void *p, size_t size)
{
    return __libc_realloc(p, size);
}

void libc_free(void *p)
{
    __libc_free(p);
}

size_t libc_usable_size(void *p)
{
    return LIBC_OWN(usable_size_cell, malloc_usable_size)(p);
}

size_t libc_free_bytes(void)
{
    return LIBC_OWN(mallinfo2_cell, mallinfo2)().fordblks;
}

void libc_trim(void)
{
    (void)LIBC_OWN(malloc_trim_cell, malloc_trim)(0);
}

int libc_mallopt(int parameter, int value)
{
    return __libc_mallopt(parameter, value);
}

void libc_find_all(void)
{
    (void)LIBC_OWN(usable_size_cell, malloc_usable_size);
    (void)LIBC_OWN(mallinfo2_cell, mallinfo2);
    (void)LIBC_OWN(malloc_trim_cell, malloc_trim);
}
