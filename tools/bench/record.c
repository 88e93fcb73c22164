/* record.c - see record.h. */
#include "tools/bench/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static FILE *file;
static const char *name;

static bool fail(void)
{
    fprintf(stderr, "bench: %s: %s\n", name, strerror(errno));
    return false;
}

bool record_open(const char *path)
{
    name = path;
    file = fopen(path, "we");
    return file != NULL || fail();
}

bool record_close(void)
{
    if (file == NULL)
        return true;
    bool written = ferror(file) == 0;
    return (fclose(file) == 0 && written) || fail();
}

void record_figure(const char *row, const char *contender, size_t round, const char *figure,
                   double value)
{
    if (file != NULL)
        fprintf(file, "%s\t%s\t%zu\t%s\t%.9g\n", row, contender, round, figure, value);
}

void record_series(const char *row, const char *contender, const char *figure,
                   const struct series *series)
{
    for (size_t i = 0; i < series->count; i++)
        record_figure(row, contender, i, figure, series->value[i]);
}
