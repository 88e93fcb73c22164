/* phase.c - see phase.h. */
#include "core/phase.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/bootstrap.h"
#include "core/error.h"
#include "core/glob.h"
#include "core/lock.h"
#include "core/meta.h"
#include "core/os.h"
#include "core/phase_check.h"
#include "core/phase_fault.h"
#include "core/route.h"

/* Instances that exist, idle ones included; the handle has 12 bits for it. */
#define SLOT_BITS 12
#define SLOTS     (1u << SLOT_BITS)

struct phase_kind {
    struct phase_kind *next;
    _Atomic(struct phase_instance *) newest; /* open; read in sections */
    struct phase_instance *idle;
    struct phase_instance *watched, *last_watched; /* oldest first */
    uint32_t idle_count, open_count, watched_count;
    uint64_t begun, ended, peak, last_end, largest_end; /* all in phases_lock */
    _Atomic uint64_t promoted;
    sluice_module *modules; /* those that are routed through it; grows */
    size_t module_count, module_capacity;
    char name[MODULE_NAME_MAX + 1];
};

static struct lock phases_lock;
static struct phase_kind *kinds;
static struct phase_instance *slots[SLOTS];
static uint32_t slot_count;
static uint64_t last_number;

/* ---- Handles -------------------------------------------------------------------------------- */

static sluice_phase *handle_of(const struct phase_instance *i)
{
    return (sluice_phase *)(uintptr_t)(i->number << SLOT_BITS | i->slot);
}

/* In phases_lock. The instance of a handle when it is open; else NULL, and *result says why. */
static struct phase_instance *find_open(const char *call, const sluice_phase *phase,
                                        enum sluice_result *result)
{
    uint64_t handle = (uintptr_t)phase;
    uint64_t number = handle >> SLOT_BITS;
    uint32_t slot = (uint32_t)handle & (SLOTS - 1);
    if (number == 0 || number > last_number || slot >= slot_count) {
        *result = error_set(SLUICE_ERROR_INVALID, "%s: %p is no instance of a phase", call,
                            (const void *)phase);
        return NULL;
    }
    struct phase_instance *i = slots[slot];
    if (i->number != number || i->state != PHASE_OPEN) {
        *result = error_set(SLUICE_ERROR_STATE, "%s: instance #%llu has ended", call,
                            (unsigned long long)number);
        return NULL;
    }
    *result = SLUICE_OK;
    return i;
}

void phase_describe(const struct phase_instance *i, char *out, size_t size)
{
    snprintf(out, size, "phase \"%s\", instance #%llu%s", i->kind->name,
             (unsigned long long)i->number, i->state == PHASE_OPEN ? "" : ", which has ended");
}

const char *phase_kind_name(const struct phase_kind *kind)
{
    return kind->name;
}

void phase_note_promoted(struct phase_instance *i, size_t bytes)
{
    atomic_fetch_add_explicit(&i->kind->promoted, bytes, memory_order_relaxed);
}

/* ---- Kinds ---------------------------------------------------------------------------------- */

/* In phases_lock. */
static struct phase_kind *find_kind(const char *name)
{
    struct phase_kind *k = kinds;
    while (k != NULL && strcmp(k->name, name) != 0)
        k = k->next;
    return k;
}

struct phase_kind *phase_kind_get(const char *name)
{
    lock_acquire(&phases_lock);
    struct phase_kind *k = find_kind(name);
    if (k == NULL && (k = meta_alloc(sizeof *k)) != NULL) {
        snprintf(k->name, sizeof k->name, "%s", name);
        k->next = kinds;
        kinds = k;
    }
    lock_release(&phases_lock);
    return k;
}

