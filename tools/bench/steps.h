/* steps.h - how many instructions something takes, counted one by one. */
#ifndef SLUICE_TOOLS_BENCH_STEPS_H
#define SLUICE_TOOLS_BENCH_STEPS_H

#include <stddef.h>

/* Operations that tables count instructions of: more tell nothing new. */
#define STEPPED 200

/* Instructions that work(n) takes more than work(0), divided by n; in a child of this process, which is traced step by step:
 * exact, and some microseconds for each. What the system does inside a call of it is one step. Below 0: tracing is not
 * allowed here. */
double steps_each(void (*work)(size_t n), size_t n);

#endif
