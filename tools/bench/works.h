/* works.h - work that is like a program's: each takes a process of its own, under whoever is malloc there. */
#ifndef SLUICE_TOOLS_BENCH_WORKS_H
#define SLUICE_TOOLS_BENCH_WORKS_H

#include <stdbool.h>
#include <stddef.h>

struct work {
    const char *name, *what;
    size_t (*run)(
        size_t n); /* n units of work; returns its operations, which times are divided by */
    size_t n;      /* about half a second of them */
    bool rests;    /* all is free at its end, and a program would want it back */
};

/* Bytes that the work has asked for and not freed at its end. */
extern size_t works_live;

#define WORKS_HOUR 3600 /* s */

/* An hour of a server: n objects a second, of up to 64 KiB; most live some seconds, one of twenty up to twenty minutes; beside
 * them one of 64 KiB that lives five minutes, and one of 100 KiB that goes at once. What lives at the end stays. Calls
 * after_second(), unless it is NULL, for each of the seconds. Returns the number of objects. Once in a process. */
size_t works_churn(size_t n, void (*after_second)(unsigned second));

extern const struct work works[];
extern const size_t work_count;

#endif