bool phase_kind_bind(struct phase_kind *k, sluice_module module)
{
    lock_acquire(&phases_lock);
    bool bound = false;
    for (size_t i = 0; i < k->module_count && !bound; i++)
        bound = k->modules[i] == module;
    if (!bound && k->module_count == k->module_capacity) {
        size_t capacity = k->module_capacity == 0 ? 16 : 2 * k->module_capacity;
        sluice_module *grown = meta_alloc(capacity * sizeof *grown);
        if (grown != NULL) {
            if (k->module_count > 0)
                memcpy(grown, k->modules, k->module_count * sizeof *grown);
            meta_free(k->modules, k->module_capacity * sizeof *grown);
            k->modules = grown;
            k->module_capacity = capacity;
        }
    }
    if (!bound && k->module_count < k->module_capacity) {
        k->modules[k->module_count++] = module;
        bound = true;
    }
    lock_release(&phases_lock);
    return bound;
}

const struct policy_phase *phase_of_module(const struct policy *policy, const char *module)
{
    for (size_t i = 0; i < policy->phase_count; i++)
        for (size_t m = 0; m < policy->phases[i].module_count; m++)
            if (glob_match(policy->phases[i].modules[m], module))
                return &policy->phases[i];
    return NULL;
}

/* In phases_lock. */
static void outdate_caches(const struct phase_kind *k)
{
    for (size_t i = 0; i < k->module_count; i++)
        route_outdate_caches(k->modules[i]);
}

/* ---- Serving allocations -------------------------------------------------------------------- */

struct phase_instance *phase_instance_for(const struct thread *t, const struct phase_kind *kind)
{
    for (uint32_t n = t->phase_depth; n > 0; n--)
        if (t->phases[n - 1]->kind == kind)
            return t->phases[n - 1];
    return atomic_load_explicit(&kind->newest, memory_order_acquire);
}

struct sluice_arena *phase_arena_find(const struct phase_instance *i, const struct module *m,
                                      const struct policy_backend *backend, bool tracked)
{
    struct phase_arena *p = atomic_load_explicit(&i->arenas, memory_order_acquire);
    for (; p != NULL; p = p->next)
        if (p->arena->module == m && p->arena->tracked == tracked &&
            arena_matches(p->arena, backend))
            return p->arena;
    return NULL;
}

struct sluice_arena *phase_arena_get(struct phase_instance *i, struct module *m,
                                     const struct policy_backend *backend, bool tracked)
{
    struct sluice_arena *a = phase_arena_find(i, m, backend, tracked);
    if (a != NULL)
        return a;
    struct phase_arena *p = meta_alloc(sizeof *p);
    if (p == NULL)
        return NULL;
    lock_acquire(&phases_lock);
    a = phase_arena_find(i, m, backend, tracked);
    if (a == NULL && (a = arena_make_for_phase(m, backend, i, tracked)) != NULL) {
        p->arena = a;
        p->next = i->arenas;
        atomic_store_explicit(&i->arenas, p, memory_order_release);
        p = NULL;
    }
    lock_release(&phases_lock);
    meta_free(p, sizeof *p);
    return a;
}

/* ---- Beginning ------------------------------------------------------------------------------ */

static enum sluice_result no_memory(const char *call)
{
    return error_set(SLUICE_ERROR_NO_MEMORY, "%s: no memory", call);
}

static enum sluice_result unknown_phase(const struct policy *policy, const char *name)
{
    char known[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < policy->phase_count && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ",
                                 policy->phases[i].name);
    if (policy->phase_count == 0)
        return error_set(SLUICE_ERROR_UNKNOWN, "no phase \"%s\": the policy in force has no phases",
                         name);
    return error_set(SLUICE_ERROR_UNKNOWN, "no phase \"%s\" in the policy in force; it has: %s",
                     name, known);
}

static const struct policy_phase *find_phase(const struct policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->phase_count; i++)
        if (strcmp(policy->phases[i].name, name) == 0)
            return &policy->phases[i];
    return NULL;
}

/* In phases_lock. An instance that nobody uses. */
static struct phase_instance *take_idle(struct phase_kind *k)
{
    struct phase_instance *i = k->idle;
    if (i != NULL) {
        k->idle = i->next_idle;
        k->idle_count--;
        return i;
    }
    if (slot_count < SLOTS && (i = meta_alloc(sizeof *i)) != NULL) {
        i->slot = slot_count;
        slots[slot_count++] = i;
    }
    if (i != NULL)
        i->kind = k; /* for good: what it keeps is for this kind */
    return i;
}

