/* record.h - every round's figures, for charts.py: `bench --record FILE`.
 *
 * A line for each: "ROW<tab>CONTENDER<tab>ROUND<tab>FIGURE<tab>VALUE". A row starts with the name of its benchmark; one of
 * several is set apart by ": ". What is measured only once belongs to round 0. */
#ifndef SLUICE_TOOLS_BENCH_RECORD_H
#define SLUICE_TOOLS_BENCH_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/bench/series.h"

/* The two return false where the file can't be written, which is said on standard error. */
bool record_open(const char *path);
bool record_close(void);

/* Without effect while no file is open. */
void record_figure(const char *row, const char *contender, size_t round, const char *figure,
                   double value);
void record_series(const char *row, const char *contender, const char *figure,
                   const struct series *series);

#endif
