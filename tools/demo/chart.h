/* chart.h - the memory curves as a picture, by gnuplot. */
#ifndef SLUICE_TOOLS_DEMO_CHART_H
#define SLUICE_TOOLS_DEMO_CHART_H

#include <stdbool.h>

#include "tools/demo/report.h"

enum chart_result { CHART_WRITTEN, CHART_NO_GNUPLOT, CHART_FAILED };

/* Writes memory.gp, a script that reads curves.csv beside it, and runs gnuplot on it: memory.svg.
 * Says on standard error why there is no chart. */
enum chart_result chart_write(const struct report *report);

#endif