enum sluice_result sluice_phase_begin(const char *name, sluice_phase **out)
{
    if (name == NULL || out == NULL)
        return error_set(SLUICE_ERROR_INVALID, "sluice_phase_begin: name or out is NULL");
    *out = NULL;
    bootstrap_wait();
    struct thread *t = thread_enter_current();
    if (t == NULL)
        return no_memory("sluice_phase_begin");
    const struct policy *policy = route_table_current()->policy;
    const struct policy_phase *phase = find_phase(policy, name);
    if (phase == NULL) {
        enum sluice_result result = unknown_phase(policy, name);
        thread_leave_current(t);
        return result;
    }
    if (phase->check == POLICY_CHECK_PROTECT)
        phase_fault_handle();
    struct phase_kind *k = phase_kind_get(name);
    lock_acquire(&phases_lock);
    struct phase_instance *i = k == NULL ? NULL : take_idle(k);
    if (i != NULL) {
        i->number = ++last_number;
        i->state = PHASE_OPEN;
        i->check = phase->check;
        i->parent = t->phase_depth > 0 ? t->phases[t->phase_depth - 1] : NULL;
        if (i->parent != NULL)
            i->parent->children++;
        i->newer = NULL;
        i->older = k->newest;
        if (i->older != NULL)
            i->older->newer = i;
        atomic_store_explicit(&k->newest, i, memory_order_release);
        k->open_count++;
        k->begun++;
        outdate_caches(k);
        *out = handle_of(i);
    }
    bool full = k != NULL && i == NULL && slot_count == SLOTS;
    lock_release(&phases_lock);
    thread_leave_current(t);
    if (full)
        return error_set(SLUICE_ERROR_LIMIT, "sluice_phase_begin: %u instances are open", SLOTS);
    return i == NULL ? no_memory("sluice_phase_begin") : SLUICE_OK;
}

/* ---- Entering and leaving ------------------------------------------------------------------- */

/* This thread's caches of the modules that the kind serves may be of another instance. In phases_lock. */
static void forget_caches(struct thread *t, const struct phase_kind *k)
{
    for (size_t i = 0; i < k->module_count; i++)
        if (k->modules[i] < t->cache_capacity && t->cache[k->modules[i]]->generation != UINT64_MAX)
            t->cache[k->modules[i]]->generation = UINT64_MAX;
}

enum sluice_result sluice_phase_enter(sluice_phase *phase)
{
    bootstrap_wait();
    struct thread *t = thread_enter_current();
    if (t == NULL)
        return no_memory("sluice_phase_enter");
    enum sluice_result result;
    lock_acquire(&phases_lock);
    struct phase_instance *i = find_open("sluice_phase_enter", phase, &result);
    if (i != NULL && t->phase_depth == THREAD_PHASES)
        result = error_set(SLUICE_ERROR_LIMIT,
                           "sluice_phase_enter: this thread has entered %d instances already",
                           THREAD_PHASES);
    if (i != NULL && result == SLUICE_OK) {
        t->phases[t->phase_depth++] = i;
        i->inside++;
        forget_caches(t, i->kind);
    }
    lock_release(&phases_lock);
    thread_leave_current(t);
    return result;
}

/* In phases_lock; it is the innermost. */
static void step_out(struct thread *t, struct phase_instance *i)
{
    t->phases[--t->phase_depth] = NULL;
    i->inside--;
    forget_caches(t, i->kind);
}

enum sluice_result sluice_phase_leave(sluice_phase *phase)
{
    bootstrap_wait();
    struct thread *t = thread_enter_current();
    if (t == NULL)
        return no_memory("sluice_phase_leave");
    enum sluice_result result;
    lock_acquire(&phases_lock);
    struct phase_instance *i = find_open("sluice_phase_leave", phase, &result);
    if (i != NULL && t->phase_depth > 0 && t->phases[t->phase_depth - 1] == i) {
        step_out(t, i);
    } else if (i != NULL) {
        bool entered = false;
        for (uint32_t n = 0; n < t->phase_depth; n++)
            entered |= t->phases[n] == i;
        result = error_set(SLUICE_ERROR_STATE,
                           entered ? "sluice_phase_leave: instance #%llu of phase \"%s\": this "
                                     "thread has entered another since, which it must leave first"
                                   : "sluice_phase_leave: instance #%llu of phase \"%s\" was not "
                                     "entered by this thread",
                           (unsigned long long)i->number, i->kind->name);
    }
    lock_release(&phases_lock);
    thread_leave_current(t);
    return result;
}

