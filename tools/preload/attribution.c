/* attribution.c - see attribution.h. */
#include "tools/preload/attribution.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "core/glob.h"
#include "core/log.h"
#include "core/meta.h"
#include "core/module.h"
#include "core/object.h"
#include "core/os.h"
#include "core/policy.h"
#include "core/thread.h"
#include "tools/preload/wrapper.h"

#define INDIRECT      (UINT64_C(1) << 47) /* with a site's address */
#define VALUE_WRAPPER 0xf000u
#define FRAME_UNIT    8 /* bytes; 12 bits of it */
#define PROBES        8
#define CHAIN_MAX     8 /* wrappers that call wrappers */
#define TABLE_SIZE    ((sizeof(struct site_table) + OS_PAGE_SIZE - 1) & ~(OS_PAGE_SIZE - 1))

_Static_assert(RULES_MAX + MODULE_CAPACITY < VALUE_WRAPPER, "a rank fits");

_Atomic(struct site_table *) attribution_table;

/* What a policy says, in memory of our own: that of the policy goes when the next one comes. Read in sections. */
struct rules {
    struct meta_region *memory;
    bool by_object_alone; /* `attribution: auto` */
    bool by_thread;       /* some entry is */
    size_t count;
    struct rule {
        enum policy_attribution_by by;
        const char *pattern;
        sluice_module module;
    } * rule; /* count of them */
    size_t wrapper_count;
    const char **wrappers;
};

static _Atomic(struct rules *) rules;
static struct site_table *tables[2]; /* in the reload lock */
static _Atomic uint32_t thread_generation = 1;

/* ---- A thread's rank ------------------------------------------------------------------------ */

static __thread struct {
    uint32_t generation;
    uint16_t rank;
} of_thread;

static uint16_t rank_of_name(const struct rules *r, const char *name)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->rule[i].by == POLICY_BY_THREAD && glob_match(r->rule[i].pattern, name))
            return (uint16_t)i;
    return UINT16_MAX;
}

static uint16_t thread_rank(void)
{
    uint32_t generation = atomic_load_explicit(&thread_generation, memory_order_acquire);
    if (of_thread.generation == generation)
        return of_thread.rank;
    struct thread *t = thread_current();
    if (t == NULL || !thread_enter(t))
        return UINT16_MAX;
    const struct rules *r = atomic_load_explicit(&rules, memory_order_acquire);
    char name[17] = "";
    (void)prctl(PR_GET_NAME, name, 0, 0, 0);
    of_thread.rank = r == NULL ? UINT16_MAX : rank_of_name(r, name);
    of_thread.generation = generation;
    thread_leave(t);
    return of_thread.rank;
}

void attribution_forget_threads(void)
{
    atomic_fetch_add_explicit(&thread_generation, 1, memory_order_release);
}

/* ---- The table of sites --------------------------------------------------------------------- */

/* What is 0 is not written: most pages were never touched. */
static void clear(struct site_table *table)
{
    for (size_t i = 0; i < SITE_COUNT; i++)
        if (atomic_load_explicit(&table->sites[i], memory_order_relaxed) != 0)
            atomic_store_explicit(&table->sites[i], 0, memory_order_relaxed);
}

void attribution_forget_sites(void)
{
    struct site_table *table = atomic_load_explicit(&attribution_table, memory_order_acquire);
    if (table != NULL)
        clear(table);
}

/* Value and the bit i. */
struct found {
    uint16_t value;
    bool is_indirect;
};

static bool look_up(const struct site_table *table, uintptr_t pc, struct found *out)
{
    size_t at = site_hash(pc);
    for (size_t i = 0; i < PROBES; i++) {
        uint64_t site =
            atomic_load_explicit(&table->sites[(at + i) % SITE_COUNT], memory_order_relaxed);
        if ((site >> 16 & ~INDIRECT) != pc)
            continue;
        *out = (struct found){(uint16_t)site, (site >> 16 & INDIRECT) != 0};
        return true;
    }
    return false;
}

static bool is_in_force(struct site_table *table, uint32_t generation)
{
    return atomic_load_explicit(&attribution_table, memory_order_acquire) == table &&
           atomic_load_explicit(&table->generation, memory_order_acquire) == generation;
}

/* In a section, so that whoever waits for sections knows that nobody writes into a table that is not in force. Where all
 * places are taken the first gives way. */
static void keep(struct site_table *table, uint32_t generation, uintptr_t pc, struct found what)
{
    if (!is_in_force(table, generation) || pc >= INDIRECT)
        return;
    size_t at = site_hash(pc);
    uint64_t site = (pc | (what.is_indirect ? INDIRECT : 0)) << 16 | what.value;
    for (size_t i = 0; i < PROBES; i++) {
        uint64_t found = 0;
        if (atomic_compare_exchange_strong_explicit(&table->sites[(at + i) % SITE_COUNT], &found,
                                                    site, memory_order_relaxed,
                                                    memory_order_relaxed) ||
            (found >> 16 & ~INDIRECT) == pc)
            return;
    }
    atomic_store_explicit(&table->sites[at], site, memory_order_relaxed);
}

