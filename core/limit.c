/* limit.c - see limit.h. */
#include "core/limit.h"

#include "core/bootstrap.h"
#include "core/error.h"
#include "core/log.h"
#include "core/meta.h"
#include "core/route.h"

/* What a thread takes in advance, or keeps of what it freed (twice this at most). Under a limit it is so small a part
 * of it that what 32 idle threads keep is a sixteenth: others could not have it. */
#define ADVANCES_IN_LIMIT 1024

/* Function and argument are published as one. A record is never changed or released, as a thread may be about to call
 * what it found there; a pair that was set before is found again, so that changing to and fro takes no memory. */
struct callback {
    sluice_limit_callback *fn;
    void *arg;
    struct callback *older;
};

static _Atomic(struct callback *) callbacks; /* all of them, newest first */
static _Atomic(struct callback *) callback;  /* the one in force, or NULL */

/* In a section. NULL without memory. */
static struct callback *callback_of(sluice_limit_callback *fn, void *arg)
{
    struct callback *newest = atomic_load_explicit(&callbacks, memory_order_acquire);
    for (struct callback *c = newest; c != NULL; c = c->older)
        if (c->fn == fn && c->arg == arg)
            return c;
    struct callback *made = meta_alloc(sizeof *made);
    if (made == NULL)
        return NULL;
    *made = (struct callback){fn, arg, newest};
    while (!atomic_compare_exchange_weak_explicit(&callbacks, &made->older, made,
                                                  memory_order_acq_rel, memory_order_acquire))
        ;
    return made;
}

void sluice_on_limit(sluice_limit_callback *fn, void *arg)
{
    struct callback *found = NULL;
    bootstrap_wait();
    while (fn != NULL && found == NULL) {
        struct thread *t = thread_current();
        if (t != NULL && thread_enter(t)) {
            found = callback_of(fn, arg);
            thread_leave(t);
        } else if (thread_is_diverted()) {
            thread_outlast_fork();
            continue;
        }
        if (found == NULL) {
            log_line(LOG_LEVEL_ERROR, "sluice_on_limit: no memory; the callback stays as it was");
            return;
        }
    }
    atomic_store_explicit(&callback, found, memory_order_release);
}

