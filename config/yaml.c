#include "config/yaml.h"

#include <string.h>

#include "config/text.h"
#include "config/utf8.h"
#include "config/yaml_memory.h"
#include "config/yaml_source.h"

/* A child while the number of its siblings is not known yet. */
struct cell {
    struct cell *next;
    const struct node *key, *value;
};

static const struct node *read_value(struct source *source, yaml_event_t *event, size_t depth);

static bool next_event(struct source *source, yaml_event_t *event)
{
    if (source->failed)
        return false;
    if (!yaml_parser_parse(&source->parser, event)) {
        yaml_report_syntax(source);
        return false;
    }
    return true;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static void *scratch(struct source *source, size_t size)
{
    void *p = source->failed ? NULL : reader_scratch(source->reader, size);
    if (!p)
        source->failed = true;
    return p;
}

static const char *copy(struct source *source, const yaml_char_t *text, size_t length)
{
    char *to = scratch(source, length + 1);
    return to ? memcpy(to, text, length) : NULL;
}

static struct node *new_node(struct source *source, enum node_type type, yaml_mark_t at)
{
    if (++source->node_count > source->reader->limits->nodes) {
        FAIL(source, yaml_mark(source, at), "more than %zu values in one file",
             source->reader->limits->nodes);
        return NULL;
    }
    struct node *node = scratch(source, sizeof(*node));
    if (!node)
        return NULL;
    node->type = type;
    node->height = node->weight = 1;
    node->mark = yaml_mark(source, at);
    node->text = "";
    return node;
}

/* Counts a child into its parent; false when that makes the tree too heavy. */
static bool add_weight(struct source *source, struct node *parent, const struct node *child)
{
    size_t most = source->reader->limits->nodes;
    parent->weight += child->weight; /* both at most `most`: no overflow */
    if (child->height >= parent->height)
        parent->height = child->height + 1;
    if (parent->weight <= most)
        return true;
    FAIL(source, parent->mark, "aliases make this more than %zu values", most);
    return false;
}

static bool is_nothing(const char *text)
{
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 ||
           strcmp(text, "Null") == 0 || strcmp(text, "NULL") == 0;
}

/* Tags that say what is the case anyway are let through; there are no others to make sense of. */
static void check_tag(struct source *source, const yaml_char_t *tag, enum node_type type,
                      yaml_mark_t at)
{
    static const char prefix[] = "tag:yaml.org,2002:";
    static const char *const scalars[] = {"str", "int", "float", "bool", NULL};
    const char *name = (const char *)tag;
    if (!tag || strcmp(name, "!") == 0)
        return;
    if (strncmp(name, prefix, strlen(prefix)) == 0) {
        const char *kind = name + strlen(prefix);
        if (strcmp(kind, type == NODE_MAP ? "map" : type == NODE_LIST ? "seq" : "str") == 0)
            return;
        for (size_t i = 0; type == NODE_SCALAR && scalars[i]; i++) {
            if (strcmp(kind, scalars[i]) == 0)
                return;
        }
    }
    report_error(source->reader->report, yaml_mark(source, at),
                 "tags such as \"%s\" are not part of the language: write the value alone",
                 quoted(name).text);
}

static struct anchor *add_anchor(struct source *source, const yaml_char_t *name, yaml_mark_t at)
{
    if (!name || source->failed)
        return NULL;
    if (++source->anchor_count > source->reader->limits->anchors) {
        FAIL(source, yaml_mark(source, at), "more than %zu anchors in one file",
             source->reader->limits->anchors);
        return NULL;
    }
    struct anchor *anchor = scratch(source, sizeof(*anchor));
    if (!anchor)
        return NULL;
    anchor->name = copy(source, name, strlen((const char *)name));
    if (!anchor->name)
        return NULL;
    anchor->next = source->anchors;
    source->anchors = anchor;
    return anchor;
}

static const struct node *read_alias(struct source *source, const yaml_event_t *event, size_t depth)
{
    struct policy_mark mark = yaml_mark(source, event->start_mark);
    const char *name = (const char *)event->data.alias.anchor;
    const struct anchor *anchor = source->anchors;
    while (anchor && strcmp(anchor->name, name) != 0)
        anchor = anchor->next;
    if (!anchor) {
        FAIL(source, mark,
             "no anchor \"&%s\" before this alias; a pattern that starts with * must stand in "
             "quotes",
             quoted(name).text);
        return NULL;
    }
    if (!anchor->node) {
        FAIL(source, mark, "the alias \"*%s\" stands inside the value that it names",
             quoted(name).text);
        return NULL;
    }
    if (depth + anchor->node->height - 1 > source->reader->limits->depth) {
        FAIL(source, mark, "nested more than %zu deep", source->reader->limits->depth);
        return NULL;
    }
    if (++source->node_count > source->reader->limits->nodes) {
        FAIL(source, mark, "more than %zu values in one file", source->reader->limits->nodes);
        return NULL;
    }
    return anchor->node;
}

static const struct node *read_scalar(struct source *source, const yaml_event_t *event)
{
    const yaml_char_t *value = event->data.scalar.value;
    size_t length = event->data.scalar.length;
    struct node *node = new_node(source, NODE_SCALAR, event->start_mark);
    if (!node)
        return NULL;
    check_tag(source, event->data.scalar.tag, NODE_SCALAR, event->start_mark);
    if (memchr(value, '\0', length))
        report_error(source->reader->report, node->mark, "a NUL character in a text");
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = copy(source, value, length);
    if (!node->text)
        return NULL;
    if (node->plain && !event->data.scalar.tag && is_nothing(node->text))
        node->type = NODE_NOTHING;
    return node;
}

static const struct node *read_list(struct source *source, const yaml_event_t *start, size_t depth)
{
    struct node *node = new_node(source, NODE_LIST, start->start_mark);
    if (!node)
        return NULL;
    check_tag(source, start->data.sequence_start.tag, NODE_LIST, start->start_mark);
    struct cell *first = NULL, **last = &first;
    yaml_event_t event;
    while (next_event(source, &event)) {
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        const struct node *item = end ? NULL : read_value(source, &event, depth + 1);
        yaml_event_delete(&event);
        if (end)
            break;
        struct cell *cell = item ? scratch(source, sizeof(*cell)) : NULL;
        if (!cell || !add_weight(source, node, item))
            return NULL;
        cell->value = item;
        *last = cell;
        last = &cell->next;
        node->count++;
    }
    const struct node **items = scratch(source, (node->count + 1) * sizeof(*items));
    if (!items)
        return NULL;
    node->items = items;
    for (; first; first = first->next)
        *items++ = first->value;
    return node;
}

/* ---- Maps ------------------------------------------------------------------------------------ */

static bool is_merge_key(const struct node *key)
{
    return key->plain && strcmp(key->text, "<<") == 0;
}

/* Adds the pairs of a merged map that are not there yet; false when the value is not a map. */
static bool merge_map(struct node_index *index, struct node_pair *pairs, size_t *count,
                      const struct node *from)
{
    if (from->type != NODE_MAP)
        return false;
    for (size_t i = 0; i < from->count; i++) {
        pairs[*count] = from->pairs[i];
        if (!node_index_add(index, &pairs[*count]))
            (*count)++;
    }
    return true;
}

static void merge_value(struct source *source, struct node_index *index, struct node_pair *pairs,
                        size_t *count, const struct node *value)
{
    if (value->type == NODE_LIST) {
        for (size_t i = 0; i < value->count; i++) {
            if (!merge_map(index, pairs, count, value->items[i]))
                report_error(source->reader->report, value->items[i]->mark,
                             "\"<<\" merges maps, found %s", node_found(value->items[i]).text);
        }
    } else if (!merge_map(index, pairs, count, value)) {
        report_error(source->reader->report, value->mark,
                     "\"<<\" merges a map or a list of maps, found %s", node_found(value).text);
    }
}

static size_t merged_count(const struct node *value)
{
    if (value->type != NODE_LIST)
        return value->count;
    size_t count = 0;
    for (size_t i = 0; i < value->count; i++)
        count += value->items[i]->count;
    return count;
}

static void report_duplicate(struct source *source, const struct node *key,
                             const struct node *earlier)
{
    report_error(source->reader->report, key->mark,
                 "duplicate key \"%s\": it stands in line %u already", quoted(key->text).text,
                 earlier->mark.line);
}

/* Makes node->pairs of the cells: its own pairs first, then what `<<` brings. */
static bool finish_map(struct source *source, struct node *node, const struct cell *cells)
{
    const struct cell *merge = NULL;
    size_t most = 0, count = 0;
    for (const struct cell *cell = cells; cell; cell = cell->next)
        most += is_merge_key(cell->key) ? merged_count(cell->value) : 1;
    struct node_index index;
    struct node_pair *pairs = scratch(source, (most + 1) * sizeof(*pairs));
    if (!pairs)
        return false;
    if (!node_index_init(&index, source->reader->scratch, most + 1)) {
        reader_no_memory(source->reader, source->reader->scratch);
        return false;
    }

    for (const struct cell *cell = cells; cell; cell = cell->next) {
        if (is_merge_key(cell->key)) {
            if (merge)
                report_duplicate(source, cell->key, merge->key);
            else
                merge = cell;
            continue;
        }
        pairs[count] = (struct node_pair){cell->key, cell->value};
        const struct node_pair *earlier = node_index_add(&index, &pairs[count]);
        if (earlier)
            report_duplicate(source, cell->key, earlier->key);
        else
            count++;
    }
    if (merge)
        merge_value(source, &index, pairs, &count, merge->value);
    node->pairs = pairs;
    node->count = count;
    return true;
}

static const struct node *read_map(struct source *source, const yaml_event_t *start, size_t depth)
{
    struct node *node = new_node(source, NODE_MAP, start->start_mark);
    if (!node)
        return NULL;
    check_tag(source, start->data.mapping_start.tag, NODE_MAP, start->start_mark);
    struct cell *first = NULL, **last = &first;
    const struct node *key = NULL;
    yaml_event_t event;
    while (next_event(source, &event)) {
        bool end = event.type == YAML_MAPPING_END_EVENT;
        const struct node *value = end ? NULL : read_value(source, &event, depth + 1);
        yaml_event_delete(&event);
        if (end)
            break;
        if (!value || !add_weight(source, node, value))
            return NULL;
        if (!key) {
            if (value->type == NODE_LIST || value->type == NODE_MAP) {
                FAIL(source, value->mark, "a key must be a name, found %s", node_found(value).text);
                return NULL;
            }
            key = value;
            continue;
        }
        struct cell *cell = scratch(source, sizeof(*cell));
        if (!cell)
            return NULL;
        *cell = (struct cell){NULL, key, value};
        *last = cell;
        last = &cell->next;
        key = NULL;
    }
    if (source->failed || !finish_map(source, node, first)) {
        source->failed = true;
        return NULL;
    }
    return node;
}

/* The value that starts with this event, which stays the caller's. NULL: source->failed. */
static const struct node *read_value(struct source *source, yaml_event_t *event, size_t depth)
{
    struct policy_mark mark = yaml_mark(source, event->start_mark);
    const yaml_char_t *name =
        event->type == YAML_SCALAR_EVENT           ? event->data.scalar.anchor
        : event->type == YAML_SEQUENCE_START_EVENT ? event->data.sequence_start.anchor
        : event->type == YAML_MAPPING_START_EVENT  ? event->data.mapping_start.anchor
                                                   : NULL;
    if (depth > source->reader->limits->depth) {
        FAIL(source, mark, "nested more than %zu deep", source->reader->limits->depth);
        return NULL;
    }
    struct anchor *anchor = add_anchor(source, name, event->start_mark);
    if (source->failed)
        return NULL;

    const struct node *node = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        node = read_alias(source, event, depth);
        break;
    case YAML_SCALAR_EVENT:
        node = read_scalar(source, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        node = read_list(source, event, depth);
        break;
    case YAML_MAPPING_START_EVENT:
        node = read_map(source, event, depth);
        break;
    default:
        FAIL(source, mark, "not valid YAML: a value was expected here");
    }
    if (source->failed)
        return NULL;
    if (anchor)
        anchor->node = node;
    return node;
}

/* ---- Documents ------------------------------------------------------------------------------- */

/* Events of a stream: STREAM-START DOCUMENT-START value DOCUMENT-END STREAM-END. */
static const struct node *read_stream(struct source *source)
{
    const struct node *root = NULL;
    yaml_event_t event;
    while (next_event(source, &event)) {
        yaml_event_type_t type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT && root)
            FAIL(source, yaml_mark(source, event.start_mark),
                 "a second document starts here: a policy is one document");
        else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
                 type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT)
            root = read_value(source, &event, 1);
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT)
            break;
    }
    if (source->failed)
        return NULL;
    if (!root || root->type == NODE_NOTHING) {
        FAIL(source, ((struct policy_mark){source->file, 1, 1}),
             "the policy is empty: it needs at least the line \"sluice: 1\"");
        return NULL;
    }
    return root;
}

const struct node *yaml_read_tree(struct reader *reader, const char *file, const char *text,
                                  size_t length)
{
    struct source source = {.reader = reader, .file = file};
    struct policy_mark mark = {.file = file};
    if (length > reader->limits->file_bytes) {
        report_error(reader->report, mark, "larger than %zu KiB: that cannot be a policy",
                     reader->limits->file_bytes >> 10);
        return NULL;
    }
    if (length >= 3 &&
        memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* the mark that some editors leave */
        text += 3;
        length -= 3;
    }
    const char *mistake = utf8_find_mistake(text, length, &mark.line, &mark.column);
    if (mistake) {
        report_error(reader->report, mark, "%s", mistake);
        return NULL;
    }

    struct yaml_memory memory = {.region = reader->scratch};
    struct yaml_memory *before = yaml_memory_use(&memory);
    const struct node *root = NULL;
    source.text = text;
    source.length = length;
    if (yaml_parser_initialize(&source.parser)) {
        yaml_parser_set_encoding(&source.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&source.parser, (const unsigned char *)text, length);
        root = read_stream(&source);
        yaml_parser_delete(&source.parser);
    } else {
        reader_no_memory(reader, reader->scratch);
    }
    yaml_memory_use(before);
    return root;
}