void phases_thread_exit(struct thread *t)
{
    if (t->phase_depth == 0)
        return;
    lock_acquire(&phases_lock);
    while (t->phase_depth > 0)
        t->phases[--t->phase_depth]->inside--;
    lock_release(&phases_lock);
}

/* ---- Ending --------------------------------------------------------------------------------- */

enum sluice_result sluice_phase_on_end(sluice_phase *phase, void (*fn)(void *), void *arg)
{
    if (fn == NULL)
        return error_set(SLUICE_ERROR_INVALID, "sluice_phase_on_end: fn is NULL");
    bootstrap_wait();
    struct thread *t = thread_enter_current();
    struct phase_callback *c = t == NULL ? NULL : meta_alloc(sizeof *c);
    if (c == NULL) {
        if (t != NULL)
            thread_leave_current(t);
        return no_memory("sluice_phase_on_end");
    }
    c->fn = fn;
    c->arg = arg;
    enum sluice_result result;
    lock_acquire(&phases_lock);
    struct phase_instance *i = find_open("sluice_phase_on_end", phase, &result);
    if (i != NULL) {
        c->next = i->callbacks;
        i->callbacks = c;
    }
    lock_release(&phases_lock);
    if (result != SLUICE_OK)
        meta_free(c, sizeof *c);
    thread_leave_current(t);
    return result;
}

/* In phases_lock: may it end? Then it is closing. */
static enum sluice_result begin_closing(struct thread *t, struct phase_instance *i)
{
    bool innermost = t->phase_depth > 0 && t->phases[t->phase_depth - 1] == i;
    if (i->children > 0)
        return error_set(SLUICE_ERROR_STATE,
                         "sluice_phase_end: instance #%llu of phase \"%s\": %u begun inside it "
                         "must end first",
                         (unsigned long long)i->number, i->kind->name, i->children);
    if (i->inside > (innermost ? 1u : 0u))
        return error_set(SLUICE_ERROR_STATE,
                         "sluice_phase_end: instance #%llu of phase \"%s\": it was entered and not "
                         "left, by this thread or another",
                         (unsigned long long)i->number, i->kind->name);
    if (innermost)
        step_out(t, i);
    struct phase_kind *k = i->kind;
    i->state = PHASE_CLOSING;
    if (i->newer != NULL)
        i->newer->older = i->older;
    else
        atomic_store_explicit(&k->newest, i->older, memory_order_release);
    if (i->older != NULL)
        i->older->newer = i->newer;
    if (i->parent != NULL)
        i->parent->children--;
    k->open_count--;
    outdate_caches(k);
    return SLUICE_OK;
}

static void run_callbacks(struct phase_instance *i)
{
    while (i->callbacks != NULL) { /* nobody else has it any more */
        struct phase_callback *c = i->callbacks;
        i->callbacks = c->next;
        void (*fn)(void *) = c->fn;
        void *arg = c->arg;
        meta_free(c, sizeof *c);
        fn(arg);
    }
}

/* Would an instance of this kind, begun under that policy, make this arena? */
static bool is_wanted(const struct policy *policy, const struct phase_kind *k,
                      const struct sluice_arena *a)
{
    const struct policy_phase *phase = phase_of_module(policy, a->module->name);
    if (phase == NULL || strcmp(phase->name, k->name) != 0)
        return false;
    uint32_t backends[ROUTE_PHASE_BACKENDS] = {0};
    size_t n = route_phase_backends(policy, phase, backends);
    for (size_t i = 0; i < n; i++)
        if (arena_matches(a, &policy->backends[backends[i]]) &&
            a->tracked == (i == 0 && route_phase_tracks(policy, phase)))
            return true;
    return false;
}