static uint64_t load(const _Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

bool limit_charge(struct module *m, size_t bytes)
{
    uint64_t hard = load(&m->hard), held = load(&m->held);
    bool bound = hard != 0 && !thread_self->beyond_limit;
    do { /* what is refused is never added: another thread would be refused for it */
        if (bound && (bytes > hard || held > hard - bytes)) {
            thread_self->limit_hit = true;
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&m->held, &held, held + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    held += bytes;
    uint64_t soft = load(&m->soft);
    if (soft != 0 && held > soft && !atomic_load_explicit(&m->over_soft, memory_order_relaxed) &&
        !atomic_exchange_explicit(&m->over_soft, true, memory_order_relaxed))
        atomic_fetch_or_explicit(&m->pending, LIMIT_PENDING_SOFT, memory_order_relaxed);
    return true;
}

void limit_uncharge(struct module *m, size_t bytes)
{
    uint64_t held = atomic_fetch_sub_explicit(&m->held, bytes, memory_order_relaxed) - bytes;
    if (atomic_load_explicit(&m->over_soft, memory_order_relaxed)) {
        uint64_t soft = load(&m->soft);
        if (held < soft - soft / 10)
            atomic_store_explicit(&m->over_soft, false, memory_order_relaxed);
    }
}

int64_t limit_advance(const struct module *m)
{
    uint64_t hard = load(&m->hard), soft = load(&m->soft);
    uint64_t limit = soft != 0 ? soft : hard; /* the lower one: config/ sees to that */
    uint64_t part = limit / ADVANCES_IN_LIMIT;
    return limit == 0 || part > (uint64_t)LIMIT_ADVANCE ? LIMIT_ADVANCE : (int64_t)part;
}

bool limit_take(struct heap *h, size_t bytes)
{
    if (bytes > (size_t)PTRDIFF_MAX / 2) /* sums below must not overflow; no system has so much */
        return false;
    int64_t need = (int64_t)bytes - h->credit;
    if (need <= 0) {
        h->credit = -need;
        return true;
    }
    struct module *m = h->arena->module;
    int64_t advance = limit_advance(m);
    if (limit_charge(m, (size_t)(need + advance))) {
        h->credit = advance;
        return true;
    }
    if (!limit_charge(m, (size_t)need))
        return false;
    thread_self->limit_hit = false; /* it was the advance that was too much */
    h->credit = 0;
    return true;
}

void limit_give(struct heap *h, size_t bytes)
{
    int64_t advance = limit_advance(h->arena->module);
    h->credit += (int64_t)bytes;
    if (h->credit > 2 * advance) {
        limit_uncharge(h->arena->module, (size_t)(h->credit - advance));
        h->credit = advance;
    }
}

void limit_return_credit(struct heap *h)
{
    struct module *m = h->arena->module;
    if (h->credit > 0)
        limit_uncharge(m, (size_t)h->credit);
    else if (h->credit < 0) /* objects that are out: who frees them gives these bytes back */
        atomic_fetch_add_explicit(&m->held, (uint64_t)-h->credit, memory_order_relaxed);
    h->credit = 0;
}

void limit_follow_module(const struct policy *policy, struct module *m)
{
    const struct policy_module *entry = policy_find_module(policy, m->name);
    static const struct policy_limit none;
    const struct policy_limit *limit = entry == NULL ? &none : &entry->limit;
    atomic_store_explicit(&m->soft, limit->soft, memory_order_relaxed);
    atomic_store_explicit(&m->hard, limit->hard, memory_order_relaxed);
    atomic_store_explicit(&m->on_soft, (uint32_t)limit->on_soft, memory_order_relaxed);
    atomic_store_explicit(&m->on_hard, (uint32_t)limit->on_hard, memory_order_relaxed);
    if (limit->soft == 0 || load(&m->held) <= limit->soft)
        atomic_store_explicit(&m->over_soft, false, memory_order_relaxed);
}

void limits_follow(const struct policy *policy)
{
    for (uint32_t id = 0; id < module_count(); id++)
        limit_follow_module(policy, module_get((sluice_module)id));
}

static void notify(struct module *m, bool hard)
{
    /* The callback may allocate, also for this module: what that crosses is not told in turn. */
    static __thread bool telling;
    if (telling)
        return;
    telling = true;
    uint64_t limit = load(hard ? &m->hard : &m->soft), held = load(&m->held);
    log_line(LOG_LEVEL_WARN, "module \"%s\" reached its %s limit: %llu of %llu bytes", m->name,
             hard ? "hard" : "soft", (unsigned long long)held, (unsigned long long)limit);
    const struct callback *c = atomic_load_explicit(&callback, memory_order_acquire);
    if (c != NULL)
        c->fn(m->id, hard, held, limit, c->arg);
    telling = false;
}

static void die(struct module *m, bool hard, size_t size)
{
    log_fatal("module \"%s\": an allocation of %zu bytes exceeds its %s limit of %llu bytes (%llu "
              "held), and its policy says abort",
              m->name, size, hard ? "hard" : "soft",
              (unsigned long long)load(hard ? &m->hard : &m->soft),
              (unsigned long long)load(&m->held));
}

void limit_act_soft(struct module *m)
{
    uint32_t pending =
        atomic_fetch_and_explicit(&m->pending, ~(uint32_t)LIMIT_PENDING_SOFT, memory_order_relaxed);
    if ((pending & LIMIT_PENDING_SOFT) == 0)
        return;
    switch ((enum policy_action)atomic_load_explicit(&m->on_soft, memory_order_relaxed)) {
    case POLICY_ACTION_TRIM:
        arenas_trim(m);
        break;
    case POLICY_ACTION_NOTIFY:
        notify(m, false);
        break;
    case POLICY_ACTION_ABORT:
        die(m, false, 0);
        break;
    case POLICY_ACTION_FAIL: /* decided where the size is known: see alloc.c */
    case POLICY_ACTION_FALLBACK:
        break;
    }
}

static bool refused_by_soft(struct module *m)
{
    return atomic_load_explicit(&m->on_soft, memory_order_relaxed) == POLICY_ACTION_FAIL &&
           limit_soft_exceeded(m);
}

void limit_explain(struct module *m, size_t size)
{
    bool soft = refused_by_soft(m);
    error_set(SLUICE_ERROR_NO_MEMORY,
              "module \"%s\": %zu bytes are beyond its %s limit of %llu bytes (%llu held)", m->name,
              size, soft ? "soft" : "hard", (unsigned long long)load(soft ? &m->soft : &m->hard),
              (unsigned long long)load(&m->held));
}

bool limit_act_hard(struct module *m, size_t size, bool limit_hit)
{
    if (!limit_hit) /* the system has nothing left: what all modules keep for reuse may help */
        return size <= PTRDIFF_MAX / 2 && arenas_trim(NULL) > 0;
    if (refused_by_soft(m))
        return false;
    switch ((enum policy_action)atomic_load_explicit(&m->on_hard, memory_order_relaxed)) {
    case POLICY_ACTION_NOTIFY:
        notify(m, true);
        return false;
    case POLICY_ACTION_ABORT:
        die(m, true, size);
        return false;
    case POLICY_ACTION_TRIM:
        arenas_trim(m);
        return true;
    case POLICY_ACTION_FAIL:
    case POLICY_ACTION_FALLBACK:
        return false;
    }
    return false;
}
