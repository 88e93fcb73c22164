/* limit: - how much a module may hold, and what happens then. */
#include <string.h>

#include "config/keys.h"
#include "config/node.h"
#include "config/parse.h"
#include "config/text.h"
#include "config/units.h"
#include "config/value.h"

#define FALLBACK_EXAMPLE "{fallback: NAME}"

static void read_fallback(struct parse *parse, const struct node *name, const char *key,
                          uint32_t *backend)
{
    uint32_t index = parse_route_backend(parse, name, key);
    if (index == PARSE_NO_BACKEND)
        return;
    *backend = index;
    size_t largest = parse_largest(parse, index);
    if (largest != POLICY_ANY_SIZE)
        report_warning(parse->report, name->mark,
                       "%s: \"%s\" serves up to %s only: beyond the limit, larger objects fail",
                       key, parse->backends[index].name, units_size(largest).text);
}

/* The words of an action that stand alone: `fallback` needs a name. */
static void read_word(struct parse *parse, const struct node *node, const char *key,
                      enum policy_action *action)
{
    static const char *const words[] = {"trim", "notify", FALLBACK_EXAMPLE, "fail", "abort", NULL};
    uint64_t index;
    for (size_t i = 0; words_action[i]; i++) {
        if (i != POLICY_ACTION_FALLBACK && strcmp(words_action[i], node->text) == 0) {
            *action = (enum policy_action)i;
            return;
        }
    }
    if (strcmp(node->text, "fallback") == 0)
        report_error(parse->report, node->mark,
                     "%s: fall back to which backend? Write " FALLBACK_EXAMPLE, key);
    else
        value_choice(parse->report, node, key, words, &index);
}

static void read_action(struct parse *parse, const struct node *node, const char *key,
                        enum policy_action *action, uint32_t *backend)
{
    static const char prefix[] = "fallback: "; /* quoted as one text: what it means is clear */
    if (node->type == NODE_SCALAR && strncmp(node->text, prefix, strlen(prefix)) == 0) {
        struct node name = *node;
        name.text += strlen(prefix);
        *action = POLICY_ACTION_FALLBACK;
        read_fallback(parse, &name, key, backend);
    } else if (node->type == NODE_SCALAR) {
        read_word(parse, node, key, action);
    } else if (node->type == NODE_MAP) {
        const struct node *name = node_find(node, "fallback");
        value_check_keys(parse->report, node, "in an action", keys_fallback, NULL);
        *action = POLICY_ACTION_FALLBACK;
        if (name)
            read_fallback(parse, name, key, backend);
        else if (node->count == 0)
            report_error(parse->report, node->mark, "%s: expected " FALLBACK_EXAMPLE, key);
    } else {
        report_error(parse->report, node->mark,
                     "%s: expected trim, notify, " FALLBACK_EXAMPLE ", fail or abort, found %s",
                     key, node_found(node).text);
    }
}

static void read_bytes(struct parse *parse, const struct node *node, const char *key,
                       uint64_t *bytes)
{
    if (node && value_size(parse->report, node, key, 0, SIZE_MAX / 2, bytes) && *bytes == 0)
        report_error(parse->report, node->mark,
                     "%s: a limit of 0 would refuse everything; leave the key out for no limit",
                     key);
}

void parse_limit(struct parse *parse, const struct node *map, struct policy_limit *limit)
{
    limit->mark = map->mark;
    limit->on_soft = POLICY_ACTION_NOTIFY;
    limit->on_hard = POLICY_ACTION_FAIL;
    if (!value_is_map(parse->report, map, "limit", "{soft: 1GiB, hard: 2GiB}"))
        return;
    const struct node *soft = node_find(map, "soft"), *hard = node_find(map, "hard");
    const struct node *on_soft = node_find(map, "on_soft"), *on_hard = node_find(map, "on_hard");
    value_check_keys(parse->report, map, "in a limit", keys_limit, NULL);
    read_bytes(parse, soft, "soft", &limit->soft);
    read_bytes(parse, hard, "hard", &limit->hard);
    if (limit->soft > 0 && limit->hard > 0 && limit->soft > limit->hard)
        report_error(parse->report, soft->mark,
                     "soft: %s is above the hard limit, %s: it would never be reached",
                     units_size(limit->soft).text, units_size(limit->hard).text);
    if (on_soft)
        read_action(parse, on_soft, "on_soft", &limit->on_soft, &limit->soft_fallback);
    if (on_hard)
        read_action(parse, on_hard, "on_hard", &limit->on_hard, &limit->hard_fallback);
    if (on_soft && !soft)
        report_warning(parse->report, on_soft->mark, "on_soft has no effect without soft");
    if (on_hard && !hard)
        report_warning(parse->report, on_hard->mark, "on_hard has no effect without hard");
    if (!soft && !hard)
        report_warning(parse->report, map->mark, "this limit has neither soft nor hard: no effect");
}
