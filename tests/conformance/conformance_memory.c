/* conformance_memory.c - the statistics against what was done, and against what the kernel says. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "tests/conformance/conformance.h"

/* Figures may differ from the kernel's by this much and 5 %. */
#define TOLERANCE (4 * MIB)

static void setup(void)
{
    use_backend(NULL);
    sluice_free(sluice_malloc(module, 100)); /* what the library needs once is there now */
}

static void **objects;
static size_t object_count;

static void make_objects(size_t total, size_t low, size_t high)
{
    uint64_t random = low + high;
    if (objects == NULL)
        objects = test_memory(sizeof *objects * 4 * MIB);
    object_count = 0;
    for (size_t sum = 0; sum < total && object_count < 4 * MIB;) {
        size_t size = random_size(&random, low, high);
        void *p = sluice_malloc(module, size);
        ck_assert_ptr_nonnull(p);
        memset(p, 1, sluice_usable_size(p)); /* all of it resident */
        objects[object_count++] = p;
        sum += size;
    }
}

/* Frees all objects but every `keep`-th; 0: all. */
static void free_objects(size_t keep)
{
    for (size_t i = 0; i < object_count; i++)
        if (objects[i] != NULL && (keep == 0 || i % keep != 0)) {
            sluice_free(objects[i]);
            objects[i] = NULL;
        }
}

static const struct {
    size_t low, high;
} mixes[] = {
    {16, 256},
    {200, 8 * KIB},
    {4 * KIB, 100 * KIB},
    {64 * KIB, 64 * KIB},
    {100 * KIB, 3 * MIB},
    {2 * MIB, 9 * MIB},
    {16, 2 * MIB},
};
enum { MIXES = sizeof mixes / sizeof *mixes };

/* ---- Counting -------------------------------------------------------------------------------- */

static void check_live(uint64_t allocated)
{
    uint64_t count = 0, bytes = 0;
    for (size_t i = 0; i < object_count; i++)
        if (objects[i] != NULL) {
            count++;
            bytes += sluice_usable_size(objects[i]);
        }
    struct sluice_module_stats stats = stats_now();
    ck_assert_uint_eq(stats.live_objects, count);
    ck_assert_uint_eq(stats.live_bytes, bytes);
    ck_assert_uint_eq(stats.allocated_objects, allocated);
    ck_assert_uint_eq(stats.freed_objects, allocated - count);
    ck_assert_uint_ge(stats.peak_live_bytes, bytes);
}

START_TEST(counts)
{
    uint64_t before = stats_now().allocated_objects;
    make_objects(24 * MIB, mixes[_i].low, mixes[_i].high);
    uint64_t allocated = before + object_count;
    check_live(allocated);
    free_objects(3);
    check_live(allocated);
    free_objects(0);
    check_live(allocated);
}
END_TEST

START_TEST(counts_of_realloc)
{
    struct sluice_module_stats before = stats_now();
    char *p = sluice_malloc(module, 100);
    for (size_t size = 100; size < 20 * MIB; size = size * 5 / 3) {
        p = sluice_realloc(module, p, size);
        ck_assert_ptr_nonnull(p);
        struct sluice_module_stats stats = stats_now();
        ck_assert_uint_eq(stats.live_objects, 1);
        ck_assert_uint_eq(stats.live_bytes, sluice_usable_size(p));
    }
    for (size_t size = 20 * MIB; size > 10; size /= 2) {
        p = sluice_realloc(module, p, size);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq(stats_now().live_bytes, sluice_usable_size(p));
    }
    sluice_free(p);
    struct sluice_module_stats after = stats_now();
    ck_assert_uint_eq(after.live_objects, 0);
    ck_assert_uint_eq(after.live_bytes, 0);
    ck_assert_uint_eq(after.allocated_objects - before.allocated_objects,
                      after.freed_objects - before.freed_objects);
}
END_TEST

START_TEST(peak_of_live_bytes)
{
    make_objects(32 * MIB, 64, 64 * KIB);
    uint64_t live = stats_now().live_bytes;
    free_objects(0);
    uint64_t peak = stats_now().peak_live_bytes;
    ck_assert_uint_ge(peak, live);
    ck_assert_uint_le(peak, live + live / 10);
}
END_TEST

/* ---- Against the kernel ---------------------------------------------------------------------- */

static uint64_t start_kernel, start_held;

static uint64_t held(void)
{
    struct sluice_module_stats stats = stats_now();
    return stats.live_bytes + stats.cached_bytes + stats.metadata_bytes;
}

static void check_agreement(const char *when, int mix)
{
    int64_t kernel, ours, again;
    struct sluice_module_stats stats;
    int tries = 0;
    do { /* a reading of both in a moment without a purge */
        ours = (int64_t)(held() - start_held);
        kernel = (int64_t)(kernel_resident() - start_kernel);
        usleep(2000);
        stats = stats_now();
        again = (int64_t)(held() - start_held);
    } while (ours != again && ++tries < 1000);
    int64_t most = kernel > ours ? kernel : ours;
    int64_t difference = kernel > ours ? kernel - ours : ours - kernel;
    ck_assert_msg(difference <= most / 20 + (int64_t)TOLERANCE,
                  "%s, sizes %zu to %zu: the kernel counts %ld KiB more than at the start, the "
                  "statistics %ld KiB (live %lu, cached %lu, metadata %lu)",
                  when, mixes[mix].low, mixes[mix].high, (long)(kernel / 1024), (long)(ours / 1024),
                  stats.live_bytes / 1024, stats.cached_bytes / 1024, stats.metadata_bytes / 1024);
}

