/* control.h - the control thread: purges when it is due, ends drained arenas, writes what others could not log, and has the
 * porter (core/porter.h) do what needs descriptors: reloads, watching files, answering `sluice stat`.
 *
 * It is started when there is something for it to do, sleeps on a futex until the next time that something is due, and
 * blocks all signals. It opens nothing: its descriptors are the program's. Where no thread can be made, what is due is done
 * by allocating threads on their slow path; where there can be no porter, it reads the policy itself.
 *
 * It is nobody's reason to live: when the program's own threads have ended (main by pthread_exit()), it ends too, and with
 * it the process. Where /proc cannot be read it cannot tell, and stays.
 */
#ifndef SLUICE_CORE_CONTROL_H
#define SLUICE_CORE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

/* Something is due at that time (CLOCK_MONOTONIC, ns). Any thread, also in sections. */
void control_wake_at(uint64_t due);

/* Look again at what there is to do: drained arenas, files to watch, whether to let observers in. Any thread, also in
 * sections. */
void control_poke(void);

/* Starts the thread when it is wanted and does not run; does its work where it cannot run. Outside sections;
 * cheap when there is nothing to do. */
void control_run_wanted(void);

/* Asks for a reload. Async-signal-safe. */
void control_request_reload(void);

/* Has the thread look at what the porter left for it. Any thread, also in sections; async-signal-safe. */
void control_ring(void);

/* true: the thread runs, or was started now. Outside sections. */
bool control_ensure(void);

/* A thread gave up its record and hardly another is left. Any thread, outside locks. */
void control_thread_ended(void);

void control_fork_child(void);

#endif
