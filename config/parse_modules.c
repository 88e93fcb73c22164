/* modules: - which backend serves whom, and at which size. */
#include <stdio.h>
#include <string.h>

#include "config/keys.h"
#include "config/node.h"
#include "config/parse.h"
#include "config/text.h"
#include "config/units.h"
#include "config/value.h"
#include "core/glob.h"

/* Beyond this many patterns they are not compared with each other: it takes the square of their
 * number. */
#define PATTERNS_COMPARED 256

#define ROUTE_EXAMPLE "[{max_size: 64KiB, to: pool}, {to: mmap}]"

/* ---- Routes ---------------------------------------------------------------------------------- */

size_t parse_finish_route(struct parse *parse, struct policy_rule *rules, size_t count)
{
    size_t reach = 0; /* every size up to this is taken by the rules before */
    uint32_t reach_line = 0;
    for (size_t i = 0; i < count; i++) {
        size_t largest = parse_largest(parse, rules[i].backend);
        size_t takes = rules[i].max_size < largest ? rules[i].max_size : largest;
        if (reach == POLICY_ANY_SIZE)
            report_warning(parse->report, rules[i].mark,
                           "this rule is never used: the rule in line %u takes every size",
                           reach_line);
        else if (takes <= reach)
            report_warning(parse->report, rules[i].mark,
                           "this rule is never used: the rule in line %u takes every size up to %s",
                           reach_line, units_size(reach).text);
        if (takes > reach) {
            reach = takes;
            reach_line = rules[i].mark.line;
        }
    }
    const struct policy_rule *last = &rules[count - 1];
    if (last->max_size != POLICY_ANY_SIZE) {
        report_error(parse->report, last->mark,
                     "the last rule of a route takes every size: leave its max_size out, or add a "
                     "rule such as {to: mmap}");
        return count;
    }
    /* After a mistake the policy is thrown away, and its backends may be half-read. */
    if (reach == POLICY_ANY_SIZE || parse->report->errors > 0)
        return count;
    uint32_t rest = policy_unbounded_backend(parse->policy);
    if (rest == PARSE_NO_BACKEND)
        return count;
    rules[count] =
        (struct policy_rule){.max_size = POLICY_ANY_SIZE, .backend = rest, .mark = last->mark};
    return count + 1;
}

static void read_max_size(struct parse *parse, const struct node *node, struct policy_rule *rule,
                          bool has_backend)
{
    uint64_t size;
    if (!value_size(parse->report, node, "max_size", 1, SIZE_MAX / 2, &size))
        return;
    rule->max_size = size;
    size_t largest = has_backend ? parse_largest(parse, rule->backend) : POLICY_ANY_SIZE;
    if (size <= largest)
        return;
    const struct policy_backend *backend = &parse->backends[rule->backend];
    report_warning(parse->report, node->mark,
                   "max_size: \"%s\" (%s) serves up to %s only; larger sizes go to the next rule",
                   backend->name, backend->ops->name, units_size(largest).text);
}

/* false: the rule has a mistake. */
static bool read_rule(struct parse *parse, const struct node *map, struct policy_rule *rule)
{
    *rule = (struct policy_rule){.max_size = POLICY_ANY_SIZE, .mark = map->mark};
    if (!value_is_map(parse->report, map, "a rule of a route", "{max_size: 64KiB, to: pool}"))
        return false;
    size_t errors = parse->report->errors;
    value_check_keys(parse->report, map, "in a rule", keys_rule, NULL);
    const struct node *to = node_find(map, "to"), *max_size = node_find(map, "max_size");
    uint32_t index = PARSE_NO_BACKEND;
    if (to)
        index = parse_route_backend(parse, to, "to");
    else
        report_error(parse->report, map->mark,
                     "a rule without \"to\": which backend takes these sizes?");
    if (index != PARSE_NO_BACKEND)
        rule->backend = index;
    if (max_size)
        read_max_size(parse, max_size, rule, index != PARSE_NO_BACKEND);
    return parse->report->errors == errors;
}

/* One rule for every size. */
static void read_short_route(struct parse *parse, uint32_t backend, struct policy_mark mark,
                             struct policy_module *module)
{
    struct policy_rule *rules = reader_keep(parse->reader, 2 * sizeof(*rules));
    if (!rules)
        return;
    rules[0] = (struct policy_rule){POLICY_ANY_SIZE, backend, mark};
    module->rules = rules;
    module->rule_count = parse_finish_route(parse, rules, 1);
}

