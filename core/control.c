/* control.c - see control.h. */
#include "core/control.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/chunk.h"
#include "core/log.h"
#include "core/os.h"
#include "core/porter.h"
#include "core/reload.h"
#include "core/thread.h"

enum state { STATE_NONE, STATE_STARTING, STATE_RUNNING, STATE_IMPOSSIBLE };

#define MS             UINT64_C(1000000)
#define STACK_SIZE     ((size_t)256 << 10) /* without a porter a policy is parsed on it */
#define COLLECT_EVERY  (100 * MS)          /* between looks at arenas that drain, at first */
#define COLLECT_SELDOM (5000 * MS)         /* and when none of them ends */
#define ALONE_EVERY    (10 * MS) /* between looks at whether the process has other threads, at first */
#define ALONE_SELDOM   (1000 * MS) /* and when it goes on having some */
#define WATCH_EVERY    (1000 * MS) /* between looks at files, without a porter */
#define ASK_AGAIN      (100 * MS)  /* a porter that has not heard */

static _Atomic int state;
static _Atomic bool wanted;
static _Atomic uint64_t next_due = UINT64_MAX;
static _Atomic uint64_t sleeping_until; /* what the thread's present sleep ends at */
static _Atomic uint32_t bell;           /* a futex: grows with each ring */
static _Atomic bool reload_requested, look_again;
static sigset_t mask_of_program; /* of the thread that started ours */

