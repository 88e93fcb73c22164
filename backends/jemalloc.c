/* jemalloc.c - the backend `jemalloc`: jemalloc 5.3, renamed (tools/build/jemalloc_renamed.h), one
 * or more of its arenas for each of Sluice's.
 *
 * A thread gets one of the arena's slots, in turn, and after a few allocations a tcache of its own
 * for this arena: jemalloc's automatic tcache would hand objects of one arena to another. Where no
 * tcache is to be had, it works without, slower. The parts and their invariants are in jemalloc.h.
 *
 * jemalloc gives free pages back in proportion to their age (decay), when its threads happen to
 * call it; purge() does it when they do not. It is asked for when something was freed, and then
 * again as long as free pages are left.
 */
#include "backends/jemalloc.h"

#include "backends/builtin.h"
#include "core/arena.h"
#include "core/log.h"
#include "core/os.h"

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

/* A tcache takes some 30 KiB, and a free for each object that is left in it at the end: threads
 * that allocate less than this do better without. */
#define ALLOCS_BEFORE_TCACHE 16

/* jemalloc's smallest classes are aligned to 8 bytes. */
#define SMALLEST 16

/* From this size on objects have pages of their own. */
#define SMALLEST_LARGE ((size_t)16 << 10)

/* purge() runs so often within a decay time, and not more often than every 10 ms. */
#define PURGES_PER_DECAY 5
#define PURGE_PAUSE_MIN  (10 * NS_PER_MS)

enum { PARAM_ARENAS, PARAM_DIRTY_DECAY, PARAM_MUZZY_DECAY };

static const struct sluice_param params[] = {
    [PARAM_ARENAS] = {.name = "arenas",
                      .type = SLUICE_PARAM_COUNT,
                      .default_value = 1,
                      .minimum = 1,
                      .maximum = JEMALLOC_SLOTS_MAX,
                      .help = "jemalloc arenas that the module's threads are spread over"},
    [PARAM_DIRTY_DECAY] = {.name = "dirty_decay",
                           .type = SLUICE_PARAM_DURATION,
                           .default_value = NS_PER_S,
                           .minimum = 0,
                           .maximum = 24 * 3600 * NS_PER_S,
                           .help = "time in which free pages return to the system; 0: at once"},
    [PARAM_MUZZY_DECAY] = {.name = "muzzy_decay",
                           .type = SLUICE_PARAM_DURATION,
                           .default_value = 0,
                           .minimum = 0,
                           .maximum = 24 * 3600 * NS_PER_S,
                           .help = "time after that in which the kernel may take them, before they "
                                   "are taken away (MADV_FREE)"},
};

/* ---- Slots and thread records ---------------------------------------------------------------- */

static void read_params(struct jemalloc_arena *a, const uint64_t *values)
{
    a->slot_count = (unsigned)values[PARAM_ARENAS];
    atomic_store_explicit(&a->dirty_decay_ms,
                          ((int64_t)values[PARAM_DIRTY_DECAY] + NS_PER_MS - 1) / NS_PER_MS,
                          memory_order_relaxed);
    atomic_store_explicit(&a->muzzy_decay_ms,
                          ((int64_t)values[PARAM_MUZZY_DECAY] + NS_PER_MS - 1) / NS_PER_MS,
                          memory_order_relaxed);
}

static int64_t dirty_decay(const struct jemalloc_arena *a)
{
    return atomic_load_explicit(&a->dirty_decay_ms, memory_order_relaxed);
}

static int64_t muzzy_decay(const struct jemalloc_arena *a)
{
    return atomic_load_explicit(&a->muzzy_decay_ms, memory_order_relaxed);
}

static unsigned slot_of(const struct jemalloc_arena *a, unsigned i)
{
    return atomic_load_explicit(&a->slots[i], memory_order_relaxed);
}

/* In the lock: makes slots[i]. */
static enum sluice_result make_slot(struct jemalloc_arena *a, unsigned i)
{
    unsigned slot;
    enum sluice_result result = jemalloc_slot_create(&a->hooks, &slot);
    if (result != SLUICE_OK)
        return result;
    jemalloc_slot_set_decay(slot, dirty_decay(a), muzzy_decay(a));
    atomic_store_explicit(&a->slots[i], slot, memory_order_relaxed);
    return SLUICE_OK;
}

/* In the lock: the slot for the next thread. */
static unsigned pick_slot(struct jemalloc_arena *a)
{
    unsigned i = a->next_slot++ % a->slot_count;
    if (slot_of(a, i) == 0 && make_slot(a, i) != SLUICE_OK) {
        static atomic_flag said = ATOMIC_FLAG_INIT;
        if (!atomic_flag_test_and_set(&said))
            log_line(LOG_LEVEL_WARN, "jemalloc: no further arena to be had; threads share those "
                                     "that there are");
        return slot_of(a, 0);
    }
    return slot_of(a, i);
}

