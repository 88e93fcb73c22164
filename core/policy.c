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
