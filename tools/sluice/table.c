#include "tools/sluice/table.h"

#include <stdlib.h>
#include <string.h>

void table_free(struct table *table)
{
    free(table->page);
    free(table->before);
    free(table->histories);
    free(table->order);
    *table = (struct table){0};
}

static bool make_room(struct table *table, uint32_t count)
{
    if (count <= table->capacity)
        return true;
    uint32_t capacity = count * 2;
    struct table_history *histories = realloc(table->histories, capacity * sizeof *histories);
    if (histories == NULL)
        return false;
    table->histories = histories;
    uint32_t *order = realloc(table->order, capacity * sizeof *order);
    if (order == NULL)
        return false;
    table->order = order;
    table->capacity = capacity;
    return true;
}

static void note(struct table_history *history, uint64_t live)
{
    if (history->count == TABLE_HISTORY)
        memmove(history->live, history->live + 1, (TABLE_HISTORY - 1) * sizeof *history->live);
    else
        history->count++;
    history->live[history->count - 1] = live;
}

bool table_take(struct table *table, struct page *page)
{
    if (!make_room(table, page->count)) {
        free(page);
        return false;
    }
    free(table->before);
    table->before = table->page;
    table->page = page;
    while (table->history_count < page->count)
        table->histories[table->history_count++].count = 0;
    for (uint32_t i = 0; i < page->count; i++)
        note(&table->histories[i], page->modules[i].figures.live_bytes);
    table_sort(table);
    return true;
}

double table_rate(const struct table *table, uint32_t module)
{
    const struct page *now = table->page, *before = table->before;
    if (before == NULL || module >= before->count || now->time <= before->time)
        return 0;
    uint64_t new = now->modules[module].figures.allocated_objects,
             old = before->modules[module].figures.allocated_objects;
    return new < old ? 0 : (double)(new - old) * 1e9 / (double)(now->time - before->time);
}

double table_value(const struct table *table, uint32_t module, enum table_column column)
{
    const struct observe_module *f = &table->page->modules[module].figures;
    switch (column) {
    case TABLE_LIVE:
        return (double)f->live_bytes;
    case TABLE_PEAK:
        return (double)f->peak_live_bytes;
    case TABLE_RESIDENT:
        return (double)f->resident_bytes;
    case TABLE_CACHED:
        return (double)f->cached_bytes;
    case TABLE_LIMIT:
        return (double)f->limit_bytes;
    case TABLE_DRAINING:
        return (double)f->draining_bytes;
    case TABLE_RATE:
        return table_rate(table, module);
    case TABLE_MODULE:
    case TABLE_COLUMNS:
        break;
    }
    return 0;
}

/* Names rise; numbers fall, and equal ones are in the order of the names. */
static int compare(const void *a, const void *b, void *arg)
{
    const struct table *table = arg;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    double p = table_value(table, x, table->sorted_by), q = table_value(table, y, table->sorted_by);
    int order = p > q   ? -1
                : p < q ? 1
                        : strcmp(table->page->modules[x].name, table->page->modules[y].name);
    return table->reversed ? -order : order;
}

void table_sort(struct table *table)
{
    table->line_count = 0;
    for (uint32_t i = 0; table->page != NULL && i < table->page->count; i++)
        if (strcasestr(table->page->modules[i].name, table->filter) != NULL)
            table->order[table->line_count++] = i;
    if (table->line_count > 0)
        qsort_r(table->order, table->line_count, sizeof *table->order, compare, table);
}

unsigned table_marks(const struct table *table, uint32_t module, unsigned steps,
                     unsigned marks[TABLE_HISTORY])
{
    const struct table_history *history = &table->histories[module];
    uint64_t largest = 0;
    for (unsigned i = 0; i < history->count; i++)
        largest = history->live[i] > largest ? history->live[i] : largest;
    for (unsigned i = 0; i < history->count; i++) {
        double part = largest == 0 ? 0 : (double)history->live[i] / (double)largest;
        marks[i] = (unsigned)(part * (steps - 1) + 0.5);
    }
    return history->count;
}
