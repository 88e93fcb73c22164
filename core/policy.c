#include "core/policy.h"

#include <string.h>

#include "core/glob.h"

__attribute__((weak)) void policy_follow(const struct policy *policy)
{
    (void)policy;
}

const struct policy_module *policy_find_module(const struct policy *policy, const char *module)
{
    const struct policy_module *glob = NULL;
    for (size_t i = 0; i < policy->module_count; i++) {
        const struct policy_module *entry = &policy->modules[i];
        if (!entry->is_glob) {
            if (strcmp(entry->pattern, module) == 0)
                return entry;
        } else if (!glob && glob_match(entry->pattern, module)) {
            glob = entry;
        }
    }
    return glob;
}

uint32_t policy_find_backend(const struct policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->backend_count; i++) {
        if (strcmp(policy->backends[i].name, name) == 0)
            return (uint32_t)i;
    }
    return UINT32_MAX;
}

static bool module_uses(const struct policy_module *m, uint32_t backend)
{
    for (size_t i = 0; i < m->rule_count; i++)
        if (m->rules[i].backend == backend)
            return true;
    return (m->limit.on_soft == POLICY_ACTION_FALLBACK && m->limit.soft_fallback == backend) ||
           (m->limit.on_hard == POLICY_ACTION_FALLBACK && m->limit.hard_fallback == backend);
}

bool policy_uses_backend(const struct policy *policy, uint32_t backend)
{
    if (policy->default_backend == backend)
        return true;
    for (size_t i = 0; i < policy->module_count; i++)
        if (module_uses(&policy->modules[i], backend))
            return true;
    for (size_t i = 0; i < policy->phase_count; i++)
        if (policy->phases[i].backend == backend)
            return true;
    return false;
}

void policy_prepare_backend(const struct policy *policy, uint32_t backend)
{
    const struct sluice_backend_ops *ops = policy->backends[backend].ops;
    if (ops->prepare != NULL)
        ops->prepare();
}

bool policy_same_options(const struct sluice_option *a, size_t a_count,
                         const struct sluice_option *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (strcmp(a[i].key, b[i].key) != 0 || strcmp(a[i].value, b[i].value) != 0)
            return false;
    return true;
}

uint32_t policy_unbounded_backend(const struct policy *policy)
{
    uint32_t first = UINT32_MAX;
    if (policy->backends[policy->default_backend].ops->max_size == 0)
        return policy->default_backend;
    for (size_t i = 0; i < policy->backend_count; i++) {
        if (policy->backends[i].ops->max_size != 0)
            continue;
        if (strcmp(policy->backends[i].name, "mmap") == 0)
            return (uint32_t)i;
        if (first == UINT32_MAX)
            first = (uint32_t)i;
    }
    return first;
}
