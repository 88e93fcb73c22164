/* Magazines, before a backend that counts what reaches it: what threads keep, and that it comes back. */
#include "core/direct.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/backend.h>

#include "tests/support/testing.h"

/* ---- A backend that counts -------------------------------------------------------------------- */

static _Atomic uint64_t asked, given, ended;

static enum sluice_result counting_create(const struct sluice_arena_config *config, void **arena)
{
    static char anything;
    (void)config;
    *arena = &anything;
    return SLUICE_OK;
}

static void counting_destroy(void *arena)
{
    (void)arena;
    atomic_fetch_add(&ended, 1);
}

static void *counting_alloc(void *arena, void **state, size_t size, size_t alignment,
                            unsigned flags, size_t *usable)
{
    (void)arena, (void)state;
    void *p = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (p == NULL)
        return NULL;
    atomic_fetch_add(&asked, 1);
    if (flags & SLUICE_ALLOC_ZERO)
        memset(p, 0, size);
    *usable = (size + alignment - 1) / alignment * alignment;
    return p;
}

static size_t counting_free(void *arena, void **state, void *p)
{
    (void)arena, (void)state;
    atomic_fetch_add(&given, 1);
    free(p);
    return 0; /* the core knows it: it stands in the header */
}

static size_t counting_usable_size(void *arena, const void *p)
{
    (void)arena, (void)p;
    return 0;
}

static void counting_stats(void *arena, struct sluice_backend_stats *out)
{
    (void)arena, (void)out;
}

static const struct sluice_backend_ops counting = {
    .abi_version = SLUICE_BACKEND_ABI_VERSION,
    .struct_size = sizeof counting,
    .name = "counting",
    .capabilities = SLUICE_BACKEND_MAGAZINES,
    .arena_create = counting_create,
    .arena_destroy = counting_destroy,
    .alloc = counting_alloc,
    .free = counting_free,
    .usable_size = counting_usable_size,
    .stats = counting_stats,
};

static sluice_module start(const char *more)
{
    char text[512];
    ck_assert_int_eq(sluice_backend_register(&counting), SLUICE_OK);
    snprintf(text, sizeof text, "default: pool\nmodules:\n  m: {route: [{to: counting}]%s}\n",
             more);
    use_policy(text);
    return use_module("m");
}

static void **several(sluice_module m, size_t size, size_t n)
{
    void **all = malloc(n * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        all[i] = sluice_malloc(m, size);
        ck_assert_ptr_nonnull(all[i]);
    }
    return all;
}

static void free_all(void **all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sluice_free(all[i]);
    free(all);
}

/* ---- What reaches the backend ----------------------------------------------------------------- */

START_TEST(each_class_knows_its_low_bits)
{
    ck_assert_uint_eq(direct_low_bits[0], 0);
    for (unsigned k = 0; k < DIRECT_CLASSES; k++) {
        uint32_t size = size_class_bytes[k];
        ck_assert_uint_eq(direct_low_bits[k + 1], (size & -size) - 1);
    }
}
END_TEST

START_TEST(pairs_do_not_reach_the_backend)
{
    sluice_module m = start("");
    static const size_t sizes[] = {1, 64, 1000, 1025, 4096};
    for (size_t i = 0; i < LENGTH(sizes); i++)
        for (int n = 0; n < 1000; n++)
            sluice_free(sluice_malloc(m, sizes[i]));
    ck_assert_uint_le(asked, DIRECT_AFTER + 2 * LENGTH(sizes));
    for (int n = 0; n < 100; n++)
        sluice_free(sluice_malloc(m, 4097)); /* too large for one */
    ck_assert_uint_ge(asked, 100);
    struct sluice_module_stats s = stats_of(m);
    ck_assert_uint_eq(s.live_objects, 0);
    ck_assert_uint_eq(s.live_bytes, 0);
    ck_assert_uint_eq(s.allocated_objects, 1000 * LENGTH(sizes) + 100);
    ck_assert_uint_eq(s.freed_objects, s.allocated_objects);
}
END_TEST