/* This thread's record; NULL without memory. */
static struct jemalloc_thread *thread_make(struct jemalloc_arena *a, void **thread_state)
{
    struct jemalloc_thread *t = sluice_metadata_alloc(sizeof *t);
    if (t == NULL)
        return NULL;
    t->free_flags = MALLOCX_TCACHE_NONE;
    lock_acquire(&a->lock);
    t->alloc_flags = (int)MALLOCX_ARENA(pick_slot(a)) | MALLOCX_TCACHE_NONE;
    t->next = a->threads;
    if (t->next != NULL)
        t->next->prev = t;
    a->threads = t;
    a->record_bytes += sizeof *t;
    lock_release(&a->lock);
    *thread_state = t;
    return t;
}

static struct jemalloc_thread *thread_of(struct jemalloc_arena *a, void **thread_state)
{
    struct jemalloc_thread *t = *thread_state;
    return __builtin_expect(t != NULL, 1) ? t : thread_make(a, thread_state);
}

static void thread_give_tcache(struct jemalloc_thread *t)
{
    if (t->wants_no_tcache || ++t->allocs < ALLOCS_BEFORE_TCACHE)
        return;
    if (!jemalloc_tcache_create(&t->tcache)) {
        static atomic_flag said = ATOMIC_FLAG_INIT;
        t->wants_no_tcache = true;
        if (!atomic_flag_test_and_set(&said))
            log_line(LOG_LEVEL_WARN, "jemalloc: all thread caches are in use (one for each thread "
                                     "and module); further threads work without, slower");
        return;
    }
    t->has_tcache = true;
    t->free_flags = (int)MALLOCX_TCACHE(t->tcache);
    t->alloc_flags = (t->alloc_flags & ~MALLOCX_TCACHE_NONE) | t->free_flags;
}

/* Bytes more (or, below zero, fewer) in live objects. The thread alone writes its record. */
static void count(struct jemalloc_arena *a, struct jemalloc_thread *t, int64_t bytes)
{
    if (__builtin_expect(t != NULL, 1))
        atomic_store_explicit(&t->net, atomic_load_explicit(&t->net, memory_order_relaxed) + bytes,
                              memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&a->net, bytes, memory_order_relaxed);
}

static void thread_exit(void *arena, void *thread_state)
{
    struct jemalloc_arena *a = arena;
    struct jemalloc_thread *t = thread_state;
    if (t->has_tcache)
        jemalloc_tcache_destroy(t->tcache);
    lock_acquire(&a->lock);
    if (t->next != NULL)
        t->next->prev = t->prev;
    if (t->prev != NULL)
        t->prev->next = t->next;
    else
        a->threads = t->next;
    atomic_fetch_add_explicit(&a->net, t->net, memory_order_relaxed);
    a->record_bytes -= sizeof *t;
    lock_release(&a->lock);
    sluice_metadata_free(t, sizeof *t);
}

static void thread_flush(void *arena, void *thread_state)
{
    struct jemalloc_thread *t = thread_state;
    (void)arena;
    if (t->has_tcache)
        jemalloc_tcache_flush(t->tcache);
}

/* ---- Arenas ---------------------------------------------------------------------------------- */

static enum sluice_result create(const struct sluice_arena_config *config, void **arena)
{
    struct jemalloc_arena *a = sluice_metadata_alloc(sizeof *a);
    if (a == NULL)
        return SLUICE_ERROR_NO_MEMORY;
    a->hooks = jemalloc_extent_hooks;
    a->owner = config->owner;
    a->record_bytes = sizeof *a;
    read_params(a, config->values);
    enum sluice_result result = make_slot(a, 0);
    if (result != SLUICE_OK) {
        jemalloc_runs_release(a); /* what a half-made slot took */
        sluice_metadata_free(a, sizeof *a);
        return result;
    }
    *arena = a;
    return SLUICE_OK;
}

static void destroy(void *arena)
{
    struct jemalloc_arena *a = arena;
    atomic_store(&a->ending, true);
    for (unsigned i = 0; i < JEMALLOC_SLOTS_MAX; i++)
        if (slot_of(a, i) != 0)
            jemalloc_slot_destroy(slot_of(a, i));
    jemalloc_runs_release(a);
    sluice_metadata_free(a, sizeof *a);
}

static enum sluice_result configure(void *arena, const struct sluice_arena_config *config)
{
    struct jemalloc_arena *a = arena;
    if (config->values[PARAM_ARENAS] < a->slot_count)
        return SLUICE_ERROR_UNSUPPORTED; /* threads keep their slot */
    lock_acquire(&a->lock);
    read_params(a, config->values);
    for (unsigned i = 0; i < JEMALLOC_SLOTS_MAX; i++)
        if (slot_of(a, i) != 0)
            jemalloc_slot_set_decay(slot_of(a, i), dirty_decay(a), muzzy_decay(a));
    lock_release(&a->lock);
    sluice_purge_wanted(a->owner, os_now());
    return SLUICE_OK;
}

