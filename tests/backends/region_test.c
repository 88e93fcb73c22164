/* What the region backend promises beyond conformance: phases of the same size cost no page fault, everything is dropped at
 * once, also for threads that know nothing of it, and what a free gives back before. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <sluice/sluice.h>

#include "core/arena.h"
#include "core/bump.h"
#include "core/module.h"
#include "tests/support/testing.h"

static sluice_module module;

static void use(const char *parameters)
{
    char policy[512];
    snprintf(policy, sizeof policy, "default: r\nbackends:\n  r: {kind: region%s}\n", parameters);
    use_policy(policy);
    module = use_module("phases");
}

static struct sluice_arena *arena(void)
{
    return module_get(module)->arenas;
}

/* What the end of a phase does, when nobody allocates. */
static void reset(void)
{
    struct thread *t = thread_enter_current();
    ck_assert_ptr_nonnull(t);
    arena_reset(t, arena(), false);
    thread_leave_current(t);
}

static char *made(size_t size)
{
    char *p = sluice_malloc(module, size);
    ck_assert_ptr_nonnull(p);
    memset(p, 0xA5, size);
    return p;
}

static long faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

/* ---- Cycles ---------------------------------------------------------------------------------- */

#define CYCLE (SANITIZED ? 6 * MIB : 24 * MIB)

static size_t fill_cycle(uint64_t seed, size_t high)
{
    uint64_t random = seed;
    size_t count = 0;
    for (size_t sum = 0; sum < CYCLE; count++) {
        size_t size = test_random_size(&random, high);
        made(size);
        sum += size;
    }
    return count;
}

START_TEST(cycles_are_warm)
{
    static const struct {
        size_t high;
        const char *huge;
    } cases[] = {
        {256, "never"},     {64 * KIB, "never"},  {900 * KIB, "never"},
        {6 * MIB, "never"}, {64 * KIB, "always"},
    };
    char parameters[100];
    snprintf(parameters, sizeof parameters, ", purge_after: 1h, huge_pages: %s", cases[_i].huge);
    use(parameters);
    fill_cycle(1, cases[_i].high);
    reset();
    fill_cycle(1, cases[_i].high); /* one more: objects take the places of others */
    reset();
    long before = faults();
    uint64_t resident = kernel_resident();
    for (int cycle = 0; cycle < 8; cycle++) {
        size_t count = fill_cycle(1, cases[_i].high);
        ck_assert_uint_eq(stats_of(module).live_objects, count);
        reset();
        ck_assert_uint_eq(stats_of(module).live_objects, 0);
        ck_assert_uint_eq(stats_of(module).live_bytes, 0);
    }
    long after = faults();
    ck_assert_uint_ge(stats_of(module).peak_live_bytes, CYCLE);
    if (SANITIZED)
        return;
    ck_assert_int_le(after, before + 64);
    ck_assert_uint_le(kernel_resident(), resident + MIB);
}
END_TEST

static bool nothing_cached(void *arg)
{
    (void)arg;
    return stats_of(module).cached_bytes == 0;
}

/* What is on its way to the system is not counted any more, but may be resident for a moment. */
static bool is_resident_below(void *bound)
{
    return kernel_resident() <= *(const uint64_t *)bound;
}

START_TEST(warm_memory_goes_in_time)
{
    use(", purge_after: 200ms");
    made(1);
    uint64_t bound = kernel_resident() + 2 * MIB;
    fill_cycle(3, 3 * MIB);
    reset();
    ck_assert_uint_ge(stats_of(module).cached_bytes, CYCLE);
    ck_assert(wait_until(nothing_cached, NULL, 10000));
    if (!SANITIZED)
        ck_assert(wait_until(is_resident_below, &bound, 10000));
    fill_cycle(3, 3 * MIB);
    reset();
    ck_assert_uint_ge(sluice_trim(module), CYCLE); /* or at once */
    ck_assert_uint_eq(stats_of(module).cached_bytes, 0);
}
END_TEST

static bool cached_at_most(void *bytes)
{
    return stats_of(module).cached_bytes <= *(size_t *)bytes;
}

START_TEST(some_is_retained)
{
    use(", purge_after: 100ms, retain: 8MiB, huge_pages: never");
    fill_cycle(3, 64 * KIB);
    reset();
    size_t most = 8 * MIB;
    ck_assert(wait_until(cached_at_most, &most, 10000));
    ck_assert_uint_ge(stats_of(module).cached_bytes, 5 * MIB);
    use(", purge_after: 100ms, retain: 0, huge_pages: never");
    ck_assert(wait_until(nothing_cached, NULL, 10000));
}
END_TEST

