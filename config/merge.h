/* merge.h - one tree over another, as include.h describes. */
#ifndef SLUICE_CONFIG_MERGE_H
#define SLUICE_CONFIG_MERGE_H

struct node;
struct node_pair;
struct reader;

/* Both are maps. NULL without memory. Neither is changed; the result shares their nodes. */
const struct node *merge_trees(struct reader *reader, const struct node *below,
                               const struct node *above);

/* The map without one of its pairs. NULL without memory. */
const struct node *merge_without(struct reader *reader, const struct node *map,
                                 const struct node_pair *pair);

#endif
