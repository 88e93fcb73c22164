/* phases: - named lifetimes, and whose objects live in them. */
#include <stdio.h>
#include <string.h>

#include "config/keys.h"
#include "config/node.h"
#include "config/parse.h"
#include "config/text.h"
#include "config/value.h"

static void read_patterns(struct parse *parse, const struct node *node, struct policy_phase *phase)
{
    const struct node *const *items = node->type == NODE_LIST ? node->items : &node;
    size_t count = node->type == NODE_LIST ? node->count : 1;
    if (node->type != NODE_LIST && node->type != NODE_SCALAR) {
        value_is_list(parse->report, node, "modules", "[perception, \"ros.*\"]");
        return;
    }
    if (count == 0)
        report_error(parse->report, node->mark,
                     "modules: an empty list: whose objects live in this "
                     "phase?");
    const char **patterns = reader_keep(parse->reader, (count + 1) * sizeof(*patterns));
    if (!patterns)
        return;
    for (size_t i = 0; i < count; i++) {
        if (!value_name(parse->report, items[i], "modules", "a module's name or pattern"))
            continue;
        patterns[phase->module_count] = reader_keep_text(parse->reader, items[i]->text);
        if (patterns[phase->module_count])
            phase->module_count++;
    }
    phase->modules = patterns;
}

static bool has(const struct policy_backend *backend, uint64_t capabilities)
{
    return !backend->ops || (backend->ops->capabilities & capabilities) == capabilities;
}

/* "; these can: a, b", or nothing when none can. */
static void add_able(const struct parse *parse, uint64_t capabilities, char *names, size_t size)
{
    struct text able;
    text_init(&able, names, size);
    for (size_t i = 0; i < parse->policy->backend_count; i++) {
        const struct policy_backend *other = &parse->backends[i];
        if (other->ops && has(other, capabilities))
            text_add(&able, "%s%s", able.used > 0 ? ", " : "; these can: ", other->name);
    }
}

/* Ending a phase drops everything at once: a backend must be able to, or its objects be tracked. */
static void check_reset(struct parse *parse, const struct node *node,
                        const struct policy_phase *phase)
{
    const struct policy_backend *backend = &parse->backends[phase->backend];
    if (phase->track || has(backend, SLUICE_BACKEND_BULK_RESET))
        return;
    char names[120];
    add_able(parse, SLUICE_BACKEND_BULK_RESET, names, sizeof(names));
    report_error(parse->report, node->mark,
                 "phase \"%s\": backend \"%s\" (%s) cannot drop all its objects at once; write "
                 "\"track: true\" to have them tracked one by one%s",
                 quoted(phase->name).text, backend->name, backend->ops->name, names);
}

/* What is watched after the end must be whole chunks of the instance alone. */
static void check_watch(struct parse *parse, const struct node *check,
                        const struct policy_phase *phase)
{
    const uint64_t needed = SLUICE_BACKEND_BULK_RESET | SLUICE_BACKEND_OWNS_ADDRESS_SPACE;
    const struct policy_backend *backend = &parse->backends[phase->backend];
    if (phase->check == POLICY_CHECK_OFF || has(backend, needed))
        return;
    char names[120];
    add_able(parse, needed, names, sizeof(names));
    report_error(
        parse->report, check->mark,
        "check: %s: backend \"%s\" (%s) takes its memory from elsewhere, so that it cannot "
        "be kept back after the end%s",
        words_check[phase->check], backend->name, backend->ops->name, names);
}

static void read_check(struct parse *parse, const struct node *map, struct policy_phase *phase)
{
    const struct node *check = node_find(map, "check"), *keep = node_find(map, "keep");
    uint64_t word = POLICY_CHECK_OFF, count = POLICY_KEEP_DEFAULT;
    if (check && value_choice(parse->report, check, "check", words_check, &word))
        phase->check = (enum policy_check)word;
    if (keep && value_count(parse->report, keep, "keep", 1, POLICY_KEEP_MAX, &count) &&
        phase->check == POLICY_CHECK_OFF)
        report_warning(parse->report, keep->mark,
                       "keep: has no effect without \"check: poison\" or \"check: protect\"");
    phase->keep = (uint32_t)count;
}

static void missing(struct parse *parse, const struct node *map, const char *name, const char *key,
                    const char *example)
{
    report_error(parse->report, map->mark, "phase \"%s\": missing key \"%s\", such as %s",
                 quoted(name).text, key, example);
}

static void read_phase(struct parse *parse, const struct node *map, struct policy_phase *phase)
{
    if (map->type != NODE_MAP) {
        report_error(parse->report, map->mark,
                     "phase \"%s\": expected a map such as {modules: [perception], backend: "
                     "scratch}, found %s",
                     quoted(phase->name).text, node_found(map).text);
        return;
    }
    char where[96];
    snprintf(where, sizeof(where), "in phase \"%s\"", quoted(phase->name).text);
    value_check_keys(parse->report, map, where, keys_phase, NULL);
    const struct node *modules = node_find(map, "modules"), *backend = node_find(map, "backend");
    const struct node *check = node_find(map, "check"), *track = node_find(map, "track");
    const struct node *purge = node_find(map, "purge");
    uint64_t word = 0;
    if (modules)
        read_patterns(parse, modules, phase);
    else
        missing(parse, map, phase->name, "modules", "[perception]");
    read_check(parse, map, phase);
    if (purge && value_choice(parse->report, purge, "purge", words_purge, &word))
        phase->purge_at_end = word == 1;
    bool track_is_known = !track || value_bool(parse->report, track, "track", &phase->track);
    if (!backend) {
        missing(parse, map, phase->name, "backend", "backend: region");
        return;
    }
    uint32_t index = parse_backend_name(parse, backend, "backend");
    if (index == PARSE_NO_BACKEND)
        return;
    phase->backend = index;
    if (track_is_known)
        check_reset(parse, backend, phase);
    check_watch(parse, check, phase);
}

void parse_phases(struct parse *parse, const struct node *map)
{
    if (!map ||
        !value_is_map(parse->report, map, "phases", "{frame: {modules: [perception], ...}}"))
        return;
    if (map->count > parse->reader->limits->phases) {
        report_error(parse->report, map->mark, "phases: %zu are too many; at most %zu", map->count,
                     parse->reader->limits->phases);
        return;
    }
    struct policy_phase *phases = reader_keep(parse->reader, (map->count + 1) * sizeof(*phases));
    if (!phases)
        return;
    parse->policy->phases = phases;
    for (size_t i = 0; i < map->count; i++) {
        const struct node *key = map->pairs[i].key;
        struct policy_phase *phase = &phases[parse->policy->phase_count];
        if (!value_name(parse->report, key, "phases", "a phase's name"))
            continue;
        phase->name = reader_keep_text(parse->reader, key->text);
        if (!phase->name)
            return;
        phase->mark = key->mark;
        read_phase(parse, map->pairs[i].value, phase);
        parse->policy->phase_count++;
    }
}
