/* jemalloc_math.h - see jemalloc_math.c. Pure functions; any thread, also in a signal handler. */
#ifndef SLUICE_BACKENDS_JEMALLOC_MATH_H
#define SLUICE_BACKENDS_JEMALLOC_MATH_H

double sluice_jemalloc_log(double x); /* x > 0, and not denormal */
double sluice_jemalloc_exp(double x); /* 0 where the result would be denormal */
double sluice_jemalloc_round(double x);

#endif
