/* report.h - the mistakes of a policy: found in any order, told in the order of the file.
 *
 * Every entry has a place (a mark) and one line of text. The first REPORT_KEPT errors and as
 * many warnings are kept; the rest is counted. A report never allocates after it was made, so
 * that "out of memory" can be reported too. */
#ifndef SLUICE_CONFIG_REPORT_H
#define SLUICE_CONFIG_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/policy.h"

struct text;

#define REPORT_KEPT 20

struct report_entry {
    bool warning;
    struct policy_mark mark; /* line 0: the file as a whole */
    char text[448];
};

struct report {
    size_t errors, warnings;           /* all that were found */
    size_t kept_errors, kept_warnings; /* of these, in entries[] */
    struct report_entry entries[2 * REPORT_KEPT];
};

void report_error(struct report *report, struct policy_mark mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void report_warning(struct report *report, struct policy_mark mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sorts by file (in order of first mention), line and column. Call once, before the entries are
 * used. */
void report_sort(struct report *report);

/* Entries as lines "file:line:column: error: text", then "and N more errors". Lines that do not
 * fit are left out whole and counted with the others. */
enum report_which { REPORT_ERRORS = 1, REPORT_WARNINGS = 2, REPORT_ALL = 3 };
void report_write(const struct report *report, enum report_which which, struct text *out);

#endif
