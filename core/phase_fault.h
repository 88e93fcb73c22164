/* phase_fault.h - SIGSEGV: an access to memory that `check: protect` took out of reach becomes a report.
 *
 * The handler stands in front of the one that was there when the first instance with this check began. That one gets
 * every signal, ours or not, with the same siginfo and context, in the signal mask and on the stack that it asked for. Where
 * there was none, the process dies by SIGSEGV, at the instruction that made the access. */
#ifndef SLUICE_CORE_PHASE_FAULT_H
#define SLUICE_CORE_PHASE_FAULT_H

/* Puts the handler in place; further calls do nothing. Any thread; in sections. */
void phase_fault_handle(void);

#endif
