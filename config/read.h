/* read.h - one reading of a policy, with its report: what policy_read_file() and its sisters are
 * made of. */
#ifndef SLUICE_CONFIG_READ_H
#define SLUICE_CONFIG_READ_H

#include "config/reader.h"

struct read_source {
    const char *path;  /* a file; or NULL and: */
    const char *label; /* what marks call the text, "<string>" */
    const char *text;
    size_t length;
};

/* One reading. Either *policy is set, or report has at least one error. read_end() in any case,
 * after the report was used; the policy outlives it. */
struct read {
    struct policy *policy;
    struct report *report; /* sorted; NULL without memory for even that */
    enum sluice_result result;
    struct meta_region *policy_memory; /* without a policy: where its memory is until read_end() */
    struct meta_region *scratch;
};

void read_begin(struct read *read, const struct read_source *source,
                const struct reader_limits *limits);
void read_end(struct read *read);

#endif
