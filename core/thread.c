/* thread.c - see thread.h. */
#include "core/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/control.h"
#include "core/error.h"
#include "core/lock.h"
#include "core/meta.h"
#include "core/os.h"
#include "core/phase.h"

struct magazine magazine_none;
struct thread thread_none;
__thread struct thread *thread_self = &thread_none;

/* How often pthread has run our destructor for this thread. Memory is freed by other destructors too,
 * so ours asks to be run again and acts in the last round but one. */
static __thread int exit_rounds;
#define EXIT_ROUNDS 3

static struct lock threads_lock; /* "threads" and "seize" of lock.h in one */
static struct thread *threads;   /* all that have a record */
static uint32_t thread_count, own_count, next_number;
static struct thread *spare; /* records to use again, by next */
static _Atomic bool diverted;
static _Atomic bool reap_wanted;
static pthread_key_t exit_key;
static bool exit_key_made;

/* ---- Sections ------------------------------------------------------------------------------- */

/* A nap, not sched_yield(): that goes behind everybody who wants the processor, which takes tens of milliseconds where all
 * are busy, while a sleeper that wakes comes first. And the one that is waited for gets the processor either way. */
/* Sections last less than a microsecond, unless the thread in one has lost its processor. Sleeping then beats
 * sched_yield(): where many threads run, a yield waits for all their time slices. */
static void pause_briefly(unsigned round)
{
    if (round < 4) {
        for (int i = 0; i < 64; i++)
            cpu_relax();
        return;
    }
    int saved = errno;
    struct timespec nap = {0, 10000L << (round < 9 ? round - 4 : 5)};
    syscall(SYS_nanosleep, &nap, NULL); /* malloc and free are no cancellation points */
    errno = saved;
}

bool thread_enter(struct thread *t)
{
    for (unsigned round = 0;; round++) {
        thread_section_begin(t);
        if (atomic_load_explicit(&t->token, memory_order_acquire) == (uintptr_t)t)
            return true;
        thread_leave(t);
        if (thread_is_diverted())
            return false;
        pause_briefly(round);
    }
}

bool thread_is_diverted(void)
{
    return atomic_load_explicit(&diverted, memory_order_acquire);
}

/* Long enough for the fork of a process of some gigabytes, short enough for one who waits in vain. */
#define FORK_PATIENCE 10000000u /* ns */

static _Atomic uint32_t fork_number;

bool thread_outlast_fork(void)
{
    static __thread uint32_t waited_in_vain; /* for that fork: once is enough */
    uint32_t number = atomic_load_explicit(&fork_number, memory_order_relaxed);
    uint64_t start = os_now();
    for (unsigned round = 0; thread_is_diverted(); round++) {
        if (waited_in_vain == number)
            return false;
        if (os_now() - start > FORK_PATIENCE)
            waited_in_vain = number;
        pause_briefly(round);
    }
    return true;
}

static void hold_begin(struct thread *t)
{
    atomic_store_explicit(&t->cache_limit, 0, memory_order_relaxed);
    atomic_store_explicit(&t->mark, HOME_MARK_HELD, memory_order_relaxed);
    atomic_store_explicit(&t->token, 0, memory_order_relaxed);
}

static void hold_end(struct thread *t)
{
    atomic_store_explicit(&t->cache_limit, t->cache_capacity, memory_order_release);
    atomic_store_explicit(&t->mark, home_mark(t->number), memory_order_release);
    atomic_store_explicit(&t->token, (uintptr_t)t, memory_order_release);
}

static bool hold_wait(struct thread *t, uint64_t patience_ns)
{
    uint64_t start = 0;
    for (unsigned round = 0;
         atomic_load_explicit(&t->active, memory_order_acquire) != 0 && !t->gone; round++) {
        if (patience_ns != 0) {
            uint64_t now = os_now();
            start = start == 0 ? now : start;
            if (now - start > patience_ns)
                return false;
        }
        pause_briefly(round);
    }
    return true;
}