/* Nobody is in the instance's arenas, and they are empty: those that a policy does not want are given up. */
static void give_up_unwanted(const struct policy *policy, struct phase_instance *i)
{
    struct phase_arena *kept = NULL;
    for (struct phase_arena *p = i->arenas, *next; p != NULL; p = next) {
        next = p->next;
        if (is_wanted(policy, i->kind, p->arena)) {
            p->next = kept;
            kept = p;
        } else {
            arena_retire(p->arena);
            meta_free(p, sizeof *p);
        }
    }
    atomic_store_explicit(&i->arenas, kept, memory_order_relaxed);
}

/* The same once for each table: finding out asks for more memory than the rest of an end does. An arena is made in a section
 * by the table in force, and an end waits for sections: none is made by an older one afterwards. */
static void follow(const struct route_table *table, struct phase_instance *i)
{
    if (i->follows == table->generation)
        return;
    give_up_unwanted(table->policy, i);
    const struct policy_phase *phase = find_phase(table->policy, i->kind->name);
    i->purge_at_end = phase != NULL && phase->purge_at_end;
    i->follows = table->generation;
}

/* ---- Instances that are watched -------------------------------------------------------------- */

/* In phases_lock. */
static void become_idle(struct phase_instance *i)
{
    struct phase_kind *k = i->kind;
    i->state = PHASE_IDLE;
    i->next_idle = k->idle;
    k->idle = i;
    k->idle_count++;
}

/* In phases_lock. */
static void become_watched(struct phase_instance *i)
{
    struct phase_kind *k = i->kind;
    i->state = PHASE_WATCHED;
    i->next_idle = NULL;
    if (k->watched == NULL)
        k->watched = i;
    else
        k->last_watched->next_idle = i;
    k->last_watched = i;
    k->watched_count++;
}

/* In phases_lock: the oldest one that is watched, out of the list, when there are more than that policy wants. */
static struct phase_instance *take_watched(const struct policy *policy, struct phase_kind *k)
{
    const struct policy_phase *phase = find_phase(policy, k->name);
    uint32_t keep = phase == NULL || phase->check == POLICY_CHECK_OFF ? 0 : phase->keep;
    struct phase_instance *i = k->watched;
    if (k->watched_count <= keep)
        return NULL;
    k->watched = i->next_idle;
    k->watched_count--;
    return i;
}

/* In phases_lock. false: it cannot be used again yet. */
static bool end_watch(const struct route_table *table, struct phase_instance *i)
{
    if (!phase_check_release(i)) {
        become_watched(i); /* perhaps at the next end there are mappings again */
        return false;
    }
    follow(table, i);
    become_idle(i);
    return true;
}

size_t sluice_phase_check(const char *name)
{
    bootstrap_wait();
    struct thread *t = thread_enter_current();
    if (t == NULL)
        return 0;
    size_t found = 0;
    lock_acquire(&phases_lock);
    for (struct phase_kind *k = kinds; k != NULL; k = k->next)
        if (name == NULL || strcmp(k->name, name) == 0)
            for (struct phase_instance *i = k->watched; i != NULL; i = i->next_idle)
                found += phase_check_look(i);
    lock_release(&phases_lock);
    thread_leave_current(t);
    return found;
}

void phases_follow(const struct route_table *table)
{
    lock_acquire(&phases_lock);
    for (struct phase_kind *k = kinds; k != NULL; k = k->next) {
        for (struct phase_instance *i = k->idle; i != NULL; i = i->next_idle)
            follow(table, i);
        struct phase_instance *i;
        while ((i = take_watched(table->policy, k)) != NULL && end_watch(table, i))
            ;
    }
    lock_release(&phases_lock);
}

/* Drops what the instance holds. Returns the bytes. In a section. */
static uint64_t drop(struct thread *t, struct phase_instance *i)
{
    uint64_t bytes = 0;
    for (struct phase_arena *p = i->arenas; p != NULL; p = p->next)
        bytes += arena_reset(t, p->arena, i->check != POLICY_CHECK_OFF);
    return bytes;
}

