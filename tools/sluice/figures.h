/* figures.h - a page in the formats of `sluice stat`: for people, as JSON, as OpenMetrics text. */
#ifndef SLUICE_TOOLS_SLUICE_FIGURES_H
#define SLUICE_TOOLS_SLUICE_FIGURES_H

#include <stdio.h>
#include <sys/types.h>

#include "tools/sluice/page.h"

void figures_text(const struct page *page, pid_t pid, FILE *out);
void figures_json(const struct page *page, pid_t pid, FILE *out);
void figures_openmetrics(const struct page *page, FILE *out);

/* A size as people read it, four figures at most: 1.23GiB. By value: figures_size(n).text */
struct figures_size {
    char text[24];
};
struct figures_size figures_size(uint64_t bytes);

/* The command's name of a process, made showable; "" when it cannot be had. size >= 64. */
void figures_command(pid_t pid, char *out, size_t size);

#endif