static void read_route(struct parse *parse, const struct node *node, struct policy_module *module)
{
    if (node->type == NODE_SCALAR) {
        uint32_t backend = parse_route_backend(parse, node, "route");
        if (backend != PARSE_NO_BACKEND)
            read_short_route(parse, backend, node->mark, module);
        return;
    }
    if (!value_is_list(parse->report, node, "route", ROUTE_EXAMPLE))
        return;
    if (node->count == 0 || node->count > parse->reader->limits->rules) {
        report_error(parse->report, node->mark, "route: expected 1 to %zu rules, found %zu",
                     parse->reader->limits->rules, node->count);
        return;
    }
    struct policy_rule *rules = reader_keep(parse->reader, (node->count + 1) * sizeof(*rules));
    if (!rules)
        return;
    bool good = true;
    for (size_t i = 0; i < node->count; i++)
        good &= read_rule(parse, node->items[i], &rules[i]);
    module->rules = rules;
    /* With a mistake in a rule, what was said of the others could be wrong. */
    module->rule_count = good ? parse_finish_route(parse, rules, node->count) : node->count;
}

/* ---- Modules --------------------------------------------------------------------------------- */

static void read_module(struct parse *parse, const struct node_pair *pair,
                        struct policy_module *module)
{
    const struct node *value = pair->value, *route, *limit;
    const struct policy *policy = parse->policy;
    if (value->type == NODE_SCALAR) {
        char what[96];
        snprintf(what, sizeof(what), "module \"%s\"", quoted(module->pattern).text);
        uint32_t backend = parse_route_backend(parse, value, what);
        if (backend != PARSE_NO_BACKEND)
            read_short_route(parse, backend, value->mark, module);
        return;
    }
    if (value->type != NODE_MAP) {
        report_error(
            parse->report, value->mark,
            "module \"%s\": expected the name of a backend or a map such as {route: " ROUTE_EXAMPLE
            "}, found %s",
            quoted(module->pattern).text, node_found(value).text);
        return;
    }
    value_check_keys(parse->report, value, "in a module", keys_module, NULL);
    route = node_find(value, "route");
    limit = node_find(value, "limit");
    if (route && route->type != NODE_NOTHING)
        read_route(parse, route, module);
    else
        read_short_route(parse, policy->default_backend, pair->key->mark, module);
    if (limit && limit->type != NODE_NOTHING)
        parse_limit(parse, limit, &module->limit);
}

/* Does every name that `later` fits also fit `earlier`? Says yes only when sure: the text of
 * `later` may then stand for its names, since its * and ? can only be met by a * of `earlier`. */
static bool covers(const char *earlier, const char *later)
{
    return strcmp(earlier, later) == 0 ||
           (strpbrk(earlier, "?[\\") == NULL && strpbrk(later, "[\\") == NULL &&
            glob_match(earlier, later));
}

static void warn_of_hidden(struct parse *parse, const struct policy_module *modules, size_t count)
{
    size_t globs[PATTERNS_COMPARED], glob_count = 0;
    for (size_t i = 0; i < count && glob_count < PATTERNS_COMPARED; i++) {
        if (!modules[i].is_glob)
            continue;
        for (size_t j = 0; j < glob_count; j++) {
            const struct policy_module *earlier = &modules[globs[j]];
            if (!covers(earlier->pattern, modules[i].pattern))
                continue;
            report_warning(parse->report, modules[i].mark,
                           "\"%s\" is never used: every name that it fits meets \"%s\" first, in "
                           "line %u",
                           quoted(modules[i].pattern).text, quoted(earlier->pattern).text,
                           earlier->mark.line);
            break;
        }
        globs[glob_count++] = i;
    }
}

void parse_modules(struct parse *parse, const struct node *map)
{
    struct policy *policy = parse->policy;
    const struct reader_limits *limits = parse->reader->limits;
    if (map && !value_is_map(parse->report, map, "modules", "{planner: pool}"))
        map = NULL;
    if (map && map->count > limits->modules) {
        report_error(parse->report, map->mark, "modules: %zu are too many; at most %zu", map->count,
                     limits->modules);
        map = NULL;
    }
    struct policy_module *modules =
        reader_keep(parse->reader, ((map ? map->count : 0) + 1) * sizeof(*modules));
    if (!modules)
        return;
    for (size_t i = 0; map && i < map->count; i++) {
        const struct node *key = map->pairs[i].key;
        struct policy_module *module = &modules[policy->module_count];
        if (!value_name(parse->report, key, "modules", "a module's name or pattern"))
            continue;
        module->pattern = reader_keep_text(parse->reader, key->text);
        if (!module->pattern)
            return;
        module->is_glob = glob_is_pattern(module->pattern);
        module->mark = key->mark;
        read_module(parse, &map->pairs[i], module);
        policy->module_count++;
    }
    warn_of_hidden(parse, modules, policy->module_count);
    policy->modules = modules;
}
