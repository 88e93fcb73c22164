#include "config/node.h"

#include <stdio.h>
#include <string.h>

#include "config/text.h"
#include "core/meta.h"

const struct node_pair *node_find_pair(const struct node *map, const char *key)
{
    if (map->type != NODE_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->pairs[i].key->text, key) == 0)
            return &map->pairs[i];
    }
    return NULL;
}

const struct node *node_find(const struct node *map, const char *key)
{
    const struct node_pair *pair = node_find_pair(map, key);
    return pair ? pair->value : NULL;
}

struct node_found node_found(const struct node *node)
{
    struct node_found found;
    const char *text = node->type == NODE_LIST  ? "a list"
                       : node->type == NODE_MAP ? "a map"
                                                : "nothing";
    if (node->type == NODE_SCALAR)
        snprintf(found.text, sizeof(found.text), "\"%s\"", quoted(node->text).text);
    else
        snprintf(found.text, sizeof(found.text), "%s", text);
    return found;
}

bool node_index_init(struct node_index *index, struct meta_region *region, size_t capacity)
{
    size_t slots = 8;
    while (slots < 2 * capacity)
        slots *= 2;
    *index = (struct node_index){.mask = slots - 1};
    index->slots = meta_region_alloc(region, slots * sizeof(*index->slots));
    return index->slots;
}

/* FNV-1a. Keys are few and bounded: a crafted collision costs no more than comparing all of
 * them. */
static size_t hash(const char *key)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
    return (size_t)(h ^ h >> 32);
}

/* The slot that holds the key, or the free one where it belongs. There always is a free one. */
static const struct node_pair **slot_of(const struct node_index *index, const char *key)
{
    size_t i = hash(key) & index->mask;
    while (index->slots[i] && strcmp(index->slots[i]->key->text, key) != 0)
        i = (i + 1) & index->mask;
    return &index->slots[i];
}

const struct node_pair *node_index_add(struct node_index *index, const struct node_pair *pair)
{
    const struct node_pair **slot = slot_of(index, pair->key->text);
    if (*slot)
        return *slot;
    *slot = pair;
    index->count++;
    return NULL;
}

const struct node_pair *node_index_find(const struct node_index *index, const char *key)
{
    return *slot_of(index, key);
}
