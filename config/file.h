/* file.h - files of a policy, without stdio and without malloc. */
#ifndef SLUICE_CONFIG_FILE_H
#define SLUICE_CONFIG_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "core/policy.h"

struct meta_region;

/* Reads the file into buffer. NULL on success; else what went wrong, as a constant text. A file
 * of more than `capacity` bytes gives *length == capacity. Pipes can be read too; folders
 * cannot. *state gets what the file was before the first byte was read. */
const char *file_read(const char *name, char *buffer, size_t capacity, size_t *length,
                      struct policy_file_state *state);

/* `name` as a file that `base` mentions: an absolute name stays, another is taken from base's
 * folder (from the working directory when base is no file name, such as "<string>"). NULL
 * without memory. */
const char *file_beside(struct meta_region *region, const char *base, const char *name);

/* The name from the root of the file system on; links are not followed, since a link may lead
 * elsewhere by the next reload. NULL without memory. */
const char *file_absolute(struct meta_region *region, const char *name);

#endif
