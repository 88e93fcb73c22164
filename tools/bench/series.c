/* series.c - see series.h. */
#include "tools/bench/series.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void series_add(struct series *series, double value)
{
    if (series->count < SERIES_MAX)
        series->value[series->count++] = value;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double series_median(const struct series *series)
{
    static double sorted[SERIES_MAX];
    size_t n = series->count;
    if (n == 0)
        return 0;
    memcpy(sorted, series->value, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare);
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double series_smallest(const struct series *series)
{
    double least = series->count == 0 ? 0 : series->value[0];
    for (size_t i = 1; i < series->count; i++)
        least = series->value[i] < least ? series->value[i] : least;
    return least;
}

double series_largest(const struct series *series)
{
    double most = series->count == 0 ? 0 : series->value[0];
    for (size_t i = 1; i < series->count; i++)
        most = series->value[i] > most ? series->value[i] : most;
    return most;
}

void series_print_noise(const char *what, const struct series *series, const char *unit)
{
    double median = series_median(series), least = series_smallest(series);
    if (median > 1.1 * least)
        printf("too noisy to conclude much: %s took %.2f %s at best, and %.2f %s mostly\n", what,
               least, unit, median, unit);
}

uint64_t series_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void series_wait_until(uint64_t ns)
{
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME,
                    &(struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)}, NULL);
}
