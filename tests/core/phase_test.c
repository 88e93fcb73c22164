/* Phases: whose objects go when, for each backend that can; wrong uses; threads, overlap, reloads. */
#include <sluice/sluice.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/arena.h"
#include "core/module.h"
#include "tests/support/testing.h"

static sluice_module bound, other;

static const char *const kinds[] = {
    "pool", "region", "mmap", "jemalloc", "glibc, track: true", "pool, track: true",
};

static void use_kind(const char *kind)
{
    char policy[512];
    snprintf(policy, sizeof policy,
             "default: pool\nphases:\n  frame: {modules: [bound, \"part.*\"], backend: %s}\n"
             "  load: {modules: [loader], backend: pool}\n",
             kind);
    use_policy(policy);
    bound = use_module("bound");
    other = use_module("other");
}

static sluice_phase *begin(const char *name)
{
    sluice_phase *phase;
    ck_assert_msg(sluice_phase_begin(name, &phase) == SLUICE_OK, "%s", sluice_error_message());
    ck_assert_ptr_nonnull(phase);
    return phase;
}

static const char *phase_of(const void *p)
{
    struct sluice_owner owner = {.struct_size = sizeof owner};
    return sluice_owner(p, &owner) == SLUICE_OK ? owner.phase : "not an object";
}

static struct sluice_phase_stats stats_of_phase(const char *name)
{
    struct sluice_phase_stats stats = {.struct_size = sizeof stats};
    ck_assert_int_eq(sluice_stats_phase(name, &stats), SLUICE_OK);
    return stats;
}

static const size_t sizes[] = {1, 48, 1000, 20000, 64 * 1024, 100000, 3 << 20};

START_TEST(an_end_takes_every_object_and_no_other)
{
    use_kind(kinds[_i]);
    void *before = sluice_malloc(bound, 100), *foreign = sluice_malloc(other, 100);
    memset(before, 1, 100);
    memset(foreign, 2, 100);
    for (int round = 0; round < 20; round++) {
        sluice_phase *frame = begin("frame");
        for (size_t i = 0; i < LENGTH(sizes); i++)
            for (int n = 0; n < 50; n++) {
                char *p = sluice_malloc(bound, sizes[i]);
                ck_assert_ptr_nonnull(p);
                ck_assert_str_eq(phase_of(p), "frame");
                memset(p, 0x5a, sizes[i] < 4096 ? sizes[i] : 4096);
                if (n % 7 == 0)
                    sluice_free(p);
            }
        char *zero = sluice_calloc(bound, 1000, 3);
        ck_assert(test_is_zero(zero, 3000));
        char *large = sluice_calloc(bound, 1, 200000);
        ck_assert(test_is_zero(large, 200000));
        ck_assert_ptr_null(phase_of(before));
        ck_assert_uint_gt(stats_of(bound).live_objects, 250);
        ck_assert_int_eq(sluice_phase_end(frame), SLUICE_OK);
        struct sluice_module_stats stats = stats_of(bound);
        ck_assert_uint_eq(stats.live_objects, 1);
        ck_assert_uint_eq(stats.allocated_objects - stats.freed_objects, 1);
        ck_assert_uint_lt(stats.live_bytes, 200);
        ck_assert_uint_gt(stats.peak_live_bytes, 40 * MIB);
    }
    ck_assert_uint_eq(stats_of(other).live_objects, 1);
    ck_assert_int_eq(*(char *)before + *(char *)foreign, 3);
    sluice_free(before);
    sluice_free(foreign);
    ck_assert_ptr_null(phase_of(sluice_malloc(bound, 100)));
    struct sluice_phase_stats stats = stats_of_phase("frame");
    ck_assert_uint_eq(stats.begun, 20);
    ck_assert_uint_eq(stats.ended, 20);
    ck_assert_uint_eq(stats.open, 0);
    ck_assert_uint_gt(stats.peak_bytes, 100 * MIB);
    ck_assert_uint_ge(stats.largest_end_ns, stats.last_end_ns);
}
END_TEST