START_TEST(agrees_with_the_kernel)
{
    objects = test_memory(sizeof *objects * 4 * MIB);
    start_kernel = kernel_resident();
    start_held = held();
    make_objects(96 * MIB, mixes[_i].low, mixes[_i].high);
    check_agreement("all live", _i);
    free_objects(2);
    check_agreement("half freed", _i);
    sluice_trim(module);
    check_agreement("half freed and trimmed", _i);
    free_objects(0);
    check_agreement("all freed", _i);
    sluice_trim(module);
    check_agreement("all freed and trimmed", _i);
}
END_TEST

START_TEST(trim_gives_back)
{
    objects = test_memory(sizeof *objects * 4 * MIB);
    uint64_t before = kernel_resident();
    for (int round = 0; round < 3; round++) {
        make_objects(96 * MIB, mixes[_i].low, mixes[_i].high);
        uint64_t full = kernel_resident();
        ck_assert_uint_ge(full, before + 90 * MIB);
        free_objects(0);
        sluice_trim(module);
        uint64_t after = kernel_resident();
        ck_assert_msg(after <= before + 8 * MIB,
                      "sizes %zu to %zu, round %d: %lu KiB before, %lu KiB full, %lu KiB after",
                      mixes[_i].low, mixes[_i].high, round, before / 1024, full / 1024,
                      after / 1024);
    }
}
END_TEST

static void *churn(void *barrier)
{
    void *p[500];
    for (int i = 0; i < 500; i++) {
        p[i] = sluice_malloc(module, 8000);
        memset(p[i], 1, 8000);
    }
    for (int i = 0; i < 500; i++)
        sluice_free(p[i]);
    pthread_barrier_wait(barrier);
    pthread_barrier_wait(barrier); /* alive, with its caches, while the others look */
    return NULL;
}

START_TEST(trim_reaches_other_threads)
{
    enum { COUNT = 16 };
    pthread_t threads[COUNT];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, COUNT + 1);
    uint64_t before = kernel_resident();
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, &barrier), 0);
    pthread_barrier_wait(&barrier);
    sluice_trim(module);
    uint64_t after = kernel_resident();
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < COUNT; i++)
        pthread_join(threads[i], NULL);
    ck_assert_msg(after <= before + 12 * MIB, "%lu KiB before, %lu KiB after", before / 1024,
                  after / 1024);
}
END_TEST

/* ---- The hard limit -------------------------------------------------------------------------- */

#define LIMIT (32 * MIB)

static void setup_limited(void)
{
    use_backend("modules:\n"
                "  conformance: {route: [{to: subject}], limit: {hard: 32MiB}}\n");
    objects = test_memory(sizeof *objects * 4 * MIB);
}

START_TEST(limit_is_respected)
{
    static const size_t sizes[] = {200, 3000, 70000, 3 * MIB};
    size_t size = sizes[_i];
    for (int round = 0; round < 3; round++) {
        object_count = 0;
        void *p;
        errno = 0;
        while ((p = sluice_malloc(module, size)) != NULL) {
            ck_assert_uint_lt(object_count, 2 * LIMIT / size);
            fill(p, size, object_count);
            objects[object_count++] = p;
        }
        ck_assert_int_eq(errno, ENOMEM);
        struct sluice_module_stats stats = stats_now();
        ck_assert_uint_eq(stats.limit_bytes, LIMIT);
        ck_assert_uint_le(stats.live_bytes, LIMIT);
        ck_assert_uint_ge(stats.live_bytes, LIMIT * 3 / 4);
        ck_assert_uint_ge(stats.failed_allocations, 1);

        /* Growing fails, and leaves the object alone. */
        errno = 0;
        ck_assert_ptr_null(sluice_realloc(module, objects[0], LIMIT));
        ck_assert_int_eq(errno, ENOMEM);
        for (size_t i = 0; i < object_count; i++)
            ck_assert(is_filled(objects[i], size, i));

        /* What is freed can be had again. */
        free_objects(2);
        p = sluice_malloc(module, size);
        ck_assert_ptr_nonnull(p);
        sluice_free(p);
        free_objects(0);
    }
}
END_TEST

TCase *memory_cases(void)
{
    TCase *tc = tcase_create("memory");
    tcase_add_checked_fixture(tc, setup, NULL);
    ADD_CASE(tc, counts, MIXES);
    ADD_CASE(tc, counts_of_realloc, 1);
    ADD_CASE(tc, peak_of_live_bytes, 1);
    if (!SANITIZED) {
        ADD_CASE(tc, agrees_with_the_kernel, MIXES);
        ADD_CASE(tc, trim_gives_back, MIXES);
        ADD_CASE(tc, trim_reaches_other_threads, 1);
    }
    return tc;
}

TCase *limit_cases(void)
{
    TCase *tc = tcase_create("limit");
    tcase_add_checked_fixture(tc, setup_limited, NULL);
    ADD_CASE(tc, limit_is_respected, 4);
    return tc;
}
