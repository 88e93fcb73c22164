/* report.h - what the runs showed: figures of a run, the table, the bar, JSON and CSV.
 *
 * Words:
 *   resident   Rss less LazyFree, as the kernel says
 *   live       bytes that the program requested and did not free
 *   overhead   resident less live, after a release
 *   drift      overhead after the last release less overhead after the first
 */
#ifndef SLUICE_TOOLS_DEMO_REPORT_H
#define SLUICE_TOOLS_DEMO_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/demo/options.h"
#include "tools/demo/run.h"

struct report {
    const struct options *options;
    const struct run *runs;
    size_t count;
};

struct figures {
    uint64_t peak, live; /* largest rss; live after the last release */
    uint64_t settled_mean,
        settled; /* resident after a release: mean, and the worst against its live bytes */
    uint64_t settled_live;  /* live bytes where that was */
    unsigned settled_stage; /* from 1 */
    uint64_t final;         /* resident at the end of the last wait */
    uint64_t lazyfree;      /* the most that was seen after a release */
    int64_t drift;
    double cpu_s, wall_s;
};

/* Of a run that is good. */
struct figures report_figures(const struct run *run);

/* The run of that policy in that scene, when there is one and it is good; else NULL. */
const struct run *report_find(const struct report *report, enum scene scene, const char *policy);

/* The bar for the recommended policy in one scene. */
struct bar {
    bool is_known; /* false: it or plain glibc did not run to the end */
    bool
        is_judged; /* false: the waits were shorter than what the bar is defined for; it is not met then */
    bool is_resident_met, is_drift_met, is_cpu_met;
    uint64_t resident_allowed; /* where figures.settled was measured */
};
struct bar report_bar(const struct report *report, enum scene scene);
bool bar_is_met(struct bar bar);

#define BAR_SETTLE_MS 1000               /* from a release to its measurement, at least */
#define BAR_DRIFT     ((int64_t)4 << 20) /* two chunks: below that it is no trend */

/* Whether all good runs of a scene gave the same answers. */
bool report_answers_agree(const struct report *report, enum scene scene);

void report_print_table(const struct report *report);
/* Which module held what under the recommended policy, as Sluice tells. */
void report_print_modules(const struct report *report);
void report_print_bar(const struct report *report);
void report_print_json(const struct report *report);

/* summary.csv, stages.csv and curves.csv in the output folder. false: a message is out. */
bool report_write_csv(const struct report *report);

#endif
