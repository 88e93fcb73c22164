#include "config/print.h"

#include <string.h>

#include "config/keys.h"
#include "config/signals.h"
#include "config/text.h"
#include "config/units.h"
#include "core/policy.h"
#include "core/registry.h"

static const char *backend_name(const struct policy *policy, uint32_t index)
{
    return policy->backends[index].name;
}

/* ---- Backends -------------------------------------------------------------------------------- */

static void print_value(const struct sluice_param *param, uint64_t value, struct text *out)
{
    switch (param->type) {
    case SLUICE_PARAM_SIZE:
        text_add(out, "%s", units_size(value).text);
        break;
    case SLUICE_PARAM_DURATION:
        text_add(out, "%s", units_duration(value).text);
        break;
    case SLUICE_PARAM_COUNT:
        text_add(out, "%llu", (unsigned long long)value);
        break;
    case SLUICE_PARAM_BOOL:
        text_add(out, "%s", value ? "true" : "false");
        break;
    case SLUICE_PARAM_CHOICE:
        text_add(out, "%s", param->choices[value]);
        break;
    }
}

static void print_backend(const struct policy_backend *backend, struct text *out)
{
    text_add(out, "  ");
    text_add_yaml(out, backend->name);
    text_add(out, ":\n    kind: %s\n", backend->library ? "plugin" : backend->ops->name);
    if (backend->library) {
        text_add(out, "    library: ");
        text_add_yaml(out, backend->library);
        text_add(out, "\n");
    }
    for (size_t i = 0; i < backend->ops->param_count; i++) {
        text_add(out, "    %s: ", backend->ops->params[i].name);
        print_value(&backend->ops->params[i], backend->values[i], out);
        text_add(out, "\n");
    }
    if (backend->option_count > 0)
        text_add(out, "    options:\n");
    for (size_t i = 0; i < backend->option_count; i++) {
        text_add(out, "      ");
        text_add_yaml(out, backend->options[i].key);
        text_add(out, ": ");
        text_add_yaml(out, backend->options[i].value);
        text_add(out, "\n");
    }
}

/* Is the kind served although no line of the policy gives it parameters? Then those that it has
 * are worth telling. */
static bool is_used(const struct policy *policy, uint32_t index)
{
    if (policy->backends[index].mark.line > 0 || policy->default_backend == index)
        return true;
    for (size_t i = 0; i < policy->module_count; i++) {
        const struct policy_module *module = &policy->modules[i];
        for (size_t j = 0; j < module->rule_count; j++) {
            if (module->rules[j].backend == index)
                return true;
        }
        const struct policy_limit *limit = &module->limit;
        if ((limit->on_soft == POLICY_ACTION_FALLBACK && limit->soft_fallback == index) ||
            (limit->on_hard == POLICY_ACTION_FALLBACK && limit->hard_fallback == index))
            return true;
    }
    for (size_t i = 0; i < policy->phase_count; i++) {
        if (policy->phases[i].backend == index)
            return true;
    }
    return false;
}

/* ---- Modules --------------------------------------------------------------------------------- */

static void print_action(const struct policy *policy, const char *key, enum policy_action action,
                         uint32_t fallback, struct text *out)
{
    if (action == POLICY_ACTION_FALLBACK) {
        text_add(out, "      %s: {fallback: ", key);
        text_add_yaml(out, backend_name(policy, fallback));
        text_add(out, "}\n");
    } else {
        text_add(out, "      %s: %s\n", key, words_action[action]);
    }
}

static void print_limit(const struct policy *policy, const struct policy_limit *limit,
                        struct text *out)
{
    if (limit->soft == 0 && limit->hard == 0)
        return;
    text_add(out, "    limit:\n");
    if (limit->soft > 0) {
        text_add(out, "      soft: %s\n", units_size(limit->soft).text);
        print_action(policy, "on_soft", limit->on_soft, limit->soft_fallback, out);
    }
    if (limit->hard > 0) {
        text_add(out, "      hard: %s\n", units_size(limit->hard).text);
        print_action(policy, "on_hard", limit->on_hard, limit->hard_fallback, out);
    }
}

