/* yaml_source.h - a text while yaml.c reads it: shared with yaml_syntax.c, and with nobody else. */
#ifndef SLUICE_CONFIG_YAML_SOURCE_H
#define SLUICE_CONFIG_YAML_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "config/node.h"
#include "config/reader.h"

struct anchor {
    struct anchor *next; /* the one before: a name that is used again hides it */
    const char *name;
    const struct node *node; /* NULL while its end was not read */
};

struct source {
    struct reader *reader;
    const char *file, *text;
    size_t length;
    yaml_parser_t parser;
    struct anchor *anchors;
    size_t anchor_count, node_count;
    bool failed; /* reading cannot go on; reported */
};

/* Reports why libyaml could not read on, with a hint where the reason is a known one. */
void yaml_report_syntax(struct source *source);

static inline struct policy_mark yaml_mark(const struct source *source, yaml_mark_t mark)
{
    return (struct policy_mark){source->file, (uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

#define FAIL(source, mark, ...)                                      \
    do {                                                             \
        report_error((source)->reader->report, (mark), __VA_ARGS__); \
        (source)->failed = true;                                     \
    } while (0)

#endif