static void ask_for_purge(struct jemalloc_arena *a);

static enum sluice_result reset(void *arena)
{
    struct jemalloc_arena *a = arena;
    lock_acquire(&a->lock);
    /* A tcache must not keep what the reset takes away. */
    for (struct jemalloc_thread *t = a->threads; t != NULL; t = t->next) {
        thread_flush(a, t);
        t->net = 0;
    }
    a->net = 0;
    for (unsigned i = 0; i < JEMALLOC_SLOTS_MAX; i++)
        if (slot_of(a, i) != 0)
            jemalloc_slot_reset(slot_of(a, i));
    lock_release(&a->lock);
    ask_for_purge(a);
    return SLUICE_OK;
}

/* ---- Objects --------------------------------------------------------------------------------- */

static void *alloc(void *arena, void **thread_state, size_t size, size_t alignment, unsigned flags,
                   size_t *usable)
{
    struct jemalloc_arena *a = arena;
    struct jemalloc_thread *t = thread_of(a, thread_state);
    int how = (int)MALLOCX_ARENA(slot_of(a, 0)) | MALLOCX_TCACHE_NONE;
    if (t != NULL) {
        if (!t->has_tcache)
            thread_give_tcache(t);
        how = t->alloc_flags;
    }
    if (size < SMALLEST)
        size = SMALLEST;
    if (alignment > SMALLEST)
        how |= (int)MALLOCX_ALIGN(alignment);
    if (flags & SLUICE_ALLOC_ZERO)
        how |= MALLOCX_ZERO;
    void *p = je_mallocx(size, how);
    if (p == NULL)
        return NULL;
    *usable = je_sallocx(p, 0);
    count(a, t, (int64_t)*usable);
    return p;
}

/* What can be told for nothing of a pointer: small objects lie at multiples of their size from a page on, large ones at
 * multiples of 64. */
static void expect_object(const void *p, size_t usable)
{
    size_t multiple = usable & -usable, most = usable < SMALLEST_LARGE ? OS_PAGE_SIZE : 64;
    if (__builtin_expect(((uintptr_t)p & ((multiple < most ? multiple : most) - 1)) != 0, 0))
        log_fatal("free(%p): no object of backend jemalloc starts there", p);
}

static void ask_for_purge(struct jemalloc_arena *a)
{
    if (dirty_decay(a) + muzzy_decay(a) == 0 || atomic_exchange(&a->purge_armed, true))
        return;
    int64_t pause = dirty_decay(a) * NS_PER_MS / PURGES_PER_DECAY;
    sluice_purge_wanted(a->owner,
                        os_now() + (uint64_t)(pause > PURGE_PAUSE_MIN ? pause : PURGE_PAUSE_MIN));
}

static size_t free_object(void *arena, void **thread_state, void *p)
{
    struct jemalloc_arena *a = arena;
    struct jemalloc_thread *t = thread_of(a, thread_state);
    /* sdallocx with the size is no cheaper: 30 ns against 20 for the pair of an alloc and a free.
     */
    size_t usable = je_sallocx(p, 0);
    expect_object(p, usable);
    je_dallocx(p, t != NULL ? t->free_flags : MALLOCX_TCACHE_NONE);
    count(a, t, -(int64_t)usable);
    if (!atomic_load_explicit(&a->purge_armed, memory_order_relaxed))
        ask_for_purge(a);
    return usable;
}

static size_t usable_size(void *arena, const void *p)
{
    (void)arena;
    size_t usable = je_sallocx(p, 0);
    expect_object(p, usable);
    return usable;
}

static void *resize(void *arena, void **thread_state, void *p, size_t size, size_t *usable)
{
    struct jemalloc_arena *a = arena;
    struct jemalloc_thread *t = thread_of(a, thread_state);
    if (t == NULL)
        return NULL;
    size_t had = je_sallocx(p, 0);
    void *moved = je_rallocx(p, size < SMALLEST ? SMALLEST : size, t->alloc_flags);
    if (moved == NULL)
        return NULL;
    *usable = je_sallocx(moved, 0);
    count(a, t, (int64_t)*usable - (int64_t)had);
    if (!atomic_load_explicit(&a->purge_armed, memory_order_relaxed))
        ask_for_purge(a);
    return moved;
}

/* ---- Numbers, and giving back ---------------------------------------------------------------- */

