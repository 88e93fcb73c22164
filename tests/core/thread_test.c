/* Records of threads: sections, holding, and what threads leave behind when they end. */
#include "core/thread.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/meta.h"
#include "tests/support/testing.h"

static sluice_module module;

static void start(void)
{
    use_policy("default: mmap\n"
               "modules: {m: {route: [{max_size: 64KiB, to: pool}, {to: mmap}]}}\n");
    module = use_module("m");
}

/* ---- Sections -------------------------------------------------------------------------------- */

static _Atomic uint32_t entered, leave, left, held;

static void *stay_in_section(void *unused)
{
    struct thread *t = thread_current();
    ck_assert(thread_enter(t));
    atomic_store(&entered, 1);
    wait_for_count(&leave, 1, 20000);
    atomic_store(&left, 1);
    thread_leave(t);
    return NULL;
}

static void *synchronize(void *unused)
{
    threads_synchronize();
    ck_assert_uint_eq(atomic_load(&left), 1);
    atomic_store(&held, 1);
    return NULL;
}

START_TEST(synchronize_waits_for_open_sections)
{
    start();
    pthread_t inside, waiter;
    pthread_create(&inside, NULL, stay_in_section, NULL);
    ck_assert(wait_for_count(&entered, 1, 20000));
    pthread_create(&waiter, NULL, synchronize, NULL);
    ck_assert(!wait_for_count(&held, 1, 50)); /* nothing can let it through: the section is open */
    atomic_store(&leave, 1);
    ck_assert(wait_for_count(&held, 1, 20000));
    pthread_join(inside, NULL);
    pthread_join(waiter, NULL);
}
END_TEST

static void count_held(struct thread *t, void *n)
{
    ck_assert_uint_eq(atomic_load(&t->active), 0);
    (*(unsigned *)n)++;
}

static bool is_me(const struct thread *t, void *unused)
{
    return t == thread_self;
}

START_TEST(who_does_not_leave_in_time_is_passed_over)
{
    start();
    sluice_free(sluice_malloc(module, 100));
    pthread_t inside;
    pthread_create(&inside, NULL, stay_in_section, NULL);
    ck_assert(wait_for_count(&entered, 1, 20000));
    unsigned n = 0;
    threads_each_held(NULL, count_held, &n, 1000000);
    ck_assert_uint_ge(n, 1);
    ck_assert_uint_eq(n, (unsigned)threads_count() - 1);
    n = 0;
    threads_each_held(is_me, count_held, &n, 0);
    ck_assert_uint_eq(n, 1);
    atomic_store(&leave, 1);
    pthread_join(inside, NULL);
}
END_TEST

static _Atomic bool stop;
static _Atomic uint32_t rounds;

static void *allocate_on(void *index)
{
    void *p[50] = {NULL};
    uint64_t random = (uintptr_t)index + 1;
    while (!atomic_load(&stop)) {
        unsigned at = test_random(&random) % 50;
        if (p[at] != NULL && !test_is_filled(p[at], 40, at))
            abort();
        sluice_free(p[at]);
        p[at] = sluice_malloc(module, 40 + test_random(&random) % 3000);
        test_fill(p[at], 40, at);
        atomic_fetch_add_explicit(&rounds, 1, memory_order_relaxed);
    }
    for (unsigned at = 0; at < 50; at++)
        sluice_free(p[at]);
    return NULL;
}

/* While it is held, nothing of a thread's moves. */
static void look(struct thread *t, void *arena)
{
    struct heap *h = t->heap_capacity > 0 ? t->heaps[0] : NULL;
    if (h == NULL || h->state == NULL)
        return;
    struct slab_heap *slabs = h->state;
    uint64_t sum[2];
    for (int i = 0; i < 2; i++) {
        sum[i] = 0;
        for (unsigned k = 0; k < SIZE_CLASS_COUNT; k++)
            sum[i] += count_load(&slabs->magazine[k].allocs) + magazine_frees(&slabs->magazine[k]) +
                      (uintptr_t)slabs->magazine[k].free;
        sched_yield();
    }
    ck_assert_uint_eq(sum[0], sum[1]);
}

START_TEST(held_threads_stand_still_and_go_on)
{
    start();
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, allocate_on, (void *)i);
    for (int i = 0; i < TESTING_SCALE(400); i++) {
        threads_each_held(NULL, look, NULL, 0);
        if (i % 10 == 0)
            sluice_trim(module);
    }
    uint32_t before = atomic_load(&rounds);
    ck_assert(wait_for_count(&rounds, before + 1000, 20000));
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
}
END_TEST

/* ---- Threads that end ------------------------------------------------------------------------ */

static void *short_life(void *unused)
{
    void *p[8];
    for (size_t i = 0; i < LENGTH(p); i++) {
        p[i] = sluice_malloc(module, (size_t)40 << i * 2 % 14);
        if (p[i] == NULL)
            abort();
    }
    for (size_t i = 0; i < LENGTH(p); i++)
        sluice_free(p[i]);
    return NULL;
}

