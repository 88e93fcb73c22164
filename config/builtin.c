/* builtin.c - the policy of a program that was given none: config/policies/default.yaml, made without reading YAML. Most
 * processes that load Sluice never read any, and the code for it would be a third of what Sluice takes in an idle one. A test
 * compares, marks included. */
#include <string.h>

#include "core/meta.h"
#include "core/policy.h"
#include "core/registry.h"

#define MARK(line, column)         \
    {                              \
        "<built-in>", line, column \
    }

struct setting {
    const char *param, *choice; /* choice NULL: the value */
    uint64_t value;
};

static const struct {
    const char *name, *kind;
    struct policy_mark mark;
    struct setting settings[2];
} named[] = {
    {"blocks", "pool", MARK(12, 3), {{"retain", NULL, 2 << 20}, {"huge_pages", "auto", 0}}},
    {"direct", "mmap", MARK(13, 3), {{"reuse", NULL, 100000000}, {"huge_pages", "never", 0}}},
};
#define NAMED (sizeof named / sizeof named[0])

enum { BLOCKS, DIRECT };

static const struct policy_rule rules[] = {
    {512 << 10, BLOCKS, MARK(18, 9)},
    {POLICY_ANY_SIZE, DIRECT, MARK(19, 9)},
};

static const struct policy_module modules[] = {
    {
        .pattern = "*",
        .is_glob = true,
        .rules = rules,
        .rule_count = sizeof rules / sizeof rules[0],
        .limit = {.on_soft = POLICY_ACTION_NOTIFY, .on_hard = POLICY_ACTION_FAIL},
        .mark = MARK(16, 3),
    },
};

static uint64_t value_of(const struct sluice_param *param, const struct setting *setting)
{
    uint64_t value = setting->value;
    if (setting->choice != NULL)
        while (strcmp(param->choices[value], setting->choice) != 0)
            value++;
    return value;
}

/* A backend of those settings (NULL: none); without memory its values are NULL. */
static struct policy_backend backend_of(struct meta_region *memory, const char *name,
                                        const struct sluice_backend_ops *ops,
                                        const struct setting *settings, size_t count)
{
    uint64_t *values = meta_region_alloc(memory, (ops->param_count + 1) * sizeof *values);
    for (size_t i = 0; values != NULL && i < ops->param_count; i++) {
        values[i] = ops->params[i].default_value;
        for (size_t s = 0; s < count; s++)
            if (strcmp(ops->params[i].name, settings[s].param) == 0)
                values[i] = value_of(&ops->params[i], &settings[s]);
    }
    return (struct policy_backend){.name = name, .ops = ops, .values = values};
}

struct kinds {
    struct policy *policy;
    struct policy_backend *backends;
    size_t capacity;
    bool complete;
};

static void count_kind(const struct sluice_backend_ops *ops, void *count)
{
    (void)ops;
    ++*(size_t *)count;
}

static void add_kind(const struct sluice_backend_ops *ops, void *arg)
{
    struct kinds *kinds = arg;
    if (kinds->policy->backend_count == kinds->capacity)
        return; /* one that was registered just now */
    struct policy_backend *b = &kinds->backends[kinds->policy->backend_count++];
    *b = backend_of(kinds->policy->memory, ops->name, ops, NULL, 0);
    b->mark.file = "<built-in>";
    kinds->complete &= b->values != NULL;
}

/* What is named, then the kinds. false: no memory. */
static bool add_backends(struct policy *policy)
{
    size_t count = NAMED;
    registry_each(count_kind, &count);
    struct kinds kinds = {policy, meta_region_alloc(policy->memory, count * sizeof *kinds.backends),
                          count, true};
    if (kinds.backends == NULL)
        return false;
    for (size_t i = 0; i < NAMED; i++) {
        struct policy_backend *b = &kinds.backends[policy->backend_count++];
        *b = backend_of(policy->memory, named[i].name, registry_find(named[i].kind),
                        named[i].settings, 2);
        b->mark = named[i].mark;
        kinds.complete &= b->values != NULL;
    }
    registry_each(add_kind, &kinds);
    policy->backends = kinds.backends;
    return kinds.complete;
}

struct policy *policy_read_builtin(void)
{
    struct meta_region *memory = meta_region_create_small();
    struct policy *policy = memory == NULL ? NULL : meta_region_alloc(memory, sizeof *policy);
    if (policy == NULL) {
        meta_region_destroy(memory);
        return NULL;
    }
    *policy = (struct policy){
        .memory = memory,
        .default_backend = DIRECT,
        .default_mark = MARK(9, 10),
        .modules = modules,
        .module_count = sizeof modules / sizeof modules[0],
        .observe = true,
    };
    if (add_backends(policy))
        return policy;
    policy_destroy(policy);
    return NULL;
}
