/* phase_fault.c - see phase_fault.h. */
#include "core/phase_fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "core/log.h"
#include "core/phase_check.h"

static struct sigaction before;

#if defined(__x86_64__)
#define FAULT_WAS_WRITE ((greg_t)2) /* bit of the page fault's error code */
#endif

static const char *access_of(const void *context)
{
#if defined(__x86_64__)
    const ucontext_t *at = context;
    return (at->uc_mcontext.gregs[REG_ERR] & FAULT_WAS_WRITE) != 0 ? "write to" : "read of";
#else
    (void)context;
    return "access to";
#endif
}

/* As if nobody had handled it. What the kernel found comes again when the handler returns; what somebody sent does not. */
static void die(int signo, const siginfo_t *info)
{
    struct sigaction fall_back = {.sa_handler = SIG_DFL};
    sigaction(signo, &fall_back, NULL);
    if (info->si_code <= 0)
        syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), signo);
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
    int saved = errno;
    if (info->si_code == SEGV_ACCERR)
        phase_check_explain(info->si_addr, access_of(context));
    errno = saved;
    bool sent = info->si_code <= 0;
    if ((before.sa_flags & SA_SIGINFO) != 0)
        before.sa_sigaction(signo, info, context);
    else if (before.sa_handler == SIG_DFL || (before.sa_handler == SIG_IGN && !sent))
        die(signo, info); /* nobody can ignore a fault */
    else if (before.sa_handler != SIG_IGN)
        before.sa_handler(signo);
}

void phase_fault_handle(void)
{
    static atomic_flag done = ATOMIC_FLAG_INIT;
    if (atomic_flag_test_and_set(&done))
        return;
    struct sigaction action = {.sa_sigaction = on_fault};
    if (sigaction(SIGSEGV, NULL, &before) == 0) {
        action.sa_mask = before.sa_mask;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | (before.sa_flags & (SA_NODEFER | SA_RESTART));
        if (sigaction(SIGSEGV, &action, NULL) == 0)
            return;
    }
    log_line(LOG_LEVEL_WARN, "check: protect: no handler of SIGSEGV can be installed: an access to "
                             "memory of an ended phase is not explained");
}
