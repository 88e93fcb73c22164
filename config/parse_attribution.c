/* attribution: - which module an allocation of an unmodified program counts for. */
#include <string.h>

#include "config/keys.h"
#include "config/node.h"
#include "config/parse.h"
#include "config/text.h"
#include "config/value.h"

#define AUTO "auto"

/* The functions of one entry's list, behind those of entries before. */
static void read_wrappers(struct parse *parse, const struct node *map, const struct node *list)
{
    struct policy *policy = parse->policy;
    if (map->count > 1) {
        report_error(parse->report, map->mark,
                     "attribution: \"wrappers\" stands in an entry of its own");
        return;
    }
    if (!value_is_list(parse->report, list, "wrappers", "[my_malloc, my_strdup]"))
        return;
    if (list->count > parse->reader->limits->attribution) {
        report_error(parse->report, list->mark, "wrappers: %zu names are too many; at most %zu",
                     list->count, parse->reader->limits->attribution);
        return;
    }
    size_t count = policy->attribution_wrapper_count;
    const char **names = reader_keep(parse->reader, (count + list->count + 1) * sizeof(*names));
    if (!names)
        return;
    for (size_t i = 0; i < count; i++)
        names[i] = policy->attribution_wrappers[i];
    for (size_t i = 0; i < list->count; i++) {
        if (value_name(parse->report, list->items[i], "wrappers", "a function's name") &&
            (names[count] = reader_keep_text(parse->reader, list->items[i]->text)) != NULL)
            count++;
    }
    policy->attribution_wrappers = names;
    policy->attribution_wrapper_count = count;
}

/* false: has a mistake, or is no entry that decides. */
static bool read_entry(struct parse *parse, const struct node *map,
                       struct policy_attribution *entry)
{
    if (!value_is_map(parse->report, map, "attribution", "{object: \"libfoo*.so*\", module: foo}"))
        return false;
    value_check_keys(parse->report, map, "in attribution", keys_attribution, NULL);
    const struct node *wrappers = node_find(map, "wrappers");
    if (wrappers) {
        read_wrappers(parse, map, wrappers);
        return false;
    }
    const struct node *object = node_find(map, "object"), *thread = node_find(map, "thread");
    const struct node *module = node_find(map, "module"), *by = object ? object : thread;
    if (!by || (object && thread)) {
        report_error(parse->report, map->mark,
                     "attribution: write either \"object\" or \"thread\"%s",
                     by ? ", not both" : ": whose allocations?");
        return false;
    }
    if (!module) {
        report_error(parse->report, map->mark,
                     "attribution: missing key \"module\": whom shall it count for?");
        return false;
    }
    if (!value_name(parse->report, by, object ? "object" : "thread", "a pattern") ||
        !value_name(parse->report, module, "module", "a module's name"))
        return false;
    entry->by = object ? POLICY_BY_OBJECT : POLICY_BY_THREAD;
    entry->pattern = reader_keep_text(parse->reader, by->text);
    entry->module = reader_keep_text(parse->reader, module->text);
    entry->mark = map->mark;
    return entry->pattern && entry->module;
}

static void warn_of_hidden(struct parse *parse, const struct policy_attribution *entries,
                           size_t count)
{
    const struct policy_attribution *last = &entries[count - 1];
    for (size_t i = 0; i + 1 < count; i++) {
        if (entries[i].by != last->by || (strcmp(entries[i].pattern, "*") != 0 &&
                                          strcmp(entries[i].pattern, last->pattern) != 0))
            continue;
        report_warning(parse->report, last->mark,
                       "this entry is never used: \"%s\" in line %u takes its %s first",
                       quoted(entries[i].pattern).text, entries[i].mark.line,
                       last->by == POLICY_BY_OBJECT ? "objects" : "threads");
        return;
    }
}

static bool is_auto(const struct node *node)
{
    return node->type == NODE_SCALAR && strcmp(node->text, AUTO) == 0;
}

void parse_attribution(struct parse *parse, const struct node *node)
{
    struct policy *policy = parse->policy;
    if (!node)
        return;
    if (is_auto(node)) {
        policy->attribution_auto = true;
        return;
    }
    if (node->type != NODE_LIST) {
        report_error(parse->report, node->mark,
                     "attribution: expected auto or a list such as [{object: \"libfoo*.so*\", "
                     "module: foo}], found %s",
                     node_found(node).text);
        return;
    }
    if (node->count > parse->reader->limits->attribution) {
        report_error(parse->report, node->mark,
                     "attribution: %zu entries are too many; at most %zu", node->count,
                     parse->reader->limits->attribution);
        return;
    }
    struct policy_attribution *entries =
        reader_keep(parse->reader, (node->count + 1) * sizeof(*entries));
    if (!entries)
        return;
    policy->attribution = entries;
    for (size_t i = 0; i < node->count; i++) {
        if (is_auto(node->items[i])) {
            policy->attribution_auto = true;
        } else if (read_entry(parse, node->items[i], &entries[policy->attribution_count])) {
            policy->attribution_count++;
            warn_of_hidden(parse, entries, policy->attribution_count);
        }
    }
}
