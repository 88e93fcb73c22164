/* thread.h - the record of each thread that allocates, and sections.
 *
 * A section is a stretch of code in which a thread uses its caches, or structures that others may retire.
 * Entering and leaving is two plain stores; nobody waits. Whoever needs a thread to stay outside (to take
 * memory back from a thread that sleeps, to drop an old route table, to fork) holds it:
 *
 *     the thread                           the holder
 *     active = 1                           token = 0, cache_limit = 0, no mark
 *     (compiler barrier)                   os_process_barrier()
 *     token still mine? go on              wait until active == 0
 *     ... use the caches ...               ... everything of that thread is the holder's ...
 *     active = 0                           token = the thread's again
 *
 * Either the thread sees that it is held, or the holder sees it active: the barrier that one of them needs
 * is paid by the holder alone. (Asymmetric Dekker, as in D. Dice, H. Huang, M. Yang, "Asymmetric Dekker
 * Synchronization", 2001.) The fast path needs no check of its own: a held thread has no usable cache
 * (cache_limit is 0) and finds no home (its mark is one that no entry of core/home.h has).
 *
 * Rules for a section: short; no call into user code; no lock above the line in lock.h; no nesting.
 *
 * Fork holds every thread, so that no allocator lock is held and no structure is half changed when the
 * process is copied. A thread that must allocate meanwhile (it may hold the lock of a stdio stream that fork
 * itself waits for) is not made to wait: core/emergency.c serves it without locks.
 */
#ifndef SLUICE_CORE_THREAD_H
#define SLUICE_CORE_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/sluice.h>

#include "core/home.h"
#include "core/slab.h"

struct heap;
struct phase_instance;

/* One thread's cache for one module: for each size class the magazine that objects come from. Good for one
 * generation of the route table. */
struct tcache {
    uint64_t generation;
    struct magazine
        *bin[SIZE_CLASS_PLAIN]; /* never NULL: &magazine_none where the slow path must decide */
    bool is_bare;               /* all of bin[] is &magazine_none since the cache was outdated */
};

/* Phases that a thread may have entered at one time. */
#define THREAD_PHASES 16

/* Why a rule did not serve: its backend refused to make an arena, just now or before. */
enum no_arena { ARENA_THERE, ARENA_REFUSED, ARENA_REFUSED_BEFORE };

struct thread {
    _Atomic uint32_t active;       /* 1 inside a section; written by the thread alone */
    _Atomic uintptr_t cache_limit; /* cache[] may be used below this module id; 0: held */
    struct tcache **cache;         /* cache_capacity entries, none NULL */
    _Atomic uintptr_t mark;        /* home_mark(number); HOME_MARK_HELD: held */
    struct home_map homes;         /* a copy */
    _Atomic uintptr_t token;       /* address of this record; 0: held */
    struct pagemap map;            /* a copy */

    uint32_t cache_capacity;
    uint32_t heap_capacity;
    struct heap **heaps;    /* by arena id; NULL where this thread never used the arena */
    uint32_t number;        /* small, reused */
    bool limit_hit;         /* limit_charge() refused something of this thread */
    bool beyond_limit;      /* the allocation in hand may pass the hard limit (on_hard: fallback) */
    enum no_arena no_arena; /* what the last rule that was tried found */
    const void *caller;     /* return address of the call that allocates, on the slow path */
    uint32_t phase_depth;   /* instances that it has entered, innermost last; the thread alone */
    struct phase_instance *phases[THREAD_PHASES];
    bool gone; /* the thread does not exist in this process (after fork) */
    bool ours; /* Sluice's own: the control thread, the porter */
    struct thread *next, *prev;
};

extern __thread struct thread
    *thread_self; /* never NULL: &thread_none before the first allocation */
extern struct thread thread_none;

/* This thread's record, made when need be. NULL: no memory, or a fork is under way. Outside sections. */
struct thread *thread_current(void);

static inline void thread_section_begin(struct thread *t)
{
    atomic_store_explicit(&t->active, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void thread_leave(struct thread *t)
{
    atomic_store_explicit(&t->active, 0, memory_order_release);
}

/* The whole entrance for slow paths: waits while somebody holds the thread. false: a fork is under way,
 * nothing was entered. */
bool thread_enter(struct thread *t);

/* thread_current() and thread_enter(), after a fork that is under way. NULL without memory. Ended with
 * thread_leave_current(). For calls that may wait. */
struct thread *thread_enter_current(void);
void thread_leave_current(struct thread *t);

/* Waits a while for the end of a fork. false: it goes on; perhaps it waits for a lock of the caller's (of a stdio
 * stream), so the caller must go on without it. */
bool thread_outlast_fork(void);

struct lock;
/* Takes one of the locks that fork takes too. false: a fork is under way, and it was not taken. */
bool thread_lock_unless_diverted(struct lock *lock);

/* A fork is under way in another thread (or this one). */
bool thread_is_diverted(void);

/* Makes room in the thread's arrays. false without memory. In a section of that thread. */
struct tcache *thread_cache_for(struct thread *t, sluice_module module);
bool thread_reserve_heaps(struct thread *t, uint32_t arena_id);

/* Runs fn for each thread that it concerns (NULL: each), each held outside of sections meanwhile. A thread that does not
 * leave its section within patience_ns is passed over; 0: wait as long as it takes. Outside sections.
 * `concerns` is asked while the thread runs: it may look at the record's address and no further. */
void threads_each_held(bool (*concerns)(const struct thread *t, void *arg),
                       void (*fn)(struct thread *t, void *arg), void *arg, uint64_t patience_ns);

/* Returns when every section that was open at the call has been left. Outside sections. */
void threads_synchronize(void);

/* Returns when each thread has been seen outside of a section after the call began. Other than threads_synchronize() it
 * makes nobody wait, unless a thread hardly ever leaves. Outside sections. */
void threads_quiesce(void);

/* Gives back what threads had that fork left behind in the parent. Outside sections; cheap when there are none. */
void threads_reap(void);

/* Number of threads of the program that have a record. */
uint64_t threads_count(void);

/* The calling thread is one of Sluice's own: nobody counts it. */
void threads_disown_self(void);

/* Number of threads of the program that have a record and exist in this process. Outside sections; waits for a fork. */
uint64_t threads_others(void);

/* Makes sure that the thread's exit is noticed, also when it has no record. */
void thread_wants_exit(void);

/* The thread's exit was noticed already, and it allocates all the same (from another destructor): whoever
 * gave it a record calls thread_end_late() after the one operation. */
bool thread_is_exiting(void);
void thread_end_late(void);

/* The three moments of fork (core/fork.c). */
void threads_fork_prepare(void);
void threads_fork_parent(void);
void threads_fork_child(void);

/* false: no memory, or no thread-specific key left. Once. */
bool thread_init(void);

#endif
