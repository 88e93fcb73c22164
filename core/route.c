/* route.c - see route.h. */
#include "core/route.h"

#include <stdio.h>
#include <string.h>

#include "core/limit.h"
#include "core/log.h"
#include "core/meta.h"
#include "core/os.h"
#include "core/phase.h"

#define ROUTES_SIZE (MODULE_CAPACITY * sizeof(_Atomic(struct route *)))

_Atomic uint64_t route_generation;
_Atomic uint64_t route_module_generation[MODULE_CAPACITY];
static _Atomic(struct route_table *) current;

struct route_table *route_table_current(void)
{
    return atomic_load_explicit(&current, memory_order_acquire);
}

/* The backend that an override names, or UINT32_MAX: none, or the policy does not know it (`say`: tell so). */
static uint32_t overridden(const struct policy *policy, const struct module *m, bool say)
{
    char name[MODULE_NAME_MAX + 1];
    if (!module_get_override(m->name, name))
        return UINT32_MAX;
    uint32_t b = policy_find_backend(policy, name);
    if (b == UINT32_MAX && say)
        log_line(
            LOG_LEVEL_WARN,
            "the override of module \"%s\" names backend \"%s\", which the policy in force does not "
            "have: the policy's own route serves",
            m->name, name);
    return b;
}

/* The rules that serve a module: its override's, its entry's, or the default's. Returns their number. */
static size_t rules_of(const struct policy *policy, const struct module *m, bool say,
                       const struct policy_module **entry, struct policy_rule single[2],
                       const struct policy_rule **rules)
{
    *entry = policy_find_module(policy, m->name);
    uint32_t b = overridden(policy, m, say);
    if (b == UINT32_MAX && *entry != NULL) {
        *rules = (*entry)->rules;
        return (*entry)->rule_count;
    }
    if (b == UINT32_MAX)
        b = policy->default_backend;
    *rules = single;
    single[0] = (struct policy_rule){.max_size = POLICY_ANY_SIZE, .backend = b};
    if (policy->backends[b].ops->max_size == 0)
        return 1;
    /* A backend with a largest size needs somebody behind it. */
    single[1] = (struct policy_rule){.max_size = POLICY_ANY_SIZE,
                                     .backend = policy_unbounded_backend(policy)};
    return 2;
}

static void rule_set(struct route_rule *r, const struct policy *policy, size_t max_size, uint32_t b)
{
    r->backend = &policy->backends[b];
    size_t most = r->backend->ops->max_size;
    r->max_size = most != 0 && most < max_size ? most : max_size;
    atomic_init(&r->arena, NULL);
}

/* Behind the rules of the route: two fallbacks, and the rules of a phase. */
#define FALLBACKS    2
#define RULES_BEHIND (FALLBACKS + ROUTE_PHASE_BACKENDS)

size_t route_phase_backends(const struct policy *policy, const struct policy_phase *phase,
                            uint32_t backends[ROUTE_PHASE_BACKENDS])
{
    backends[0] = phase->backend;
    backends[1] = policy_find_backend(policy, "mmap"); /* it can drop all at once, too */
    bool bounded = policy->backends[phase->backend].ops->max_size != 0;
    return bounded && backends[1] != UINT32_MAX ? 2 : 1;
}

bool route_phase_tracks(const struct policy *policy, const struct policy_phase *phase)
{
    const struct sluice_backend_ops *ops = policy->backends[phase->backend].ops;
    return phase->track && (ops->capabilities & SLUICE_BACKEND_BULK_RESET) == 0;
}

static void compile_phase(const struct policy *policy, struct route *r)
{
    const struct policy_phase *phase = phase_of_module(policy, r->module->name);
    struct phase_kind *kind = phase == NULL ? NULL : phase_kind_get(phase->name);
    if (kind == NULL || !phase_kind_bind(kind, r->module->id))
        return;
    uint32_t backends[ROUTE_PHASE_BACKENDS] = {0};
    r->phase_rules = &r->rules[r->rule_count + FALLBACKS];
    r->phase_rule_count = route_phase_backends(policy, phase, backends);
    for (size_t i = 0; i < r->phase_rule_count; i++)
        rule_set(&r->phase_rules[i], policy, POLICY_ANY_SIZE, backends[i]);
    r->phase_tracked = route_phase_tracks(policy, phase);
    r->phase = kind;
}