START_TEST(thousands_of_short_threads_leave_nothing_behind)
{
    start();
    unsigned total = TESTING_SCALE(20000), batch = 20;
    uint64_t resident = 0, metadata = 0;
    for (unsigned i = 0; i < total / batch; i++) {
        run_threads(batch, short_life);
        if (i == total / batch / 10) {
            resident = kernel_resident();
            metadata = meta_mapped_bytes();
        }
    }
    ck_assert_uint_le(meta_mapped_bytes(), metadata + 256 * KIB);
    if (!SANITIZED)
        ck_assert_uint_le(kernel_resident(), resident + 16 * MIB); /* what a pool retains */
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
    ck_assert_uint_eq(stats_of(module).allocated_objects, (uint64_t)total * 8);
    ck_assert_uint_le(threads_count(), 2);
}
END_TEST

static void *leave_objects(void *unused)
{
    void **p = test_memory(100 * sizeof *p);
    for (unsigned i = 0; i < 100; i++) {
        p[i] = sluice_malloc(module, 700);
        test_fill(p[i], 700, i);
    }
    return p;
}

START_TEST(objects_outlive_their_thread)
{
    start();
    void **p[50];
    for (unsigned i = 0; i < LENGTH(p); i++) {
        pthread_t thread;
        void *made;
        pthread_create(&thread, NULL, leave_objects, NULL);
        pthread_join(thread, &made);
        p[i] = made;
    }
    ck_assert_uint_eq(stats_of(module).live_objects, 5000);
    for (unsigned i = 0; i < LENGTH(p); i++)
        for (unsigned j = 0; j < 100; j++) {
            ck_assert(test_is_filled(p[i][j], 700, j));
            sluice_free(p[i][j]);
        }
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
    sluice_trim(module);
    ck_assert_uint_eq(stats_of(module).cached_bytes, 0);
    /* And their room is used again by others. */
    uint64_t chunks = process_stats().chunk_bytes;
    void *made = leave_objects(NULL);
    ck_assert_uint_le(process_stats().chunk_bytes, chunks + 2 * MIB);
    for (unsigned j = 0; j < 100; j++)
        sluice_free(((void **)made)[j]);
}
END_TEST

#if !defined(__SANITIZE_THREAD__) /* which has forgotten the thread by then */

/* Other destructors may run after ours, and allocate and free. */
static pthread_key_t late_keys[3];

static void late(void *arg)
{
    static __thread int again;
    void *p = sluice_malloc(module, 1000), *q = sluice_malloc(module, 100000);
    ck_assert(p != NULL && q != NULL);
    sluice_free(p);
    sluice_free(q);
    if (++again < PTHREAD_DESTRUCTOR_ITERATIONS * (int)LENGTH(late_keys))
        for (size_t i = 0; i < LENGTH(late_keys); i++)
            pthread_setspecific(late_keys[i], arg);
}

static void *end_late(void *unused)
{
    sluice_free(sluice_malloc(module, 50));
    for (size_t i = 0; i < LENGTH(late_keys); i++)
        pthread_setspecific(late_keys[i], &late_keys);
    return NULL;
}

START_TEST(destructors_may_allocate)
{
    start();
    for (size_t i = 0; i < LENGTH(late_keys); i++)
        ck_assert_int_eq(pthread_key_create(&late_keys[i], late), 0);
    for (int i = 0; i < 20; i++)
        run_threads(10, end_late);
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
    ck_assert_uint_le(threads_count(), 2);
}
END_TEST

#endif

static void *many_modules(void *unused)
{
    for (sluice_module m = 0; m < 300; m++)
        sluice_free(sluice_malloc(m, 100));
    return NULL;
}

START_TEST(caches_grow_with_the_modules)
{
    start();
    char name[16];
    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "x%u", i);
        use_module(name);
    }
    pthread_t busy;
    pthread_create(&busy, NULL, allocate_on, NULL);
    for (int i = 0; i < 10; i++)
        run_threads(8, many_modules);
    size_t before = meta_mapped_bytes();
    for (int i = 0; i < 10; i++)
        run_threads(8, many_modules);
    ck_assert_uint_le(meta_mapped_bytes(), before + MIB);
    atomic_store(&stop, true);
    pthread_join(busy, NULL);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("sections"), tcase_create("ends")};
    tcase_add_test(cases[0], synchronize_waits_for_open_sections);
    tcase_add_test(cases[0], who_does_not_leave_in_time_is_passed_over);
    tcase_add_test(cases[0], held_threads_stand_still_and_go_on);
    tcase_add_test(cases[1], thousands_of_short_threads_leave_nothing_behind);
    tcase_add_test(cases[1], objects_outlive_their_thread);
#if !defined(__SANITIZE_THREAD__)
    tcase_add_test(cases[1], destructors_may_allocate);
#endif
    tcase_add_test(cases[1], caches_grow_with_the_modules);
    return run_suite("thread", cases, LENGTH(cases));
}
