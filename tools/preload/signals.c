/* signals.c - sigaction() and signal(), for programs that set the signal themselves that reloads the policy: their handler
 * becomes the one behind ours. Of other signals nothing is known here. */
#include <errno.h>
#include <signal.h>

#include "core/signal.h"
#include "tools/preload/caller.h"
#include "tools/preload/libc.h"

extern int __sigaction(int signo, const struct sigaction *action, struct sigaction *old);

static libc_cell signal_cell, sysv_signal_cell;

int signal_system_action(int signo, const struct sigaction *action, struct sigaction *old)
{
    return __sigaction(signo, action, old);
}

EXPORT int sigaction(int signo, const struct sigaction *action, struct sigaction *old)
{
    return signal_exchange(signo, action, old) ? 0 : __sigaction(signo, action, old);
}

static bool set_handler(int signo, sighandler_t *handler, int flags)
{
    struct sigaction action = {.sa_handler = *handler, .sa_flags = flags}, old;
    sigemptyset(&action.sa_mask);
    if ((flags & SA_NODEFER) == 0)
        sigaddset(&action.sa_mask, signo);
    if (*handler == SIG_ERR || !signal_exchange(signo, &action, &old))
        return false;
    *handler = old.sa_handler;
    return true;
}

/* BSD's: the handler stays, and system calls are begun again. */
EXPORT sighandler_t signal(int signo, sighandler_t handler)
{
    if (set_handler(signo, &handler, SA_RESTART))
        return handler;
    return LIBC_NEXT(signal_cell, signal)(signo, handler);
}

EXPORT sighandler_t ssignal(int signo, sighandler_t handler)
{
    return signal(signo, handler);
}

sighandler_t bsd_signal(int signo, sighandler_t handler);
EXPORT sighandler_t bsd_signal(int signo, sighandler_t handler)
{
    return signal(signo, handler);
}

/* System V's: for one time. */
EXPORT sighandler_t __sysv_signal(int signo, sighandler_t handler)
{
    if (set_handler(signo, &handler, SA_RESETHAND | SA_NODEFER))
        return handler;
    return LIBC_NEXT(sysv_signal_cell, __sysv_signal)(signo, handler);
}

EXPORT sighandler_t sysv_signal(int signo, sighandler_t handler)
{
    return __sysv_signal(signo, handler);
}

void signals_find_all(void)
{
    (void)LIBC_NEXT(signal_cell, signal);
    (void)LIBC_NEXT(sysv_signal_cell, __sysv_signal);
}
