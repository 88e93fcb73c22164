/* backends: and default: - named backends, each a kind with parameters. */
#include <stdio.h>
#include <string.h>

#include "config/file.h"
#include "config/keys.h"
#include "config/node.h"
#include "config/parse.h"
#include "config/text.h"
#include "config/value.h"
#include "config/words.h"
#include "core/registry.h"

/* ---- Kinds ----------------------------------------------------------------------------------- */

static bool is_builtin(const struct sluice_backend_ops *ops)
{
    for (size_t i = 0; builtin_backends[i]; i++) {
        if (strcmp(builtin_backends[i]->name, ops->name) == 0)
            return true;
    }
    return false;
}

static void offer_kind(const struct sluice_backend_ops *ops, void *search)
{
    words_offer(search, ops->name);
}

static void list_kind(const struct sluice_backend_ops *ops, void *list)
{
    text_add(list, "%s, ", ops->name);
}

static void report_kind(struct parse *parse, const struct node *node, const char *name)
{
    struct words search;
    words_begin(&search, node->text);
    registry_each(offer_kind, &search);
    words_offer(&search, "plugin");
    const char *nearest = words_nearest(&search);
    char kinds[200];
    struct text list;
    text_init(&list, kinds, sizeof(kinds));
    registry_each(list_kind, &list);
    report_error(parse->report, node->mark,
                 "backend \"%s\": unknown kind \"%s\"%s%s%s Known kinds: %splugin",
                 quoted(name).text, quoted(node->text).text, nearest ? "; did you mean \"" : "",
                 nearest ? nearest : "", nearest ? "\"?" : ".", kinds);
}

/* What a plugin's kind may be called: nothing that could be taken for a path. */
static bool is_kind_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < 64 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

static const struct sluice_backend_ops *find_or_load(const char *kind)
{
    const struct sluice_backend_ops *ops = registry_find(kind);
    if (!ops && is_kind_name(kind) && strcmp(kind, "plugin") != 0)
        (void)registry_load(kind, &ops);
    return ops;
}

static const struct sluice_backend_ops *load_plugin(struct parse *parse, const struct node *map,
                                                    const char *name, const char **library)
{
    const struct node *node = node_find(map, "library");
    if (!node) {
        report_error(parse->report, map->mark,
                     "backend \"%s\": kind plugin needs the key \"library\": the plugin's file",
                     quoted(name).text);
        return NULL;
    }
    if (node->type != NODE_SCALAR || node->text[0] == '\0') {
        report_error(parse->report, node->mark, "library: expected the plugin's file, found %s",
                     node_found(node).text);
        return NULL;
    }
    /* A name with a slash is a file beside the policy; one without is looked for where plugins
     * are. */
    const char *file = node->text;
    if (strchr(file, '/'))
        file = file_beside(parse->reader->memory, node->mark.file, file);
    if (file)
        *library = strchr(file, '/') ? file_absolute(parse->reader->memory, file)
                                     : reader_keep_text(parse->reader, file);
    if (!*library) {
        reader_no_memory(parse->reader, parse->reader->memory);
        return NULL;
    }
    const struct sluice_backend_ops *ops;
    if (registry_load(*library, &ops) != SLUICE_OK)
        report_error(parse->report, node->mark, "backend \"%s\": cannot load the plugin: %s",
                     quoted(name).text, sluice_error_message());
    return ops;
}

