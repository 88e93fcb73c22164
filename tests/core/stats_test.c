/* The figures of modules and of the process: exact when nobody allocates, and in agreement with the kernel's. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/testing.h"

static const char *const kinds[] = {"pool", "mmap", "glibc", "jemalloc"};
static sluice_module module;

static void start(int kind)
{
    char text[512];
    snprintf(text, sizeof text, "default: mmap\nmodules: {m: {route: [%s{to: %s}]}}\n",
             kind == 0 ? "{max_size: 64KiB, to: pool}, " : "", kind == 0 ? "mmap" : kinds[kind]);
    use_policy(text);
    module = use_module("m");
}

START_TEST(exact_when_quiet)
{
    start(_i);
    uint64_t random = 3, live = 0, live_bytes = 0, peak = 0, allocated = 0;
    void *p[300] = {NULL};
    for (int i = 0; i < 5000; i++) {
        void **at = &p[test_random(&random) % LENGTH(p)];
        if (*at != NULL) {
            live--;
            live_bytes -= sluice_usable_size(*at);
            sluice_free(*at);
        }
        *at = sluice_malloc(module, test_random_size(&random, 100000));
        allocated++;
        live++;
        live_bytes += sluice_usable_size(*at);
        peak = live_bytes > peak ? live_bytes : peak;
        if (i % 50 != 0)
            continue;
        struct sluice_module_stats s = stats_of(module);
        ck_assert_uint_eq(s.live_objects, live);
        ck_assert_uint_eq(s.live_bytes, live_bytes);
        ck_assert_uint_eq(s.allocated_objects, allocated);
        ck_assert_uint_eq(s.freed_objects, allocated - live);
        ck_assert_uint_ge(s.peak_live_bytes, live_bytes);
        ck_assert_uint_ge(s.resident_bytes, s.cached_bytes + s.live_bytes);
    }
    struct sluice_module_stats s = stats_of(module);
    /* A peak is looked at when allocation turns into freeing: between two looks a little may be missed. */
    ck_assert_uint_ge(s.peak_live_bytes, peak - peak / 20);
    ck_assert_uint_le(s.peak_live_bytes, peak);
    ck_assert_uint_eq(s.failed_allocations, 0);
    for (unsigned i = 0; i < LENGTH(p); i++)
        sluice_free(p[i]);
    s = stats_of(module);
    ck_assert_uint_eq(s.live_objects, 0);
    ck_assert_uint_eq(s.live_bytes, 0);
    ck_assert_uint_eq(s.freed_objects, allocated);
}
END_TEST

static _Atomic(void *) handed[1024];

static void *make_some(void *index)
{
    uint64_t random = (uintptr_t)index + 1;
    for (unsigned i = 0; i < 10000; i++) {
        void *p = sluice_malloc(module, test_random_size(&random, 5000));
        sluice_free(atomic_exchange(&handed[test_random(&random) % LENGTH(handed)], p));
    }
    return NULL;
}

START_TEST(exact_after_many_threads)
{
    start(_i);
    run_threads(8, make_some);
    uint64_t live = 0, bytes = 0;
    for (unsigned i = 0; i < LENGTH(handed); i++)
        if (handed[i] != NULL) {
            live++;
            bytes += sluice_usable_size(handed[i]);
        }
    struct sluice_module_stats s = stats_of(module);
    ck_assert_uint_eq(s.live_objects, live);
    ck_assert_uint_eq(s.live_bytes, bytes);
    ck_assert_uint_eq(s.allocated_objects, 80000);
    ck_assert_uint_eq(s.freed_objects, 80000 - live);
    for (unsigned i = 0; i < LENGTH(handed); i++)
        sluice_free(handed[i]);
    ck_assert_uint_eq(stats_of(module).live_bytes, 0);
}
END_TEST

START_TEST(the_peak_stays)
{
    start(_i);
    static void *p[2000];
    uint64_t live = 0;
    for (unsigned i = 0; i < LENGTH(p); i++) {
        p[i] = sluice_malloc(module, 10000);
        live += sluice_usable_size(p[i]);
    }
    for (unsigned i = 0; i < LENGTH(p); i++)
        sluice_free(p[i]);
    uint64_t peak = stats_of(module).peak_live_bytes;
    ck_assert_uint_le(peak, live);
    ck_assert_uint_ge(peak, live - live / 20);
    sluice_free(sluice_malloc(module, 10));
    ck_assert_uint_eq(stats_of(module).peak_live_bytes, peak);
}
END_TEST

static void free_at_once(size_t size)
{
    sluice_free(sluice_malloc(module, size));
}

/* However little it was, and however short. */
START_TEST(the_peak_of_what_went_at_once)
{
    start(_i);
    free_at_once(100);
    uint64_t peak = stats_of(module).peak_live_bytes;
    ck_assert_uint_ge(peak, 100);
    for (int i = 0; i < 1000; i++) {
        void *p = sluice_malloc(module, 40 * KIB), *q = sluice_malloc(module, 30 * KIB);
        sluice_free(p);
        sluice_free(q);
    }
    ck_assert_uint_ge(stats_of(module).peak_live_bytes, 70 * KIB);
}
END_TEST

