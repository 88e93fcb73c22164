/* series.c - see series.h. */
#include "tools/bench/series.h"

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

uint64_t series_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