static const struct sluice_backend_ops *backend_kind(struct parse *parse, const struct node *map,
                                                     const char *name, const char **library)
{
    const struct node *kind = map->type == NODE_MAP ? node_find(map, "kind") : map;
    if (!kind) {
        report_error(parse->report, map->mark,
                     "backend \"%s\": missing key \"kind\", such as {kind: pool}",
                     quoted(name).text);
        return NULL;
    }
    if (kind->type != NODE_SCALAR) {
        report_error(parse->report, kind->mark, "backend \"%s\": expected a kind, found %s",
                     quoted(name).text, node_found(kind).text);
        return NULL;
    }
    if (map->type == NODE_MAP && strcmp(kind->text, "plugin") == 0)
        return load_plugin(parse, map, name, library);
    const struct sluice_backend_ops *ops = find_or_load(kind->text);
    if (!ops)
        report_kind(parse, kind, name);
    return ops;
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static void read_param(struct parse *parse, const struct sluice_param *param,
                       const struct node *node, uint64_t *value)
{
    bool flag;
    switch (param->type) {
    case SLUICE_PARAM_SIZE:
        value_size(parse->report, node, param->name, param->minimum, param->maximum, value);
        break;
    case SLUICE_PARAM_DURATION:
        value_duration(parse->report, node, param->name, param->minimum, param->maximum, value);
        break;
    case SLUICE_PARAM_COUNT:
        value_count(parse->report, node, param->name, param->minimum, param->maximum, value);
        break;
    case SLUICE_PARAM_BOOL:
        if (value_bool(parse->report, node, param->name, &flag))
            *value = flag;
        break;
    case SLUICE_PARAM_CHOICE:
        value_choice(parse->report, node, param->name, param->choices, value);
        break;
    }
}

/* The kind's parameters: defaults, then what the map (may be NULL) says. NULL without memory. */
static const uint64_t *read_params(struct parse *parse, const struct sluice_backend_ops *ops,
                                   const struct node *map)
{
    uint64_t *values = reader_keep(parse->reader, (ops->param_count + 1) * sizeof(*values));
    for (size_t i = 0; values && i < ops->param_count; i++) {
        values[i] = ops->params[i].default_value;
        const struct node *node = map ? node_find(map, ops->params[i].name) : NULL;
        if (node)
            read_param(parse, &ops->params[i], node, &values[i]);
    }
    return values;
}

static void check_keys(struct parse *parse, const struct node *map, const char *name,
                       const struct sluice_backend_ops *ops, bool is_plugin)
{
    static const char *const builtin[] = {"kind", NULL}, *const loaded[] = {"kind", "options",
                                                                            NULL};
    const char **params = reader_scratch(parse->reader, (ops->param_count + 1) * sizeof(*params));
    if (!params)
        return;
    for (size_t i = 0; i < ops->param_count; i++)
        params[i] = ops->params[i].name;
    const char *const *keys = is_plugin ? keys_backend : is_builtin(ops) ? builtin : loaded;
    if (value_knows_keys(map, keys, params))
        return;
    char where[120];
    snprintf(where, sizeof(where), "in backend \"%s\" (%s)", quoted(name).text, ops->name);
    value_check_keys(parse->report, map, where, keys, params);
}

static void read_options(struct parse *parse, const struct node *map,
                         struct policy_backend *backend)
{
    const struct node *node = node_find(map, "options");
    if (!node || node->type == NODE_NOTHING ||
        !value_is_map(parse->report, node, "options", "{key: value}"))
        return;
    struct sluice_option *options =
        reader_keep(parse->reader, (node->count + 1) * sizeof(*options));
    if (!options)
        return;
    for (size_t i = 0; i < node->count; i++) {
        const struct node *value = node->pairs[i].value;
        if (value->type != NODE_SCALAR && value->type != NODE_NOTHING)
            report_error(parse->report, value->mark,
                         "options: \"%s\": expected one value, found %s",
                         quoted(node->pairs[i].key->text).text, node_found(value).text);
        options[i].key = reader_keep_text(parse->reader, node->pairs[i].key->text);
        options[i].value = reader_keep_text(parse->reader, value->text);
    }
    backend->options = options;
    backend->option_count = node->count;
}

/* ---- Backends -------------------------------------------------------------------------------- */

static bool is_backend_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < 64 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
               length;
}

static void read_backend(struct parse *parse, const struct node_pair *pair,
                         struct policy_backend *backend)
{
    const char *name = pair->key->text;
    const struct node *map = pair->value;
    if (!is_backend_name(name))
        report_error(parse->report, pair->key->mark,
                     "a backend's name is 1 to 63 letters, digits or any of _ - . , found \"%s\"",
                     quoted(name).text);
    if (map->type != NODE_MAP && map->type != NODE_SCALAR) {
        report_error(parse->report, map->mark,
                     "backend \"%s\": expected a map such as {kind: pool}, found %s",
                     quoted(name).text, node_found(map).text);
        return;
    }
    const struct sluice_backend_ops *ops = backend_kind(parse, map, name, &backend->library);
    if (!ops)
        return;
    if (map->type == NODE_MAP) {
        check_keys(parse, map, name, ops, backend->library != NULL);
        read_options(parse, map, backend);
    }
    if (registry_find(name) && strcmp(ops->name, name) != 0)
        report_warning(parse->report, pair->key->mark,
                       "the backend \"%s\" is of kind %s, and hides the kind of its own name", name,
                       ops->name);
    backend->values = read_params(parse, ops, map->type == NODE_MAP ? map : NULL);
    backend->ops = backend->values ? ops : NULL;
}

static uint32_t find(const struct parse *parse, const char *name)
{
    for (size_t i = 0; i < parse->policy->backend_count; i++) {
        if (strcmp(parse->backends[i].name, name) == 0)
            return (uint32_t)i;
    }
    return PARSE_NO_BACKEND;
}

