/* series.h - times of one contender, and their median. */
#ifndef SLUICE_TOOLS_BENCH_SERIES_H
#define SLUICE_TOOLS_BENCH_SERIES_H

#include <stddef.h>
#include <stdint.h>

#define SERIES_MAX 1000

struct series {
    size_t count;
    double value[SERIES_MAX];
};

/* What is beyond SERIES_MAX is not taken. */
void series_add(struct series *series, double value);

/* 0 for an empty one. */
double series_median(const struct series *series);
double series_smallest(const struct series *series);

/* 0 for an empty one. */
double series_largest(const struct series *series);

/* Says so on standard output where the median is far above the smallest: rounds of a calm machine lie close together. what: row
 * and contender; unit: of the values. */
void series_print_noise(const char *what, const struct series *series, const char *unit);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t series_now(void);

/* Sleeps until that time. */
void series_wait_until(uint64_t ns);

#endif