static void print_module(const struct policy *policy, const struct policy_module *module,
                         struct text *out)
{
    text_add(out, "  ");
    text_add_yaml(out, module->pattern);
    text_add(out, ":\n    route:\n");
    for (size_t i = 0; i < module->rule_count; i++) {
        const struct policy_rule *rule = &module->rules[i];
        text_add(out, "      - {");
        if (rule->max_size != POLICY_ANY_SIZE)
            text_add(out, "max_size: %s, ", units_size(rule->max_size).text);
        text_add(out, "to: ");
        text_add_yaml(out, backend_name(policy, rule->backend));
        text_add(out, "}\n");
    }
    print_limit(policy, &module->limit, out);
}

/* ---- The rest -------------------------------------------------------------------------------- */

static void print_phase(const struct policy *policy, const struct policy_phase *phase,
                        struct text *out)
{
    text_add(out, "  ");
    text_add_yaml(out, phase->name);
    text_add(out, ":\n    modules: [");
    for (size_t i = 0; i < phase->module_count; i++) {
        text_add(out, "%s", i > 0 ? ", " : "");
        text_add_yaml(out, phase->modules[i]);
    }
    text_add(out, "]\n    backend: ");
    text_add_yaml(out, backend_name(policy, phase->backend));
    text_add(out, "\n    check: %s\n", words_check[phase->check]);
    if (phase->check != POLICY_CHECK_OFF)
        text_add(out, "    keep: %u\n", phase->keep);
    text_add(out, "    purge: %s\n    track: %s\n", words_purge[phase->purge_at_end],
             phase->track ? "true" : "false");
}

static void print_process(const struct policy_process *process, struct text *out)
{
    if (process->mallopt_present == 0 && process->lazy_free == 0)
        return;
    text_add(out, "\nprocess:\n");
    if (process->lazy_free != 0)
        text_add(out, "  lazy_free: %s\n", units_duration(process->lazy_free).text);
    if (process->mallopt_present == 0)
        return;
    text_add(out, "  mallopt:\n");
    for (size_t i = 0; i < POLICY_MALLOPT_COUNT; i++) {
        if ((process->mallopt_present >> i & 1) == 0)
            continue;
        bool is_count = i == POLICY_MALLOPT_ARENA_MAX || i == POLICY_MALLOPT_MMAP_MAX;
        if (is_count)
            text_add(out, "    %s: %llu\n", keys_mallopt[i],
                     (unsigned long long)process->mallopt[i]);
        else
            text_add(out, "    %s: %s\n", keys_mallopt[i], units_size(process->mallopt[i]).text);
    }
}

static void print_attribution(const struct policy *policy, struct text *out)
{
    if (policy->attribution_count == 0 && !policy->attribution_auto &&
        policy->attribution_wrapper_count == 0)
        return;
    text_add(out, "\nattribution:\n");
    for (size_t i = 0; i < policy->attribution_count; i++) {
        const struct policy_attribution *entry = &policy->attribution[i];
        text_add(out, "  - {%s: ", keys_attribution[entry->by]);
        text_add_yaml(out, entry->pattern);
        text_add(out, ", module: ");
        text_add_yaml(out, entry->module);
        text_add(out, "}\n");
    }
    if (policy->attribution_auto)
        text_add(out, "  - auto\n");
    for (size_t i = 0; i < policy->attribution_wrapper_count; i++) {
        text_add(out, i == 0 ? "  - {wrappers: [" : ", ");
        text_add_yaml(out, policy->attribution_wrappers[i]);
    }
    if (policy->attribution_wrapper_count > 0)
        text_add(out, "]}\n");
}

void print_policy(const struct policy *policy, struct text *out)
{
    text_add(out, "sluice: 1\n\ndefault: ");
    text_add_yaml(out, backend_name(policy, policy->default_backend));
    text_add(out, "\n\nbackends:\n");
    for (uint32_t i = 0; i < policy->backend_count; i++) {
        if (is_used(policy, i))
            print_backend(&policy->backends[i], out);
    }
    if (policy->module_count > 0)
        text_add(out, "\nmodules:\n");
    for (size_t i = 0; i < policy->module_count; i++)
        print_module(policy, &policy->modules[i], out);
    if (policy->phase_count > 0)
        text_add(out, "\nphases:\n");
    for (size_t i = 0; i < policy->phase_count; i++)
        print_phase(policy, &policy->phases[i], out);
    print_process(&policy->process, out);
    text_add(out, "\nreload:\n  signal: %s\n  watch: %s\n",
             signals_name(policy->reload.signal).text, policy->reload.watch ? "true" : "false");
    text_add(out, "\nobserve: %s\n", policy->observe ? "on" : "off");
    print_attribution(policy, out);
}