static void add_kind(const struct sluice_backend_ops *ops, void *arg)
{
    struct parse *parse = arg;
    if (find(parse, ops->name) != PARSE_NO_BACKEND ||
        parse->policy->backend_count == parse->backend_capacity)
        return;
    const uint64_t *values = read_params(parse, ops, NULL);
    const char *name = reader_keep_text(parse->reader, ops->name);
    if (values && name)
        parse->backends[parse->policy->backend_count++] = (struct policy_backend){
            .name = name, .ops = ops, .values = values, .mark = parse->reader->root};
}

void parse_add_kinds(struct parse *parse)
{
    registry_each(add_kind, parse);
}

void parse_backends(struct parse *parse, const struct node *map)
{
    const struct reader_limits *limits = parse->reader->limits;
    if (map && !value_is_map(parse->report, map, "backends", "{blocks: {kind: pool}}"))
        map = NULL;
    if (map && map->count > limits->backends) {
        report_error(parse->report, map->mark, "backends: %zu are too many; at most %zu",
                     map->count, limits->backends);
        map = NULL;
    }
    parse->backend_capacity = (map ? map->count : 0) + REGISTRY_CAPACITY;
    parse->backends =
        reader_keep(parse->reader, parse->backend_capacity * sizeof(*parse->backends));
    parse->policy->backends = parse->backends;
    if (!parse->backends)
        return;
    for (size_t i = 0; map && i < map->count; i++) {
        struct policy_backend *backend = &parse->backends[parse->policy->backend_count];
        backend->name = reader_keep_text(parse->reader, map->pairs[i].key->text);
        backend->mark = map->pairs[i].key->mark;
        if (!backend->name)
            return;
        read_backend(parse, &map->pairs[i], backend);
        parse->policy->backend_count++;
    }
    parse_add_kinds(parse);
}

size_t parse_largest(const struct parse *parse, uint32_t backend)
{
    const struct sluice_backend_ops *ops = parse->backends[backend].ops;
    return ops && ops->max_size > 0 ? ops->max_size : POLICY_ANY_SIZE;
}

/* ---- References ------------------------------------------------------------------------------ */

static void report_name(struct parse *parse, const struct node *node, const char *key)
{
    struct words search;
    char names[200];
    struct text list;
    words_begin(&search, node->text);
    text_init(&list, names, sizeof(names));
    for (size_t i = 0; i < parse->policy->backend_count; i++) {
        words_offer(&search, parse->backends[i].name);
        text_add(&list, "%s%s", i > 0 ? ", " : "", parse->backends[i].name);
    }
    const char *nearest = words_nearest(&search);
    if (nearest)
        report_error(parse->report, node->mark, "%s: unknown backend \"%s\"; did you mean \"%s\"?",
                     key, quoted(node->text).text, nearest);
    else
        report_error(parse->report, node->mark, "%s: unknown backend \"%s\"; known backends: %s%s",
                     key, quoted(node->text).text, names, list.cut ? "..." : "");
}

uint32_t parse_backend_name(struct parse *parse, const struct node *node, const char *key)
{
    if (node->type != NODE_SCALAR) {
        report_error(parse->report, node->mark, "%s: expected the name of a backend, found %s", key,
                     node_found(node).text);
        return PARSE_NO_BACKEND;
    }
    uint32_t index = find(parse, node->text);
    if (index == PARSE_NO_BACKEND && find_or_load(node->text)) {
        parse_add_kinds(parse);
        index = find(parse, node->text);
    }
    if (index == PARSE_NO_BACKEND)
        report_name(parse, node, key);
    return index;
}

uint32_t parse_route_backend(struct parse *parse, const struct node *node, const char *key)
{
    uint32_t index = parse_backend_name(parse, node, key);
    const struct policy_backend *b = index == PARSE_NO_BACKEND ? NULL : &parse->backends[index];
    if (b && b->ops && (b->ops->capabilities & SLUICE_BACKEND_BUMPS) != 0)
        report_warning(
            parse->report, node->mark,
            "%s: \"%s\" (%s) frees objects only when their phase ends; outside of a phase "
            "memory only grows: name it as the backend of a phase, and another one here",
            key, quoted(b->name).text, b->ops->name);
    return index;
}

void parse_default(struct parse *parse, const struct node *node)
{
    struct policy *policy = parse->policy;
    policy->default_mark = parse->reader->root;
    if (node) {
        uint32_t index = parse_route_backend(parse, node, "default");
        policy->default_backend = index == PARSE_NO_BACKEND ? 0 : index;
        policy->default_mark = node->mark;
        return;
    }
    /* As in the built-in policy: small objects from the pool, the rest from the system. */
    uint32_t pool = find(parse, "pool");
    policy->default_backend = pool == PARSE_NO_BACKEND ? 0 : pool;
}
