/* signal.c - see signal.h. */
#include "core/signal.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "core/control.h"
#include "core/error.h"
#include "core/lock.h"

/* What `next` is stands in one of two places, so that a handler can read one while the other is written: turn is even
 * or odd. Two changes during one reading are noticed by turn, and it is read again. */
static struct {
    _Atomic uint32_t turn;
    struct sigaction next[2];
} chains[NSIG];

static _Atomic bool handled[NSIG];
static _Atomic bool
    busy; /* somebody changes a chain: with all signals blocked, so that no handler waits for its own thread */

__attribute__((weak)) int signal_system_action(int signo, const struct sigaction *action,
                                               struct sigaction *old)
{
    return sigaction(signo, action, old);
}

/* ---- Chains ---------------------------------------------------------------------------------- */

static struct sigaction read_next(int signo)
{
    struct sigaction copy;
    uint32_t turn;
    do {
        turn = atomic_load_explicit(&chains[signo].turn, memory_order_acquire);
        copy = chains[signo].next[turn % 2];
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load_explicit(&chains[signo].turn, memory_order_relaxed) - turn > 1);
    return copy;
}

static sigset_t lock_chains(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (atomic_exchange_explicit(&busy, true, memory_order_acquire))
        cpu_relax();
    return before;
}

static void unlock_chains(const sigset_t *before)
{
    atomic_store_explicit(&busy, false, memory_order_release);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* With the chains locked. */
static void write_next(int signo, const struct sigaction *action)
{
    uint32_t turn = atomic_load_explicit(&chains[signo].turn, memory_order_relaxed) + 1;
    atomic_thread_fence(memory_order_release);
    chains[signo].next[turn % 2] = *action;
    atomic_store_explicit(&chains[signo].turn, turn, memory_order_release);
}

void signal_fork_child(void)
{
    atomic_store_explicit(&busy, false, memory_order_relaxed);
}

/* ---- The handler ----------------------------------------------------------------------------- */

/* SA_RESETHAND is ours to do: the kernel would reset to the default, not to us. */
static void reset_next(int signo)
{
    struct sigaction nothing = {.sa_handler = SIG_DFL};
    sigset_t before = lock_chains();
    write_next(signo, &nothing);
    unlock_chains(&before);
}

static void call_next(int signo, siginfo_t *info, void *context)
{
    struct sigaction next = read_next(signo);
    if ((next.sa_flags & SA_RESETHAND) != 0)
        reset_next(signo);
    if ((next.sa_flags & SA_SIGINFO) != 0) {
        if (next.sa_sigaction != NULL)
            next.sa_sigaction(signo, info, context);
    } else if (next.sa_handler != SIG_DFL && next.sa_handler != SIG_IGN) {
        next.sa_handler(signo);
    }
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
    static __thread volatile sig_atomic_t inside; /* a program's handler may chain back to ours */
    if (inside)
        return;
    inside = 1;
    int saved = errno;
    if (atomic_load_explicit(&handled[signo], memory_order_relaxed))
        control_request_reload();
    call_next(signo, info, context);
    inside = 0;
    errno = saved;
}

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == on_signal;
}

static bool is_handler(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 ||
           (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

/* Our handler, in the way that the program has its own called. */
static int install(int signo, const struct sigaction *next)
{
    struct sigaction action = {.sa_sigaction = on_signal};
    if (is_handler(next)) {
        action.sa_mask = next->sa_mask;
        action.sa_flags = (next->sa_flags & ~SA_RESETHAND) | SA_SIGINFO;
    } else {
        sigemptyset(&action.sa_mask);
        action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    }
    return signal_system_action(signo, &action, NULL);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

enum sluice_result signal_handle(int signo)
{
    struct sigaction now;
    if (signo <= 0 || signo >= NSIG || signal_system_action(signo, NULL, &now) != 0)
        return error_set(SLUICE_ERROR_INVALID, "signal %d cannot be handled", signo);
    if (!control_ensure())
        return error_set(SLUICE_ERROR_UNSUPPORTED, "no control thread can be made for reloads");
    int result = 0;
    if (!is_ours(&now)) {
        sigset_t before = lock_chains();
        write_next(signo, &now);
        result = install(signo, &now);
        unlock_chains(&before);
    }
    if (result != 0)
        return error_set(SLUICE_ERROR_INVALID, "signal %d cannot be handled", signo);
    atomic_store_explicit(&handled[signo], true, memory_order_relaxed);
    return SLUICE_OK;
}

void signal_unhandle(int signo)
{
    struct sigaction now;
    sigset_t before = lock_chains();
    atomic_store_explicit(&handled[signo], false, memory_order_relaxed);
    if (signal_system_action(signo, NULL, &now) == 0 && is_ours(&now)) {
        struct sigaction next = read_next(signo);
        signal_system_action(signo, &next, NULL);
    }
    unlock_chains(&before);
}

bool signal_exchange(int signo, const struct sigaction *action, struct sigaction *old)
{
    if (signo <= 0 || signo >= NSIG || !atomic_load_explicit(&handled[signo], memory_order_relaxed))
        return false;
    struct sigaction wanted, found;
    if (action != NULL)
        wanted = *action; /* before the signals are blocked: it may be no memory */
    sigset_t before = lock_chains();
    bool still = atomic_load_explicit(&handled[signo], memory_order_relaxed);
    if (still) {
        found = read_next(signo);
        if (action != NULL) {
            write_next(signo, &wanted);
            install(signo, &wanted);
        }
    }
    unlock_chains(&before);
    if (still && old != NULL)
        *old = found;
    return still;
}
