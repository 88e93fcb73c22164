/* run.h - running the workers, one after the other, and measuring each from outside.
 *
 * A run works through its stages; a while after each release (settle_ms) it is read and goes on;
 * after the last release it is read once more (final_ms), asleep. That last sleep is shared: the
 * next run works meanwhile, if there is memory for both. CPU time is that of wait4(): all threads
 * of the worker, Sluice's own included, from start to exit.
 */
#ifndef SLUICE_TOOLS_DEMO_RUN_H
#define SLUICE_TOOLS_DEMO_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tools/demo/layer.h"
#include "tools/demo/measure.h"
#include "tools/demo/options.h"
#include "tools/demo/policies.h"

struct sample {
    uint32_t ms; /* since the run's start */
    struct reading reading;
};

/* One stage, as measured. Live bytes are the program's own count: requested and not freed. */
struct stage {
    uint64_t peak_live, live;
    struct reading settled; /* settle_ms after the release */
};

/* What Sluice said of its modules at one moment of a stage. */
struct holding {
    char module[24];
    uint64_t live, cached, resident; /* bytes */
};

struct holdings {
    unsigned stage, count;
    struct holding of[DEMO_MODULE_COUNT];
};

enum run_state { RUN_WAITING, RUN_WORKING, RUN_SETTLING, RUN_RESTING, RUN_ENDING, RUN_OVER };

struct run {
    const struct demo_policy *policy;
    enum scene scene;
    enum run_state state;
    pid_t pid;
    int fd;                                         /* to the worker */
    uint64_t started, released, heard, next_sample; /* ns */

    char line[256]; /* what came of the worker's next line */
    size_t line_length;

    struct stage *stages; /* stage_count of them; `stage` were released */
    unsigned stage_count, stage;
    struct reading final;          /* final_ms after the last release */
    uint64_t peak;                 /* largest rss */
    struct holdings height, after; /* of the last stage: at its height, after its release */
    struct sample *samples;
    size_t sample_count, sample_capacity;

    uint64_t work_ns; /* wall time at work, without the waits */
    double user_s, system_s;
    uint64_t digest, answers;
    bool is_good;    /* it ran to its end */
    char error[128]; /* why not */
};

/* Runs all. `input` is the list of files for scene two. Prints progress on standard error. false:
 * interrupted; no worker is left. */
bool run_all(struct run *runs, size_t count, const struct options *options, const char *input);

void run_init(struct run *run, const struct demo_policy *policy, enum scene scene, unsigned stages);
void run_free(struct run *run);

#endif
