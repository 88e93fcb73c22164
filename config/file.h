/* file.h - files of a policy, without stdio and without malloc. */
#ifndef SLUICE_CONFIG_FILE_H
#define SLUICE_CONFIG_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "core/meta.h"
#include "core/policy.h"

/* What was read last, for one file after the other: grows in the region. */
struct file_text {
    struct meta_region *region;
    char *bytes;
    size_t capacity, length;
};

/* Reads the file into text. NULL on success; else what went wrong, as a constant text: FILE_NO_MEMORY where the region gives
 * none. A file of `limit` bytes or more gives length == limit. Pipes can be read too; folders cannot. *state gets what the
 * file was before the first byte was read. */
const char *file_read(const char *name, struct file_text *text, size_t limit,
                      struct policy_file_state *state);
extern const char FILE_NO_MEMORY[];

/* `name` as a file that `base` mentions: an absolute name stays, another is taken from base's
 * folder (from the working directory when base is no file name, such as "<string>"). NULL
 * without memory. */
const char *file_beside(struct meta_region *region, const char *base, const char *name);

/* The name from the root of the file system on; links are not followed, since a link may lead
 * elsewhere by the next reload. NULL without memory. */
const char *file_absolute(struct meta_region *region, const char *name);

#endif
