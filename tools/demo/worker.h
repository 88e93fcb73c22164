/* worker.h - the side of the measured process: what it is asked to do, and how it speaks with the
 * process that measures.
 *
 * `sluice demo worker …` runs one scene under one policy. It writes lines to WORKER_FD, one for
 * each event, and sleeps in read() after each release until one byte comes back:
 *   ramp STAGE LIVE             the stage is at its largest; LIVE bytes are held
 *   released STAGE LIVE AT WORK all of the stage but LIVE bytes was released, at AT ns of
 *                               CLOCK_MONOTONIC, after WORK ns
 *   module STAGE NAME LIVE CACHED RESIDENT
 *                               what Sluice says of a module, before `ramp` and before `released`
 *   answers DIGEST COUNT        of the whole run, in hexadecimal; before the last release
 */
#ifndef SLUICE_TOOLS_DEMO_WORKER_H
#define SLUICE_TOOLS_DEMO_WORKER_H

#include <stddef.h>
#include <stdint.h>

#define WORKER_FD 3

/* Exit status of a worker. 1 is a failed start, 3 the lack of memory. */
#define WORKER_CORRUPT 4 /* memory did not hold what was written */

struct worker_task {
    const char *policy; /* its name */
    size_t size;        /* bytes to ramp to; scenes one and three */
    unsigned stages, threads;
    uint64_t seed;
    const char *input; /* list of files, scene two; the output folder, scene three */
};

/* Entry of the hidden subcommand. argv[0] is "worker". Returns the exit status. */
int worker_main(int argc, char **argv);

void worker_ramp(unsigned stage);
void worker_released(unsigned stage);
void worker_answers(uint64_t digest, uint64_t count);

/* The programs. Each returns an exit status; the last one becomes redis-server instead. */
int scene_balloon(const struct worker_task *task);
int scene_index(const struct worker_task *task);
int scene_redis(const struct worker_task *task);

#endif