/* In phases_lock. */
static void note_end(struct phase_instance *i, uint64_t bytes, uint64_t ns)
{
    struct phase_kind *k = i->kind;
    k->ended++;
    k->peak = bytes > k->peak ? bytes : k->peak;
    k->last_end = ns;
    k->largest_end = ns > k->largest_end ? ns : k->largest_end;
    i->parent = NULL;
    i->older = i->newer = NULL;
}

/* Its arenas are reset. Returns the instance whose memory is free now: this one, or with a check the one that was
 * watched longest; NULL: none. In phases_lock, in the section in which the policy was read: so phases_follow() finds the instance
 * idle or watched, or the newer policy was seen here. */
static struct phase_instance *put_away(const struct route_table *table, struct phase_instance *i)
{
    if (i->check == POLICY_CHECK_OFF) {
        follow(table, i);
        become_idle(i);
        return i;
    }
    become_watched(i);
    struct phase_instance *freed = NULL, *oldest;
    while ((oldest = take_watched(table->policy, i->kind)) != NULL && end_watch(table, oldest))
        freed =
            oldest; /* more than one where `keep` has become less, or the kernel had refused before */
    return freed;
}

enum sluice_result sluice_phase_end(sluice_phase *phase)
{
    bootstrap_wait();
    struct thread *t = thread_enter_current();
    if (t == NULL)
        return no_memory("sluice_phase_end");
    enum sluice_result result;
    lock_acquire(&phases_lock);
    struct phase_instance *i = find_open("sluice_phase_end", phase, &result);
    if (i != NULL)
        result = begin_closing(t, i);
    lock_release(&phases_lock);
    thread_leave_current(t);
    if (result != SLUICE_OK)
        return result;
    run_callbacks(i);
    uint64_t start = os_now();
    threads_quiesce();
    alloc_free_deferred(); /* some may be of this instance */
    while ((t = thread_enter_current()) ==
           NULL) /* the record that we had may be gone with the thread's end */
        sched_yield();
    uint64_t bytes = drop(t, i);
    i->ended_at = os_now();
    if (i->check != POLICY_CHECK_OFF)
        phase_check_watch(i);
    const struct route_table *table = route_table_current();
    lock_acquire(&phases_lock);
    note_end(i, bytes, os_now() - start);
    struct phase_instance *freed = put_away(table, i);
    bool purge = freed != NULL && freed->purge_at_end;
    lock_release(&phases_lock);
    thread_leave_current(t);
    if (purge)
        arenas_trim_phase(freed); /* it may live again already: what it uses stays */
    return SLUICE_OK;
}

/* ---- Figures -------------------------------------------------------------------------------- */

enum sluice_result sluice_stats_phase(const char *name, struct sluice_phase_stats *out)
{
    if (name == NULL || out == NULL || out->struct_size < 2 * sizeof(size_t))
        return error_set(SLUICE_ERROR_INVALID,
                         "sluice_stats_phase: name is NULL or struct_size is not set");
    bootstrap_wait();
    struct thread *t = thread_enter_current();
    if (t == NULL)
        return no_memory("sluice_stats_phase");
    struct sluice_phase_stats sum = {.struct_size = out->struct_size};
    lock_acquire(&phases_lock);
    const struct phase_kind *k = find_kind(name);
    if (k != NULL) {
        sum.begun = k->begun;
        sum.ended = k->ended;
        sum.open = k->open_count;
        sum.idle = k->idle_count;
        sum.peak_bytes = k->peak;
        sum.promoted_bytes = atomic_load_explicit(&k->promoted, memory_order_relaxed);
        sum.last_end_ns = k->last_end;
        sum.largest_end_ns = k->largest_end;
        sum.watched = k->watched_count;
    }
    lock_release(&phases_lock);
    thread_leave_current(t);
    if (k == NULL)
        return error_set(SLUICE_ERROR_UNKNOWN, "no phase \"%s\" was ever begun", name);
    memcpy(out, &sum, out->struct_size < sizeof sum ? out->struct_size : sizeof sum);
    return SLUICE_OK;
}
