/* reader.h - what one reading of a policy works with.
 *
 * Two regions: scratch holds the text's tree, libyaml's memory and the report, and ends with the
 * reading; memory holds the policy and everything that it points to. File names lie in memory,
 * since marks keep them. */
#ifndef SLUICE_CONFIG_READER_H
#define SLUICE_CONFIG_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "config/file.h"
#include "config/report.h"
#include "core/meta.h"
#include "core/policy.h"

/* Bounds: far beyond what people write, near enough that no text can take the process's memory
 * or time. */
struct reader_limits {
    size_t file_bytes; /* of one file */
    size_t depth;      /* of nesting, aliases followed */
    size_t nodes;      /* of one file, aliases counted as often as they stand */
    size_t anchors;    /* of one file */
    size_t files;      /* the policy and all that it includes */
    size_t include_depth;
    size_t modules, backends, rules, phases, attribution;
    size_t scratch_bytes;
    size_t policy_bytes;
};

extern const struct reader_limits reader_default_limits;

struct reader {
    struct meta_region *scratch, *memory;
    struct report *report;
    const struct reader_limits *limits;
    struct file_text text;                    /* of the file that is being read */
    struct policy_mark root;                  /* the file that was asked for, as a whole */
    bool from_file;                           /* not from a text */
    bool out_of_memory;                       /* reported once */
    bool unreadable;                          /* the file that was asked for could not be read */
    const char *files[64];                    /* absolute names; limits->files of them at most */
    struct policy_file_state file_states[64]; /* when each was read first */
    size_t file_count, files_read;            /* different ones; all, repeated ones too */
};

/* Zeroed memory; NULL after the mistake was reported. */
void *reader_scratch(struct reader *reader, size_t size);
void *reader_keep(struct reader *reader, size_t size);
const char *reader_keep_text(struct reader *reader, const char *text);

/* Reports that a region gave out, once. */
void reader_no_memory(struct reader *reader, const struct meta_region *region);

#endif
