/* fork() at any moment, in programs with many threads: the child has all objects and a library that works. */
#include "core/fork.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/testing.h"

#define THREADS 8
#define FORKS   TESTING_SCALE(200)
#define KEPT    24

static const char *const kinds[] = {"pool", "mmap", "glibc", "jemalloc"};
static sluice_module modules[LENGTH(kinds)];

struct kept {
    void *p;
    size_t size;
};
static struct kept kept[LENGTH(kinds)][KEPT]; /* the forking thread's */
static _Atomic bool stop;
static _Atomic uint32_t running;

static void start(void)
{
    use_policy("default: mmap\n"
               "modules:\n"
               "  pool: {route: [{max_size: 64KiB, to: pool}, {to: mmap}]}\n"
               "  mmap: mmap\n"
               "  glibc: glibc\n"
               "  jemalloc: jemalloc\n");
    uint64_t random = 5;
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        modules[i] = use_module(kinds[i]);
        for (size_t j = 0; j < KEPT; j++) {
            struct kept *k = &kept[i][j];
            k->size = test_random_size(&random, 200000);
            k->p = sluice_malloc(modules[i], k->size);
            test_fill(k->p, k->size, j);
        }
    }
}

static void *allocate_on(void *index)
{
    atomic_fetch_add(&running, 1);
    uint64_t random = (uintptr_t)index + 1;
    void *p[100] = {NULL};
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        unsigned at = test_random(&random) % 100;
        sluice_free(p[at]);
        p[at] = sluice_malloc(modules[test_random(&random) % LENGTH(modules)],
                              test_random_size(&random, 200000));
        if (p[at] == NULL)
            abort();
        *(char *)p[at] = 1;
    }
    for (unsigned at = 0; at < 100; at++)
        sluice_free(p[at]);
    return NULL;
}

/* A sanitizer of gcc 12 takes locks of its own when a thread starts or ends, which fork leaves locked in the child. */
static void wait_for_running(uint32_t n)
{
    ck_assert(wait_for_count(&running, n, 20000));
}

static void *one_thread_more(void *unused)
{
    for (size_t i = 0; i < LENGTH(modules); i++)
        for (size_t size = 10; size < 300000; size *= 3) {
            void *p = sluice_malloc(modules[i], size);
            if (p == NULL)
                _exit(10);
            sluice_free(p);
        }
    return NULL;
}

/* In the child. Exits with what is wrong. */
static void use_everything(void)
{
    for (size_t i = 0; i < LENGTH(kinds); i++)
        for (size_t j = 0; j < KEPT; j++) {
            struct kept *k = &kept[i][j];
            if (!test_is_filled(k->p, k->size, j))
                _exit(11);
            if (j % 3 == 0)
                k->p = sluice_realloc(0, k->p, k->size + 5000);
            if (k->p == NULL || !test_is_filled(k->p, k->size, j))
                _exit(12);
            sluice_free(k->p);
            k->p = sluice_calloc(modules[i], 1, k->size);
            if (k->p == NULL || !test_is_zero(k->p, k->size))
                _exit(13);
            sluice_free(k->p);
        }
    one_thread_more(NULL);
}

static void child_of(int n)
{
    signal(SIGALRM, SIG_DFL); /* libcheck's handler would kill the parent, too */
    alarm(60);                /* a child that hangs is found here, not by the whole test's limit */
    use_everything();
    if (n % 8 == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, one_thread_more, NULL) != 0)
            _exit(14);
        pthread_join(thread, NULL);
    }
    if (n % 8 == 1) {
        pid_t pid = fork();
        if (pid == 0) {
            one_thread_more(NULL);
            _exit(0);
        }
        int status;
        if (waitpid(pid, &status, 0) != pid || status != 0)
            _exit(15);
    }
    if (n % 8 == 2) {
        static const char policy[] = "sluice: 1\ndefault: pool\n";
        if (sluice_policy_load_string(policy, sizeof policy - 1) != SLUICE_OK)
            _exit(16);
        sluice_trim(SLUICE_MODULE_ALL);
    }
    _exit(0);
}

static void wait_for_child(pid_t pid, int n)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0, "fork %d: %s %d", n, WIFSIGNALED(status) ? "signal" : "exit",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

START_TEST(a_busy_program_forks)
{
    start();
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, allocate_on, (void *)i);
    wait_for_running(THREADS);
    for (int n = 0; n < FORKS; n++) {
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0)
            child_of(n);
        wait_for_child(pid, n);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    /* The parent has lost nothing. */
    for (size_t i = 0; i < LENGTH(kinds); i++)
        for (size_t j = 0; j < KEPT; j++) {
            ck_assert(test_is_filled(kept[i][j].p, kept[i][j].size, j));
            sluice_free(kept[i][j].p);
        }
    ck_assert_uint_eq(stats_of(SLUICE_MODULE_ALL).live_objects, 0);
}
END_TEST

/* ---- stdio ----------------------------------------------------------------------------------- */

