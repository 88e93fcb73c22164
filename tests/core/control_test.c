/* The control thread: it is nobody's reason to live. A process whose own threads have ended ends. */
#include "core/control.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/thread.h"
#include "tests/support/testing.h"

#define MS(n) ((useconds_t)(n)*1000)

/* What the child's exit handlers say: 42, and the thread that runs them is fit for a program's. */
#define SEEN_HANDLER 42

static _Atomic bool worker_freed;

static void on_exit_of_process(void)
{
    /* A stack like any other thread's, and signals as the program had them. */
    volatile char big[1 << 20];
    for (size_t i = 0; i < sizeof big; i += 4096)
        big[i] = 1;
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    if (sigismember(&blocked, SIGTERM))
        _exit(1);
    sluice_free(sluice_malloc(use_module("m"), 100));
    _exit(atomic_load(&worker_freed) ? SEEN_HANDLER : 2);
}

/* The thread gives itself its name when it comes to run. */
static bool control_runs(void *unused)
{
    (void)unused;
    char text[4096] = "";
    FILE *pipe = popen("cat /proc/$PPID/task/*/comm", "r");
    size_t n = pipe == NULL ? 0 : fread(text, 1, sizeof text - 1, pipe);
    text[n] = '\0';
    if (pipe != NULL)
        pclose(pipe);
    return strstr(text, "sluice-control") != NULL;
}

/* Memory for which somebody must look after a while, so that the thread is wanted. */
static void use_memory(void)
{
    void *p[100];
    sluice_module m = use_module("m");
    for (size_t i = 0; i < LENGTH(p); i++)
        p[i] = sluice_malloc(m, 30000);
    for (size_t i = 0; i < LENGTH(p); i++)
        sluice_free(p[i]);
}

static void *work_and_end(void *ms)
{
    use_memory();
    usleep(MS((uintptr_t)ms));
    use_memory();
    atomic_store(&worker_freed, true);
    return NULL;
}

static void *sleep_and_end(void *ms)
{
    usleep(MS((uintptr_t)ms));
    return NULL;
}

static void prepare(void)
{
    use_policy("default: mmap\nbackends: {p: {kind: pool, purge_after: 10ms}}\nmodules: {m: p}\n");
    atexit(on_exit_of_process);
    if (!control_ensure() || !wait_until(control_runs, NULL, 5000))
        _exit(3);
}

static void start(void *(*fn)(void *ms), uintptr_t ms)
{
    pthread_t thread;
    pthread_create(&thread, NULL, fn, (void *)ms);
    pthread_detach(thread);
}

static void main_leaves_a_worker(void *unused)
{
    prepare();
    use_memory();
    start(work_and_end, 100);
    pthread_exit(NULL);
}

/* Threads that never allocate have no record of ours: the process must still not end before them, and end with them. */
static void main_leaves_a_stranger(void *unused)
{
    prepare();
    start(work_and_end, 1);
    start(sleep_and_end, 400);
    pthread_exit(NULL);
}

static void main_leaves_nobody(void *unused)
{
    prepare();
    atomic_store(&worker_freed, true);
    use_memory();
    pthread_exit(NULL);
}

static void *destroyed_late(void *key)
{
    pthread_setspecific(*(pthread_key_t *)key, "once more");
    use_memory();
    atomic_store(&worker_freed, true);
    return NULL;
}

static pthread_key_t late_key;

static void allocate_late(void *value)
{
    static _Atomic int rounds;
    sluice_free(sluice_malloc(use_module("m"), 1000));
    if (atomic_fetch_add(&rounds, 1) < 6)
        pthread_setspecific(late_key, value);
}

/* A destructor that runs after ours gives its thread a record again. */
static void main_leaves_a_late_destructor(void *unused)
{
    prepare();
    pthread_key_create(&late_key, allocate_late);
    pthread_t thread;
    pthread_create(&thread, NULL, destroyed_late, &late_key);
    pthread_exit(NULL);
}

/* The child of a fork has a main thread of its own, which was a worker. */
static void *fork_and_end(void *unused)
{
    pid_t pid = fork();
    if (pid == 0) {
        use_memory();
        start(work_and_end, 50);
        pthread_exit(NULL); /* ends the process's first thread */
    }
    struct child child = {0};
    for (int i = 0; i < 1000 && waitpid(pid, &child.status, WNOHANG) == 0; i++)
        usleep(MS(10));
    if (!WIFEXITED(child.status) || WEXITSTATUS(child.status) != SEEN_HANDLER)
        _exit(4);
    atomic_store(&worker_freed, true);
    return NULL;
}

static void main_leaves_one_who_forks(void *unused)
{
    prepare();
    start(fork_and_end, 0);
    pthread_exit(NULL);
}

static void (*const endings[])(void *) = {
    main_leaves_a_worker,          main_leaves_a_stranger,    main_leaves_nobody,
    main_leaves_a_late_destructor, main_leaves_one_who_forks,
};

START_TEST(a_process_ends_with_its_own_threads)
{
    uint64_t begin = now_ms();
    struct child child = run_child(endings[_i], NULL, 20000);
    ck_assert_msg(WIFEXITED(child.status), "%x: %s", (unsigned)child.status, child.error);
    ck_assert_msg(WEXITSTATUS(child.status) == SEEN_HANDLER, "%d: %s", WEXITSTATUS(child.status),
                  child.error);
    if (endings[_i] == main_leaves_a_stranger)
        ck_assert_uint_ge(now_ms() - begin, 390);
}
END_TEST

/* Nobody has a record for a while, yet the program lives: files and signals are still to be looked after. */
START_TEST(it_stays_while_the_program_lives)
{
    ck_assert(control_ensure());
    usleep(MS(300));
    ck_assert_uint_eq(threads_count(), 0);
    ck_assert(control_runs(NULL));
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("end")};
    tcase_add_loop_test(cases[0], a_process_ends_with_its_own_threads, 0, (int)LENGTH(endings));
    tcase_add_test(cases[0], it_stays_while_the_program_lives);
    return run_suite("control", cases, LENGTH(cases));
}
