/* btree.c - see btree.h. The algorithms are those of Cormen, Leiserson, Rivest and Stein,
 * "Introduction to Algorithms", chapter "B-Trees": each way down repairs the nodes that it passes,
 * so that no way back up is needed. */
#include "tools/demo/btree.h"

#include <string.h>

struct btree_node {
    uint32_t count; /* items */
    bool is_leaf;
    struct btree_item items[BTREE_MAX];
    struct btree_node *children[]; /* BTREE_MAX + 1 of them; none in a leaf */
};

static size_t node_size(bool is_leaf)
{
    size_t children = is_leaf ? 0 : BTREE_MAX + 1;
    return offsetof(struct btree_node, children) + children * sizeof(struct btree_node *);
}

static struct btree_node *node_create(const struct btree *tree, bool is_leaf)
{
    struct btree_node *node = demo_alloc(tree->module, node_size(is_leaf));
    node->count = 0;
    node->is_leaf = is_leaf;
    return node;
}

static void node_destroy(struct btree_node *node)
{
    demo_free(node, node_size(node->is_leaf));
}

static int compare(const void *key, size_t length, const struct btree_item *item)
{
    size_t shared = length < item->length ? length : item->length;
    int order = memcmp(key, item->key, shared);
    if (order != 0 || length == item->length)
        return order;
    return length < item->length ? -1 : 1;
}

