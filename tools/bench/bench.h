/* bench.h - the benchmarks of `tools/dev bench`.
 *
 * A benchmark runs its contenders in turns, round after round, so that what disturbs the machine disturbs all of them, and
 * reports medians and ratios to one of them: times of their own mean little. It prints its table on standard output.
 */
#ifndef SLUICE_TOOLS_BENCH_BENCH_H
#define SLUICE_TOOLS_BENCH_BENCH_H

#include <stdbool.h>

#include <sluice/sluice.h>

struct bench_options {
    bool quick; /* fewer rounds and sizes: a look whether it runs */
    bool slow;  /* an hour takes an hour: fragmentation */
};

/* 0, or 1 when something failed to run (said on standard error). */
int bench_pair(const struct bench_options *options);
int bench_set(const struct bench_options *options);
int bench_attribution(const struct bench_options *options);
int bench_phases(const struct bench_options *options);
int bench_reload(const struct bench_options *options);
int bench_overhead(const struct bench_options *options);
int bench_giveback(const struct bench_options *options);
int bench_fragmentation(const struct bench_options *options);
int bench_growth(const struct bench_options *options);

/* `bench resident`: prints the bytes that this process is resident with; a child of bench_overhead(). */
int bench_resident(void);

/* The part of bench_phases() that looks at allocation. The modules are bound to the phases "region" and "pool". */
int bench_bump(const struct bench_options *options, sluice_module region, sluice_module pool);

/* `bench turns WORK`: a child of the above, with another malloc. */
int bench_turns(const char *work);
int bench_giveback_child(void);      /* of the work "giveback" */
int bench_fragmentation_child(void); /* of the work "fragmentation" */

/* `bench works`: names, what they are, and whether all is free at their end; `bench work`: does one, see work.c. */
int bench_works(void);
int bench_work(const char *name, size_t part);

/* `bench measure`, for programs.py. command ends with NULL. Returns the command's exit status. */
int bench_measure(const char *file, char **command);

#endif
