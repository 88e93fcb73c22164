/* porter.c - see porter.h. */
#include "core/porter.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>

#include "core/control.h"
#include "core/guests.h"
#include "core/log.h"
#include "core/os.h"
#include "core/reload.h"
#include "core/system.h"
#include "core/thread.h"

enum state { STATE_NONE, STATE_RUNNING, STATE_ENDED, STATE_IMPOSSIBLE };

#define MS          UINT64_C(1000000)
#define STACK_SIZE  ((size_t)256 << 10) /* a policy is parsed on it */
#define TRIES       50                  /* to make the thread */
#define SETTLE      (50 * MS)           /* after a change of a file: more may follow */
#define LOOK_EVERY  (1000 * MS)         /* at files, where the kernel does not tell of changes */
#define BELL_SIGNAL 32                  /* SIGCANCEL of glibc; sigaddset() does not know it */

static _Atomic int state;
static _Atomic unsigned tasks;
static _Atomic int pid, tid; /* tid: 0 until the bell can be heard */
static _Atomic int ended_tid;
static _Atomic bool rung;

/* ---- The bell -------------------------------------------------------------------------------- */

static void ring(void)
{
    int to = atomic_load(&tid);
    if (to == 0 || atomic_exchange(&rung, true))
        return;
    /* Refused when the user has too many signals waiting: the control thread rings again. */
    if (syscall(SYS_tgkill, atomic_load(&pid), to, BELL_SIGNAL) != 0)
        atomic_store(&rung, false);
}

static uint64_t bell_mask(void)
{
    return UINT64_C(1) << (BELL_SIGNAL - 1);
}

/* The kernel's own calls: libc's take this signal out of every set. */
static int hang_bell(void)
{
    uint64_t mask = bell_mask();
    if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, NULL, sizeof mask) != 0)
        return -1;
    int fd = (int)syscall(SYS_signalfd4, -1, &mask, sizeof mask, O_NONBLOCK | O_CLOEXEC);
    while (fd >= 0 && fd < 2) {
        int next = system_fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (next < 0)
            return -1;
        fd = next;
    }
    return fd;
}

static void drain(int fd)
{
    char buffer[4096] __attribute__((aligned(8)));
    while (system_read(fd, buffer, sizeof buffer) > 0)
        ;
}

/* ---- Watching files ------------------------------------------------------------------------- */

static int watch_fd = -1;
static uint64_t look_due = UINT64_MAX; /* where the kernel does not tell of every change */
static uint64_t settled = UINT64_MAX;  /* a file has changed: read again then */

static void watch_folder(const char *folder, void *arg)
{
    bool *complete = arg;
    if (watch_fd < 0 ||
        system_inotify_add_watch(watch_fd, folder,
                                 IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM |
                                     IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF) < 0)
        *complete = false;
}

static void watch_files(uint64_t now)
{
    if (watch_fd >= 0)
        system_close(watch_fd);
    bool any = reload_wants_watch();
    watch_fd = any ? system_inotify_init(IN_CLOEXEC | IN_NONBLOCK) : -1;
    bool complete = watch_fd >= 0;
    reload_watch_folders(watch_folder, &complete);
    look_due = any && !complete ? now + LOOK_EVERY : UINT64_MAX;
}

static void look_at_files(uint64_t now)
{
    if (now >= settled) {
        settled = UINT64_MAX;
        watch_files(
            now); /* first: a link may lead elsewhere, and what changes from here on is told */
        reload_if_changed();
    } else if (now >= look_due) {
        look_due = now + LOOK_EVERY;
        reload_if_changed();
    }
}

/* ---- The thread ----------------------------------------------------------------------------- */

/* What to look at, from the files on. */
static void look(uint64_t now)
{
    watch_files(now);
    reload_if_changed(); /* what changed since the file was read, and was not watched */
    guests_admit(reload_wants_observers());
}

