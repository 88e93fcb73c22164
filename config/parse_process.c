/* process:, reload: and observe: - what concerns the process as a whole. */
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "config/keys.h"
#include "config/node.h"
#include "config/parse.h"
#include "config/signals.h"
#include "config/text.h"
#include "config/value.h"
#include "config/words.h"

/* ---- process --------------------------------------------------------------------------------- */

/* mallopt() takes an int. The threshold for mmap may not pass half of glibc's largest heap, 64
 * MiB: it is ignored then, silently. */
static const struct {
    bool is_size;
    uint64_t minimum, maximum;
} mallopt_ranges[POLICY_MALLOPT_COUNT] = {
    [POLICY_MALLOPT_MMAP_THRESHOLD] = {true, 0, UINT64_C(32) << 20},
    [POLICY_MALLOPT_TRIM_THRESHOLD] = {true, 0, INT_MAX},
    [POLICY_MALLOPT_ARENA_MAX] = {false, 1, 65536},
    [POLICY_MALLOPT_TOP_PAD] = {true, 0, INT_MAX},
    [POLICY_MALLOPT_MMAP_MAX] = {false, 0, INT_MAX},
};

static void read_mallopt(struct parse *parse, const struct node *map)
{
    struct policy_process *process = &parse->policy->process;
    if (!value_is_map(parse->report, map, "mallopt", "{mmap_threshold: 32MiB}"))
        return;
    value_check_keys(parse->report, map, "in mallopt", keys_mallopt, NULL);
    for (size_t i = 0; i < POLICY_MALLOPT_COUNT; i++) {
        const struct node *node = node_find(map, keys_mallopt[i]);
        if (!node)
            continue;
        bool (*read)(struct report *, const struct node *, const char *, uint64_t, uint64_t,
                     uint64_t *) = mallopt_ranges[i].is_size ? value_size : value_count;
        if (read(parse->report, node, keys_mallopt[i], mallopt_ranges[i].minimum,
                 mallopt_ranges[i].maximum, &process->mallopt[i]))
            process->mallopt_present |= UINT32_C(1) << i;
    }
}

void parse_process(struct parse *parse, const struct node *map)
{
    if (!map || !value_is_map(parse->report, map, "process", "{mallopt: {arena_max: 2}}"))
        return;
    value_check_keys(parse->report, map, "in process", keys_process, NULL);
    const struct node *mallopt = node_find(map, "mallopt");
    if (mallopt && mallopt->type != NODE_NOTHING)
        read_mallopt(parse, mallopt);
    const struct node *lazy = node_find(map, "lazy_free");
    if (lazy)
        value_duration(parse->report, lazy, "lazy_free", 0, UINT64_C(86400) * 1000000000u,
                       &parse->policy->process.lazy_free);
}

/* ---- reload ---------------------------------------------------------------------------------- */

static void read_signal(struct parse *parse, const struct node *node)
{
    if (node->type != NODE_SCALAR) {
        report_error(parse->report, node->mark,
                     "signal: expected the name of a signal, such as SIGHUP, or none, found %s",
                     node_found(node).text);
        return;
    }
    int number;
    switch (signals_find(node->text, &number)) {
    case SIGNALS_GOOD:
        parse->policy->reload.signal = number;
        return;
    case SIGNALS_TAKEN:
        report_error(parse->report, node->mark,
                     "signal: %s has a meaning of its own that programs rely on; use SIGHUP, "
                     "SIGUSR1, SIGUSR2 or none",
                     quoted(node->text).text);
        return;
    case SIGNALS_UNKNOWN:
        break;
    }
    const char *nearest = signals_nearest(node->text);
    report_error(parse->report, node->mark,
                 "signal: unknown signal \"%s\"%s%s%s Use SIGHUP, SIGUSR1, SIGUSR2 or none",
                 quoted(node->text).text, nearest ? "; did you mean \"" : "",
                 nearest ? nearest : "", nearest ? "\"?" : ".");
}

void parse_reload(struct parse *parse, const struct node *map)
{
    if (!map || !value_is_map(parse->report, map, "reload", "{signal: SIGHUP, watch: true}"))
        return;
    value_check_keys(parse->report, map, "in reload", keys_reload, NULL);
    const struct node *signal_name = node_find(map, "signal"), *watch = node_find(map, "watch");
    if (signal_name)
        read_signal(parse, signal_name);
    if (watch)
        value_bool(parse->report, watch, "watch", &parse->policy->reload.watch);
}

/* ---- observe --------------------------------------------------------------------------------- */

void parse_observe(struct parse *parse, const struct node *node)
{
    parse->policy->observe = true;
    if (node && node->type != NODE_NOTHING)
        value_bool(parse->report, node, "observe", &parse->policy->observe);
}
