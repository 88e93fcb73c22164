#include "config/merge.h"

#include <string.h>

#include "config/node.h"
#include "config/reader.h"

static bool kind_differs(const struct node *below, const struct node *above)
{
    const struct node *a = node_find(below, "kind"), *b = node_find(above, "kind");
    return a && b && strcmp(a->text, b->text) != 0;
}

static struct node *copy_of(struct reader *reader, const struct node *node)
{
    struct node *copy = reader_scratch(reader, sizeof(*copy));
    if (copy)
        *copy = *node;
    return copy;
}

static const struct node *join_lists(struct reader *reader, const struct node *below,
                                     const struct node *above)
{
    struct node *joined = copy_of(reader, above);
    size_t count = above->count + below->count;
    const struct node **items = reader_scratch(reader, (count + 1) * sizeof(*items));
    if (!joined || !items)
        return NULL;
    for (size_t i = 0; i < above->count; i++)
        items[i] = above->items[i];
    for (size_t i = 0; i < below->count; i++)
        items[above->count + i] = below->items[i];
    joined->items = items;
    joined->count = count;
    return joined;
}

static const struct node *merge_maps(struct reader *reader, const struct node *below,
                                     const struct node *above)
{
    struct node *merged = copy_of(reader, above);
    struct node_pair *pairs =
        reader_scratch(reader, (above->count + below->count + 1) * sizeof(*pairs));
    struct node_index index;
    if (!merged || !pairs)
        return NULL;
    if (!node_index_init(&index, reader->scratch, below->count)) {
        reader_no_memory(reader, reader->scratch);
        return NULL;
    }
    for (size_t i = 0; i < below->count; i++)
        node_index_add(&index, &below->pairs[i]);

    size_t count = 0;
    for (size_t i = 0; i < above->count; i++) {
        const struct node_pair *own = &above->pairs[i];
        const struct node_pair *other = node_index_find(&index, own->key->text);
        pairs[count] = *own;
        if (other &&
            own->value->type == NODE_NOTHING) /* a key without a value takes nothing away */
            pairs[count].value = other->value;
        else if (other && own->value->type == NODE_MAP && other->value->type == NODE_MAP &&
                 !kind_differs(other->value, own->value))
            pairs[count].value = merge_maps(reader, other->value, own->value);
        if (!pairs[count].value)
            return NULL;
        count++;
    }
    if (!node_index_init(&index, reader->scratch, above->count)) {
        reader_no_memory(reader, reader->scratch);
        return NULL;
    }
    for (size_t i = 0; i < above->count; i++)
        node_index_add(&index, &above->pairs[i]);
    for (size_t i = 0; i < below->count; i++) {
        if (!node_index_find(&index, below->pairs[i].key->text))
            pairs[count++] = below->pairs[i];
    }
    merged->pairs = pairs;
    merged->count = count;
    return merged;
}

const struct node *merge_trees(struct reader *reader, const struct node *below,
                               const struct node *above)
{
    const struct node *merged = merge_maps(reader, below, above);
    const struct node_pair *mine = node_find_pair(above, "attribution");
    const struct node *theirs = node_find(below, "attribution");
    if (!merged || !mine || mine->value->type != NODE_LIST || !theirs || theirs->type != NODE_LIST)
        return merged;

    /* The one list whose entries add up. It keeps its place among the keys. */
    size_t place = (size_t)(mine - above->pairs);
    struct node *copy = copy_of(reader, merged);
    struct node_pair *pairs = reader_scratch(reader, merged->count * sizeof(*pairs));
    if (!copy || !pairs)
        return NULL;
    memcpy(pairs, merged->pairs, merged->count * sizeof(*pairs));
    pairs[place].value = join_lists(reader, theirs, mine->value);
    copy->pairs = pairs;
    return pairs[place].value ? copy : NULL;
}

const struct node *merge_without(struct reader *reader, const struct node *map,
                                 const struct node_pair *pair)
{
    struct node *copy = copy_of(reader, map);
    struct node_pair *pairs = reader_scratch(reader, map->count * sizeof(*pairs));
    if (!copy || !pairs)
        return NULL;
    size_t count = 0;
    for (size_t i = 0; i < map->count; i++) {
        if (&map->pairs[i] != pair)
            pairs[count++] = map->pairs[i];
    }
    copy->pairs = pairs;
    copy->count = count;
    return copy;
}
