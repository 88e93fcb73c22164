/* crew.h - the threads of a worker program: a fixed set that does one job after the other, and
 * sleeps between jobs. */
#ifndef SLUICE_TOOLS_DEMO_CREW_H
#define SLUICE_TOOLS_DEMO_CREW_H

struct crew;

/* Starts `threads` threads (1 to LAYER_MAX_THREADS - 1). NULL: the system gave no more threads; a
 * message is out. */
struct crew *crew_create(unsigned threads);

/* Calls job(arg, i) once in each thread, i from 0 to threads - 1, and returns when all calls have
 * returned. */
void crew_do(struct crew *crew, void (*job)(void *arg, unsigned i), void *arg);

/* Ends the threads. */
void crew_destroy(struct crew *crew);

#endif