START_TEST(counts_are_exact_whatever_waits)
{
    sluice_module m = start("");
    uint64_t random = 3, live = 0, bytes = 0, peak = 0;
    void *at[500] = {NULL};
    for (int i = 0; i < 20000; i++) {
        void **p = &at[test_random(&random) % LENGTH(at)];
        if (*p != NULL) {
            bytes -= sluice_usable_size(*p);
            live--;
            sluice_free(*p);
        }
        switch (test_random(&random) % 4) {
        case 0:
            *p = sluice_aligned_alloc(m, (size_t)16 << test_random(&random) % 4,
                                      test_random_size(&random, 6000));
            break;
        case 1:
            *p = sluice_realloc(m, sluice_malloc(m, test_random_size(&random, 6000)),
                                test_random_size(&random, 6000));
            break;
        default:
            *p = sluice_malloc(m, test_random_size(&random, 6000));
        }
        bytes += sluice_usable_size(*p);
        live++;
        peak = bytes > peak ? bytes : peak;
        if (i % 1000 == 0) {
            struct sluice_module_stats s = stats_of(m);
            ck_assert_uint_eq(s.live_objects, live);
            ck_assert_uint_eq(s.live_bytes, bytes);
            ck_assert_uint_eq(s.allocated_objects - s.freed_objects, live);
        }
    }
    ck_assert_uint_ge(stats_of(m).peak_live_bytes, peak - peak / 50);
    for (size_t i = 0; i < LENGTH(at); i++)
        sluice_free(at[i]);
    struct sluice_module_stats s = stats_of(m);
    ck_assert_uint_eq(s.live_objects, 0);
    ck_assert_uint_eq(s.live_bytes, 0);
    ck_assert_uint_gt(s.cached_bytes, 0);
    sluice_trim(m);
    ck_assert_uint_eq(asked, given);
    ck_assert_uint_eq(stats_of(m).cached_bytes, 0);
    ck_assert_int_eq((int64_t)held_by(m), 0);
}
END_TEST

/* The free after a peak goes into a magazine: the peak was noticed all the same. */
START_TEST(the_peak_is_seen)
{
    sluice_module m = start("");
    free_all(several(m, 1000, 40), 40);
    for (size_t n = 50; n < 2000; n *= 2) {
        void **all = several(m, 1000, n);
        free_all(all, n);
        ck_assert_uint_eq(stats_of(m).peak_live_bytes, n * 1024);
    }
}
END_TEST

START_TEST(a_thread_that_only_frees_keeps_little)
{
    sluice_module m = start("");
    free_all(several(m, 64, 20), 20); /* it has magazines */
    for (int round = 0; round < 4; round++) {
        size_t n = 10000;
        void **all = several(m, 256, n);
        uint64_t before = given;
        free_all(all, n);
        ck_assert_uint_ge(given - before, n - 2 * 64);
    }
    ck_assert_uint_le(stats_of(m).cached_bytes, 64 * KIB);
}
END_TEST

static void *consume(void *all)
{
    static void *mine[50];
    /* It has magazines, from another size, and never asks for this one. */
    for (size_t i = 0; i < LENGTH(mine); i++)
        mine[i] = sluice_malloc(use_module("m"), 64);
    for (size_t i = 0; i < LENGTH(mine); i++)
        sluice_free(mine[i]);
    uint64_t before = given;
    for (size_t i = 0; i < 10000; i++)
        sluice_free(((void **)all)[i]);
    return (void *)(uintptr_t)(given - before);
}

START_TEST(a_thread_that_only_frees_for_others_keeps_little)
{
    sluice_module m = start("");
    void **all = several(m, 256, 10000), *freed;
    pthread_t thread;
    pthread_create(&thread, NULL, consume, all);
    pthread_join(thread, &freed);
    ck_assert_uint_ge((uintptr_t)freed, 10000 - 2 * 64);
    free(all);
}
END_TEST

START_TEST(calloc_is_zero)
{
    sluice_module m = start("");
    for (int i = 0; i < 100; i++) {
        char *p = sluice_calloc(m, 1, 500);
        ck_assert(test_is_zero(p, 500));
        memset(p, 0xff, 500);
        sluice_free(p);
    }
}
END_TEST

/* ---- Giving back ------------------------------------------------------------------------------ */

static sluice_module shared;
static _Atomic uint32_t ready, go;

static void *free_and_wait(void *index)
{
    (void)index;
    free_all(several(shared, 200, 60), 60);
    atomic_fetch_add(&ready, 1);
    wait_for_count(&go, 1, 60000);
    return NULL;
}