START_TEST(limits_count_what_a_phase_holds)
{
    char policy[512];
    snprintf(policy, sizeof policy,
             "default: pool\nmodules:\n  bound: {route: [{to: mmap}], limit: {hard: 64MiB}}\n"
             "phases:\n  frame: {modules: [bound], backend: %s}\n",
             kinds[_i]);
    use_policy(policy);
    bound = use_module("bound");
    for (int round = 0; round < 10; round++) {
        sluice_phase *frame = begin("frame");
        int n = 0;
        while (sluice_malloc(bound, 50000) != NULL)
            n++;
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert_int_ge(n, 900);
        ck_assert_int_le(n, 1342);
        ck_assert_int_eq(sluice_phase_end(frame), SLUICE_OK);
    }
    sluice_trim(SLUICE_MODULE_ALL);
    ck_assert_uint_eq(held_by(bound), 0);
}
END_TEST

START_TEST(instances_overlap_and_the_newest_serves)
{
    use_kind(kinds[_i]);
    sluice_phase *first = begin("frame");
    char *a = sluice_malloc(bound, 100);
    sluice_phase *second = begin("frame");
    char *b = sluice_malloc(bound, 100);
    strcpy(a, "first");
    strcpy(b, "second");
    ck_assert_int_eq(sluice_phase_end(first), SLUICE_OK);
    ck_assert_str_eq(b, "second");
    ck_assert_str_eq(phase_of(b), "frame");
    char *c = sluice_malloc(bound, 100);
    strcpy(c, "second, too");
    sluice_phase *third = begin("frame");
    ck_assert_int_eq(sluice_phase_enter(second), SLUICE_OK);
    char *d = sluice_malloc(bound, 100);
    strcpy(d, "into the second");
    ck_assert_int_eq(sluice_phase_leave(second), SLUICE_OK);
    ck_assert_int_eq(sluice_phase_end(third), SLUICE_OK); /* the newest first: that is fine, too */
    ck_assert_str_eq(d, "into the second");
    ck_assert_str_eq(c, "second, too");
    ck_assert_uint_eq(stats_of(bound).live_objects, 3);
    ck_assert_int_eq(sluice_phase_end(second), SLUICE_OK);
    ck_assert_uint_eq(stats_of(bound).live_objects, 0);
    ck_assert_uint_le(stats_of_phase("frame").idle, 2);
}
END_TEST

START_TEST(realloc_stays_in_the_instance)
{
    use_kind(kinds[_i]);
    sluice_phase *first = begin("frame");
    char *p = sluice_malloc(bound, 10);
    strcpy(p, "here");
    sluice_phase *second = begin("frame");
    for (size_t size = 20; size < 10 * MIB; size *= 3) {
        p = sluice_realloc(other, p, size);
        ck_assert_ptr_nonnull(p);
        ck_assert_str_eq(p, "here");
        ck_assert_str_eq(phase_of(p), "frame");
    }
    p = sluice_realloc(other, p, 30);
    ck_assert_int_eq(sluice_phase_end(second), SLUICE_OK);
    ck_assert_str_eq(p, "here");
    ck_assert_int_eq(sluice_phase_end(first), SLUICE_OK);
    ck_assert_uint_eq(stats_of(bound).live_objects, 0);
}
END_TEST

START_TEST(promoted_objects_survive)
{
    use_kind(kinds[_i]);
    static const size_t alignments[] = {16, 64, 256, 4096};
    char *kept[LENGTH(sizes) * LENGTH(alignments)];
    size_t n = 0;
    sluice_phase *frame = begin("frame");
    for (size_t i = 0; i < LENGTH(sizes); i++)
        for (size_t j = 0; j < LENGTH(alignments); j++) {
            char *p = sluice_aligned_alloc(bound, alignments[j], sizes[i]);
            ck_assert_ptr_nonnull(p);
            test_fill(p, sizes[i], n + 1);
            char *q = sluice_phase_promote(p);
            ck_assert_ptr_nonnull(q);
            ck_assert_ptr_ne(p, q);
            ck_assert(test_is_filled(p, sizes[i], n + 1)); /* a copy */
            ck_assert_ptr_null(phase_of(q));
            ck_assert_uint_eq((uintptr_t)q % alignments[j], 0);
            ck_assert_ptr_eq(sluice_phase_promote(q), q);
            kept[n++] = q;
        }
    ck_assert_int_eq(sluice_phase_end(frame), SLUICE_OK);
    for (size_t i = 0; i < n; i++) {
        ck_assert(test_is_filled(kept[i], sizes[i / LENGTH(alignments)], i + 1));
        sluice_free(kept[i]);
    }
    ck_assert_ptr_null(sluice_phase_promote(NULL));
    ck_assert_uint_gt(stats_of_phase("frame").promoted_bytes, 12 * MIB);
    ck_assert_uint_eq(stats_of(bound).live_objects, 0);
}
END_TEST

