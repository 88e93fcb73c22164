/* signal.h - signals that ask for a reload, beside what the program itself does on them.
 *
 * Our handler is the one that the kernel knows; what was there before is its `next`, and is called after it has asked for
 * the reload. The kernel's flags and mask are those of `next`, so that a system call that the program expects to be
 * interrupted still is. Default actions are not carried out: a signal that reloads does not end the program.
 */
#ifndef SLUICE_CORE_SIGNAL_H
#define SLUICE_CORE_SIGNAL_H

#include <signal.h>
#include <stdbool.h>

#include <sluice/sluice.h>

/* Asks for a reload on that signal from now on. With the reload lock. SLUICE_ERROR_INVALID: it cannot be handled;
 * SLUICE_ERROR_UNSUPPORTED: there is no control thread. */
enum sluice_result signal_handle(int signo);

/* No longer. With the reload lock. */
void signal_unhandle(int signo);

/* What sigaction() is to do for a program when we handle the signal: reads and sets `next`; each pointer may be NULL. false:
 * we don't, nothing was done. Async-signal-safe, any thread. */
bool signal_exchange(int signo, const struct sigaction *action, struct sigaction *old);

/* In the child of fork: nobody is inside. */
void signal_fork_child(void);

/* A seam, to the preload library, whose sigaction() is not the system's. */
int signal_system_action(int signo, const struct sigaction *action, struct sigaction *old);

#endif