/* ---- What a site is ------------------------------------------------------------------------- */

static bool is_wrapper(const struct rules *r, const struct object *object, uintptr_t pc)
{
    for (const char *const *name = wrapper_names; *name != NULL; name++)
        if (object_function_has(object, *name, pc))
            return true;
    for (size_t i = 0; i < r->wrapper_count; i++)
        if (object_function_has(object, r->wrappers[i], pc))
            return true;
    return false;
}

/* An entry's pattern with a slash is for the whole path. */
static bool fits(const char *pattern, const struct object *object)
{
    return glob_match(pattern, strchr(pattern, '/') != NULL ? object->path : object_name(object));
}

struct site {
    struct found what;
    bool is_settled; /* what is; else the object is a module of its own: */
    char module[MODULE_NAME_MAX + 1];
};

/* In a section. */
static void classify(const struct rules *r, uintptr_t pc, uintptr_t cfa, struct site *out)
{
    struct object object;
    uint16_t nobody = (uint16_t)((r->by_thread ? r->count : 0) + SLUICE_MODULE_DEFAULT);
    *out = (struct site){.what = {nobody, r->by_thread}, .is_settled = true};
    if (!object_at(pc, &object))
        return;
    if (is_wrapper(r, &object, pc)) {
        size_t frame = wrapper_frame_size(pc, cfa);
        if (frame != 0 && frame % FRAME_UNIT == 0 && frame / FRAME_UNIT <= 0xfff) {
            out->what = (struct found){(uint16_t)(VALUE_WRAPPER | frame / FRAME_UNIT), true};
            return;
        }
    }
    for (size_t i = 0; i < r->count; i++) {
        if (r->rule[i].by != POLICY_BY_OBJECT || !fits(r->rule[i].pattern, &object))
            continue;
        out->what.value = (uint16_t)(r->by_thread ? i : r->rule[i].module);
        return;
    }
    if (r->by_object_alone) {
        out->is_settled = false;
        snprintf(out->module, sizeof out->module, "%s", object_name(&object));
    }
}

/* Asks what the site is, and keeps the answer. false: not now, it is of "default" for once. */
static bool settle(struct site_table *table, uintptr_t pc, uintptr_t cfa, struct found *out)
{
    struct thread *t = thread_current();
    if (t == NULL || !thread_enter(t))
        return false;
    struct site site;
    const struct rules *r = atomic_load_explicit(&rules, memory_order_acquire);
    uint32_t generation = atomic_load_explicit(&table->generation, memory_order_acquire);
    bool ok = r != NULL && is_in_force(table, generation);
    uint16_t behind_rules = ok && r->by_thread ? (uint16_t)r->count : 0;
    if (ok)
        classify(r, pc, cfa, &site);
    thread_leave(t);
    if (!ok)
        return false;
    if (!site.is_settled) {
        sluice_module module = module_register_unless_forking(site.module);
        if (module == SLUICE_MODULE_INVALID)
            return false; /* a fork is under way, or there is no room for another module */
        site.what.value = (uint16_t)(behind_rules + module);
        atomic_store_explicit(&table->modules_known, module_count(), memory_order_relaxed);
    }
    t = thread_current();
    if (t != NULL && thread_enter(t)) {
        keep(table, generation, pc, site.what);
        thread_leave(t);
    }
    *out = site.what;
    return true;
}

/* With entries that decide by thread. What is read here may be of two policies, when one just comes into force; never
 * of none. */
static inline sluice_module module_of(const struct site_table *table, uint16_t rank,
                                      uint16_t thread_rank)
{
    uint16_t count = table->rule_count;
    if (thread_rank < rank)
        rank = thread_rank;
    sluice_module module =
        rank < count ? table->module_of_rule[rank] : (sluice_module)(rank - count);
    return module < atomic_load_explicit(&table->modules_known, memory_order_relaxed)
               ? module
               : SLUICE_MODULE_DEFAULT;
}

static sluice_module find(struct site_table *table, uintptr_t pc, uintptr_t cfa)
{
    struct found found;
    for (int depth = 0; depth < CHAIN_MAX; depth++) {
        if (!look_up(table, pc, &found) && !settle(table, pc, cfa, &found))
            return SLUICE_MODULE_DEFAULT;
        if (!found.is_indirect)
            return found.value;
        if (found.value < VALUE_WRAPPER)
            return module_of(table, found.value, thread_rank());
        cfa += (found.value & 0xfffu) * FRAME_UNIT;
        pc = ((const uintptr_t *)cfa)[-1];
    }
    return SLUICE_MODULE_DEFAULT;
}

