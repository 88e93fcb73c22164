/* follow.c - libc's functions after which attribution must look again: dlclose, and those that name a thread.
 *
 * dlopen() is not taken over for it: it looks at who calls it, and what it loads has new addresses. */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/prctl.h>

#include "core/reload.h"
#include "tools/preload/attribution.h"
#include "tools/preload/caller.h"
#include "tools/preload/libc.h"

/* Whoever preloads Sluice into a program wants to look at it, with a policy or without. */
bool reload_observes_builtin(void)
{
    return true;
}

static libc_cell dlclose_cell, setname_cell, prctl_cell;

/* After it, another object may lie where the closed one lay. */
EXPORT int dlclose(void *handle)
{
    int result = LIBC_NEXT(dlclose_cell, dlclose)(handle);
    attribution_forget_sites();
    return result;
}

EXPORT int pthread_setname_np(pthread_t thread, const char *name)
{
    int result = LIBC_NEXT(setname_cell, pthread_setname_np)(thread, name);
    attribution_forget_threads();
    return result;
}

/* The system call has four arguments, used or not. */
typedef int prctl_function(int, unsigned long, unsigned long, unsigned long, unsigned long);
int preload_prctl(int option, unsigned long a, unsigned long b, unsigned long c,
                  unsigned long d) __asm__("prctl");

EXPORT int preload_prctl(int option, unsigned long a, unsigned long b, unsigned long c,
                         unsigned long d)
{
    int result = ((prctl_function *)libc_next(&prctl_cell, "prctl"))(option, a, b, c, d);
    if (option == PR_SET_NAME)
        attribution_forget_threads();
    return result;
}

void follow_find_all(void)
{
    (void)LIBC_NEXT(dlclose_cell, dlclose);
    (void)LIBC_NEXT(setname_cell, pthread_setname_np);
    (void)libc_next(&prctl_cell, "prctl");
}
