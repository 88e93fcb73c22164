/* clone.c - clone(), which copies the process past fork() and its handlers, as programs do that make name spaces of their
 * own. Where the child shares the memory, or gets thread-local storage of its own, it is nothing to us. The bare system call
 * cannot be taken over. */
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

#include "core/bootstrap.h"
#include "core/fork.h"
#include "tools/preload/caller.h"
#include "tools/preload/libc.h"

static libc_cell clone_cell;

struct start {
    int (*fn)(void *);
    void *arg;
};

/* In the child, on the stack that it was given; the parent's, with arg, was copied as all memory was. */
static int begin(void *arg)
{
    struct start start = *(struct start *)arg;
    fork_child();
    /* Of the whole child, as clone(2) has it: returning would end this thread, and it may have one of ours beside it. */
    _exit(start.fn(start.arg));
}

EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
    va_list more;
    va_start(more, arg);
    pid_t *parent = va_arg(more, pid_t *);
    void *tls = va_arg(more, void *);
    pid_t *child = va_arg(more, pid_t *);
    va_end(more);
    __typeof__(&clone) real = LIBC_NEXT(clone_cell, clone);
    if ((flags & (CLONE_VM | CLONE_SETTLS)) != 0 || fn == NULL || stack == NULL ||
        !bootstrap_done())
        return real(fn, stack, flags, arg, parent, tls, child);
    struct start start = {fn, arg};
    fork_prepare();
    int pid = real(begin, stack, flags, &start, parent, tls, child);
    fork_parent();
    return pid;
}

void clone_find_all(void)
{
    (void)LIBC_NEXT(clone_cell, clone);
}