#define HELD 5000
static void *held[HELD];

static void *free_held(void *unused)
{
    for (int i = 0; i < HELD; i++)
        sluice_free(held[i]);
    return unused;
}

START_TEST(the_peak_of_what_others_free)
{
    start(_i);
    for (int i = 0; i < HELD; i++)
        held[i] = sluice_malloc(module, 5000);
    uint64_t live = HELD * sluice_usable_size(held[0]);
    run_threads(1, free_held);
    ck_assert_uint_ge(stats_of(module).peak_live_bytes, live - live / 16);
}
END_TEST

static _Atomic unsigned next_held;

static void *hold_some(void *unused)
{
    for (int i = 0; i < 50; i++)
        held[atomic_fetch_add(&next_held, 1)] = sluice_malloc(module, 16);
    return unused;
}

/* Each of the threads leaves less than is told at once. */
START_TEST(the_peak_of_short_threads)
{
    start(_i);
    for (int i = 0; i < HELD / 50; i++)
        run_threads(1, hold_some);
    free_at_once(16);
    free_held(NULL);
    ck_assert_uint_ge(stats_of(module).peak_live_bytes, (uint64_t)(HELD * 16 / 16 * 15));
}
END_TEST

#define NEW_MODULES TESTING_SCALE(400)

static _Atomic sluice_module newest;
static _Atomic uint32_t making;

static void *make_in_new_modules(void *index)
{
    for (unsigned round = 0; round < NEW_MODULES; round++) {
        char name[32];
        snprintf(name, sizeof name, "new%u", round);
        sluice_module m = sluice_module_register(name); /* the same for all */
        atomic_store(&newest, m);
        void *p[40];
        for (unsigned i = 0; i < LENGTH(p); i++)
            p[i] = sluice_malloc(m, 16 * (i + 1));
        for (unsigned i = 0; i < LENGTH(p); i++)
            sluice_free(p[i]);
    }
    atomic_fetch_sub(&making, 1);
    return index;
}

static void *look_at_the_newest(void *unused)
{
    uint64_t bound = UINT64_C(1) << 40;
    while (atomic_load(&making) > 0) {
        struct sluice_module_stats s = stats_of(atomic_load(&newest));
        ck_assert_uint_lt(s.allocated_objects, bound);
        ck_assert_uint_lt(s.freed_objects, bound);
        ck_assert_uint_lt(s.live_objects, bound);
        ck_assert_uint_lt(s.live_bytes, bound);
        ck_assert_uint_lt(s.peak_live_bytes, bound);
    }
    return unused;
}

static void *make_or_look(void *index)
{
    return index == NULL ? look_at_the_newest(index) : make_in_new_modules(index);
}

/* A module whose first objects are on their way while somebody adds up. */
START_TEST(nothing_wraps_while_threads_are_busy)
{
    use_policy("default: pool\n");
    atomic_store(&newest, use_module("new0"));
    atomic_store(&making, 2);
    run_threads(3, make_or_look);
}
END_TEST

START_TEST(all_is_the_sum)
{
    use_policy("default: mmap\nmodules: {a: pool, b: glibc, c: jemalloc}\n");
    static const char *const names[] = {"a", "b", "c"};
    void *p[3];
    for (unsigned i = 0; i < 3; i++)
        p[i] = sluice_malloc(use_module(names[i]), (size_t)1000 << i);
    struct sluice_module_stats all = stats_of(SLUICE_MODULE_ALL), sum = {0};
    for (unsigned i = 0; i < 3; i++) {
        struct sluice_module_stats one = stats_of(use_module(names[i]));
        ck_assert_uint_eq(one.live_objects, 1);
        sum.live_bytes += one.live_bytes;
        sum.live_objects += one.live_objects;
    }
    ck_assert_uint_eq(all.live_bytes, sum.live_bytes);
    ck_assert_uint_eq(all.live_objects, sum.live_objects);
    struct sluice_process_stats s = process_stats();
    ck_assert_uint_eq(s.live_bytes, sum.live_bytes);
    ck_assert_uint_eq(s.modules, 4);
    ck_assert_uint_eq(s.arenas, 3);
    ck_assert_uint_eq(s.draining_arenas, 0);
    ck_assert_uint_ge(s.threads, 1);
    ck_assert_uint_gt(s.chunk_bytes, 0);
    for (unsigned i = 0; i < 3; i++)
        sluice_free(p[i]);
}
END_TEST

