/* porter.h - the porter: the thread that does what needs descriptors, with a table of descriptors of its own.
 *
 * Sluice lives in programs that close every descriptor that they find, count on the numbers that open() gives them, or have
 * room for few. So nothing of ours may stand in their table, not for a moment. The porter's table is private (see
 * os_leave_descriptors()) and empty at first; in it are
 *
 *     0, 1, 2    the bell, three times: what writes to standard error by mistake reaches nobody
 *     others     what watches the files of the policy, and the door: guests.h
 *
 * It reads policies, too. Standard error is not there: what it logs is written by the control thread (log_defer()).
 *
 * The bell is a signalfd: a thread of another table can't write to an eventfd of this one, but can send this thread a
 * signal. All signals are blocked in it, so none is ever delivered. The signal is one that libc keeps for itself, as a
 * signalfd takes those that are sent to the process, too.
 *
 * Only the control thread calls what is below. The porter begins with the first task and ends only when it is told to count
 * the threads of the process and finds only ours.
 */
#ifndef SLUICE_CORE_PORTER_H
#define SLUICE_CORE_PORTER_H

#include <stdbool.h>

enum {
    PORTER_RELOAD = 1, /* somebody asked for a reload */
    PORTER_LOOK = 2, /* a policy came into force: which files to watch, whether to open the door */
    PORTER_COUNT = 4 /* are there threads besides ours? */
};

/* Gives it tasks. 0: those that it has and seems not to have heard of. */
void porter_ask(unsigned more);

/* It has not begun some of its tasks. */
bool porter_has_tasks(void);

bool porter_runs(void);

/* No thread can be made, or no private table; tasks that it had are to be taken back. */
bool porter_is_impossible(void);
unsigned porter_take_back(void);

/* It has counted, has found only the control thread and itself, and has ended. */
bool porter_says_alone(void);

/* It does not exist any more: it was the parent's, or has ended. The next task makes another. */
void porter_forget(void);

#endif
