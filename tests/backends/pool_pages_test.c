/* Pages inside free objects of slabs that keep others: they go back to the system, the objects beside them stay as they are,
 * and what is made of such memory again is whole. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/testing.h"

#define OBJECTS 4000
#define SIZE    ((size_t)12000)
#define BYTES   (OBJECTS * SIZE)

static sluice_module module;

static void start(const char *parameters)
{
    char text[512];
    snprintf(text, sizeof text,
             "default: mmap\nbackends: {p: {kind: pool, retain: 0, %s}}\nmodules: {m: p}\n",
             parameters);
    use_policy(text);
    module = use_module("m");
}

#if !SANITIZED

static char *objects[OBJECTS];

static void make(unsigned i)
{
    objects[i] = sluice_malloc(module, SIZE);
    ck_assert_ptr_nonnull(objects[i]);
    test_fill(objects[i], SIZE, i + 1);
}

static void *make_all(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < OBJECTS; i++)
        make(i);
    return NULL;
}

/* In an order that leaves something in each slab: every third one stays. */
static void free_most(void)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        if (i % 3 != 0) {
            sluice_free(objects[i]);
            objects[i] = NULL;
        }
}

/* Two of three objects are free, and of a free one's 12,000 bytes at least 4,096 are whole pages, 8,192 mostly. */
static uint64_t most_that_may_stay(void)
{
    return BYTES - BYTES * 2 / 3 / 2;
}

static bool pages_are_gone(void *before)
{
    return kernel_resident() < *(uint64_t *)before + most_that_may_stay();
}

static void expect_whole(void)
{
    for (unsigned i = 0; i < OBJECTS; i += 3)
        ck_assert(test_is_filled(objects[i], SIZE, i + 1));
    for (unsigned i = 0; i < OBJECTS; i++)
        if (objects[i] == NULL)
            make(i);
    for (unsigned i = 0; i < OBJECTS; i++)
        ck_assert(test_is_filled(objects[i], SIZE, i + 1));
}

static bool count_agrees(uint64_t before)
{
    struct sluice_module_stats stats = stats_of(module);
    int64_t counted = (int64_t)(stats.live_bytes + stats.cached_bytes + stats.metadata_bytes);
    int64_t grown = (int64_t)(kernel_resident() - before);
    return llabs(counted - grown) <= grown / 20 + (int64_t)(4 * MIB);
}

static const char *const kinds_of_chunks[] = {"huge_pages: never", "huge_pages: always"};

START_TEST(at_rest_they_go_back)
{
    char parameters[100];
    snprintf(parameters, sizeof parameters, "purge_after: 100ms, %s", kinds_of_chunks[_i]);
    start(parameters);
    sluice_free(sluice_malloc(module, SIZE));
    memset(objects, 1, sizeof objects);
    uint64_t before = kernel_resident();
    make_all(NULL);
    free_most();
    ck_assert(wait_until(pages_are_gone, &before, 20000));
    ck_assert(count_agrees(before));
    expect_whole();
    ck_assert(count_agrees(before));
}
END_TEST

/* Of slabs that nobody allocates from any more. */
START_TEST(of_threads_that_are_gone)
{
    start("purge_after: 100ms, huge_pages: never");
    sluice_free(sluice_malloc(module, SIZE));
    memset(objects, 1, sizeof objects);
    uint64_t before = kernel_resident();
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, make_all, NULL), 0);
    pthread_join(thread, NULL);
    free_most();
    ck_assert(wait_until(pages_are_gone, &before, 20000));
    ck_assert(count_agrees(before));
    expect_whole();
}
END_TEST

START_TEST(trim_takes_them_at_once)
{
    start("purge_after: 1h, huge_pages: never");
    sluice_free(sluice_malloc(module, SIZE));
    memset(objects, 1, sizeof objects);
    uint64_t before = kernel_resident();
    make_all(NULL);
    free_most();
    ck_assert(!pages_are_gone(&before));
    sluice_trim(module);
    ck_assert(pages_are_gone(&before));
    ck_assert(count_agrees(before));
    expect_whole();
}
END_TEST

#endif

/* Slabs are used and left alone in turn, while their pages go. */
static void *churn(void *index)
{
    uint64_t random = (uintptr_t)index + 1;
    char *mine[200] = {NULL};
    for (int round = 0; round < TESTING_SCALE(60); round++) {
        for (int n = 0; n < 300; n++) {
            size_t i = test_random(&random) % LENGTH(mine);
            size_t size = SIZE + i % 7 * 5000;
            if (mine[i] != NULL) {
                ck_assert(test_is_filled(mine[i], size, i + 1));
                sluice_free(mine[i]);
                mine[i] = NULL;
            } else {
                mine[i] = sluice_malloc(module, size);
                test_fill(mine[i], size, i + 1);
            }
        }
        sluice_trim(module);
    }
    for (size_t i = 0; i < LENGTH(mine); i++)
        if (mine[i] != NULL) {
            ck_assert(test_is_filled(mine[i], SIZE + i % 7 * 5000, i + 1));
            sluice_free(mine[i]);
        }
    return NULL;
}

START_TEST(used_meanwhile_nothing_is_lost)
{
    start("purge_after: 1ms, huge_pages: never");
    run_threads(8, churn);
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("pages");
#if !SANITIZED
    tcase_add_loop_test(tests, at_rest_they_go_back, 0, LENGTH(kinds_of_chunks));
    tcase_add_test(tests, of_threads_that_are_gone);
    tcase_add_test(tests, trim_takes_them_at_once);
#endif
    tcase_add_test(tests, used_meanwhile_nothing_is_lost);
    return run_suite("pool_pages", &tests, 1);
}
