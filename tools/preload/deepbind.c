/* deepbind.c - plug-ins that are opened with RTLD_DEEPBIND.
 *
 * Such a plug-in looks for a name in itself and its own libraries first, so it would find libc's malloc and not ours, and
 * then free what we made, or we what libc made. So before the first is opened, libc's own symbols of the malloc family are
 * made to lead here: in the table of its exported symbols, which the dynamic linker reads (a page or two of it become
 * private to the process). What is bound already stays, the backend `glibc` among it.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/log.h"
#include "core/object.h"
#include "core/os.h"
#include "tools/preload/caller.h"
#include "tools/preload/libc.h"

extern void *__libc_malloc(size_t size);
void cfree(void *p);

static libc_cell dlopen_cell;

#define NAME(function)                            \
    {                                             \
#function, (uintptr_t)(void *)&(function) \
    }
static const struct {
    const char *name;
    uintptr_t address;
} family[] = {NAME(malloc),         NAME(calloc), NAME(realloc),  NAME(reallocarray),
              NAME(free),           NAME(cfree),  NAME(memalign), NAME(aligned_alloc),
              NAME(posix_memalign), NAME(valloc), NAME(pvalloc),  NAME(malloc_usable_size)};

/* false: the kernel does not let us write there. */
static bool lead_here(const struct object *libc, const char *name, uintptr_t address)
{
    ElfW(Addr) *value = object_symbol_value(libc, name);
    if (value == NULL)
        return true; /* this libc has no such function */
    uintptr_t page = (uintptr_t)value & ~(OS_PAGE_SIZE - 1);
    size_t size = (uintptr_t)(value + 1) - page > OS_PAGE_SIZE ? 2 * OS_PAGE_SIZE : OS_PAGE_SIZE;
    if (mprotect((void *)page, size, PROT_READ | PROT_WRITE) != 0)
        return false;
    __atomic_store_n(value, address - libc->map->l_addr, __ATOMIC_RELEASE);
    mprotect((void *)page, size, PROT_READ);
    return true;
}

static __attribute__((noinline, cold)) void take_over(void)
{
    static _Atomic bool done;
    struct object libc;
    if (atomic_exchange(&done, true) || !object_at((uintptr_t)(void *)&__libc_malloc, &libc))
        return;
    for (size_t i = 0; i < sizeof family / sizeof family[0]; i++)
        if (!lead_here(&libc, family[i].name, family[i].address)) {
            log_line(LOG_LEVEL_ERROR, "RTLD_DEEPBIND: libc's symbols cannot be changed: a plug-in "
                                      "that is opened so may free what another malloc made");
            return;
        }
}

/* The real one looks at who calls it, for that library's search path: so it is jumped to, not called. */
EXPORT void *dlopen(const char *file, int mode)
{
    if ((mode & RTLD_DEEPBIND) != 0)
        take_over();
    return LIBC_NEXT(dlopen_cell, dlopen)(file, mode);
}

void deepbind_find_all(void)
{
    (void)LIBC_NEXT(dlopen_cell, dlopen);
}