START_TEST(a_trim_takes_what_a_smaller_phase_left)
{
    use(", huge_pages: never");
    fill_cycle(3, 64 * KIB);
    reset();
    char *p = made(100);
    sluice_trim(module);
    ck_assert_uint_le(stats_of(module).cached_bytes, 300 * KIB);
    ck_assert_int_eq(p[99], (char)0xA5);
    fill_cycle(3, 64 * KIB);
    ck_assert_int_eq(p[99], (char)0xA5);
}
END_TEST

START_TEST(zero_after_a_reset)
{
    static const size_t sizes[] = {1,        100,       3000,    40 * KIB,
                                   70 * KIB, 600 * KIB, 2 * MIB, 3 * MIB + 1};
    use("");
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < LENGTH(sizes); i++) {
            char *p = sluice_calloc(module, 1, sizes[i]),
                 *q = sluice_aligned_alloc(module, 256, sizes[i]);
            ck_assert(test_is_zero(p, sizes[i]));
            memset(p, 1, sluice_usable_size(p));
            memset(q, 1, sluice_usable_size(q));
            if (round == 1)
                sluice_free(q); /* what comes here next is not zero */
        }
        reset();
    }
}
END_TEST

/* ---- What a free gives back ------------------------------------------------------------------ */

START_TEST(newest_is_reused)
{
    use("");
    char *first = made(100), *p = made(500);
    sluice_free(p);
    ck_assert_ptr_eq(made(40), p);
    char *q = made(40);
    sluice_free(first); /* not the newest */
    ck_assert_ptr_ne(made(100), first);
    ck_assert_int_eq(q[39], (char)0xA5);
    ck_assert_uint_eq(stats_of(module).live_objects, 3);
}
END_TEST

START_TEST(newest_between_pieces_is_reused)
{
    use("");
    char *small = made(100), *p = made(200 * KIB);
    for (int i = 0; i < 100; i++) {
        sluice_free(p);
        ck_assert_ptr_eq(made(200 * KIB), p);
    }
    ck_assert_uint_eq(stats_of(module).live_objects, 2);
    ck_assert_int_eq(small[99], (char)0xA5);
}
END_TEST

START_TEST(an_empty_piece_is_reused)
{
    use("");
    char *p[100];
    for (int round = 0; round < 3; round++) {
        char *start = NULL;
        for (int i = 0; i < 100; i++)
            p[i] = made(300);
        start = round == 0 ? p[0] : start;
        if (start != NULL)
            ck_assert_ptr_eq(p[0], start);
        for (int i = 0; i < 100; i++)
            sluice_free(p[(i * 37) % 100]);
    }
    ck_assert_uint_eq(stats_of(module).live_bytes, 0);
}
END_TEST

START_TEST(newest_grows_in_place)
{
    use("");
    made(10);
    char *p = made(50);
    for (size_t size = 100; size < 20000; size += 700) {
        char *q = sluice_realloc(module, p, size);
        ck_assert_ptr_eq(q, p);
        ck_assert_uint_ge(sluice_usable_size(q), size);
        ck_assert_uint_lt(sluice_usable_size(q), size + 16);
    }
    char *other = made(10);
    ck_assert_ptr_ne(sluice_realloc(module, p, 30000), p);
    p = sluice_realloc(module, other, 1000); /* it is not the newest any more */
    ck_assert_ptr_ne(p, other);
    ck_assert_int_eq(p[9], (char)0xA5);
    ck_assert_ptr_eq(sluice_realloc(module, p, 8), p);
    ck_assert_uint_eq(sluice_usable_size(p), 8);
    ck_assert_ptr_eq(made(8), p + 16);
}
END_TEST

START_TEST(large_objects_lie_apart)
{
    use("");
    char *small = made(100);
    char *p = made(3 * MIB), *q = made(5 * MIB + 1);
    ck_assert_uint_eq((uintptr_t)p % (2 * MIB), 0);
    ck_assert_uint_eq(sluice_usable_size(q), 5 * MIB + 4096);
    uint64_t live = stats_of(module).live_bytes;
    ck_assert_ptr_eq(sluice_realloc(module, p, 4 * MIB), p);
    ck_assert_uint_eq(stats_of(module).live_bytes, live + MIB);
    sluice_free(q);
    ck_assert_uint_eq(stats_of(module).live_bytes, live + MIB - 5 * MIB - 4096);
    ck_assert_ptr_eq(made(6 * MIB), q); /* it is kept for the next one */
    ck_assert_ptr_eq(made(100), small + 112);
    reset();
    q = sluice_calloc(module, 1, 4 * MIB);
    ck_assert_ptr_eq(q, p);
    ck_assert(test_is_zero(q, 4 * MIB));
}
END_TEST

