/* fork.h - one set of pthread_atfork handlers for the whole library. */
#ifndef SLUICE_CORE_FORK_H
#define SLUICE_CORE_FORK_H

/* Installs them. Once. */
void fork_init(void);

#endif
