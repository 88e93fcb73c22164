/* page_fuzz.c - any bytes as the page of a process (core/observe.h).
 *
 * A page is refused with a reason, or all of it can be shown: in range, valid UTF-8, nothing that a terminal obeys. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sluice/page.h"
#include "tools/sluice/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hold(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "page_fuzz: %s\n", what);
    abort();
}

static void check_text(const char *text, size_t size)
{
    hold(memchr(text, '\0', size) != NULL, "a text without an end");
    for (; *text != '\0'; text++)
        hold((unsigned char)*text >= 0x20 || *text == '\n', "a control character");
}

static void check_page(const struct page *page)
{
    check_text(page->path, sizeof page->path);
    check_text(page->error, sizeof page->error);
    check_text(page->report, sizeof page->report);
    hold(page->count <= PAGE_MODULES, "too many modules");
    for (uint32_t i = 0; i < page->count; i++) {
        check_text(page->modules[i].name, sizeof page->modules[i].name);
        check_text(page->modules[i].backends, sizeof page->modules[i].backends);
    }
}

static void show(struct table *table)
{
    unsigned marks[TABLE_HISTORY];
    for (int c = 0; c < TABLE_COLUMNS; c++) {
        table->sorted_by = (enum table_column)c;
        table_sort(table);
    }
    for (uint32_t i = 0; i < table->line_count; i++) {
        unsigned n = table_marks(table, table->order[i], 8, marks);
        for (unsigned j = 0; j < n; j++)
            hold(marks[j] < 8, "a mark out of range");
        hold(table_rate(table, table->order[i]) >= 0, "a negative rate");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct table table = {0};
    for (int i = 0; i < 2; i++) {
        const char *why = NULL;
        struct page *page = page_check(data, size, &why);
        hold((page != NULL) == (why == NULL), "no page, and no reason");
        if (page == NULL)
            return 0;
        check_page(page);
        hold(table_take(&table, page), "no memory");
        show(&table);
    }
    table_free(&table);
    return 0;
}
