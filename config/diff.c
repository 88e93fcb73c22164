/* diff.c - what a reload changes, key by key, and when each change takes effect.
 *
 *   applied                      from now on, for what exists too
 *   applies to new allocations   objects that exist stay where they are
 *   needs a restart              libc takes it at start only
 */
#include <string.h>

#include "config/keys.h"
#include "config/text.h"
#include "core/policy.h"

enum effect { APPLIED, NEW_ALLOCATIONS, RESTART };

struct diff {
    const struct policy *before, *after;
    const bool *renewed; /* or NULL */
    struct text out;
    size_t left_out;
};

/* "and 12345 more" */
#define REST_SIZE 32

static void add(struct diff *diff, enum effect effect, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add(struct diff *diff, enum effect effect, const char *format, ...)
{
    static const char *const texts[] = {"applied", "applies to new allocations", "needs a restart"};
    if (diff->left_out > 0) {
        diff->left_out++;
        return;
    }
    size_t before = diff->out.used;
    if (before > 0)
        text_add(&diff->out, "\n");
    va_list arguments;
    va_start(arguments, format);
    text_add_list(&diff->out, format, arguments);
    va_end(arguments);
    text_add(&diff->out, ": %s", texts[effect]);
    if (diff->out.cut) {
        text_rewind(&diff->out, before);
        diff->left_out++;
    }
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static const char *backend_name(const struct policy *policy, uint32_t index)
{
    return policy->backends[index].name;
}

/* ---- Backends -------------------------------------------------------------------------------- */

static void diff_backend(struct diff *diff, const struct policy_backend *a,
                         const struct policy_backend *b)
{
    bool is_renewed = diff->renewed && diff->renewed[b - diff->after->backends];
    if (a->ops != b->ops) {
        add(diff, NEW_ALLOCATIONS, "backends.%s.kind", b->name);
        return;
    }
    enum effect effect = b->ops->configure && !is_renewed ? APPLIED : NEW_ALLOCATIONS;
    for (size_t i = 0; i < b->ops->param_count; i++) {
        if (a->values[i] != b->values[i])
            add(diff, effect, "backends.%s.%s", b->name, b->ops->params[i].name);
    }
    if (!same(a->library, b->library))
        add(diff, NEW_ALLOCATIONS, "backends.%s.library", b->name);
    if (!policy_same_options(a->options, a->option_count, b->options, b->option_count))
        add(diff, NEW_ALLOCATIONS, "backends.%s.options", b->name); /* no arena takes new options */
}

static void diff_backends(struct diff *diff)
{
    const struct policy *before = diff->before, *after = diff->after;
    for (size_t i = 0; i < after->backend_count; i++) {
        const struct policy_backend *b = &after->backends[i];
        uint32_t old = policy_find_backend(before, b->name);
        if (old != UINT32_MAX)
            diff_backend(diff, &before->backends[old], b);
        else if (b->mark.line > 0) /* a kind that was loaded meanwhile is no change of a key */
            add(diff, NEW_ALLOCATIONS, "backends.%s", b->name);
    }
    for (size_t i = 0; i < before->backend_count; i++) {
        const struct policy_backend *a = &before->backends[i];
        if (policy_find_backend(after, a->name) == UINT32_MAX && a->mark.line > 0)
            add(diff, NEW_ALLOCATIONS, "backends.%s", a->name);
    }
}

/* ---- Modules --------------------------------------------------------------------------------- */

static bool same_route(const struct diff *diff, const struct policy_module *a,
                       const struct policy_module *b)
{
    if (a->rule_count != b->rule_count)
        return false;
    for (size_t i = 0; i < a->rule_count; i++) {
        if (a->rules[i].max_size != b->rules[i].max_size ||
            !same(backend_name(diff->before, a->rules[i].backend),
                  backend_name(diff->after, b->rules[i].backend)))
            return false;
    }
    return true;
}

static bool same_action(const struct diff *diff, enum policy_action a, uint32_t a_backend,
                        enum policy_action b, uint32_t b_backend)
{
    return a == b && (a != POLICY_ACTION_FALLBACK || same(backend_name(diff->before, a_backend),
                                                          backend_name(diff->after, b_backend)));
}

static void diff_limit(struct diff *diff, const char *pattern, const struct policy_limit *a,
                       const struct policy_limit *b)
{
    if (a->soft != b->soft)
        add(diff, APPLIED, "modules.%s.limit.soft", pattern);
    if (a->hard != b->hard)
        add(diff, APPLIED, "modules.%s.limit.hard", pattern);
    /* What happens at a limit that is not there is no change. */
    if (a->soft > 0 && b->soft > 0 &&
        !same_action(diff, a->on_soft, a->soft_fallback, b->on_soft, b->soft_fallback))
        add(diff, APPLIED, "modules.%s.limit.on_soft", pattern);
    if (a->hard > 0 && b->hard > 0 &&
        !same_action(diff, a->on_hard, a->hard_fallback, b->on_hard, b->hard_fallback))
        add(diff, APPLIED, "modules.%s.limit.on_hard", pattern);
}

/* place: where it is likely to stand, so that comparing two long policies takes no square of it. */
static const struct policy_module *entry_of(const struct policy *policy, const char *pattern,
                                            size_t place)
{
    if (place < policy->module_count && strcmp(policy->modules[place].pattern, pattern) == 0)
        return &policy->modules[place];
    for (size_t i = 0; i < policy->module_count; i++) {
        if (strcmp(policy->modules[i].pattern, pattern) == 0)
            return &policy->modules[i];
    }
    return NULL;
}

/* The first glob that fits decides: do those that both have stand in the same order? */
static bool same_order(const struct policy *before, const struct policy *after)
{
    size_t next = 0;
    for (size_t i = 0; i < after->module_count; i++) {
        const struct policy_module *b = &after->modules[i];
        const struct policy_module *a = b->is_glob ? entry_of(before, b->pattern, i) : NULL;
        if (!a)
            continue;
        size_t place = (size_t)(a - before->modules);
        if (place < next)
            return false;
        next = place;
    }
    return true;
}

static void diff_modules(struct diff *diff)
{
    const struct policy *before = diff->before, *after = diff->after;
    for (size_t i = 0; i < after->module_count; i++) {
        const struct policy_module *b = &after->modules[i];
        const struct policy_module *a = entry_of(before, b->pattern, i);
        if (!a) {
            add(diff, NEW_ALLOCATIONS, "modules.%s", b->pattern);
            continue;
        }
        if (!same_route(diff, a, b))
            add(diff, NEW_ALLOCATIONS, "modules.%s.route", b->pattern);
        diff_limit(diff, b->pattern, &a->limit, &b->limit);
    }
    for (size_t i = 0; i < before->module_count; i++) {
        if (!entry_of(after, before->modules[i].pattern, i))
            add(diff, NEW_ALLOCATIONS, "modules.%s", before->modules[i].pattern);
    }
    if (!same_order(before, after))
        add(diff, NEW_ALLOCATIONS, "modules");
}

/* ---- The rest -------------------------------------------------------------------------------- */

static const struct policy_phase *phase_of(const struct policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->phase_count; i++) {
        if (strcmp(policy->phases[i].name, name) == 0)
            return &policy->phases[i];
    }
    return NULL;
}

static bool same_patterns(const struct policy_phase *a, const struct policy_phase *b)
{
    if (a->module_count != b->module_count)
        return false;
    for (size_t i = 0; i < a->module_count; i++) {
        if (strcmp(a->modules[i], b->modules[i]) != 0)
            return false;
    }
    return true;
}

/* Phases take effect with their next instance. */
static void diff_phases(struct diff *diff)
{
    const struct policy *before = diff->before, *after = diff->after;
    for (size_t i = 0; i < after->phase_count; i++) {
        const struct policy_phase *b = &after->phases[i], *a = phase_of(before, b->name);
        if (!a) {
            add(diff, NEW_ALLOCATIONS, "phases.%s", b->name);
            continue;
        }
        if (!same_patterns(a, b))
            add(diff, NEW_ALLOCATIONS, "phases.%s.modules", b->name);
        if (!same(backend_name(before, a->backend), backend_name(after, b->backend)))
            add(diff, NEW_ALLOCATIONS, "phases.%s.backend", b->name);
        if (a->check != b->check)
            add(diff, NEW_ALLOCATIONS, "phases.%s.check", b->name);
        if (a->keep != b->keep && b->check != POLICY_CHECK_OFF)
            add(diff, APPLIED, "phases.%s.keep", b->name);
        if (a->purge_at_end != b->purge_at_end)
            add(diff, APPLIED, "phases.%s.purge", b->name);
        if (a->track != b->track)
            add(diff, NEW_ALLOCATIONS, "phases.%s.track", b->name);
    }
    for (size_t i = 0; i < before->phase_count; i++) {
        if (!phase_of(after, before->phases[i].name))
            add(diff, NEW_ALLOCATIONS, "phases.%s", before->phases[i].name);
    }
}

static void diff_process(struct diff *diff)
{
    const struct policy_process *a = &diff->before->process, *b = &diff->after->process;
    for (size_t i = 0; i < POLICY_MALLOPT_COUNT; i++) {
        uint32_t bit = UINT32_C(1) << i;
        bool had = (a->mallopt_present & bit) != 0, has = (b->mallopt_present & bit) != 0;
        /* Values that were not written are 0. */
        if (had == has && a->mallopt[i] == b->mallopt[i])
            continue;
        /* glibc counts its arenas once; and what was set has no way back to its default. */
        enum effect effect = i == POLICY_MALLOPT_ARENA_MAX || !has ? RESTART : APPLIED;
        add(diff, effect, "process.mallopt.%s", keys_mallopt[i]);
    }
    if (a->lazy_free != b->lazy_free)
        add(diff, APPLIED, "process.lazy_free");
}

static bool same_attribution(const struct policy *a, const struct policy *b)
{
    if (a->attribution_auto != b->attribution_auto ||
        a->attribution_count != b->attribution_count ||
        a->attribution_wrapper_count != b->attribution_wrapper_count)
        return false;
    for (size_t i = 0; i < a->attribution_wrapper_count; i++)
        if (strcmp(a->attribution_wrappers[i], b->attribution_wrappers[i]) != 0)
            return false;
    for (size_t i = 0; i < a->attribution_count; i++) {
        if (a->attribution[i].by != b->attribution[i].by ||
            strcmp(a->attribution[i].pattern, b->attribution[i].pattern) != 0 ||
            strcmp(a->attribution[i].module, b->attribution[i].module) != 0)
            return false;
    }
    return true;
}

void policy_diff(const struct policy *before, const struct policy *after, const bool *renewed,
                 char *out, size_t size)
{
    struct diff diff = {.before = before, .after = after, .renewed = renewed};
    text_init(&diff.out, out, size > REST_SIZE ? size - REST_SIZE : size);
    if (!before)
        return;
    if (!same(backend_name(before, before->default_backend),
              backend_name(after, after->default_backend)))
        add(&diff, NEW_ALLOCATIONS, "default");
    diff_backends(&diff);
    diff_modules(&diff);
    diff_phases(&diff);
    diff_process(&diff);
    if (before->reload.signal != after->reload.signal)
        add(&diff, APPLIED, "reload.signal");
    if (before->reload.watch != after->reload.watch)
        add(&diff, APPLIED, "reload.watch");
    if (before->observe != after->observe)
        add(&diff, APPLIED, "observe");
    if (!same_attribution(before, after))
        add(&diff, APPLIED, "attribution");
    if (diff.left_out > 0 && size > REST_SIZE) {
        diff.out.size = size;
        text_add(&diff.out, "%sand %zu more", diff.out.used > 0 ? "\n" : "", diff.left_out);
    }
}