/* In fill_lock. */
static struct route *route_compile(struct route_table *table, struct module *m)
{
    const struct policy *policy = table->policy;
    const struct policy_module *entry;
    const struct policy_rule *rules;
    struct policy_rule single[2];
    size_t n = rules_of(policy, m, true, &entry, single, &rules);
    struct route *r = meta_region_alloc(table->memory,
                                        sizeof *r + (n + RULES_BEHIND) * sizeof(struct route_rule));
    if (r == NULL)
        return NULL;
    r->module = m;
    r->rule_count = n;
    for (size_t i = 0; i < n; i++)
        rule_set(&r->rules[i], policy, rules[i].max_size, rules[i].backend);
    if (entry != NULL && entry->limit.on_soft == POLICY_ACTION_FALLBACK && entry->limit.soft != 0) {
        r->soft_fallback = &r->rules[n];
        rule_set(r->soft_fallback, policy, POLICY_ANY_SIZE, entry->limit.soft_fallback);
    }
    if (entry != NULL && entry->limit.on_hard == POLICY_ACTION_FALLBACK && entry->limit.hard != 0) {
        r->hard_fallback = &r->rules[n + 1];
        rule_set(r->hard_fallback, policy, POLICY_ANY_SIZE, entry->limit.hard_fallback);
    }
    compile_phase(policy, r);
    return r;
}

void route_backends_of(const struct policy *policy, struct module *m, bool *used)
{
    const struct policy_module *entry;
    const struct policy_rule *rules;
    struct policy_rule single[2];
    size_t n = rules_of(policy, m, false, &entry, single, &rules);
    for (size_t i = 0; i < n; i++)
        used[rules[i].backend] = true;
    if (entry != NULL && entry->limit.on_soft == POLICY_ACTION_FALLBACK)
        used[entry->limit.soft_fallback] = true;
    if (entry != NULL && entry->limit.on_hard == POLICY_ACTION_FALLBACK)
        used[entry->limit.hard_fallback] = true;
}

void route_describe(const struct policy *policy, struct module *m, char *out, size_t size)
{
    const struct policy_module *entry;
    const struct policy_rule *rules;
    struct policy_rule single[2];
    size_t n = rules_of(policy, m, false, &entry, single, &rules), used = 0;
    for (size_t i = 0; i < n && used < size; i++) {
        if (i > 0 && rules[i].backend == rules[i - 1].backend)
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? "," : "",
                                 policy->backends[rules[i].backend].name);
    }
    if (used >= size)
        memcpy(out + size - 4, "...", 4);
}

struct route *route_of(struct route_table *table, struct module *m)
{
    struct route *r = atomic_load_explicit(&table->routes[m->id], memory_order_acquire);
    if (__builtin_expect(r != NULL, 1))
        return r;
    lock_acquire(&table->fill_lock);
    r = atomic_load_explicit(&table->routes[m->id], memory_order_acquire);
    if (r == NULL) {
        limit_follow_module(table->policy, m);
        r = route_compile(table, m);
        atomic_store_explicit(&table->routes[m->id], r, memory_order_release);
    }
    lock_release(&table->fill_lock);
    return r;
}

struct route_rule *route_rule_for(struct route *route, size_t size)
{
    for (size_t i = 0; i < route->rule_count; i++)
        if (size <= route->rules[i].max_size)
            return &route->rules[i];
    return NULL;
}

#define ASK_AGAIN_FIRST \
    ((uint64_t)1000000) /* ns; the second time is at once: it may have been for want of memory */
#define ASK_AGAIN_MAX ((uint64_t)1000000000)

static uint64_t ask_again_after(uint32_t refusals)
{
    uint64_t after = refusals < 2    ? 0
                     : refusals < 12 ? ASK_AGAIN_FIRST << (refusals - 2)
                                     : ASK_AGAIN_MAX;
    return after < ASK_AGAIN_MAX ? after : ASK_AGAIN_MAX;
}

bool route_rule_may_ask(struct route_rule *rule)
{
    uint32_t refusals = atomic_load_explicit(&rule->refusals, memory_order_acquire);
    uint64_t due = atomic_load_explicit(&rule->ask_again, memory_order_relaxed);
    if (refusals == 0)
        return true;
    uint64_t now = os_now();
    return now >= due &&
           atomic_compare_exchange_strong_explicit(&rule->ask_again, &due, now + ASK_AGAIN_MAX,
                                                   memory_order_relaxed, memory_order_relaxed);
}

void route_rule_note(struct route *route, struct route_rule *rule, bool refused)
{
    const char *module = route->module->name, *backend = rule->backend->name;
    if (!refused && atomic_load_explicit(&rule->refusals, memory_order_relaxed) == 0)
        return;
    if (!refused) {
        atomic_store_explicit(&rule->refusals, 0, memory_order_relaxed);
        log_line(LOG_LEVEL_INFO, "module \"%s\": backend \"%s\" has an arena now", module, backend);
        return;
    }
    uint32_t n = atomic_fetch_add_explicit(&rule->refusals, 1, memory_order_acq_rel) + 1;
    atomic_store_explicit(&rule->ask_again, os_now() + ask_again_after(n), memory_order_relaxed);
    if (n == 1)
        log_line(LOG_LEVEL_ERROR,
                 "module \"%s\": no arena of backend \"%s\": %s\nthe next rule that takes the size "
                 "serves, else the allocation fails; the backend is asked again now and then",
                 module, backend, sluice_error_message());
}