/* In the lock: sums over the slots; refresh the readings before. */
static struct jemalloc_usage sum_usage(struct jemalloc_arena *a)
{
    struct jemalloc_usage sum = {0};
    for (unsigned i = 0; i < JEMALLOC_SLOTS_MAX; i++) {
        if (slot_of(a, i) == 0)
            continue;
        struct jemalloc_usage one;
        jemalloc_slot_usage(slot_of(a, i), &one);
        sum.active += one.active;
        sum.dirty += one.dirty;
        sum.muzzy += one.muzzy;
        sum.metadata += one.metadata + jemalloc_overhead_per_slot();
    }
    atomic_store_explicit(&a->reclaimable, sum.dirty + sum.muzzy, memory_order_relaxed);
    return sum;
}

static void stats(void *arena, struct sluice_backend_stats *out)
{
    struct jemalloc_arena *a = arena;
    jemalloc_usage_refresh(false);
    lock_acquire(&a->lock);
    struct jemalloc_usage usage = sum_usage(a);
    int64_t live = atomic_load_explicit(&a->net, memory_order_relaxed);
    for (struct jemalloc_thread *t = a->threads; t != NULL; t = t->next)
        live += atomic_load_explicit(&t->net, memory_order_relaxed);
    out->metadata_bytes = usage.metadata + a->record_bytes;
    lock_release(&a->lock);
    /* Threads run on between the readings. */
    int64_t cached = (int64_t)(usage.active + usage.dirty + usage.muzzy) - live;
    out->cached_bytes = cached > 0 ? (uint64_t)cached : 0;
}

static size_t purge(void *arena, uint64_t now, unsigned flags, uint64_t *next_due)
{
    struct jemalloc_arena *a = arena;
    bool force = (flags & SLUICE_PURGE_FORCE) != 0;
    atomic_store(&a->purge_armed, false); /* who frees from now on asks again */
    if (force) {
        jemalloc_usage_refresh(true);
        lock_acquire(&a->lock);
        sum_usage(a);
        lock_release(&a->lock);
    }
    uint64_t before = atomic_load_explicit(&a->reclaimable, memory_order_relaxed);
    for (unsigned i = 0; i < JEMALLOC_SLOTS_MAX; i++) {
        unsigned slot = slot_of(a, i);
        if (slot != 0 && force)
            jemalloc_slot_purge(slot);
        else if (slot != 0)
            jemalloc_slot_decay(slot);
    }
    jemalloc_usage_refresh(force);
    lock_acquire(&a->lock);
    sum_usage(a);
    uint64_t left = atomic_load_explicit(&a->reclaimable, memory_order_relaxed);
    lock_release(&a->lock);
    *next_due = UINT64_MAX;
    if (left > 0) {
        atomic_store(&a->purge_armed, true);
        int64_t decay = dirty_decay(a) > 0 ? dirty_decay(a) : muzzy_decay(a);
        int64_t pause = decay * NS_PER_MS / PURGES_PER_DECAY;
        *next_due = now + (uint64_t)(pause > PURGE_PAUSE_MIN ? pause : PURGE_PAUSE_MIN);
    }
    return before > left ? before - left : 0;
}

/* ---- Fork ------------------------------------------------------------------------------------ */

static void (*fork_stages[3])(void);

static void prepare_jemalloc(void)
{
    jemalloc_start(); /* without memory: at the first arena */
}

/* jemalloc registers its fork handlers through this instead of pthread_atfork(): see
 * tools/build/rename_jemalloc.sh. It calls once, when it starts: while a policy is loaded, or in
 * a section; no fork is under way then. */
int sluice_jemalloc_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int sluice_jemalloc_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    fork_stages[SLUICE_FORK_PREPARE] = prepare;
    fork_stages[SLUICE_FORK_PARENT] = parent;
    fork_stages[SLUICE_FORK_CHILD] = child;
    return 0;
}

static void fork_stage(enum sluice_fork_stage stage)
{
    if (fork_stages[stage] != NULL)
        fork_stages[stage]();
}

const struct sluice_backend_ops jemalloc_ops = {
    .abi_version = SLUICE_BACKEND_ABI_VERSION,
    .struct_size = sizeof(struct sluice_backend_ops),
    .name = "jemalloc",
    .capabilities =
        SLUICE_BACKEND_OWNS_ADDRESS_SPACE | SLUICE_BACKEND_BULK_RESET | SLUICE_BACKEND_MAGAZINES,
    .params = params,
    .param_count = sizeof params / sizeof *params,
    .arena_create = create,
    .arena_destroy = destroy,
    .alloc = alloc,
    .free = free_object,
    .usable_size = usable_size,
    .stats = stats,
    .realloc = resize,
    .reset = reset,
    .purge = purge,
    .thread_exit = thread_exit,
    .fork = fork_stage,
    .configure = configure,
    .thread_flush = thread_flush,
    .prepare = prepare_jemalloc,
};