START_TEST(alignments)
{
    use("");
    for (int round = 0; round < 2; round++) {
        for (size_t alignment = 16; alignment <= GIB; alignment *= 2) {
            size_t size = alignment < 4 * MIB ? alignment / 3 + 1 : 5000;
            char *p = sluice_aligned_alloc(module, alignment, size);
            ck_assert_ptr_nonnull(p);
            ck_assert_uint_eq((uintptr_t)p & (alignment - 1), 0);
            ck_assert_uint_ge(sluice_usable_size(p), size);
            memset(p, 1, sluice_usable_size(p));
            struct sluice_owner owner = {.struct_size = sizeof owner};
            ck_assert_int_eq(sluice_owner(p, &owner), SLUICE_OK);
            ck_assert_int_eq(sluice_owner(p + 16, &owner), SLUICE_ERROR_NOT_OWNED);
        }
        struct sluice_module_stats stats = stats_of(module);
        ck_assert_uint_eq(stats.live_objects, 27);
        reset();
    }
}
END_TEST

/* ---- Threads --------------------------------------------------------------------------------- */

enum { THREADS = 4, OBJECTS = 3000 };
static char *objects[THREADS][OBJECTS];
static pthread_barrier_t barrier;

static void make_objects(uintptr_t index, int round)
{
    uint64_t random = index + 1;
    for (int i = 0; i < OBJECTS; i++) {
        size_t size = test_random_size(&random, 2 * KIB) + 8;
        objects[index][i] = sluice_malloc(module, size);
        memcpy(objects[index][i], &i, sizeof i);
        memset(objects[index][i] + sizeof i, (int)index + round, size - sizeof i);
    }
}

static void *phases(void *index)
{
    for (int round = 0; round < 6; round++) {
        /* In some rounds a thread does nothing: its state is older than the last reset then. */
        if ((uintptr_t)index == 0 || round % (int)((uintptr_t)index + 1) == 0)
            make_objects((uintptr_t)index, round);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier); /* reset in between */
    }
    return NULL;
}

START_TEST(reset_finds_threads_outdated)
{
    use("");
    made(1); /* makes the arena */
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, phases, (void *)i), 0);
    uint64_t allocated = 1;
    for (int round = 0; round < 6; round++) {
        pthread_barrier_wait(&barrier);
        uint64_t live = 0;
        for (int t = 0; t < THREADS; t++) {
            if (t != 0 && round % (t + 1) != 0)
                continue;
            live += OBJECTS;
            for (int i = 0, k; i < OBJECTS; i++) {
                memcpy(&k, objects[t][i], sizeof k);
                ck_assert_int_eq(k, i);
                ck_assert_int_eq(objects[t][i][sizeof i], t + round);
            }
        }
        allocated += live;
        struct sluice_module_stats stats = stats_of(module);
        ck_assert_uint_eq(stats.live_objects, live + (round == 0));
        ck_assert_uint_eq(stats.allocated_objects, allocated);
        reset();
        stats = stats_of(module);
        ck_assert_uint_eq(stats.live_objects, 0);
        ck_assert_uint_eq(stats.live_bytes, 0);
        ck_assert_uint_eq(stats.freed_objects, allocated);
        pthread_barrier_wait(&barrier);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(held_by(module), 0);
}
END_TEST

static void *make_and_leave(void *index)
{
    make_objects((uintptr_t)index, 0);
    return NULL;
}

START_TEST(objects_outlive_their_thread)
{
    use("");
    run_threads(THREADS, make_and_leave);
    ck_assert_uint_eq(stats_of(module).live_objects, THREADS * OBJECTS);
    fill_cycle(1, 64 * KIB); /* takes what they left of their pieces */
    for (int t = 0; t < THREADS; t++)
        for (int i = 0, k; i < OBJECTS; i++) {
            memcpy(&k, objects[t][i], sizeof k);
            ck_assert_int_eq(k, i);
            sluice_free(objects[t][i]);
        }
    reset();
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
}
END_TEST