void control_ring(void)
{
    int saved = errno;
    atomic_fetch_add_explicit(&bell, 1, memory_order_seq_cst);
    syscall(SYS_futex, &bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = saved;
}

void log_wanted(void)
{
    control_ring();
}

void control_wake_at(uint64_t due)
{
    uint64_t old = atomic_load_explicit(&next_due, memory_order_relaxed);
    while (due < old && !atomic_compare_exchange_weak_explicit(
                            &next_due, &old, due, memory_order_seq_cst, memory_order_relaxed))
        ;
    if (due >= old)
        return;
    if (atomic_load_explicit(&state, memory_order_acquire) != STATE_RUNNING)
        atomic_store_explicit(&wanted, true, memory_order_relaxed);
    else if (due < atomic_load_explicit(&sleeping_until, memory_order_seq_cst))
        control_ring();
}

void control_poke(void)
{
    atomic_store_explicit(&look_again, true, memory_order_relaxed);
    control_wake_at(0);
}

void control_request_reload(void)
{
    atomic_store_explicit(&reload_requested, true, memory_order_release);
    atomic_store_explicit(&wanted, true, memory_order_relaxed);
    control_ring();
}

static uint64_t purge_due(struct sluice_arena *a, void *now)
{
    uint64_t at = *(uint64_t *)now;
    if (atomic_load_explicit(&a->purge_due, memory_order_relaxed) <= at)
        arena_purge(a, at, 0);
    else if (a->purge_due != UINT64_MAX)
        control_wake_at(a->purge_due);
    return 0;
}

/* What is due now. */
static void work(void)
{
    uint64_t now = os_now();
    if (atomic_load_explicit(&next_due, memory_order_relaxed) > now)
        return;
    atomic_store_explicit(&next_due, UINT64_MAX, memory_order_seq_cst);
    arenas_walk(purge_due, &now);
    uint64_t next;
    chunks_expire(now, false, &next);
    if (next != UINT64_MAX)
        control_wake_at(next);
    uint64_t arenas, draining;
    arenas_count(&arenas, &draining);
    static uint64_t every = COLLECT_EVERY;
    static unsigned left_before;
    unsigned left = draining > 0 ? arenas_collect() : 0;
    every = left == 0 || left != left_before ? COLLECT_EVERY
            : every < COLLECT_SELDOM         ? every * 2
                                             : COLLECT_SELDOM;
    left_before = left;
    if (left > 0)
        control_wake_at(now + every);
}

/* ---- What the porter does ------------------------------------------------------------------- */

static bool watches; /* without a porter: files are looked at now and then */

static unsigned new_tasks(void)
{
    unsigned tasks = 0;
    if (atomic_exchange_explicit(&reload_requested, false, memory_order_acq_rel))
        tasks |= PORTER_RELOAD;
    if (atomic_exchange_explicit(&look_again, false, memory_order_acq_rel) &&
        (porter_runs() || reload_wants_watch() || reload_wants_observers()))
        tasks |= PORTER_LOOK;
    return tasks;
}

/* A system without private descriptors: what the policy says of files is still done, with the program's. */
static void do_alone(unsigned tasks)
{
    if ((tasks & PORTER_RELOAD) != 0)
        reload_on_request();
    if ((tasks & PORTER_LOOK) != 0)
        watches = reload_wants_watch();
    if (watches)
        reload_if_changed();
}

static void hand_over(unsigned tasks)
{
    if (tasks != 0 && !porter_is_impossible())
        porter_ask(tasks);
    if (porter_is_impossible())
        do_alone(tasks | porter_take_back());
}

/* ---- Being the last ------------------------------------------------------------------------- */

/* A process ends when its last thread does; ours would keep it for ever. A thread that has a record is alive, and rings
 * when it gives that up; while there is no other record, the kernel is asked whether main has ended, and then for threads
 * that we know nothing of. When it says that only ours are left, that stays true: nobody is there to make another. */

/* ns to sleep at most before the next look; UINT64_MAX: until somebody rings. 0: nobody else is left. */
static uint64_t look_for_others(uint64_t before)
{
    if (threads_others() > 0)
        return UINT64_MAX;
    if (os_main_thread_ended()) {
        if (porter_is_impossible() ? os_threads_are_only(1) : porter_says_alone())
            return 0;
        if (!porter_is_impossible())
            porter_ask(PORTER_COUNT);
    }
    return before == UINT64_MAX        ? ALONE_EVERY
           : before * 2 < ALONE_SELDOM ? before * 2
                                       : ALONE_SELDOM;
}

static void *be_last(void *tid)
{
    struct timespec nap = {0, 100000};
    while (syscall(SYS_tgkill, getpid(), (pid_t)(intptr_t)tid, 0) == 0)
        syscall(SYS_nanosleep, &nap, NULL);
    return NULL;
}

/* The last thread of a process runs its exit handlers. Those are the program's, so they get a thread like the program's
 * own, with the usual stack and signals. They may want us again. */
static void leave(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    porter_forget();
    atomic_store_explicit(&look_again, true, memory_order_relaxed);
    atomic_store(&state, STATE_NONE);
    pthread_sigmask(SIG_SETMASK, &mask_of_program, NULL);
    if (pthread_attr_init(&attr) != 0)
        return;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_create(&thread, &attr, be_last, (void *)(intptr_t)syscall(SYS_gettid));
    pthread_attr_destroy(&attr);
}

void control_thread_ended(void)
{
    if (atomic_load_explicit(&state, memory_order_acquire) == STATE_RUNNING)
        control_ring();
}

/* ---- The thread ----------------------------------------------------------------------------- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Until something is due, until `at_most` ns have passed, or until somebody has rung since `heard`. */
static void sleep_until_due(uint32_t heard, uint64_t at_most)
{
    uint64_t due = atomic_load_explicit(&next_due, memory_order_seq_cst);
    atomic_store_explicit(&sleeping_until, due, memory_order_seq_cst);
    due = atomic_load_explicit(&next_due, memory_order_seq_cst);
    uint64_t now = os_now();
    uint64_t ns = least(at_most, due <= now ? 0 : due - now);
    struct timespec timeout = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    if (ns > 0)
        syscall(SYS_futex, &bell, FUTEX_WAIT_PRIVATE, heard, &timeout, NULL, 0);
    atomic_store_explicit(&sleeping_until, 0, memory_order_seq_cst); /* awake: no ring needed */
}

static void *run(void *arg)
{
    (void)arg;
    uint64_t alone = UINT64_MAX;
    threads_disown_self();
    /* Here, as naming another thread opens a file. */
    syscall(SYS_prctl, PR_SET_NAME, "sluice-control", 0, 0, 0);
    for (;;) {
        uint32_t heard = atomic_load_explicit(&bell, memory_order_seq_cst);
        alone = look_for_others(alone);
        log_flush();
        if (alone == 0)
            break;
        hand_over(new_tasks());
        work();
        uint64_t at_most = alone;
        if (porter_is_impossible() && watches)
            at_most = least(at_most, WATCH_EVERY);
        if (porter_has_tasks())
            at_most = least(at_most, ASK_AGAIN);
        sleep_until_due(heard, at_most);
        if (porter_has_tasks())
            porter_ask(0);
    }
    leave();
    return NULL;
}

static bool start_thread(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t everything;
    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    sigfillset(&everything);
    pthread_sigmask(SIG_SETMASK, &everything, &mask_of_program);
    bool ok = pthread_create(&thread, &attr, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &mask_of_program, NULL);
    pthread_attr_destroy(&attr);
    return ok;
}

bool control_ensure(void)
{
    int none = STATE_NONE;
    if (atomic_compare_exchange_strong(&state, &none, STATE_STARTING)) {
        int saved = errno;
        bool ok = start_thread();
        if (!ok)
            log_line(LOG_LEVEL_WARN,
                     "no control thread can be made: memory is given back by "
                     "allocating threads, and no signal or file reloads the policy");
        atomic_store(&state, ok ? STATE_RUNNING : STATE_IMPOSSIBLE);
        if (ok)
            control_ring();
        errno = saved;
    }
    return atomic_load(&state) == STATE_RUNNING;
}

void control_run_wanted(void)
{
    if (__builtin_expect(!atomic_load_explicit(&wanted, memory_order_relaxed), 1))
        return;
    if (thread_is_diverted())
        return;
    if (control_ensure()) {
        atomic_store_explicit(&wanted, false, memory_order_relaxed);
    } else if (atomic_load(&state) == STATE_IMPOSSIBLE) {
        int saved = errno;
        work();
        errno = saved;
    }
}

void control_fork_child(void)
{
    /* Neither thread exists here. */
    porter_forget();
    log_fork_child();
    bool ran = atomic_exchange(&state, STATE_NONE) != STATE_NONE;
    atomic_store(&look_again, ran);
    if (ran) { /* it may have been about to do what was due: then nobody remembers but the arenas */
        atomic_store(&next_due, 0);
        atomic_store(&wanted, true);
    }
}
