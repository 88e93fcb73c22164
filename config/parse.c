#include "config/parse.h"

#include <string.h>

#include "config/keys.h"
#include "config/node.h"
#include "config/value.h"

/* As value_check_keys(), for a map in which authors may have keys of their own. */
static void check_top_keys(struct parse *parse)
{
    struct node known = *parse->root;
    struct node_pair *pairs = reader_scratch(parse->reader, (known.count + 1) * sizeof(*pairs));
    if (!pairs)
        return;
    size_t count = 0;
    for (size_t i = 0; i < known.count; i++) {
        const char *key = known.pairs[i].key->text;
        if (strncmp(key, KEYS_PRIVATE_PREFIX, strlen(KEYS_PRIVATE_PREFIX)) != 0)
            pairs[count++] = known.pairs[i];
    }
    known.pairs = pairs;
    known.count = count;
    value_check_keys(parse->report, &known, "in the policy", keys_policy, NULL);
}

static void finish(struct parse *parse)
{
    struct reader *reader = parse->reader;
    struct policy *policy = parse->policy;
    const char **files = reader_keep(reader, (reader->file_count + 1) * sizeof(*files));
    struct policy_file_state *states =
        reader_keep(reader, (reader->file_count + 1) * sizeof(*states));
    if (!files || !states)
        return;
    memcpy(files, reader->files, reader->file_count * sizeof(*files));
    memcpy(states, reader->file_states, reader->file_count * sizeof(*states));
    policy->file_states = states;
    policy->files = files;
    policy->file_count = reader->file_count;
    policy->path = reader->from_file ? files[0] : NULL;
    policy->memory = reader->memory;
}

/* The value of a section, or NULL when it is not there or empty. */
static const struct node *section(const struct parse *parse, const char *key)
{
    const struct node *node = node_find(parse->root, key);
    return node && node->type != NODE_NOTHING ? node : NULL;
}

struct policy *parse_policy(struct reader *reader, const struct node *root)
{
    struct parse parse = {.reader = reader, .report = reader->report, .root = root};
    parse.policy = reader_keep(reader, sizeof(*parse.policy));
    if (!parse.policy)
        return NULL;
    if (root->type != NODE_MAP) {
        report_error(reader->report, root->mark,
                     "a policy is a map of keys such as \"sluice: 1\", found %s",
                     node_found(root).text);
        return NULL;
    }
    if (!node_find(root, "sluice"))
        report_error(reader->report, root->mark,
                     "missing key \"sluice\": a policy begins with \"sluice: 1\", the version of "
                     "its language");
    check_top_keys(&parse);
    parse_backends(&parse, section(&parse, "backends"));
    if (!parse.backends)
        return NULL;
    parse_default(&parse, node_find(root, "default"));
    parse_modules(&parse, section(&parse, "modules"));
    parse_phases(&parse, section(&parse, "phases"));
    parse_process(&parse, section(&parse, "process"));
    parse_reload(&parse, section(&parse, "reload"));
    parse_observe(&parse, node_find(root, "observe"));
    parse_attribution(&parse, section(&parse, "attribution"));
    parse_add_kinds(&parse);
    finish(&parse);
    if (reader->report->errors > 0 || reader->out_of_memory)
        return NULL;
    return parse.policy;
}
