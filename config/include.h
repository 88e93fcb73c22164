/* include.h - a policy file and all that it includes, as one tree.
 *
 * Included files come first and the file's own keys win. Maps are merged key by key, all the way
 * down; what is not a map is replaced as a whole, and so is a map whose `kind` differs
 * (parameters of one kind mean nothing to another). What wins also stands first in its map: own
 * patterns are looked at before included ones. Lists of `attribution` are joined in that order.
 * `include` itself is gone from the tree. */
#ifndef SLUICE_CONFIG_INCLUDE_H
#define SLUICE_CONFIG_INCLUDE_H

#include <stddef.h>

struct node;
struct reader;

/* NULL after at least one mistake was reported. */
const struct node *include_read_file(struct reader *reader, const char *name);
const struct node *include_read_text(struct reader *reader, const char *label, const char *text,
                                     size_t length);

#endif