bool thread_lock_unless_diverted(struct lock *lock)
{
    for (unsigned round = 0; !lock_try(lock); round++) {
        if (thread_is_diverted())
            return false;
        pause_briefly(round);
    }
    return true;
}

void threads_each_held(bool (*concerns)(const struct thread *t, void *arg),
                       void (*fn)(struct thread *t, void *arg), void *arg, uint64_t patience_ns)
{
    lock_acquire(&threads_lock);
    /* One at a time: a thread that has to wait waits for its own turn only. */
    for (struct thread *t = threads; t != NULL; t = t->next) {
        if (concerns != NULL && !concerns(t, arg))
            continue;
        hold_begin(t);
        os_process_barrier();
        if (hold_wait(t, patience_ns))
            fn(t, arg);
        hold_end(t);
    }
    lock_release(&threads_lock);
}

void threads_synchronize(void)
{
    lock_acquire(&threads_lock);
    for (struct thread *t = threads; t != NULL; t = t->next)
        hold_begin(t);
    os_process_barrier();
    for (struct thread *t = threads; t != NULL; t = t->next) {
        hold_wait(t, 0);
        hold_end(t);
    }
    lock_release(&threads_lock);
}

/* So often a thread is looked at before it is held. */
#define QUIESCE_LOOKS 1000

static bool is_outside(const struct thread *t)
{
    for (int i = 0; i < QUIESCE_LOOKS; i++) {
        if (atomic_load_explicit(&t->active, memory_order_acquire) == 0 || t->gone)
            return true;
        cpu_relax();
    }
    return false;
}

/* In threads_lock. Whoever gets a record later takes the lock, and sees what the caller has written. */
static bool is_only_thread(void)
{
    for (const struct thread *t = threads; t != NULL; t = t->next)
        if (t != thread_self && !t->gone)
            return false;
    return true;
}

void threads_quiesce(void)
{
    lock_acquire(&threads_lock);
    if (is_only_thread()) { /* no section is open, and no system call is needed to know it */
        lock_release(&threads_lock);
        return;
    }
    os_process_barrier(); /* what the caller has written is seen in sections that begin from now on */
    for (struct thread *t = threads; t != NULL; t = t->next) {
        if (is_outside(t))
            continue;
        hold_begin(t);
        os_process_barrier();
        hold_wait(t, 0);
        hold_end(t);
    }
    lock_release(&threads_lock);
}

uint64_t threads_count(void)
{
    lock_acquire(&threads_lock);
    uint64_t n = thread_count - own_count;
    lock_release(&threads_lock);
    return n;
}

static __thread bool is_ours;

void threads_disown_self(void)
{
    is_ours = true;
}

uint64_t threads_others(void)
{
    uint64_t n = 0;
    lock_acquire(&threads_lock);
    for (const struct thread *t = threads; t != NULL; t = t->next)
        n += !t->ours && !t->gone;
    lock_release(&threads_lock);
    return n;
}

/* ---- Records -------------------------------------------------------------------------------- */

#define FIRST_CACHES 16

static struct tcache cache_none = {.generation = UINT64_MAX}; /* never current */

struct tcache *thread_cache_for(struct thread *t, sluice_module module)
{
    if (module >= t->cache_capacity) {
        uint32_t capacity = t->cache_capacity;
        while (capacity <= module)
            capacity *= 2;
        struct tcache **grown = meta_alloc(capacity * sizeof *grown);
        if (grown == NULL)
            return NULL;
        memcpy(grown, t->cache, t->cache_capacity * sizeof *grown);
        for (uint32_t i = t->cache_capacity; i < capacity; i++)
            grown[i] = &cache_none;
        struct tcache **old = t->cache;
        size_t old_size = t->cache_capacity * sizeof *old;
        t->cache = grown;
        t->cache_capacity = capacity;
        /* 0 means that somebody has begun to hold this thread: then hold_end() raises the limit. */
        uintptr_t limit = atomic_load_explicit(&t->cache_limit, memory_order_relaxed);
        if (limit != 0)
            atomic_compare_exchange_strong_explicit(&t->cache_limit, &limit, capacity,
                                                    memory_order_release, memory_order_relaxed);
        meta_free(old, old_size);
    }
    struct tcache *c = t->cache[module];
    if (c == &cache_none) {
        c = meta_alloc_beside(sizeof *c);
        if (c == NULL)
            return NULL;
        for (unsigned i = 0; i < SIZE_CLASS_PLAIN; i++)
            c->bin[i] = &magazine_none;
        c->generation = UINT64_MAX;
        t->cache[module] = c;
    }
    return c;
}