struct sluice_arena *route_rule_arena(struct route *route, struct route_rule *rule, bool *asked)
{
    *asked = true;
    struct sluice_arena *a = atomic_load_explicit(&rule->arena, memory_order_acquire);
    if (__builtin_expect(a != NULL, 1))
        return a;
    *asked = route_rule_may_ask(rule);
    if (!*asked)
        return NULL;
    a = arena_get(route->module, rule->backend);
    route_rule_note(route, rule, a == NULL);
    if (a != NULL)
        atomic_store_explicit(&rule->arena, a, memory_order_release);
    return a;
}

/* The routes of a table that is gone, zero, for the next one: see meta_keep_blocks(). In the reload lock. */
static _Atomic(struct route *) *spare_routes;

static _Atomic(struct route *) *take_routes(void)
{
    _Atomic(struct route *) *routes = spare_routes;
    spare_routes = NULL;
    return routes != NULL ? routes : os_map(ROUTES_SIZE, OS_PAGE_SIZE);
}

/* Nobody reads them any more. */
static void give_routes(_Atomic(struct route *) *routes)
{
    if (routes == NULL)
        return;
    if (spare_routes != NULL) {
        os_unmap((void *)(uintptr_t)routes, ROUTES_SIZE);
        return;
    }
    for (uint32_t id = 0; id < module_count(); id++)
        atomic_store_explicit(&routes[id], NULL, memory_order_relaxed);
    spare_routes = routes;
}

struct route_table *route_table_create(struct policy *policy)
{
    struct route_table *t = meta_alloc(sizeof *t);
    if (t == NULL)
        return NULL;
    t->memory = meta_region_create(0);
    t->routes = take_routes();
    if (t->memory == NULL || t->routes == NULL) {
        meta_region_destroy(t->memory);
        give_routes(t->routes);
        meta_free(t, sizeof *t);
        return NULL;
    }
    t->policy = policy;
    return t;
}

/* Modules that the table in force and the next one serve from the same arenas: what their threads' caches lead to is right
 * under both. In the reload lock. */
static bool stays[MODULE_CAPACITY];

/* Would an arena of one be an arena of the other? */
static bool same_backend(const struct policy_backend *a, const struct policy_backend *b)
{
    return a->ops == b->ops && strcmp(a->name, b->name) == 0 &&
           (a->ops->param_count == 0 ||
            memcmp(a->values, b->values, a->ops->param_count * sizeof *a->values) == 0) &&
           policy_same_options(a->options, a->option_count, b->options, b->option_count);
}

static bool serve_alike(const struct policy *old, const struct policy *new, const struct module *m)
{
    const struct policy_module *entry;
    const struct policy_rule *before, *after;
    struct policy_rule single_before[2], single_after[2];
    size_t n = rules_of(old, m, false, &entry, single_before, &before);
    if (rules_of(new, m, false, &entry, single_after, &after) != n ||
        phase_of_module(old, m->name) != NULL || phase_of_module(new, m->name) != NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        if (before[i].max_size != after[i].max_size ||
            !same_backend(&old->backends[before[i].backend], &new->backends[after[i].backend]))
            return false;
    return true;
}

/* Returns how many modules were looked at. An override is no part of a policy: where it alone has changed, none stays. */
static uint32_t find_who_stays(const struct policy *old, const struct policy *new)
{
    uint32_t n = module_count();
    for (uint32_t id = 0; id < n; id++)
        stays[id] = old != new &&serve_alike(old, new, module_get((sluice_module)id));
    return n;
}

static void outdate_caches(uint32_t looked_at)
{
    for (uint32_t id = 0; id < module_count(); id++)
        if (id >= looked_at || !stays[id])
            route_outdate_caches((sluice_module)id);
}

void route_table_publish(struct route_table *table)
{
    struct route_table *old = route_table_current();
    uint32_t looked_at = old == NULL ? 0 : find_who_stays(old->policy, table->policy);
    table->generation = old == NULL ? 1 : old->generation + 1;
    atomic_store_explicit(&current, table, memory_order_release);
    atomic_store_explicit(&route_generation, table->generation, memory_order_release);
    outdate_caches(looked_at);
    if (old == NULL)
        return;
    threads_synchronize();
    outdate_caches(
        looked_at); /* of modules that were registered meanwhile and still used the old table */
    limits_follow(table->policy);
    arenas_follow(table->policy);
    phases_follow(table);
    if (old->policy != table->policy)
        policy_destroy(old->policy);
    meta_region_destroy(old->memory);
    give_routes(old->routes);
    meta_free(old, sizeof *old);
}