START_TEST(a_trim_empties_those_of_idle_threads)
{
    shared = start("");
    pthread_t idle[4];
    for (size_t i = 0; i < LENGTH(idle); i++)
        pthread_create(&idle[i], NULL, free_and_wait, NULL);
    wait_for_count(&ready, LENGTH(idle), 60000);
    ck_assert_uint_gt(asked, given);
    ck_assert_uint_eq(stats_of(shared).cached_bytes, (asked - given) * 224);
    sluice_trim(shared);
    ck_assert_uint_eq(asked, given);
    ck_assert_int_eq((int64_t)held_by(shared), 0);
    atomic_store(&go, 1);
    for (size_t i = 0; i < LENGTH(idle); i++)
        pthread_join(idle[i], NULL);
    ck_assert_uint_eq(stats_of(shared).live_objects, 0);
}
END_TEST

START_TEST(a_thread_that_ends_leaves_nothing)
{
    shared = start("");
    atomic_store(&go, 1);
    run_threads(8, free_and_wait);
    ck_assert_uint_eq(asked, given);
    struct sluice_module_stats s = stats_of(shared);
    ck_assert_uint_eq(s.allocated_objects, 8 * 60);
    ck_assert_uint_eq(s.freed_objects, 8 * 60);
    ck_assert_uint_eq(s.cached_bytes, 0);
}
END_TEST

static bool arena_has_ended(void *unused)
{
    (void)unused;
    return atomic_load(&ended) == 1;
}

START_TEST(a_policy_without_it_ends_the_arena)
{
    sluice_module m = start("");
    void **all = several(m, 100, 50);
    use_policy("default: pool\n");
    free_all(all, 50);
    ck_assert(wait_until(arena_has_ended, NULL, 30000));
    ck_assert_uint_eq(asked, given);
}
END_TEST

/* What waits counts for the limit, so it must not keep others from it. */
START_TEST(a_limit_is_for_what_lives)
{
    sluice_module m = start(", limit: {hard: 4MiB, on_hard: fail}");
    for (size_t size = 16; size <= 4096; size *= 2)
        free_all(several(m, size, 60), 60);
    size_t n = 0;
    void *last = NULL;
    for (void **p; (p = sluice_malloc(m, 4096)) != NULL; n++) {
        *p = last;
        last = p;
    }
    ck_assert_uint_ge(n * 4096, 4 * MIB - 64 * KIB);
    ck_assert_uint_le(n * 4096, 4 * MIB);
    for (void *next; last != NULL; last = next) {
        next = *(void **)last;
        sluice_free(last);
    }
}
END_TEST

/* ---- Misuse ------------------------------------------------------------------------------------ */

static void free_twice_with_others_between(void *unused)
{
    (void)unused;
    silence_log();
    void **all = several(shared, 64, 10);
    for (int i = 0; i < 10; i++)
        sluice_free(all[i]);
    sluice_free(all[3]);
}

START_TEST(a_second_free_is_reported)
{
    shared = start("");
    free_all(several(shared, 64, 30), 30);
    struct child child = run_child(free_twice_with_others_between, NULL, 30000);
    ck_assert(child_aborted(&child));
    /* An object whose second word still looks like that is none. */
    for (int i = 0; i < 100; i++) {
        void **all = several(shared, 64, 30);
        free_all(all, 30);
    }
}
END_TEST

int main(void)
{
    TCase *objects = tcase_create("magazines");
    tcase_add_test(objects, each_class_knows_its_low_bits);
    tcase_add_test(objects, pairs_do_not_reach_the_backend);
    tcase_add_test(objects, counts_are_exact_whatever_waits);
    tcase_add_test(objects, the_peak_is_seen);
    tcase_add_test(objects, a_thread_that_only_frees_keeps_little);
    tcase_add_test(objects, a_thread_that_only_frees_for_others_keeps_little);
    tcase_add_test(objects, calloc_is_zero);
    tcase_add_test(objects, a_trim_empties_those_of_idle_threads);
    tcase_add_test(objects, a_thread_that_ends_leaves_nothing);
    tcase_add_test(objects, a_policy_without_it_ends_the_arena);
    tcase_add_test(objects, a_limit_is_for_what_lives);
    tcase_add_test(objects, a_second_free_is_reported);
    return run_suite("magazine", (TCase *const[]){objects}, 1);
}
