#include "config/read.h"

#include <string.h>

#include "config/include.h"
#include "config/parse.h"
#include "config/text.h"
#include "core/error.h"
#include "core/log.h"

#define MEBIBYTE ((size_t)1 << 20)

const struct reader_limits reader_default_limits = {
    .file_bytes = 1 * MEBIBYTE,
    .depth = 64,
    .nodes = 200000,
    .anchors = 1000,
    .files = 64,
    .include_depth = 16,
    .modules = 16384,
    .backends = 1000,
    .rules = 64,
    .phases = 256,
    .attribution = 1024,
    .scratch_bytes = 64 * MEBIBYTE,
    .policy_bytes = 64 * MEBIBYTE,
};

/* ---- Memory ---------------------------------------------------------------------------------- */

void reader_no_memory(struct reader *reader, const struct meta_region *region)
{
    if (reader->out_of_memory)
        return;
    reader->out_of_memory = true;
    if (meta_region_exhausted(region))
        report_error(reader->report, reader->root, "too large: it takes more than %zu KiB to read",
                     (region == reader->scratch ? reader->limits->scratch_bytes
                                                : reader->limits->policy_bytes) >>
                         10);
    else
        report_error(reader->report, reader->root, "no memory to read it");
}

void *reader_scratch(struct reader *reader, size_t size)
{
    void *p = meta_region_alloc(reader->scratch, size);
    if (!p)
        reader_no_memory(reader, reader->scratch);
    return p;
}

void *reader_keep(struct reader *reader, size_t size)
{
    void *p = meta_region_alloc(reader->memory, size);
    if (!p)
        reader_no_memory(reader, reader->memory);
    return p;
}

const char *reader_keep_text(struct reader *reader, const char *text)
{
    const char *copy = meta_region_strndup(reader->memory, text, strlen(text));
    if (!copy)
        reader_no_memory(reader, reader->memory);
    return copy;
}

/* ---- One reading ----------------------------------------------------------------------------- */

static void read_source(struct read *read, struct reader *reader, const struct read_source *source)
{
    const struct node *tree = NULL;
    reader->text.region = reader->scratch;
    if (source->path)
        tree = include_read_file(reader, source->path);
    else
        tree = include_read_text(reader, source->label, source->text ? source->text : "",
                                 source->text ? source->length : 0);
    if (tree && !reader->out_of_memory)
        read->policy = parse_policy(reader, tree);
    if (read->policy)
        read->result = SLUICE_OK;
    else if (reader->unreadable)
        read->result = SLUICE_ERROR_IO;
    else if (reader->out_of_memory && !meta_region_exhausted(reader->scratch) &&
             !meta_region_exhausted(reader->memory))
        read->result = SLUICE_ERROR_NO_MEMORY;
    else
        read->result = SLUICE_ERROR_POLICY;
}

void read_begin(struct read *read, const struct read_source *source,
                const struct reader_limits *limits)
{
    struct reader reader = {.limits = limits};
    *read = (struct read){.result = SLUICE_ERROR_NO_MEMORY};
    reader.root.file = source->path ? source->path : source->label;
    reader.scratch = read->scratch = meta_region_create(limits->scratch_bytes);
    reader.memory = meta_region_create(limits->policy_bytes);
    if (reader.scratch && reader.memory)
        reader.report = read->report = meta_region_alloc(reader.scratch, sizeof(*reader.report));
    if (reader.report) {
        read_source(read, &reader, source);
        report_sort(read->report);
    }
    if (read->policy)
        return;
    /* Marks of the report may name files that lie in the policy's memory. */
    read->policy_memory = reader.memory;
}

void read_end(struct read *read)
{
    meta_region_destroy(read->policy_memory);
    meta_region_destroy(read->scratch);
    *read = (struct read){.result = read->result};
}

/* ---- The seam -------------------------------------------------------------------------------- */

static void log_warnings(const struct report *report)
{
    size_t count = report->kept_errors + report->kept_warnings;
    for (size_t i = 0; i < count; i++) {
        const struct report_entry *entry = &report->entries[i];
        if (entry->warning)
            log_line(LOG_LEVEL_WARN, "%s:%u:%u: %s", entry->mark.file, entry->mark.line,
                     entry->mark.column, entry->text);
    }
    if (report->warnings > report->kept_warnings)
        log_line(LOG_LEVEL_WARN, "%s: and %zu more warnings", report->entries[0].mark.file,
                 report->warnings - report->kept_warnings);
}

static enum sluice_result read_policy(const struct read_source *source, struct policy **out,
                                      char *error, size_t error_size)
{
    struct read read;
    struct text text;
    text_init(&text, error, error_size);
    read_begin(&read, source, &reader_default_limits);
    *out = read.policy;
    if (!read.report)
        text_add(&text, "%s: error: no memory to read it",
                 source->path ? source->path : source->label);
    else if (read.policy)
        log_warnings(read.report);
    else
        report_write(read.report, REPORT_ERRORS, &text);
    read_end(&read);
    return read.result;
}

enum sluice_result policy_read_file(const char *path, struct policy **out, char *error,
                                    size_t error_size)
{
    return read_policy(&(struct read_source){.path = path}, out, error, error_size);
}

enum sluice_result policy_read_string(const char *yaml, size_t length, struct policy **out,
                                      char *error, size_t error_size)
{
    struct read_source source = {.label = "<string>", .text = yaml, .length = length};
    return read_policy(&source, out, error, error_size);
}

void policy_destroy(struct policy *policy)
{
    /* The policy lies in its own memory: it is gone with this. */
    if (policy)
        meta_region_destroy(policy->memory);
}