static void *make_one(void *index)
{
    objects[0][(uintptr_t)index] = made(100);
    return NULL;
}

START_TEST(small_arenas_are_small)
{
    use(", huge_pages: auto");
    made(1);
    uint64_t before = kernel_resident(), chunks = process_stats().chunk_bytes;
    for (int i = 0; i < 500; i++) { /* one after the other: each takes up where the last one left */
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, make_one, (void *)(uintptr_t)i), 0);
        pthread_join(thread, NULL);
    }
    ck_assert_uint_le(process_stats().chunk_bytes, chunks);
    if (!SANITIZED)
        ck_assert_uint_le(kernel_resident(), before + 1 * MIB);
}
END_TEST

/* ---- Limits ---------------------------------------------------------------------------------- */

START_TEST(limit_holds_until_the_reset)
{
    static const size_t sizes[] = {24, 3000, 70000, 3 * MIB};
    use_policy("backends: {r: {kind: region}}\n"
               "modules:\n"
               "  phases: {route: [{to: r}], limit: {hard: 32MiB}}\n");
    module = use_module("phases");
    for (int round = 0; round < 3; round++) {
        char *p, *last = NULL;
        errno = 0;
        while ((p = sluice_malloc(module, sizes[_i])) != NULL)
            last = p;
        ck_assert_int_eq(errno, ENOMEM);
        struct sluice_module_stats stats = stats_of(module);
        uint64_t headers = stats.live_objects * BUMP_HEADER;
        ck_assert_uint_le(stats.live_bytes, 32 * MIB);
        ck_assert_uint_ge(stats.live_bytes + headers, 32 * MIB * 7 / 8);
        sluice_free(last);
        ck_assert_ptr_nonnull(last = sluice_malloc(module, sizes[_i])); /* the newest came back */
        ck_assert_ptr_null(sluice_malloc(module, 3 * MIB));
        ck_assert_ptr_null(sluice_realloc(module, last, 40 * MIB));
        reset();
        ck_assert_uint_eq(held_by(module), 0);
    }
}
END_TEST

/* ---- Misuse ---------------------------------------------------------------------------------- */

enum misuse { TWICE, TWICE_OLDER, INSIDE, INSIDE_LARGE, TWICE_LARGE, AFTER_RESET };

static void misuse(void *arg)
{
    char *p = made(100), *newer = made(100), *large = made(3 * MIB);
    switch (*(enum misuse *)arg) {
    case TWICE:
        sluice_free(newer);
        sluice_free(newer);
        break;
    case TWICE_OLDER:
        sluice_free(p);
        sluice_free(p);
        break;
    case INSIDE:
        sluice_free(p + 32);
        break;
    case INSIDE_LARGE:
        sluice_free(large + 4096);
        break;
    case TWICE_LARGE:
        sluice_free(large);
        sluice_free(large);
        break;
    case AFTER_RESET:
        reset();
        sluice_free(p);
        break;
    }
}

START_TEST(misuse_is_reported)
{
    static const char *const says[] = {"freed before",          "freed before",
                                       "not an object's start", "not an object's start",
                                       "freed before",          "went with its phase"};
    use("");
    enum misuse kind = (enum misuse)_i;
    struct child child = run_child(misuse, &kind, 20000);
    ck_assert(child_aborted(&child));
    ck_assert_msg(strstr(child.error, says[_i]) != NULL, "%s", child.error);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("region");
    tcase_add_loop_test(tc, cycles_are_warm, 0, 5);
    tcase_add_test(tc, warm_memory_goes_in_time);
    tcase_add_test(tc, some_is_retained);
    tcase_add_test(tc, a_trim_takes_what_a_smaller_phase_left);
    tcase_add_test(tc, zero_after_a_reset);
    tcase_add_test(tc, newest_is_reused);
    tcase_add_test(tc, newest_between_pieces_is_reused);
    tcase_add_test(tc, an_empty_piece_is_reused);
    tcase_add_test(tc, newest_grows_in_place);
    tcase_add_test(tc, large_objects_lie_apart);
    tcase_add_test(tc, alignments);
    tcase_add_test(tc, reset_finds_threads_outdated);
    tcase_add_test(tc, objects_outlive_their_thread);
    tcase_add_test(tc, small_arenas_are_small);
    tcase_add_loop_test(tc, limit_holds_until_the_reset, 0, 4);
    tcase_add_loop_test(tc, misuse_is_reported, 0, 6);
    return run_suite("region", &tc, 1);
}
