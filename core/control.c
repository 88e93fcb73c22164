/* control.c - see control.h. */
#include "core/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/chunk.h"
#include "core/log.h"
#include "core/os.h"
#include "core/reload.h"
#include "core/thread.h"

enum state { STATE_NONE, STATE_STARTING, STATE_RUNNING, STATE_IMPOSSIBLE };

#define STACK_SIZE     ((size_t)256 << 10)  /* a policy is parsed on it */
#define COLLECT_EVERY  100000000u           /* ns between looks at arenas that drain, at first */
#define COLLECT_SELDOM UINT64_C(5000000000) /* and when none of them ends */
#define SETTLE_MS      50                   /* after a change of a file: more may follow */
#define ALONE_MS       10   /* between looks at whether the process has other threads, at first */
#define ALONE_SELDOM   1000 /* and when it goes on having some */

static _Atomic int state;
static _Atomic bool wanted;
static _Atomic uint64_t next_due = UINT64_MAX;
static _Atomic uint64_t sleeping_until; /* what the thread's present sleep ends at */
static _Atomic int event_fd = -1;
static _Atomic bool reload_requested, watch_again;
static sigset_t mask_of_program; /* of the thread that started ours */

static void ring(void)
{
    int fd = atomic_load_explicit(&event_fd, memory_order_acquire);
    int saved = errno;
    uint64_t one = 1;
    if (fd >= 0 && syscall(SYS_write, fd, &one, sizeof one) < 0) /* no cancellation point */
        atomic_store_explicit(&wanted, true, memory_order_relaxed);
    errno = saved;
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
        ring();
}

void control_poke(void)
{
    atomic_store_explicit(&watch_again, true, memory_order_relaxed);
    control_wake_at(0);
}

void control_request_reload(void)
{
    atomic_store_explicit(&reload_requested, true, memory_order_release);
    atomic_store_explicit(&wanted, true, memory_order_relaxed);
    ring();
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

/* ---- Watching files ------------------------------------------------------------------------- */

/* Whoever forks may do so at any moment, and the child closes what it finds here: a number that is closed must be gone
 * from here before, as the program may get it for a file of its own. */
static _Atomic int watch_fd = -1;

static void close_watch(void)
{
    int fd = atomic_exchange(&watch_fd, -1);
    if (fd >= 0)
        close(fd);
}

static void watch_folder(const char *folder, void *arg)
{
    bool *complete = arg;
    if (watch_fd < 0 || inotify_add_watch(watch_fd, folder,
                                          IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM |
                                              IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF) < 0)
        *complete = false;
}

/* Returns how long to sleep at most, in ms: where the kernel does not tell of changes, we look. */
static int watch_files(void)
{
    close_watch();
    watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    bool complete = watch_fd >= 0;
    bool any = reload_watch_folders(watch_folder, &complete);
    if (!any)
        close_watch();
    return any && !complete ? 1000 : -1;
}

static void drain(int fd)
{
    char buffer[4096] __attribute__((aligned(8)));
    while (read(fd, buffer, sizeof buffer) > 0)
        ;
}

/* ---- The thread ----------------------------------------------------------------------------- */

static int timeout_ms(int at_most)
{
    uint64_t due = atomic_load_explicit(&next_due, memory_order_seq_cst);
    atomic_store_explicit(&sleeping_until, due, memory_order_seq_cst);
    due = atomic_load_explicit(&next_due, memory_order_seq_cst);
    if (due == UINT64_MAX)
        return at_most;
    uint64_t now = os_now();
    uint64_t ms = due <= now ? 0 : (due - now) / 1000000 + 1;
    if (at_most >= 0 && ms > (uint64_t)at_most)
        return at_most;
    return ms > 60000 ? 60000 : (int)ms;
}

/* A process ends when its last thread does; ours would keep it for ever. A thread that has a record is alive, and rings
 * when it gives that up; while there is no other record, the kernel is asked for threads that we know nothing of. When it
 * says that only ours is left, that stays true: nobody is there to make another. */

/* Ours is the only thread of the process besides the first, which is not ours and has ended: the kernel keeps that one
 * until the process ends. false, too, where /proc cannot be read. */
static bool is_only_thread(void)
{
    char text[1024];
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    text[n > 0 ? n : 0] = '\0';
    const char *at =
        strrchr(text, ')'); /* "PID (NAME) STATE ...", the number of threads is the 20th */
    if (at == NULL || (at[1] != ' ' || at[2] != 'Z'))
        return false;
    at++;
    for (int field = 3; field < 20 && at != NULL; field++)
        at = strchr(at + 1, ' ');
    return at != NULL && strtol(at, NULL, 10) == 2;
}

/* How long to sleep at most before the next look, in ms; -1: until somebody rings. 0: nobody else is left. */
static int look_for_others(int before)
{
    if (threads_others() > 0)
        return -1;
    if (is_only_thread())
        return 0;
    return before < 0 ? ALONE_MS : before * 2 < ALONE_SELDOM ? before * 2 : ALONE_SELDOM;
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
    atomic_store_explicit(&watch_again, true, memory_order_relaxed);
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
        ring();
}

static void *run(void *arg)
{
    (void)arg;
    int fd = atomic_load_explicit(&event_fd, memory_order_acquire);
    int look_every = -1, alone = -1;
    while ((alone = look_for_others(alone)) != 0) {
        if (atomic_exchange_explicit(&watch_again, false, memory_order_acq_rel)) {
            look_every = watch_files();
            reload_if_changed(); /* what changed since the file was read, and was not watched */
        }
        struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = watch_fd, .events = POLLIN}};
        int at_most = alone > 0 && (look_every < 0 || alone < look_every) ? alone : look_every;
        int n = poll(fds, watch_fd < 0 ? 1 : 2, timeout_ms(at_most));
        atomic_store_explicit(&sleeping_until, 0, memory_order_seq_cst); /* awake: no ring needed */
        if ((fds[0].revents & POLLIN) != 0)
            drain(fd);
        if (atomic_exchange_explicit(&reload_requested, false, memory_order_acq_rel))
            reload_on_request();
        if (n > 0 && watch_fd >= 0 && fds[1].revents != 0) {
            poll(NULL, 0, SETTLE_MS);
            drain(watch_fd);
            reload_if_changed();
            atomic_store_explicit(&watch_again, true, memory_order_release);
        } else if (n == 0 && look_every > 0) {
            reload_if_changed();
        }
        work();
    }
    leave();
    return NULL;
}

static bool start_thread(void)
{
    if (atomic_load_explicit(&event_fd, memory_order_acquire) < 0)
        atomic_store_explicit(&event_fd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                              memory_order_release);
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t everything;
    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    sigfillset(&everything);
    pthread_sigmask(SIG_SETMASK, &everything, &mask_of_program);
    bool ok = event_fd >= 0 && pthread_create(&thread, &attr, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &mask_of_program, NULL);
    pthread_attr_destroy(&attr);
    if (ok)
        pthread_setname_np(thread, "sluice-control");
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
            ring();
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
    /* The thread is gone, and the descriptors are the parent's too. */
    int fd = atomic_exchange(&event_fd, -1);
    if (fd >= 0)
        close(
            fd); /* a thread that starts here makes its own: the child may close all it knows of */
    close_watch();
    bool ran = atomic_exchange(&state, STATE_NONE) != STATE_NONE;
    atomic_store(&watch_again, ran);
    if (ran) { /* it may have been about to do what was due: then nobody remembers but the arenas */
        atomic_store(&next_due, 0);
        atomic_store(&wanted, true);
    }
}
