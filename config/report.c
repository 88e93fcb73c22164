#include "config/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/text.h"

static void add(struct report *report, bool warning, struct policy_mark mark, const char *format,
                va_list arguments)
{
    size_t *found = warning ? &report->warnings : &report->errors;
    size_t *kept = warning ? &report->kept_warnings : &report->kept_errors;
    if (*kept == REPORT_KEPT) {
        (*found)++;
        return;
    }
    struct report_entry *entry = &report->entries[report->kept_errors + report->kept_warnings];
    struct text text;
    text_init(&text, entry->text, sizeof(entry->text));
    text_add_list(&text, format, arguments);
    if (text.cut)
        memcpy(entry->text + sizeof(entry->text) - sizeof("..."), "...", sizeof("..."));
    /* One entry is one line, whatever a quoted name contained. */
    for (char *c = entry->text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
    /* A value that an alias brings to several places is wrong once. */
    for (const struct report_entry *other = report->entries; other < entry; other++) {
        if (other->mark.line == mark.line && other->mark.column == mark.column &&
            strcmp(other->mark.file, mark.file) == 0 && strcmp(other->text, entry->text) == 0)
            return;
    }
    entry->warning = warning;
    entry->mark = mark;
    (*found)++;
    (*kept)++;
}

void report_error(struct report *report, struct policy_mark mark, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(report, false, mark, format, arguments);
    va_end(arguments);
}

void report_warning(struct report *report, struct policy_mark mark, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(report, true, mark, format, arguments);
    va_end(arguments);
}

/* The position at which the entry's file was first mentioned. */
static size_t file_rank(const struct report *report, size_t count, const char *file)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(report->entries[i].mark.file, file) == 0)
            return i;
    }
    return count;
}

void report_sort(struct report *report)
{
    size_t count = report->kept_errors + report->kept_warnings;
    struct {
        size_t rank, index;
    } order[2 * REPORT_KEPT];
    for (size_t i = 0; i < count; i++) {
        order[i].rank = file_rank(report, count, report->entries[i].mark.file);
        order[i].index = i;
    }
    /* Insertion: stable, and there are forty at most. */
    for (size_t i = 1; i < count; i++) {
        struct report_entry moving = report->entries[i];
        size_t rank = order[i].rank, to = i;
        while (to > 0) {
            const struct policy_mark *a = &report->entries[to - 1].mark, *b = &moving.mark;
            bool after = order[to - 1].rank != rank ? order[to - 1].rank > rank
                         : a->line != b->line       ? a->line > b->line
                                                    : a->column > b->column;
            if (!after)
                break;
            report->entries[to] = report->entries[to - 1];
            order[to].rank = order[to - 1].rank;
            to--;
        }
        report->entries[to] = moving;
        order[to].rank = rank;
    }
}

static void write_line(const struct report_entry *entry, struct text *out)
{
    const char *severity = entry->warning ? "warning" : "error";
    if (entry->mark.line == 0)
        text_add(out, "%s: %s: %s", entry->mark.file, severity, entry->text);
    else
        text_add(out, "%s:%u:%u: %s: %s", entry->mark.file, entry->mark.line, entry->mark.column,
                 severity, entry->text);
}

static void write_rest(struct text *out, size_t count, const char *noun)
{
    if (count > 0)
        text_add(out, "%sand %zu more %s%s", out->used > 0 ? "\n" : "", count, noun,
                 count > 1 ? "s" : "");
}

void report_write(const struct report *report, enum report_which which, struct text *out)
{
    size_t count = report->kept_errors + report->kept_warnings;
    size_t errors_left = which & REPORT_ERRORS ? report->errors : 0;
    size_t warnings_left = which & REPORT_WARNINGS ? report->warnings : 0;
    /* Room for the last line, so that the count is not what is cut. */
    size_t whole = out->size, reserve = 64;
    if (out->size - out->used > 4 * reserve)
        out->size -= reserve;

    for (size_t i = 0; i < count; i++) {
        const struct report_entry *entry = &report->entries[i];
        if (!(which & (entry->warning ? REPORT_WARNINGS : REPORT_ERRORS)))
            continue;
        size_t before = out->used;
        if (out->used > 0)
            text_add(out, "\n");
        write_line(entry, out);
        if (out->cut && before > 0) { /* the first line is shown even when it is cut */
            text_rewind(out, before);
            break;
        }
        *(entry->warning ? &warnings_left : &errors_left) -= 1;
        if (out->cut)
            break;
    }
    out->size = whole;
    write_rest(out, errors_left, "error");
    write_rest(out, warnings_left, "warning");
}
