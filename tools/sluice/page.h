/* page.h - what a process says of itself (core/observe.h), checked and made fit to be shown.
 *
 * The bytes come from another process, which may be broken or mean harm: nothing in them is believed. After page_check()
 * counts are in range, and texts are valid UTF-8 without control characters, with what was none written as \xNN.
 */
#ifndef SLUICE_TOOLS_SLUICE_PAGE_H
#define SLUICE_TOOLS_SLUICE_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/observe.h"

#define PAGE_MODULES 16384 /* of a process at most */
#define PAGE_TEXT(n) (4 * (n) + 1)

struct page_module {
    char name[PAGE_TEXT(OBSERVE_NAME)];
    char backends[PAGE_TEXT(OBSERVE_BACKENDS)]; /* parted by commas */
    struct observe_module figures;              /* its texts are not for showing */
};

struct page {
    bool outgrown; /* the process has more modules than there is room for: ask for another page */
    uint32_t count, period_ms;
    uint64_t sequence, time;
    int64_t wall_time;
    struct observe_process process;
    struct observe_reload reload; /* its texts are not for showing */
    char path[PAGE_TEXT(256)];
    char error[PAGE_TEXT(1024)]; /* lines, parted by newlines */
    char report[PAGE_TEXT(4096)];
    struct page_module modules[]; /* count of them */
};

/* Bytes that a page with such a header has, to be copied before it is checked; 0: it is none, and *why says so. */
size_t page_size(const struct observe_header *header, const char **why);

/* A page, for free(); or NULL, and *why says why. `size` bytes at `bytes`, which need no alignment. */
struct page *page_check(const void *bytes, size_t size, const char **why);

/* A text of another process, of several lines perhaps, as above; what does not fit is cut. */
void page_show_text(const char *text, char *out, size_t size);

#endif