static char letter_a[] = "a", letter_b[] = "b", letter_c[] = "c", letter_d[] = "d";
static char order[16];
static void *of_phase;

static void note(void *letter)
{
    ck_assert_int_eq(*(char *)of_phase, 77); /* still there */
    strcat(order, letter);
    void *p = sluice_malloc(bound, 10); /* outside of the instance that ends */
    ck_assert_ptr_null(phase_of(p));
    sluice_free(p);
}

START_TEST(callbacks_run_newest_first_before_memory_goes)
{
    use_kind("pool");
    sluice_phase *frame = begin("frame");
    of_phase = sluice_malloc(bound, 10);
    *(char *)of_phase = 77;
    ck_assert_int_eq(sluice_phase_on_end(frame, note, letter_a), SLUICE_OK);
    ck_assert_int_eq(sluice_phase_on_end(frame, note, letter_b), SLUICE_OK);
    ck_assert_int_eq(sluice_phase_on_end(frame, note, letter_c), SLUICE_OK);
    ck_assert_int_eq(sluice_phase_on_end(frame, NULL, NULL), SLUICE_ERROR_INVALID);
    ck_assert_int_eq(sluice_phase_end(frame), SLUICE_OK);
    ck_assert_str_eq(order, "cba");
    ck_assert_int_eq(sluice_phase_on_end(frame, note, letter_d), SLUICE_ERROR_STATE);
    ck_assert_int_eq(sluice_phase_end(begin("frame")), SLUICE_OK);
    ck_assert_str_eq(order, "cba");
}
END_TEST

#define ck_assert_error(call, result, text)                                                        \
    do {                                                                                           \
        ck_assert_int_eq(call, result);                                                            \
        ck_assert_msg(strstr(sluice_error_message(), text) != NULL, "%s", sluice_error_message()); \
    } while (0)

