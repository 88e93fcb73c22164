/* node.h - a policy file as a tree: scalars, lists and maps, each with the place where it was
 * written.
 *
 * Anchors, aliases and merge keys are gone: an alias is the node that it names, so a node may
 * have several parents, but never itself below it. Keys of a map are scalars and differ.
 *
 * weight counts the node and all below it, shared ones as often as they are reached; height is
 * the longest way down. Both are bounded (config/yaml.h), so that walking a tree is bounded too. */
#ifndef SLUICE_CONFIG_NODE_H
#define SLUICE_CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/policy.h"

enum node_type {
    NODE_NOTHING, /* `key:` with no value, or ~ or null */
    NODE_SCALAR,
    NODE_LIST,
    NODE_MAP
};

struct node;

struct node_pair {
    const struct node *key; /* a scalar */
    const struct node *value;
};

struct node {
    enum node_type type;
    bool plain; /* a scalar without quotes */
    uint32_t height, weight;
    struct policy_mark mark;
    const char *text; /* of a scalar or of NODE_NOTHING, as written; no NUL inside */
    size_t count;     /* of items or pairs */
    const struct node *const *items;
    const struct node_pair *pairs;
};

/* The value of a key of a map, or NULL; a map of another type has no keys. */
const struct node *node_find(const struct node *map, const char *key);
const struct node_pair *node_find_pair(const struct node *map, const char *key);

/* "a list", "a map", "nothing", "the text \"abc\"": what was found, for messages. By value, for
 * use inside one expression. */
struct node_found {
    char text[96];
};
struct node_found node_found(const struct node *node);

/* ---- An index over many keys: for maps that grow while they are checked ---------------------- */

struct node_index {
    const struct node_pair **slots;
    size_t mask, count;
};

struct meta_region;

/* For up to `capacity` keys; false without memory. */
bool node_index_init(struct node_index *index, struct meta_region *region, size_t capacity);

/* Adds the pair and returns NULL, or returns the pair that has this key already. */
const struct node_pair *node_index_add(struct node_index *index, const struct node_pair *pair);
const struct node_pair *node_index_find(const struct node_index *index, const char *key);

#endif