static __attribute__((noinline)) sluice_module find_slowly(struct site_table *table, uintptr_t pc,
                                                           uintptr_t cfa)
{
    int saved = errno;
    sluice_module module = find(table, pc, cfa);
    errno = saved;
    return module;
}

sluice_module attribution_find(struct site_table *table, uintptr_t pc, uintptr_t cfa)
{
    /* Usually a rank, and a thread that knows its own. */
    uint64_t site = atomic_load_explicit(&table->sites[site_hash(pc)], memory_order_relaxed);
    if (__builtin_expect(site >> 16 == (pc | INDIRECT) && (uint16_t)site < VALUE_WRAPPER &&
                             of_thread.generation ==
                                 atomic_load_explicit(&thread_generation, memory_order_acquire),
                         1))
        return module_of(table, (uint16_t)site, of_thread.rank);
    return find_slowly(table, pc, cfa);
}

/* ---- Following the policy ------------------------------------------------------------------- */

static const char *copy_text(struct meta_region *memory, const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = meta_region_alloc(memory, n);
    return copy == NULL ? NULL : memcpy(copy, text, n);
}

static bool fill_rules(struct rules *r, const struct policy *policy)
{
    r->by_object_alone = policy->attribution_auto;
    r->rule = meta_region_alloc(r->memory, (policy->attribution_count + 1) * sizeof *r->rule);
    r->wrappers =
        meta_region_alloc(r->memory, (policy->attribution_wrapper_count + 1) * sizeof *r->wrappers);
    if (r->rule == NULL || r->wrappers == NULL)
        return false;
    for (size_t i = 0; i < policy->attribution_count && i < RULES_MAX; i++) {
        const struct policy_attribution *entry = &policy->attribution[i];
        enum sluice_result why;
        struct rule *rule = &r->rule[r->count++];
        rule->by = entry->by;
        rule->pattern = copy_text(r->memory, entry->pattern);
        rule->module = module_register(entry->module, &why);
        if (rule->pattern == NULL || why != SLUICE_OK)
            return false;
        r->by_thread |= rule->by == POLICY_BY_THREAD;
    }
    for (size_t i = 0; i < policy->attribution_wrapper_count; i++)
        if ((r->wrappers[r->wrapper_count++] =
                 copy_text(r->memory, policy->attribution_wrappers[i])) == NULL)
            return false;
    return true;
}

static struct rules *make_rules(const struct policy *policy)
{
    struct rules *r = meta_alloc(sizeof *r);
    if (r == NULL)
        return NULL;
    r->memory = meta_region_create(0);
    if (r->memory != NULL && fill_rules(r, policy))
        return r;
    meta_region_destroy(r->memory);
    meta_free(r, sizeof *r);
    return NULL;
}

static void free_rules(struct rules *r)
{
    if (r == NULL)
        return;
    meta_region_destroy(r->memory);
    meta_free(r, sizeof *r);
}

/* The table that is not in force, empty. NULL without memory. */
static struct site_table *spare_table(void)
{
    struct site_table *now = atomic_load_explicit(&attribution_table, memory_order_relaxed);
    size_t i = now != NULL && tables[0] == now;
    if (tables[i] == NULL)
        tables[i] = os_map(TABLE_SIZE, OS_PAGE_SIZE);
    if (tables[i] != NULL) {
        atomic_fetch_add_explicit(&tables[i]->generation, 1, memory_order_release);
        clear(tables[i]);
    }
    return tables[i];
}

static void describe(const struct rules *r, struct site_table *table)
{
    table->rule_count = (uint16_t)r->count;
    table->modules_known = module_count();
    for (size_t i = 0; i < r->count; i++)
        table->module_of_rule[i] = r->rule[i].module;
}

/* One of core's seams: a policy has come into force. With the reload lock, outside of sections. */
void policy_follow(const struct policy *policy)
{
    struct rules *before = atomic_load_explicit(&rules, memory_order_relaxed), *now = NULL;
    struct site_table *table = NULL;
    if (policy->attribution_auto || policy->attribution_count > 0) {
        now = make_rules(policy);
        table = now == NULL ? NULL : spare_table();
        if (table == NULL) {
            log_line(LOG_LEVEL_ERROR, "attribution: no memory; everything counts for \"default\"");
            free_rules(now);
            now = NULL;
        }
    }
    if (before == NULL && now == NULL)
        return;
    if (table != NULL)
        describe(now, table);
    atomic_store_explicit(&attribution_table, NULL, memory_order_release);
    atomic_store_explicit(&rules, now, memory_order_release);
    attribution_forget_threads();
    atomic_store_explicit(&attribution_table, table, memory_order_release);
    if (before != NULL)
        threads_synchronize(); /* nobody reads the rules before, or writes into their table */
    free_rules(before);
}