/* Index of the first item not below the key; *is_equal: it is the key. */
static uint32_t search(const struct btree_node *node, const void *key, size_t length,
                       bool *is_equal)
{
    uint32_t low = 0, high = node->count;
    *is_equal = false;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = compare(key, length, &node->items[middle]);
        if (order == 0) {
            *is_equal = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Makes room for one item at `at` (and for the child to its right), or closes it. */
static void open_gap(struct btree_node *node, uint32_t at)
{
    memmove(&node->items[at + 1], &node->items[at], (node->count - at) * sizeof(node->items[0]));
    if (!node->is_leaf)
        memmove(&node->children[at + 2], &node->children[at + 1],
                (node->count - at) * sizeof(node->children[0]));
    node->count++;
}

static void close_gap(struct btree_node *node, uint32_t at)
{
    node->count--;
    memmove(&node->items[at], &node->items[at + 1], (node->count - at) * sizeof(node->items[0]));
    if (!node->is_leaf)
        memmove(&node->children[at + 1], &node->children[at + 2],
                (node->count - at) * sizeof(node->children[0]));
}

void btree_init(struct btree *tree, enum demo_module module)
{
    *tree = (struct btree){.module = module};
}

static void destroy_below(struct btree_node *node)
{
    if (!node->is_leaf) {
        for (uint32_t i = 0; i <= node->count; i++)
            destroy_below(node->children[i]);
    }
    node_destroy(node);
}

void btree_clear(struct btree *tree)
{
    if (tree->root != NULL)
        destroy_below(tree->root);
    btree_init(tree, tree->module);
}

const struct btree_item *btree_find(const struct btree *tree, const void *key, size_t length)
{
    const struct btree_node *node = tree->root;
    while (node != NULL) {
        bool is_equal;
        uint32_t at = search(node, key, length, &is_equal);
        if (is_equal)
            return &node->items[at];
        node = node->is_leaf ? NULL : node->children[at];
    }
    return NULL;
}

/* Splits the full child `at`: its middle item moves up into the parent, which is not full. */
static void split_child(const struct btree *tree, struct btree_node *parent, uint32_t at)
{
    struct btree_node *left = parent->children[at];
    struct btree_node *right = node_create(tree, left->is_leaf);
    right->count = BTREE_MIN;
    memcpy(right->items, &left->items[BTREE_MIN + 1], BTREE_MIN * sizeof(left->items[0]));
    if (!left->is_leaf)
        memcpy(right->children, &left->children[BTREE_MIN + 1],
               (BTREE_MIN + 1) * sizeof(left->children[0]));
    left->count = BTREE_MIN;

    open_gap(parent, at);
    parent->items[at] = left->items[BTREE_MIN];
    parent->children[at + 1] = right;
}

bool btree_insert(struct btree *tree, const void *key, size_t length, void *value)
{
    if (btree_find(tree, key, length) != NULL)
        return false;
    if (tree->root == NULL)
        tree->root = node_create(tree, true);
    if (tree->root->count == BTREE_MAX) {
        struct btree_node *root = node_create(tree, false);
        root->children[0] = tree->root;
        tree->root = root;
        split_child(tree, root, 0);
    }

    struct btree_node *node = tree->root;
    bool is_equal;
    uint32_t at = search(node, key, length, &is_equal);
    while (!node->is_leaf) {
        if (node->children[at]->count == BTREE_MAX) {
            split_child(tree, node, at);
            if (compare(key, length, &node->items[at]) > 0)
                at++;
        }
        node = node->children[at];
        at = search(node, key, length, &is_equal);
    }
    open_gap(node, at);
    node->items[at] = (struct btree_item){key, value, (uint32_t)length};
    tree->count++;
    return true;
}

/* Joins child `at`, the item between, and child `at` + 1 into child `at`. Both hold BTREE_MIN
 * items. */
static struct btree_node *join_children(struct btree_node *parent, uint32_t at)
{
    struct btree_node *left = parent->children[at], *right = parent->children[at + 1];
    left->items[left->count] = parent->items[at];
    memcpy(&left->items[left->count + 1], right->items, right->count * sizeof(right->items[0]));
    if (!left->is_leaf)
        memcpy(&left->children[left->count + 1], right->children,
               (right->count + 1) * sizeof(right->children[0]));
    left->count += 1 + right->count;
    close_gap(parent, at);
    node_destroy(right);
    return left;
}

/* Moves one item through the parent, from child `at` - 1 into child `at`. */
static void borrow_from_left(struct btree_node *parent, uint32_t at)
{
    struct btree_node *from = parent->children[at - 1], *to = parent->children[at];
    memmove(&to->items[1], to->items, to->count * sizeof(to->items[0]));
    to->items[0] = parent->items[at - 1];
    parent->items[at - 1] = from->items[from->count - 1];
    if (!to->is_leaf) {
        memmove(&to->children[1], to->children, (to->count + 1) * sizeof(to->children[0]));
        to->children[0] = from->children[from->count];
    }
    from->count--;
    to->count++;
}

/* Moves one item through the parent, from child `at` + 1 into child `at`. */
static void borrow_from_right(struct btree_node *parent, uint32_t at)
{
    struct btree_node *to = parent->children[at], *from = parent->children[at + 1];
    to->items[to->count] = parent->items[at];
    parent->items[at] = from->items[0];
    memmove(from->items, &from->items[1], (from->count - 1) * sizeof(from->items[0]));
    if (!to->is_leaf) {
        to->children[to->count + 1] = from->children[0];
        memmove(from->children, &from->children[1], from->count * sizeof(from->children[0]));
    }
    from->count--;
    to->count++;
}

/* Child `at`, after it was given an item more than BTREE_MIN, so that one can be taken out
 * below. */
static struct btree_node *descend(struct btree_node *parent, uint32_t at)
{
    struct btree_node *child = parent->children[at];
    if (child->count > BTREE_MIN)
        return child;
    if (at > 0 && parent->children[at - 1]->count > BTREE_MIN) {
        borrow_from_left(parent, at);
        return child;
    }
    if (at < parent->count && parent->children[at + 1]->count > BTREE_MIN) {
        borrow_from_right(parent, at);
        return child;
    }
    return join_children(parent, at < parent->count ? at : at - 1);
}

/* Takes the last item, or the first, from below a node that holds more than BTREE_MIN. */
static struct btree_item take_edge(struct btree_node *node, bool is_last)
{
    while (!node->is_leaf)
        node = descend(node, is_last ? node->count : 0);
    uint32_t at = is_last ? node->count - 1 : 0;
    struct btree_item item = node->items[at];
    close_gap(node, at);
    return item;
}

static bool remove_below(struct btree_node *node, const void *key, size_t length,
                         struct btree_item *out)
{
    for (;;) {
        bool is_equal;
        uint32_t at = search(node, key, length, &is_equal);
        if (node->is_leaf) {
            if (is_equal) {
                *out = node->items[at];
                close_gap(node, at);
            }
            return is_equal;
        }
        if (!is_equal) {
            node = descend(node, at);
            continue;
        }
        /* An inner item is replaced by its neighbour in order, from a child that can spare one. */
        if (node->children[at]->count > BTREE_MIN) {
            *out = node->items[at];
            node->items[at] = take_edge(node->children[at], true);
            return true;
        }
        if (node->children[at + 1]->count > BTREE_MIN) {
            *out = node->items[at];
            node->items[at] = take_edge(node->children[at + 1], false);
            return true;
        }
        node = join_children(node, at);
    }
}

bool btree_remove(struct btree *tree, const void *key, size_t length, struct btree_item *out)
{
    struct btree_node *root = tree->root;
    if (root == NULL)
        return false;
    bool was_there = remove_below(root, key, length, out);
    if (was_there)
        tree->count--;
    if (root->count == 0) {
        tree->root = root->is_leaf ? NULL : root->children[0];
        node_destroy(root);
    }
    return was_there;
}

static bool scan_below(const struct btree_node *node, const void *from, size_t length,
                       bool (*visit)(const struct btree_item *item, void *arg), void *arg)
{
    bool is_equal = false;
    uint32_t at = length == 0 ? 0 : search(node, from, length, &is_equal);
    /* What lies left of an item that equals `from` is below it. */
    if (!node->is_leaf && !is_equal && !scan_below(node->children[at], from, length, visit, arg))
        return false;
    for (; at < node->count; at++) {
        if (!visit(&node->items[at], arg))
            return false;
        if (!node->is_leaf && !scan_below(node->children[at + 1], NULL, 0, visit, arg))
            return false;
    }
    return true;
}

void btree_scan(const struct btree *tree, const void *from, size_t length,
                bool (*visit)(const struct btree_item *item, void *arg), void *arg)
{
    if (tree->root != NULL)
        scan_below(tree->root, from, length, visit, arg);
}

struct soundness {
    const struct btree_item *last;
    size_t count;
    int leaf_depth; /* -1: no leaf seen yet */
};

static bool is_sound_below(const struct btree_node *node, int depth, struct soundness *seen)
{
    if (node->count > BTREE_MAX || node->count < (depth == 0 ? 1 : BTREE_MIN))
        return false;
    if (node->is_leaf && seen->leaf_depth < 0)
        seen->leaf_depth = depth;
    if (node->is_leaf && seen->leaf_depth != depth)
        return false;
    for (uint32_t i = 0; i <= node->count; i++) {
        if (!node->is_leaf && !is_sound_below(node->children[i], depth + 1, seen))
            return false;
        if (i == node->count)
            break;
        const struct btree_item *item = &node->items[i];
        if (seen->last != NULL && compare(seen->last->key, seen->last->length, item) >= 0)
            return false;
        seen->last = item;
        seen->count++;
    }
    return true;
}

bool btree_is_sound(const struct btree *tree)
{
    struct soundness seen = {.leaf_depth = -1};
    if (tree->root != NULL && !is_sound_below(tree->root, 0, &seen))
        return false;
    return seen.count == tree->count;
}
