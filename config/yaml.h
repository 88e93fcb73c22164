/* yaml.h - YAML 1.1, as libyaml reads it, into a tree of nodes.
 *
 * Everything that a policy cannot use is a mistake here, with its place: text that is not UTF-8,
 * several documents, tags, duplicate keys, keys that are not scalars, aliases that lead into
 * themselves or expand beyond the reader's limits. Merge keys (`<<`) are resolved: keys of the
 * map itself win, then those of earlier maps of the list. */
#ifndef SLUICE_CONFIG_YAML_H
#define SLUICE_CONFIG_YAML_H

#include <stddef.h>

struct node;
struct reader;

/* The tree of text[0 .. length), with `file` in its marks (kept, not copied). NULL after at
 * least one mistake was reported. A tree may be returned although mistakes were reported: they
 * are all of a kind that lets reading go on. */
const struct node *yaml_read_tree(struct reader *reader, const char *file, const char *text,
                                  size_t length);

#endif