START_TEST(wrong_uses_are_errors)
{
    use_kind("pool");
    sluice_phase *a, *b;
    ck_assert_error(sluice_phase_begin("frames", &a), SLUICE_ERROR_UNKNOWN, "frame, load");
    ck_assert_ptr_null(a);
    ck_assert_error(sluice_phase_begin(NULL, &a), SLUICE_ERROR_INVALID, "NULL");
    ck_assert_error(sluice_phase_begin("frame", NULL), SLUICE_ERROR_INVALID, "NULL");
    ck_assert_error(sluice_phase_end(NULL), SLUICE_ERROR_INVALID, "no instance");
    ck_assert_error(sluice_phase_end((sluice_phase *)(void *)&a), SLUICE_ERROR_INVALID,
                    "no instance");
    ck_assert_error(sluice_phase_enter(NULL), SLUICE_ERROR_INVALID, "no instance");

    a = begin("frame");
    ck_assert_int_eq(sluice_phase_end(a), SLUICE_OK);
    b = begin("frame"); /* may be the same instance again: the handle is not */
    ck_assert_ptr_ne(a, b);
    ck_assert_error(sluice_phase_end(a), SLUICE_ERROR_STATE, "has ended");
    ck_assert_error(sluice_phase_enter(a), SLUICE_ERROR_STATE, "has ended");
    ck_assert_error(sluice_phase_leave(a), SLUICE_ERROR_STATE, "has ended");
    ck_assert_error(sluice_phase_leave(b), SLUICE_ERROR_STATE, "was not entered");

    ck_assert_int_eq(sluice_phase_enter(b), SLUICE_OK);
    sluice_phase *inner = begin("load");
    ck_assert_error(sluice_phase_end(b), SLUICE_ERROR_STATE, "1 begun inside it must end first");
    ck_assert_int_eq(sluice_phase_enter(inner), SLUICE_OK);
    ck_assert_error(sluice_phase_leave(b), SLUICE_ERROR_STATE, "must leave first");
    ck_assert_int_eq(sluice_phase_end(inner), SLUICE_OK); /* leaves it as well */
    ck_assert_int_eq(sluice_phase_enter(b), SLUICE_OK);
    ck_assert_error(sluice_phase_end(b), SLUICE_ERROR_STATE, "not left");
    ck_assert_int_eq(sluice_phase_leave(b), SLUICE_OK);
    ck_assert_int_eq(sluice_phase_end(b), SLUICE_OK);

    sluice_phase *deep = begin("frame");
    for (int i = 0; i < 16; i++)
        ck_assert_int_eq(sluice_phase_enter(deep), SLUICE_OK);
    ck_assert_error(sluice_phase_enter(deep), SLUICE_ERROR_LIMIT, "16");
    for (int i = 0; i < 16; i++)
        ck_assert_int_eq(sluice_phase_leave(deep), SLUICE_OK);
    ck_assert_int_eq(sluice_phase_end(deep), SLUICE_OK);

    struct sluice_phase_stats stats = {.struct_size = sizeof stats};
    ck_assert_error(sluice_stats_phase("none", &stats), SLUICE_ERROR_UNKNOWN, "none");
    stats.struct_size = 0;
    ck_assert_error(sluice_stats_phase("frame", &stats), SLUICE_ERROR_INVALID, "struct_size");
    use_policy("default: pool\n");
    ck_assert_error(sluice_phase_begin("frame", &a), SLUICE_ERROR_UNKNOWN, "no phases");
}
END_TEST

static void free_after_end(void *kind)
{
    use_kind(kind);
    sluice_phase *frame = begin("frame");
    void *p = sluice_malloc(bound, 100);
    sluice_phase_end(frame);
    sluice_free(p);
}

START_TEST(a_late_free_is_reported)
{
    struct child child = run_child(free_after_end, (void *)(uintptr_t)kinds[_i], 20000);
    ck_assert_msg(child_aborted(&child), "%d: %s", child.status, child.error);
    if (_i < 2)
        ck_assert_msg(strstr(child.error, "went with its phase: phase \"frame\", instance #1") !=
                          NULL,
                      "%s", child.error);
}
END_TEST

START_TEST(warm_frames_cost_the_kernel_nothing)
{
    use_kind(kinds[_i]);
    struct rusage before, after;
    for (int frame = 0; frame < 1000; frame++) {
        if (frame == 10)
            getrusage(RUSAGE_SELF, &before);
        sluice_phase *phase = begin("frame");
        for (int i = 0; i < 2000; i++) {
            char *p = sluice_malloc(bound, (size_t)(i % 20 + 1) * 100);
            memset(p, 1, 100);
        }
        ck_assert_int_eq(sluice_phase_end(phase), SLUICE_OK);
    }
    getrusage(RUSAGE_SELF, &after);
    if (!SANITIZED)
        ck_assert_int_lt(after.ru_minflt - before.ru_minflt, 500); /* the control thread's, too */
    ck_assert_uint_eq(stats_of(bound).live_objects, 0);
    ck_assert_uint_lt(process_stats().chunk_bytes, 64 * MIB);
    ck_assert_uint_eq(stats_of(bound).allocated_objects, 2000 * 1000);
}
END_TEST

