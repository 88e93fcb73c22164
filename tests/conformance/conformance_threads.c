/* conformance_threads.c - objects that cross threads, threads that end, and fork. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/conformance/conformance.h"

static void setup(void)
{
    use_backend(NULL);
}

struct object {
    void *p;
    size_t size;
    uint64_t seed;
};

static void object_make(struct object *o, uint64_t *random, size_t high)
{
    o->size = random_size(random, 1, high);
    o->seed = random_next(random);
    switch (random_next(random) % 4) {
    case 0:
        o->p = sluice_calloc(module, 1, o->size);
        REQUIRE(o->p == NULL || is_zero(o->p, o->size));
        break;
    case 1:
        o->p = sluice_aligned_alloc(module, (size_t)16 << random_next(random) % 9, o->size);
        break;
    default:
        o->p = sluice_malloc(module, o->size);
    }
    REQUIRE(o->p != NULL);
    fill(o->p, o->size, o->seed);
}

static void object_end(struct object *o)
{
    REQUIRE(is_filled(o->p, o->size, o->seed));
    sluice_free(o->p);
    o->p = NULL;
}

static void object_resize(struct object *o, uint64_t *random, size_t high)
{
    size_t size = random_size(random, 1, high);
    void *p = sluice_realloc(module, o->p, size);
    REQUIRE(p != NULL);
    REQUIRE(is_filled(p, size < o->size ? size : o->size, o->seed));
    o->p = p;
    o->size = size;
    fill(p, size, o->seed);
}

static void start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    REQUIRE(pthread_create(thread, NULL, fn, arg) == 0);
}

/* ---- Freed by another thread ----------------------------------------------------------------- */

enum { BATCH = 3000 };
static struct object batch[BATCH];

static void *make_batch(void *arg)
{
    uint64_t random = 3;
    for (int i = 0; i < BATCH; i++)
        object_make(&batch[i], &random, 100 * KIB);
    return arg;
}

static void *end_batch(void *arg)
{
    for (int i = 0; i < BATCH; i++)
        object_end(&batch[i]);
    return arg;
}

START_TEST(freed_by_another_thread)
{
    for (int round = 0; round < 4; round++) {
        pthread_t other;
        make_batch(NULL);
        start(&other, end_batch, NULL);
        pthread_join(other, NULL);
    }
    struct sluice_module_stats stats = stats_now();
    ck_assert_uint_eq(stats.live_objects, 0);
    ck_assert_uint_eq(stats.live_bytes, 0);
}
END_TEST

START_TEST(maker_is_gone)
{
    for (int round = 0; round < 4; round++) {
        pthread_t other;
        start(&other, make_batch, NULL);
        pthread_join(other, NULL); /* its objects live on */
        ck_assert_uint_eq(stats_now().live_objects, BATCH);
        end_batch(NULL);
    }
    ck_assert_uint_eq(stats_now().live_objects, 0);
}
END_TEST

/* One thread makes, one ends, without rest: what comes back must be used again. */
enum { RING = 256, PASSED = 60000 };
static _Atomic(void *) ring[RING];

static void *consume(void *arg)
{
    for (int i = 0; i < PASSED; i++) {
        void *p;
        while ((p = atomic_exchange(&ring[i % RING], NULL)) == NULL)
            sched_yield();
        sluice_free(p);
    }
    return arg;
}

START_TEST(producer_and_consumer)
{
    pthread_t other;
    uint64_t first = 0;
    start(&other, consume, NULL);
    for (int i = 0; i < PASSED; i++) {
        void *p = sluice_malloc(module, 4000), *none = NULL;
        ck_assert_ptr_nonnull(p);
        memset(p, 1, 4000);
        while (!atomic_compare_exchange_weak(&ring[i % RING], &none, p)) {
            none = NULL;
            sched_yield();
        }
        if (i == PASSED / 6)
            first = kernel_resident();
    }
    pthread_join(other, NULL);
    if (!SANITIZED)
        ck_assert_uint_le(kernel_resident(), first + 16 * MIB);
    ck_assert_uint_eq(stats_now().live_objects, 0);
}
END_TEST

/* ---- Many threads at random ------------------------------------------------------------------ */

enum { THREADS = 6, SLOTS = 400, STEPS = 12000 };
static struct object shared_slots[64]; /* any thread takes out, any puts in */
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;