/* false: the process has only our threads left. */
static bool do_tasks(uint64_t now)
{
    unsigned todo = atomic_exchange(&tasks, 0);
    if ((todo & PORTER_RELOAD) != 0)
        reload_on_request();
    if ((todo & PORTER_LOOK) != 0)
        look(now);
    return (todo & PORTER_COUNT) == 0 || !os_threads_are_only(2);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void serve(int bell)
{
    while (do_tasks(os_now())) {
        struct pollfd fds[2 + GUESTS_POLLED] = {{.fd = bell, .events = POLLIN},
                                                {.fd = watch_fd, .events = POLLIN}};
        if (settled != UINT64_MAX)
            fds[1].fd = -1; /* it waits already */
        uint64_t due = least(settled, look_due);
        unsigned n = 2 + guests_poll(fds + 2, &due);
        uint64_t now = os_now();
        system_poll(fds, n, due == UINT64_MAX ? due : due <= now ? 0 : due - now);
        now = os_now();
        if (fds[0].revents != 0) {
            drain(bell);
            atomic_store(&rung, false); /* before tasks are taken */
        }
        if (fds[1].revents != 0)
            settled = now + SETTLE;
        look_at_files(now);
        guests_serve(fds + 2, n - 2, now);
    }
}

static void *run(void *arg)
{
    (void)arg;
    threads_disown_self();
    syscall(SYS_prctl, PR_SET_NAME, "sluice-porter", 0, 0, 0);
    bool left = os_leave_descriptors();
    if (left)
        log_defer();
    int bell = left ? hang_bell() : -1;
    if (bell < 0) {
        log_line(LOG_LEVEL_INFO,
                 "no descriptors of Sluice's own can be had here: sluice stat, top and ctl do not "
                 "reach this process");
        atomic_store(&state, STATE_IMPOSSIBLE);
        control_ring();
        return NULL;
    }
    atomic_store(&pid, getpid());
    atomic_store(&tid, (int)syscall(SYS_gettid));
    serve(bell);
    guests_admit(false);
    atomic_store(&ended_tid, atomic_exchange(&tid, 0));
    atomic_store(&state, STATE_ENDED);
    control_ring();
    return NULL;
}

static bool start(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    bool ok = pthread_create(&thread, &attr, run, NULL) == 0; /* it blocks what its maker blocks */
    pthread_attr_destroy(&attr);
    return ok;
}

/* Memory may be out for a moment only. The control thread asks again as long as there are tasks. */
static void fail_to_start(void)
{
    static unsigned failures;
    if (++failures < TRIES) {
        atomic_store(&state, STATE_NONE);
        return;
    }
    log_line(
        LOG_LEVEL_INFO,
        "no second thread can be made: sluice stat, top and ctl do not reach this process, and "
        "the policy is read with the program's descriptors");
    atomic_store(&state, STATE_IMPOSSIBLE);
}

void porter_ask(unsigned more)
{
    atomic_fetch_or(&tasks, more);
    int none = STATE_NONE;
    if (atomic_compare_exchange_strong(&state, &none, STATE_RUNNING) && !start())
        fail_to_start();
    ring();
}

bool porter_has_tasks(void)
{
    return atomic_load(&tasks) != 0 && !porter_is_impossible();
}

bool porter_runs(void)
{
    return atomic_load(&state) == STATE_RUNNING;
}

bool porter_is_impossible(void)
{
    return atomic_load(&state) == STATE_IMPOSSIBLE;
}

unsigned porter_take_back(void)
{
    return atomic_exchange(&tasks, 0);
}

bool porter_says_alone(void)
{
    if (atomic_load(&state) != STATE_ENDED)
        return false;
    /* The last thread of a process runs its exit handlers: the porter is not fit for that. */
    struct timespec nap = {0, 100000};
    while (syscall(SYS_tgkill, getpid(), atomic_load(&ended_tid), 0) == 0)
        syscall(SYS_nanosleep, &nap, NULL);
    return true;
}

void porter_forget(void)
{
    /* Its descriptors went with it, or are the parent's: here are only their numbers. */
    atomic_store(&state, STATE_NONE);
    atomic_store(&tasks, 0);
    atomic_store(&tid, 0);
    atomic_store(&rung, false);
    watch_fd = -1;
    look_due = settled = UINT64_MAX;
    guests_fork_child();
}