bool thread_reserve_heaps(struct thread *t, uint32_t arena_id)
{
    if (arena_id < t->heap_capacity)
        return true;
    uint32_t capacity = t->heap_capacity < 16 ? 16 : t->heap_capacity;
    while (capacity <= arena_id)
        capacity *= 2;
    struct heap **grown = meta_alloc(capacity * sizeof *grown);
    if (grown == NULL)
        return false;
    if (t->heap_capacity > 0)
        memcpy(grown, t->heaps, t->heap_capacity * sizeof *grown);
    meta_free(t->heaps, t->heap_capacity * sizeof *grown);
    t->heaps = grown;
    t->heap_capacity = capacity;
    return true;
}

/* Everything that a thread holds goes back to its arenas. The caller has the thread to itself. */
static void thread_empty(struct thread *t)
{
    phases_thread_exit(t);
    for (uint32_t i = 0; i < t->heap_capacity; i++)
        if (t->heaps[i] != NULL)
            heap_destroy(t->heaps[i]);
    meta_free(t->heaps, t->heap_capacity * sizeof *t->heaps);
    for (uint32_t i = 0; i < t->cache_capacity; i++)
        if (t->cache[i] != &cache_none)
            meta_free(t->cache[i], sizeof *t->cache[i]);
    meta_free(t->cache, t->cache_capacity * sizeof *t->cache);
    t->heaps = NULL;
    t->cache = NULL;
    t->heap_capacity = t->cache_capacity = 0;
}

/* In threads_lock. Records are never unmapped: a late reader of an owner may compare with one. */
static void thread_unlink(struct thread *t)
{
    if (t->prev != NULL)
        t->prev->next = t->next;
    else
        threads = t->next;
    if (t->next != NULL)
        t->next->prev = t->prev;
    t->prev = NULL;
    t->next = spare;
    spare = t;
    thread_count--;
    own_count -= t->ours;
}

static void thread_end(struct thread *t)
{
    lock_acquire(&threads_lock);
    /* Nobody can hold or divert us now: both need the lock. */
    thread_section_begin(t);
    hold_begin(t);
    thread_empty(t);
    thread_leave(t);
    thread_self = &thread_none;
    thread_unlink(t);
    bool few = thread_count == own_count;
    lock_release(&threads_lock);
    if (few)
        control_thread_ended();
}

static void on_exit_of_thread(void *arg)
{
    if (++exit_rounds < EXIT_ROUNDS) {
        pthread_setspecific(exit_key, arg);
        return;
    }
    if (thread_self != &thread_none)
        thread_end(thread_self);
    error_thread_exit();
}

void thread_wants_exit(void)
{
    static __thread bool wanted;
    if (wanted || exit_rounds != 0 || !exit_key_made)
        return;
    wanted = true;
    pthread_setspecific(exit_key, &exit_key); /* may allocate: we are not in a section */
}

