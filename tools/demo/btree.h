/* btree.h - a B-tree from byte strings to pointers, in the order of memcmp(), a prefix before what
 * it begins.
 *
 * Keys are not copied: they belong to the caller and must stay while they are in the tree. Nodes
 * are taken for one module through layer.h; a leaf is smaller than an inner node. No locks: one
 * thread at a time.
 *
 * Invariants: all leaves have the same depth; a node holds BTREE_MIN to BTREE_MAX items, the root 0
 * to BTREE_MAX; an inner node with n items has n + 1 children; an item of an inner node lies
 * between the keys of the children beside it.
 */
#ifndef SLUICE_TOOLS_DEMO_BTREE_H
#define SLUICE_TOOLS_DEMO_BTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/demo/layer.h"

#define BTREE_MIN 15
#define BTREE_MAX (2 * BTREE_MIN + 1)

struct btree_item {
    const void *key;
    void *value;
    uint32_t length;
};

struct btree_node;

struct btree {
    enum demo_module module;
    size_t count;            /* items */
    struct btree_node *root; /* NULL: empty */
};

/* An empty tree holds no memory. */
void btree_init(struct btree *tree, enum demo_module module);

/* Frees all nodes; neither keys nor values. The tree is empty and can be used again. */
void btree_clear(struct btree *tree);

/* Adds an item. false when the key was there: the tree is as before. */
bool btree_insert(struct btree *tree, const void *key, size_t length, void *value);

/* The item of a key, or NULL. Valid until the tree changes. */
const struct btree_item *btree_find(const struct btree *tree, const void *key, size_t length);

/* Removes a key. true when it was there; the item is then in *out, so that the caller can free key
 * and value. */
bool btree_remove(struct btree *tree, const void *key, size_t length, struct btree_item *out);

/* Calls visit for each item from the first whose key is not below `from`, in order, until visit
 * returns false. length 0: from the first item of all. The tree must not change meanwhile. */
void btree_scan(const struct btree *tree, const void *from, size_t length,
                bool (*visit)(const struct btree_item *item, void *arg), void *arg);

/* Whether the invariants above hold and count is right: for tests. */
bool btree_is_sound(const struct btree *tree);

#endif
