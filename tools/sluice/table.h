/* table.h - what `sluice top` shows of the modules: readings in a row, their rates and histories, the order of lines. */
#ifndef SLUICE_TOOLS_SLUICE_TABLE_H
#define SLUICE_TOOLS_SLUICE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/sluice/page.h"

#define TABLE_HISTORY 20

enum table_column {
    TABLE_MODULE,
    TABLE_LIVE,
    TABLE_PEAK,
    TABLE_RESIDENT,
    TABLE_CACHED,
    TABLE_LIMIT,
    TABLE_DRAINING,
    TABLE_RATE,
    TABLE_COLUMNS
};

/* Live bytes of the last readings, the newest last. */
struct table_history {
    uint64_t live[TABLE_HISTORY];
    unsigned count;
};

struct table {
    struct page *page, *before; /* NULL: not yet */
    struct table_history *histories;
    uint32_t history_count, capacity;
    uint32_t *order; /* indexes of page->modules, line_count of them */
    uint32_t line_count;
    enum table_column sorted_by;
    bool reversed;
    char filter[64]; /* modules whose name has it, in whatever case; "": all */
};

/* Takes over a page. false: no memory, and the page is freed. */
bool table_take(struct table *table, struct page *page);

/* After a change of sorted_by, reversed or filter. */
void table_sort(struct table *table);

/* Objects that a module has allocated in each second between the last two readings. */
double table_rate(const struct table *table, uint32_t module);

/* The value of a module in a column that has numbers. */
double table_value(const struct table *table, uint32_t module, enum table_column column);

/* A history as marks from 0 to steps - 1, relative to its largest; their number. */
unsigned table_marks(const struct table *table, uint32_t module, unsigned steps,
                     unsigned marks[TABLE_HISTORY]);

void table_free(struct table *table);

#endif