struct thread *thread_current(void)
{
    struct thread *t = thread_self;
    if (t != &thread_none)
        return t;
    if (!thread_lock_unless_diverted(&threads_lock))
        return NULL;
    t = spare;
    if (t != NULL)
        spare = t->next;
    else if (next_number < HOME_THREADS && (t = meta_alloc(sizeof *t)) != NULL)
        t->number = next_number++;
    struct tcache **cache = meta_alloc(FIRST_CACHES * sizeof *cache);
    if (t == NULL || cache == NULL) {
        if (t != NULL) {
            t->next = spare;
            spare = t;
        }
        meta_free(cache, FIRST_CACHES * sizeof *cache);
        lock_release(&threads_lock);
        return NULL;
    }
    for (uint32_t i = 0; i < FIRST_CACHES; i++)
        cache[i] = &cache_none;
    t->cache = cache;
    t->cache_capacity = FIRST_CACHES;
    t->map.slot = pagemap.slot;
    atomic_store_explicit(&t->map.count, pagemap.count, memory_order_relaxed);
    t->homes.entry = home_map.entry;
    t->homes.low = home_map.low;
    t->homes.zero = home_map.zero;
    atomic_store_explicit(&t->homes.count, home_map.count, memory_order_relaxed);
    t->gone = false;
    t->ours = is_ours;
    t->prev = NULL;
    t->next = threads;
    if (threads != NULL)
        threads->prev = t;
    threads = t;
    thread_count++;
    own_count += t->ours;
    hold_end(t);
    thread_self = t;
    lock_release(&threads_lock);
    thread_wants_exit();
    return t;
}

/* A thread that allocates after its exit was noticed would leave a record behind: the caller ends it
 * again after the one operation. */
struct thread *thread_enter_current(void)
{
    for (;;) {
        struct thread *t = thread_current();
        if (t != NULL && thread_enter(t))
            return t;
        if (t == NULL && !thread_is_diverted())
            return NULL;
        sched_yield();
    }
}

void thread_leave_current(struct thread *t)
{
    thread_leave(t);
    if (thread_is_exiting())
        thread_end_late();
}

bool thread_is_exiting(void)
{
    return exit_rounds >= EXIT_ROUNDS;
}

void thread_end_late(void)
{
    if (thread_self != &thread_none)
        thread_end(thread_self);
}

bool thread_init(void)
{
    exit_key_made = pthread_key_create(&exit_key, on_exit_of_thread) == 0;
    return exit_key_made;
}

/* ---- Fork ----------------------------------------------------------------------------------- */

void threads_fork_prepare(void)
{
    lock_acquire(&threads_lock);
    atomic_fetch_add_explicit(&fork_number, 1, memory_order_relaxed);
    atomic_store_explicit(&diverted, true, memory_order_seq_cst);
    for (struct thread *t = threads; t != NULL; t = t->next)
        hold_begin(t);
    os_process_barrier();
    for (struct thread *t = threads; t != NULL; t = t->next)
        hold_wait(t, 0);
}

static void fork_end(void)
{
    for (struct thread *t = threads; t != NULL; t = t->next)
        if (!t->gone)
            hold_end(t);
    atomic_store_explicit(&diverted, false, memory_order_seq_cst);
    lock_release(&threads_lock);
}

void threads_fork_parent(void)
{
    fork_end();
}

void threads_fork_child(void)
{
    os_process_barrier_init();
    for (struct thread *t = threads; t != NULL; t = t->next)
        if (t != thread_self) {
            t->gone = true;
            atomic_store_explicit(&t->active, 0, memory_order_relaxed);
            atomic_store_explicit(&reap_wanted, true, memory_order_relaxed);
        }
    fork_end();
}

void threads_reap(void)
{
    if (!atomic_load_explicit(&reap_wanted, memory_order_relaxed))
        return;
    if (!thread_lock_unless_diverted(&threads_lock))
        return;
    atomic_store_explicit(&reap_wanted, false, memory_order_relaxed);
    for (struct thread *t = threads, *next; t != NULL; t = next) {
        next = t->next;
        if (t->gone) {
            thread_empty(t);
            thread_unlink(t);
        }
    }
    lock_release(&threads_lock);
}