START_TEST(callers_of_other_versions)
{
    start(0);
    sluice_free(sluice_malloc(module, 100));
    char raw[sizeof(struct sluice_module_stats) + 32];
    memset(raw, 0x77, sizeof raw);
    struct sluice_module_stats *s = (struct sluice_module_stats *)(void *)raw;
    s->struct_size = offsetof(struct sluice_module_stats, freed_objects);
    ck_assert_int_eq(sluice_stats_module(module, s), SLUICE_OK);
    ck_assert_uint_eq(s->allocated_objects, 1);
    ck_assert_uint_eq(s->struct_size, offsetof(struct sluice_module_stats, freed_objects));
    for (size_t i = s->struct_size; i < sizeof raw; i++)
        ck_assert_int_eq(raw[i], 0x77);
    s->struct_size = sizeof raw;
    ck_assert_int_eq(sluice_stats_module(module, s), SLUICE_OK);
    ck_assert_uint_eq(s->freed_objects, 1);
    for (size_t i = sizeof *s; i < sizeof raw; i++)
        ck_assert_int_eq(raw[i], 0x77);
    s->struct_size = sizeof(size_t);
    ck_assert_int_eq(sluice_stats_module(module, s), SLUICE_ERROR_INVALID);
    ck_assert_int_eq(sluice_stats_module(module, NULL), SLUICE_ERROR_INVALID);
    s->struct_size = sizeof *s;
    ck_assert_int_eq(sluice_stats_module(SLUICE_MODULE_INVALID, s), SLUICE_ERROR_UNKNOWN);
    ck_assert_int_eq(sluice_stats_module(1000, s), SLUICE_ERROR_UNKNOWN);

    struct sluice_process_stats p = {.struct_size = offsetof(struct sluice_process_stats, threads)};
    p.threads = 12345;
    ck_assert_int_eq(sluice_stats_process(&p), SLUICE_OK);
    ck_assert_uint_eq(p.threads, 12345);
    ck_assert_uint_ge(p.modules, 2);
    ck_assert_int_eq(sluice_stats_process(NULL), SLUICE_ERROR_INVALID);
    p.struct_size = 0;
    ck_assert_int_eq(sluice_stats_process(&p), SLUICE_ERROR_INVALID);
}
END_TEST

START_TEST(failures_are_counted)
{
    start(0);
    volatile size_t huge = SIZE_MAX / 2 - 1000;
    for (int i = 0; i < 5; i++)
        ck_assert_ptr_null(sluice_malloc(module, huge));
    ck_assert_ptr_null(sluice_calloc(module, huge, 100));
    ck_assert_uint_eq(stats_of(module).failed_allocations, 6);
}
END_TEST

#if !SANITIZED

static void agree(const char *when, uint64_t base)
{
    struct sluice_module_stats s = stats_of(module);
    uint64_t now = kernel_resident();
    double kernel = now > base ? (double)(now - base) : 0, ours = (double)s.resident_bytes;
    double difference = kernel > ours ? kernel - ours : ours - kernel;
    ck_assert_msg(difference <= 0.05 * kernel + 4.0 * MIB, "%s: kernel %.1f MiB, sluice %.1f MiB",
                  when, kernel / MIB, ours / MIB);
}

START_TEST(resident_bytes_agree_with_the_kernel)
{
    char text[256];
    snprintf(
        text, sizeof text,
        "default: mmap\nbackends: {p: {kind: pool, purge_after: 100ms, retain: 0, huge_pages: %s}}\n"
        "modules: {m: {route: [{max_size: 64KiB, to: p}, {to: mmap}]}}\n",
        _i == 0 ? "never" : "always");
    use_policy(text);
    module = use_module("m");
    enum { COUNT = 200000 };
    void **p = test_memory(COUNT * sizeof *p);
    sluice_free(sluice_malloc(module, 10));
    uint64_t base = kernel_resident(), random = 11;
    agree("empty", base);
    for (unsigned i = 0; i < COUNT; i++) {
        size_t size = test_random_size(&random, 4000);
        p[i] = sluice_malloc(module, size);
        memset(p[i], 1, size);
    }
    agree("full", base);
    for (unsigned i = 0; i < COUNT; i += 2) {
        sluice_free(p[i]);
        p[i] = NULL;
    }
    agree("half", base);
    for (unsigned i = 0; i < COUNT; i++)
        sluice_free(p[i]);
    agree("all freed", base);
    ck_assert_uint_gt(sluice_trim(module), 0);
    agree("trimmed", base);
    ck_assert_uint_lt(kernel_resident(), base + 4 * MIB);
}
END_TEST

#endif

int main(void)
{
    TCase *cases[] = {tcase_create("each backend"), tcase_create("stats")};
    int n = LENGTH(kinds);
    tcase_add_loop_test(cases[0], exact_when_quiet, 0, n);
    tcase_add_loop_test(cases[0], exact_after_many_threads, 0, n);
    tcase_add_loop_test(cases[0], the_peak_stays, 0, n);
    tcase_add_loop_test(cases[0], the_peak_of_what_went_at_once, 0, n);
    tcase_add_loop_test(cases[0], the_peak_of_what_others_free, 0, n);
    tcase_add_loop_test(cases[0], the_peak_of_short_threads, 0, n);
    tcase_add_test(cases[1], nothing_wraps_while_threads_are_busy);
    tcase_add_test(cases[1], all_is_the_sum);
    tcase_add_test(cases[1], callers_of_other_versions);
    tcase_add_test(cases[1], failures_are_counted);
#if !SANITIZED
    tcase_add_loop_test(cases[1], resident_bytes_agree_with_the_kernel, 0, 2);
#endif
    return run_suite("stats", cases, LENGTH(cases));
}