/* A stream whose writes allocate, so that memory is wanted with the stream's lock held. */
static ssize_t write_through(void *cookie, const char *buffer, size_t size)
{
    void *p = sluice_malloc(modules[0], 3000), *q = sluice_malloc(modules[2], size + 100000);
    if (p == NULL || q == NULL)
        abort();
    sluice_free(p);
    sluice_free(q);
    return (ssize_t)size;
}

static FILE *stream;

static void *print_on(void *unused)
{
    atomic_fetch_add(&running, 1);
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        fprintf(stream, "%0500d\n", 1);
    return NULL;
}

static void *flush_on(void *unused)
{
    atomic_fetch_add(&running, 1);
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        fflush(NULL); /* holds the list of all streams, which fork() waits for */
    return NULL;
}

START_TEST(streams_that_allocate_do_not_deadlock_with_fork)
{
    start();
    stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_through});
    ck_assert_ptr_nonnull(stream);
    pthread_t threads[3];
    pthread_create(&threads[0], NULL, print_on, NULL);
    pthread_create(&threads[1], NULL, flush_on, NULL);
    pthread_create(&threads[2], NULL, allocate_on, NULL);
    wait_for_running(3);
    for (int n = 0; n < FORKS / 2; n++) {
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            signal(SIGALRM, SIG_DFL);
            alarm(60);
            use_everything();
            _exit(0);
        }
        wait_for_child(pid, n);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < LENGTH(threads); i++)
        pthread_join(threads[i], NULL);
    fclose(stream);
}
END_TEST

/* ---- Other moments ---------------------------------------------------------------------------- */

static void *reload_on(void *unused)
{
    atomic_fetch_add(&running, 1);
    static const char *const policies[] = {"sluice: 1\ndefault: pool\n",
                                           "sluice: 1\ndefault: glibc\n"};
    for (unsigned i = 0; !atomic_load(&stop); i++)
        if (sluice_policy_load_string(policies[i % 2], strlen(policies[i % 2])) != SLUICE_OK)
            abort();
    return NULL;
}

static void *trim_on(void *unused)
{
    atomic_fetch_add(&running, 1);
    while (!atomic_load(&stop))
        sluice_trim(SLUICE_MODULE_ALL);
    return NULL;
}

START_TEST(reloads_and_purges_do_not_deadlock_with_fork)
{
    start();
    pthread_t threads[4];
    pthread_create(&threads[0], NULL, reload_on, NULL);
    pthread_create(&threads[1], NULL, trim_on, NULL);
    pthread_create(&threads[2], NULL, allocate_on, NULL);
    pthread_create(&threads[3], NULL, allocate_on, (void *)1);
    wait_for_running(4);
    for (int n = 0; n < FORKS / 2; n++) {
        pid_t pid = fork();
        if (pid == 0)
            child_of(n);
        wait_for_child(pid, n);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < LENGTH(threads); i++)
        pthread_join(threads[i], NULL);
}
END_TEST

static bool keeps_nothing(void *module)
{
    return stats_of(*(sluice_module *)module).cached_bytes == 0;
}

START_TEST(the_child_has_a_control_thread_when_it_needs_one)
{
    use_policy("default: mmap\n"
               "backends: {p: {kind: pool, purge_after: 50ms, retain: 0}}\n"
               "modules: {m: p}\n");
    sluice_module m = use_module("m");
    sluice_free(sluice_malloc(m, 100)); /* starts the parent's */
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm(60);
        static void *p[2000];
        for (unsigned i = 0; i < LENGTH(p); i++)
            memset(p[i] = sluice_malloc(m, 10000), 1, 10000);
        for (unsigned i = 0; i < LENGTH(p); i++)
            sluice_free(p[i]);
        _exit(wait_until(keeps_nothing, &m, 30000) ? 0 : 1);
    }
    wait_for_child(pid, 0);
}
END_TEST

static pthread_barrier_t together; /* forks are at once, and no thread starts or ends meanwhile */

static void *fork_once(void *unused)
{
    sluice_free(sluice_malloc(modules[0], 100));
    pthread_barrier_wait(&together);
    pid_t pid = fork();
    if (pid == 0)
        child_of(0);
    wait_for_child(pid, 0);
    pthread_barrier_wait(&together);
    return NULL;
}

START_TEST(any_thread_may_fork_and_several_at_once)
{
    start();
    ck_assert_int_eq(pthread_barrier_init(&together, NULL, 4), 0);
    for (int i = 0; i < 5; i++)
        run_threads(4, fork_once);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("fork")};
    tcase_set_timeout(cases[0], 280);
    tcase_add_test(cases[0], a_busy_program_forks);
    tcase_add_test(cases[0], streams_that_allocate_do_not_deadlock_with_fork);
    tcase_add_test(cases[0], reloads_and_purges_do_not_deadlock_with_fork);
    tcase_add_test(cases[0], the_child_has_a_control_thread_when_it_needs_one);
    tcase_add_test(cases[0], any_thread_may_fork_and_several_at_once);
    return run_suite("fork", cases, LENGTH(cases));
}
