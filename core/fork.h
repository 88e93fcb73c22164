/* fork.h - one set of pthread_atfork handlers for the whole library. */
#ifndef SLUICE_CORE_FORK_H
#define SLUICE_CORE_FORK_H

/* Installs them. At the start, and again after each library that may have handlers of its own was opened. */
void fork_register(void);

/* What they do, for whoever copies the process past fork(): the first before, then one of the others in each process. Outside
 * sections. */
void fork_prepare(void);
void fork_parent(void);
void fork_child(void);

#endif