START_TEST(a_reload_changes_the_backend_of_the_next)
{
    use_kind("pool");
    sluice_phase *frame = begin("frame");
    char *p = sluice_malloc(bound, 100);
    strcpy(p, "pool");
    ck_assert_str_eq(kind_of(p), "pool");
    use_kind("jemalloc");
    char *q = sluice_malloc(bound, 100); /* the instance goes on, with another arena */
    ck_assert_str_eq(kind_of(q), "jemalloc");
    ck_assert_str_eq(phase_of(q), "frame");
    use_policy("default: mmap\n");
    ck_assert_ptr_null(phase_of(sluice_malloc(bound, 100)));
    ck_assert_str_eq(p, "pool");
    ck_assert_int_eq(sluice_phase_end(frame), SLUICE_OK);
    ck_assert_uint_eq(stats_of(bound).live_objects, 1);
}
END_TEST

/* ---- Threads --------------------------------------------------------------------------------- */

static pthread_barrier_t barrier;
static sluice_phase *shared;

static void *fill_shared(void *index)
{
    uint64_t seed = (uintptr_t)index + 1;
    for (int round = 0; round < 50; round++) {
        pthread_barrier_wait(&barrier);
        char *mine[200];
        size_t size[200];
        uint64_t content = seed;
        for (int i = 0; i < 200; i++) {
            size[i] = test_random_size(&seed, 5000);
            mine[i] = sluice_malloc(bound, size[i]);
            ck_assert_ptr_nonnull(mine[i]);
            test_fill(mine[i], size[i], content + (uint64_t)i);
            if (i % 3 == 0)
                sluice_free(sluice_malloc(bound, 64));
        }
        for (int i = 0; i < 200; i++)
            ck_assert(test_is_filled(mine[i], size[i], content + (uint64_t)i));
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void *end_shared(void *unused)
{
    (void)unused;
    for (int round = 0; round < 50; round++) {
        shared = begin("frame");
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        ck_assert_int_eq(sluice_phase_end(shared), SLUICE_OK);
    }
    return NULL;
}

static void *fill_or_end(void *index)
{
    return index == NULL ? end_shared(NULL) : fill_shared(index);
}

START_TEST(threads_share_an_instance)
{
    use_kind(kinds[_i]);
    pthread_barrier_init(&barrier, NULL, 9);
    run_threads(9, fill_or_end);
    ck_assert_uint_eq(stats_of(bound).live_objects, 0);
    ck_assert_uint_eq(stats_of_phase("frame").ended, 50);
}
END_TEST

static void *end_inside(void *unused)
{
    (void)unused;
    ck_assert_int_eq(sluice_phase_enter(shared), SLUICE_OK);
    ck_assert_ptr_nonnull(sluice_malloc(bound, 100));
    return NULL; /* without leaving */
}

START_TEST(a_thread_that_ends_leaves)
{
    use_kind("pool");
    shared = begin("frame");
    run_threads(4, end_inside);
    ck_assert_int_eq(sluice_phase_end(shared), SLUICE_OK);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("phase"), tcase_create("threads")};
    tcase_add_loop_test(cases[0], an_end_takes_every_object_and_no_other, 0, LENGTH(kinds));
    tcase_add_loop_test(cases[0], limits_count_what_a_phase_holds, 0, LENGTH(kinds));
    tcase_add_loop_test(cases[0], instances_overlap_and_the_newest_serves, 0, LENGTH(kinds));
    tcase_add_loop_test(cases[0], realloc_stays_in_the_instance, 0, LENGTH(kinds));
    tcase_add_loop_test(cases[0], promoted_objects_survive, 0, LENGTH(kinds));
    tcase_add_test(cases[0], callbacks_run_newest_first_before_memory_goes);
    tcase_add_test(cases[0], wrong_uses_are_errors);
    tcase_add_loop_test(cases[0], a_late_free_is_reported, 0, 3);
    tcase_add_loop_test(cases[0], warm_frames_cost_the_kernel_nothing, 0, 2);
    tcase_add_test(cases[0], a_reload_changes_the_backend_of_the_next);
    tcase_add_loop_test(cases[1], threads_share_an_instance, 0, LENGTH(kinds));
    tcase_add_test(cases[1], a_thread_that_ends_leaves);
    return run_suite("phase", cases, LENGTH(cases));
}