static void *random_work(void *arg)
{
    struct object *own = calloc(SLOTS, sizeof *own);
    uint64_t random = (uint64_t)(uintptr_t)arg + 1;
    for (int i = 0; i < STEPS; i++) {
        struct object *o = &own[random_next(&random) % SLOTS];
        size_t high = random_next(&random) % 64 == 0 ? 5 * MIB : 40 * KIB;
        unsigned choice = random_next(&random) % 8;
        if (o->p == NULL) {
            object_make(o, &random, high);
        } else if (choice == 0) {
            object_resize(o, &random, high);
        } else if (choice < 3) { /* exchange with another thread */
            pthread_mutex_lock(&shared_lock);
            struct object *s = &shared_slots[random_next(&random) % 64], kept = *s;
            *s = *o;
            *o = kept;
            pthread_mutex_unlock(&shared_lock);
        } else {
            object_end(o);
        }
    }
    for (int i = 0; i < SLOTS; i++)
        if (own[i].p != NULL)
            object_end(&own[i]);
    free(own);
    return NULL;
}

static void end_shared_slots(void)
{
    for (int i = 0; i < 64; i++)
        if (shared_slots[i].p != NULL)
            object_end(&shared_slots[i]);
}

START_TEST(random_threads)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        start(&threads[i], random_work, (void *)i);
    for (int i = 0; i < THREADS; i++) {
        sluice_trim(module); /* while they run */
        stats_now();
        pthread_join(threads[i], NULL);
    }
    end_shared_slots();
    struct sluice_module_stats stats = stats_now();
    ck_assert_uint_eq(stats.live_objects, 0);
    ck_assert_uint_eq(stats.live_bytes, 0);
    ck_assert_uint_eq(stats.allocated_objects, stats.freed_objects);
}
END_TEST

static void *a_few_objects(void *arg)
{
    void *p[40];
    for (int i = 0; i < 40; i++)
        p[i] = sluice_malloc(module, 1000);
    for (int i = 0; i < 40; i++)
        sluice_free(p[i]);
    return arg;
}

START_TEST(threads_that_come_and_go)
{
    uint64_t early = 0;
    for (int i = 0; i < 1500; i++) {
        pthread_t thread;
        start(&thread, a_few_objects, NULL);
        pthread_join(thread, NULL);
        if (i == 200)
            early = kernel_resident();
    }
    ck_assert_uint_eq(stats_now().live_objects, 0);
    if (!SANITIZED)
        ck_assert_uint_le(kernel_resident(), early + 8 * MIB);
}
END_TEST

/* ---- Fork ------------------------------------------------------------------------------------ */

#ifndef __SANITIZE_THREAD__ /* which does not survive threads in the child of a fork */

static _Atomic bool stop;
static _Atomic unsigned running;

static void *allocate_until_stopped(void *arg)
{
    atomic_fetch_add(&running, 1);
    uint64_t random = (uint64_t)(uintptr_t)arg + 7;
    while (!atomic_load(&stop)) {
        struct object o;
        object_make(&o, &random, 80 * KIB);
        object_end(&o);
    }
    return NULL;
}

/* In the child nothing may hang, and what the parent had is there. */
static void be_child(struct object *inherited)
{
    uint64_t random = 99;
    struct object o[50];
    signal(SIGALRM, SIG_DFL); /* libcheck's handler would kill the parent, too */
    alarm(20);
    for (int i = 0; i < 50; i++)
        object_make(&o[i], &random, 3 * MIB);
    for (int i = 0; i < 50; i++)
        object_end(&o[i]);
    object_resize(inherited, &random, 100 * KIB);
    object_end(inherited);
    pthread_t thread;
    start(&thread, a_few_objects, NULL);
    pthread_join(thread, NULL);
    sluice_trim(module);
    struct sluice_module_stats stats = {.struct_size = sizeof stats};
    REQUIRE(sluice_stats_module(module, &stats) == SLUICE_OK);
    _exit(0);
}

START_TEST(fork_while_threads_allocate)
{
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++)
        start(&threads[i], allocate_until_stopped, (void *)i);
    /* A sanitizer of gcc 12 takes locks of its own when a thread starts, which fork leaves locked in the child. */
    while (atomic_load(&running) < 3)
        sched_yield();
    struct object inherited;
    uint64_t random = 5;
    object_make(&inherited, &random, 10 * KIB);
    for (int i = 0; i < 30; i++) {
        pid_t child = fork();
        if (child == 0)
            be_child(&inherited);
        int status;
        ck_assert_int_gt(child, 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %d: status %#x", i,
                      (unsigned)status);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    object_end(&inherited);
    ck_assert_uint_eq(stats_now().live_objects, 0);
}
END_TEST

#endif

TCase *threads_cases(void)
{
    TCase *tc = tcase_create("threads");
    tcase_add_checked_fixture(tc, setup, NULL);
    ADD_CASE(tc, freed_by_another_thread, 1);
    ADD_CASE(tc, maker_is_gone, 1);
    ADD_CASE(tc, producer_and_consumer, 1);
    ADD_CASE(tc, random_threads, 1);
    ADD_CASE(tc, threads_that_come_and_go, 1);
#ifndef __SANITIZE_THREAD__
    ADD_CASE(tc, fork_while_threads_allocate, 1);
#endif
    return tc;
}
