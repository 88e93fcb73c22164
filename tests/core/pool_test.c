/* The thread-local fixed pool: what threads keep, what comes back to the system and when, and that no pattern of threads
 * makes memory grow. */
#include "backends/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/os.h"
#include "tests/support/testing.h"

static sluice_module module;

static void start(const char *parameters)
{
    char text[512];
    snprintf(text, sizeof text,
             "default: mmap\nbackends: {p: {kind: pool%s%s}}\n"
             "modules: {m: {route: [{max_size: 512KiB, to: p}, {to: mmap}]}}\n",
             *parameters == '\0' ? "" : ", ", parameters);
    use_policy(text);
    module = use_module("m");
}

#define OBJECTS 4000
static void *objects[OBJECTS];

static void allocate(unsigned n, size_t size)
{
    for (unsigned i = 0; i < n; i++) {
        objects[i] = sluice_malloc(module, size);
        memset(objects[i], 1, size);
    }
}

static void free_all(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        sluice_free(objects[i]);
}

/* ---- Slabs ----------------------------------------------------------------------------------- */

static size_t objects_in_chunk(unsigned pieces, size_t size)
{
    return SLAB_PIECES / pieces * (pieces * SLAB_PIECE_SIZE / size);
}

/* What is left over of chunks by longer objects is address space: nobody touches it. */
static void check_longer(unsigned n, size_t size)
{
    size_t most = 0, good = CHUNK_SIZE / 16 * 15;
    for (unsigned other = 1; other <= POOL_MAX_PIECES; other++) {
        size_t count = objects_in_chunk(other, size);
        bool few = size < 129 * KIB && other * SLAB_PIECE_SIZE / size < 4;
        most = count > most ? count : most;
        if (count * size >= good && !few)
            ck_assert_uint_ge(other, n);
    }
    ck_assert(objects_in_chunk(n, size) * size >= good || objects_in_chunk(n, size) == most);
    ck_assert_uint_ge(most * size, CHUNK_SIZE / 4 * 3);
}

START_TEST(slabs_waste_little)
{
    for (unsigned k = 0; k < SIZE_CLASS_COUNT; k++) {
        unsigned n = pool_pieces[k];
        size_t bytes = n * SLAB_PIECE_SIZE, size = size_class_bytes[k], count = bytes / size;
        ck_assert_uint_ge(n, 1);
        ck_assert_uint_le(n, POOL_MAX_PIECES);
        ck_assert_uint_ge(count, size_class_most(k) <= 128 * KIB ? 4 : 1);
        ck_assert_uint_le(count, UINT16_MAX); /* as far as the count of returned objects reaches */
        if (size_class_is_longer(k))
            check_longer(n, size);
        else
            ck_assert_uint_le((bytes - count * size) * 32, bytes);
        if (size >= 8 * KIB)
            ck_assert_uint_le(count, 64); /* a bit for each object, see pool_pages.c */
    }
}
END_TEST

/* Whole pages that begin at the same place of a page would be in each other's way in the processor's caches. */
START_TEST(large_objects_begin_at_different_lines)
{
    start("");
    for (size_t size = 16 * KIB; size <= 512 * KIB; size += size / 4) {
        uint64_t lines = 0;
        allocate(32, size);
        for (unsigned i = 0; i < 32; i++)
            lines |= (uint64_t)1 << ((uintptr_t)objects[i] / 64 % 64);
        if (size <= 128 * KIB)
            ck_assert_int_ge(__builtin_popcountll(lines), 4);
        free_all(32);
    }
}
END_TEST

/* Who asks for alignment has it from the pool, too. */
START_TEST(large_objects_are_aligned_on_demand)
{
    start("");
    for (size_t alignment = 16; alignment <= 64 * KIB; alignment *= 2)
        for (size_t size = 100; size <= 512 * KIB; size *= 3) {
            void *p = sluice_aligned_alloc(module, alignment, size);
            ck_assert_uint_eq((uintptr_t)p % alignment, 0);
            ck_assert_str_eq(kind_of(p), "pool");
            ck_assert_uint_ge(sluice_usable_size(p), size);
            test_fill(p, sluice_usable_size(p), size);
            objects[0] = sluice_aligned_alloc(module, alignment, size);
            ck_assert(test_is_filled(p, sluice_usable_size(p), size));
            sluice_free(p);
            sluice_free(objects[0]);
        }
    ck_assert_uint_eq(stats_of(module).live_bytes, 0);
}
END_TEST

START_TEST(every_class_serves)
{
    start("");
    void *p[SIZE_CLASS_COUNT][20];
    for (unsigned k = 0; k < SIZE_CLASS_COUNT; k++)
        for (unsigned i = 0; i < 20; i++) {
            p[k][i] = k < SIZE_CLASS_PLAIN
                          ? sluice_malloc(module, size_class_most(k))
                          : sluice_aligned_alloc(module, 4 * KIB, size_class_bytes[k]);
            ck_assert_str_eq(kind_of(p[k][i]), "pool");
            ck_assert_uint_eq(sluice_usable_size(p[k][i]), size_class_bytes[k]);
            test_fill(p[k][i], size_class_bytes[k], i);
        }
    for (unsigned k = 0; k < SIZE_CLASS_COUNT; k++)
        for (unsigned i = 0; i < 20; i++) {
            ck_assert(test_is_filled(p[k][i], size_class_bytes[k], i));
            sluice_free(p[k][i]);
        }
    ck_assert_uint_eq(stats_of(module).live_bytes, 0);
}
END_TEST

START_TEST(objects_are_used_again)
{
    start("");
    void *first = sluice_malloc(module, 100);
    sluice_free(first);
    ck_assert_ptr_eq(sluice_malloc(module, 100), first);
    sluice_free(first);
    /* Also slabs of another class, and another thread's. */
    allocate(OBJECTS, 1000);
    free_all(OBJECTS);
    uint64_t chunks = process_stats().chunk_bytes;
    for (size_t size = 16; size <= 1000; size *= 2) {
        allocate(OBJECTS, size);
        free_all(OBJECTS);
    }
    ck_assert_uint_le(process_stats().chunk_bytes, chunks + 2 * MIB);
}
END_TEST

/* ---- Magazines ------------------------------------------------------------------------------- */

/* The thread keeps a part of what it frees, bounded; the rest is in slabs, which become empty. */
START_TEST(a_thread_keeps_a_bounded_part_of_what_it_frees)
{
    start("thread_cache: 2MiB, retain: 0");
    uint64_t before = process_stats().chunk_bytes;
    for (size_t size = 16; size <= 32 * KIB; size *= 2)
        for (unsigned round = 0; round < 5; round++) {
            unsigned n = (unsigned)(4 * MIB / size < OBJECTS ? 4 * MIB / size : OBJECTS);
            allocate(n, size);
            ck_assert_uint_eq(stats_of(module).live_objects, n);
            free_all(n);
            ck_assert_uint_eq(stats_of(module).live_objects, 0);
            ck_assert_uint_eq(stats_of(module).live_bytes, 0);
        }
    sluice_trim(module);
    ck_assert_uint_le(process_stats().chunk_bytes, before);
    ck_assert_uint_eq(stats_of(module).cached_bytes, 0);
}
END_TEST

/* Under a hard limit the slabs that a thread's free objects keep are given up for objects of another size. */
START_TEST(what_a_thread_keeps_is_given_up_at_a_limit)
{
    use_policy("modules: {m: {route: [{to: pool}], limit: {hard: 1MiB, on_hard: fail}}}\n");
    module = use_module("m");
    for (size_t size = 16; size <= 16 * KIB; size *= 2) {
        unsigned n = 0;
        while (n < OBJECTS && (objects[n] = sluice_malloc(module, size)) != NULL)
            n++;
        ck_assert_uint_ge(n * size, n == OBJECTS ? 0 : 900 * KIB);
        free_all(n);
    }
}
END_TEST

static unsigned handed;

static void *free_what_was_allocated(void *unused)
{
    free_all(handed);
    return unused;
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return x < y ? -1 : x > y;
}

/* What another thread returned, few or many, is handed out once each. Of those twice as many, as what the magazine and the slab
 * had left may come before. */
START_TEST(what_others_return_is_handed_out_once)
{
    start("");
    static const unsigned numbers[] = {1, 2, 7, 60, 61, 255, 300, 2000};
    for (size_t size = 16; size <= 4 * KIB; size *= 4)
        for (size_t i = 0; i < LENGTH(numbers); i++) {
            handed = numbers[i];
            allocate(handed, size);
            run_threads(1, free_what_was_allocated);
            ck_assert_uint_eq(stats_of(module).live_objects, 0);
            allocate(2 * handed, size);
            ck_assert_uint_eq(stats_of(module).live_objects, 2 * handed);
            qsort(objects, 2 * handed, sizeof *objects, by_address);
            for (unsigned k = 1; k < 2 * handed; k++)
                ck_assert_int_ge((char *)objects[k] - (char *)objects[k - 1], (ptrdiff_t)size);
            free_all(2 * handed);
            ck_assert_uint_eq(stats_of(module).live_objects, 0);
            ck_assert_uint_eq(stats_of(module).live_bytes, 0);
        }
}
END_TEST

/* ---- The thread cache ------------------------------------------------------------------------ */

START_TEST(a_thread_keeps_no_more_than_its_cache)
{
    /* What is beyond the cache goes back to the arena at once, and to the system as soon as retain and time allow. */
    start(
        "thread_cache: 1MiB, retain: 0, purge_after: 5m"); /* nobody empties the cache meanwhile */
    allocate(OBJECTS, 10000);                              /* 40 MB */
    free_all(OBJECTS);
    struct sluice_arena *a = arena_by_id(0);
    for (uint32_t id = 0; a == NULL || strcmp(a->ops->name, "pool") != 0; id++)
        a = arena_by_id(id + 1);
    struct pool_heap *h = thread_self->heaps[a->id]->state;
    ck_assert_uint_le(h->reserve_bytes, MIB);
    ck_assert_uint_gt(h->reserve_bytes, MIB / 2);
}
END_TEST

/* ---- Memory that is made ready, and kept ------------------------------------------------------ */

#if !SANITIZED

START_TEST(preallocated_memory_is_resident_and_stays)
{
    uint64_t before = kernel_resident();
    start("preallocate: 64MiB, retain: 0, purge_after: 10ms");
    sluice_free(sluice_malloc(module, 100)); /* the arena is made when it is first used */
    ck_assert_uint_ge(kernel_resident(), before + 64 * MIB);
    allocate(OBJECTS, 10000);
    ck_assert_uint_le(kernel_resident(), before + 72 * MIB);
    free_all(OBJECTS);
    _Atomic uint32_t never = 0;
    for (int i = 0; i < 200; i++) /* purges come and go */
        ck_assert(!wait_for_count(&never, 1, 1));
    ck_assert_uint_ge(kernel_resident(), before + 60 * MIB);
    /* Whoever asks gets all. */
    ck_assert_uint_ge(sluice_trim(module), 60 * MIB);
    ck_assert_uint_lt(kernel_resident(), before + 4 * MIB);
}
END_TEST

struct target {
    uint64_t bytes;
};

static bool resident_is_below(void *target)
{
    return kernel_resident() < ((struct target *)target)->bytes;
}

START_TEST(retained_memory_stays_and_the_rest_returns)
{
    start("retain: 16MiB, purge_after: 100ms, thread_cache: 0");
    uint64_t before = kernel_resident();
    allocate(OBJECTS, 10000);
    free_all(OBJECTS);
    ck_assert(wait_until(resident_is_below, &(struct target){before + 20 * MIB}, 5000));
    uint64_t end = now_ms() + 500; /* five times as long as free memory is kept */
    while (now_ms() < end)
        ck_assert_uint_gt(kernel_resident(), before + 12 * MIB);
}
END_TEST

START_TEST(free_memory_returns_in_time)
{
    start("retain: 0, purge_after: 500ms");
    uint64_t before = kernel_resident();
    allocate(OBJECTS, 10000);
    ck_assert_uint_gt(kernel_resident(), before + 30 * MIB);
    free_all(OBJECTS);
    uint64_t freed = now_ms();
    ck_assert(wait_until(resident_is_below, &(struct target){before + 2 * MIB}, 10000));
    uint64_t took = now_ms() - freed;
    ck_assert_msg(took >= 300 && took < 3000, "after %llu ms", (unsigned long long)took);
}
END_TEST

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static bool wake_up;
static _Atomic uint32_t asleep, ready;
static void *theirs[16][500];

static void sleep_until_told(void)
{
    pthread_mutex_lock(&mutex);
    atomic_fetch_add(&asleep, 1);
    while (!wake_up)
        pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void *work_and_sleep(void *index)
{
    void **mine = theirs[(uintptr_t)index];
    for (unsigned i = 0; i < 500; i++) {
        mine[i] = sluice_malloc(module, 5000);
        memset(mine[i], 1, 5000);
    }
    for (unsigned i = 0; i < 500; i++)
        sluice_free(mine[i]);
    sleep_until_told();
    void *p = sluice_malloc(module, 5000);
    memset(p, 1, 5000);
    sluice_free(p);
    return NULL;
}

static void *work_and_leave_to_others(void *index)
{
    void **mine = theirs[(uintptr_t)index];
    for (unsigned i = 0; i < 500; i++) {
        mine[i] = sluice_malloc(module, 5000);
        memset(mine[i], 1, 5000);
    }
    sleep_until_told();
    return NULL;
}

static void start_sleepers(pthread_t *threads, void *(*fn)(void *))
{
    for (uintptr_t i = 0; i < 16; i++)
        pthread_create(&threads[i], NULL, fn, (void *)i);
    ck_assert(wait_for_count(&asleep, 16, 20000));
}

static void wake_sleepers(pthread_t *threads)
{
    pthread_mutex_lock(&mutex);
    wake_up = true;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
    for (unsigned i = 0; i < 16; i++)
        pthread_join(threads[i], NULL);
}

START_TEST(memory_of_sleeping_threads_returns)
{
    start("retain: 0, purge_after: 200ms");
    uint64_t before = kernel_resident();
    pthread_t threads[16];
    start_sleepers(threads, work_and_sleep);
    ck_assert_uint_gt(kernel_resident(), before + 30 * MIB);
    ck_assert(wait_until(resident_is_below, &(struct target){before + 4 * MIB}, 5000));
    wake_sleepers(threads);
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
}
END_TEST

START_TEST(what_others_free_of_sleeping_threads_returns)
{
    start("retain: 0, purge_after: 200ms");
    uint64_t before = kernel_resident();
    pthread_t threads[16];
    start_sleepers(threads, work_and_leave_to_others);
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < 500; j++)
            sluice_free(theirs[i][j]);
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
    ck_assert(wait_until(resident_is_below, &(struct target){before + 4 * MIB}, 10000));
    wake_sleepers(threads);
}
END_TEST

START_TEST(what_others_free_of_ended_threads_returns)
{
    start("retain: 0, purge_after: 200ms");
    uint64_t before = kernel_resident();
    pthread_t threads[16];
    start_sleepers(threads, work_and_leave_to_others);
    wake_sleepers(threads);
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < 500; j++)
            sluice_free(theirs[i][j]);
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
    ck_assert(wait_until(resident_is_below, &(struct target){before + 4 * MIB}, 10000));
}
END_TEST

/* ---- Patterns of threads ---------------------------------------------------------------------- */

static _Atomic(void *) ring[1024];

static void *produce(void *unused)
{
    for (unsigned i = 0; i < 2000000; i++) {
        void *p = sluice_malloc(module, 100 + i % 1000);
        *(char *)p = 1;
        while (atomic_load_explicit(&ring[i % 1024], memory_order_acquire) != NULL)
            sched_yield();
        atomic_store_explicit(&ring[i % 1024], p, memory_order_release);
        if (i == 200000)
            atomic_store(&ready, 1);
    }
    return NULL;
}

static void *consume(void *unused)
{
    for (unsigned i = 0; i < 2000000; i++) {
        void *p;
        while ((p = atomic_load_explicit(&ring[i % 1024], memory_order_acquire)) == NULL)
            sched_yield();
        sluice_free(p);
        atomic_store_explicit(&ring[i % 1024], NULL, memory_order_release);
    }
    return NULL;
}

START_TEST(producer_and_consumer_stay_flat)
{
    start("");
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, produce, NULL);
    pthread_create(&threads[1], NULL, consume, NULL); /* only frees */
    ck_assert(wait_for_count(&ready, 1, 60000));
    uint64_t resident = kernel_resident(), metadata = process_stats().metadata_bytes;
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    ck_assert_uint_le(kernel_resident(), resident + 4 * MIB);
    ck_assert_uint_le(process_stats().metadata_bytes, metadata + 256 * KIB);
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
}
END_TEST

static pthread_barrier_t trim_barrier;

static void *keep_half_in_a_magazine(void *unused)
{
    allocate(4, 1000);
    sluice_free(objects[0]);
    sluice_free(objects[1]);
    pthread_barrier_wait(&trim_barrier); /* the other half is freed by another, */
    pthread_barrier_wait(&trim_barrier); /* and a trim was */
    return unused;
}

/* Also where the rest of a slab's objects was returned by other threads. */
START_TEST(one_trim_takes_all)
{
    start("");
    pthread_t thread;
    pthread_barrier_init(&trim_barrier, NULL, 2);
    pthread_create(&thread, NULL, keep_half_in_a_magazine, NULL);
    pthread_barrier_wait(&trim_barrier);
    sluice_free(objects[2]);
    sluice_free(objects[3]);
    sluice_trim(module);
    ck_assert_uint_eq(stats_of(module).cached_bytes, 0);
    pthread_barrier_wait(&trim_barrier);
    pthread_join(thread, NULL);
}
END_TEST

#define HANDED 64

static void *free_what_was_handed(void *unused)
{
    (void)unused;
    free_all(HANDED);
    return NULL;
}

/* What other threads gave back is handed out again before memory that was never touched. */
START_TEST(little_in_flight_takes_little)
{
    start("");
    for (unsigned round = 0; round < 100; round++) {
        allocate(HANDED, 256);
        run_threads(1, free_what_was_handed);
    }
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
    ck_assert_uint_le(stats_of(module).cached_bytes, (uint64_t)(2 * HANDED * 256));
}
END_TEST

START_TEST(stages_stay_flat)
{
    /* Each stage frees all but a few objects, which the next stage's lie around. */
    start("");
    static void *survivors[40];
    uint64_t after_third = 0;
    for (unsigned stage = 0; stage < 40; stage++) {
        size_t size = 500 + 997 * stage % 9000;
        allocate(OBJECTS, size);
        survivors[stage] = objects[OBJECTS / 2];
        objects[OBJECTS / 2] = NULL;
        free_all(OBJECTS);
        if (stage == 3)
            after_third = kernel_resident();
    }
    ck_assert_uint_le(kernel_resident(), after_third + 48 * MIB);
    for (unsigned i = 0; i < LENGTH(survivors); i++)
        sluice_free(survivors[i]);
    sluice_trim(module);
    ck_assert_uint_eq(stats_of(module).resident_bytes, stats_of(module).metadata_bytes);
}
END_TEST

/* ---- Huge pages ------------------------------------------------------------------------------ */

START_TEST(huge_pages_as_the_policy_says)
{
    static const char *const parameters[] = {"huge_pages: never", "huge_pages: auto",
                                             "huge_pages: always"};
    start(parameters[_i]);
    bool works = os_huge_available();
    allocate(10, 50000);
    if (_i < 2)
        ck_assert_uint_eq(kernel_huge(), 0); /* a small arena takes no whole huge page */
    free_all(10);
    allocate(OBJECTS, 10000);
    if (_i == 0)
        ck_assert_uint_eq(kernel_huge(), 0);
    else if (works)
        ck_assert_uint_gt(kernel_huge(), 20 * MIB);
    free_all(OBJECTS);
    sluice_trim(module);
    ck_assert_uint_eq(kernel_huge(), 0);
}
END_TEST

/* Many threads with a few objects of many sizes each: what they hold is little, though they have slabs for all. */
static _Atomic uint32_t sparse_threads;

static void *allocate_sparsely(void *unused)
{
    for (size_t size = 16; size <= 4096; size += size / 4 + 15)
        memset(sluice_malloc(module, size), 1, size); /* gone with the process */
    atomic_fetch_add(&sparse_threads, 1);
    wait_for_count(&sparse_threads, 33, 60000);
    return unused;
}

START_TEST(no_huge_pages_where_slabs_are_hardly_used)
{
    start("huge_pages: auto");
    uint64_t before = kernel_resident();
    pthread_t threads[32];
    for (size_t i = 0; i < LENGTH(threads); i++)
        pthread_create(&threads[i], NULL, allocate_sparsely, NULL);
    ck_assert(wait_for_count(&sparse_threads, 32, 60000));
    ck_assert_uint_eq(kernel_huge(), 0);
    ck_assert_uint_le(kernel_resident(), before + 16 * MIB);
    atomic_fetch_add(&sparse_threads, 1);
    for (size_t i = 0; i < LENGTH(threads); i++)
        pthread_join(threads[i], NULL);
}
END_TEST

/* What is trimmed again and again would be cleared again and again, 2 MiB at a time. */
START_TEST(what_is_trimmed_comes_back_in_small_pages)
{
    start("huge_pages: auto, purge_after: 1h");
    allocate(OBJECTS, 10000);
    free_all(OBJECTS);
    sluice_trim(module);
    allocate(OBJECTS, 10000);
    ck_assert_uint_eq(kernel_huge(), 0);
    free_all(OBJECTS);
}
END_TEST

#endif

int main(void)
{
    TCase *cases[] = {tcase_create("slabs"), tcase_create("memory"), tcase_create("threads")};
    tcase_add_test(cases[0], slabs_waste_little);
    tcase_add_test(cases[0], large_objects_begin_at_different_lines);
    tcase_add_test(cases[0], large_objects_are_aligned_on_demand);
    tcase_add_test(cases[0], a_thread_keeps_a_bounded_part_of_what_it_frees);
    tcase_add_test(cases[0], what_a_thread_keeps_is_given_up_at_a_limit);
    tcase_add_test(cases[0], every_class_serves);
    tcase_add_test(cases[0], objects_are_used_again);
    tcase_add_test(cases[0], a_thread_keeps_no_more_than_its_cache);
    tcase_add_test(cases[0], what_others_return_is_handed_out_once);
#if !SANITIZED
    tcase_add_test(cases[1], preallocated_memory_is_resident_and_stays);
    tcase_add_test(cases[1], retained_memory_stays_and_the_rest_returns);
    tcase_add_test(cases[1], free_memory_returns_in_time);
    tcase_add_test(cases[1], memory_of_sleeping_threads_returns);
    tcase_add_test(cases[1], what_others_free_of_sleeping_threads_returns);
    tcase_add_test(cases[1], what_others_free_of_ended_threads_returns);
    tcase_add_loop_test(cases[1], huge_pages_as_the_policy_says, 0, 3);
    tcase_add_test(cases[1], no_huge_pages_where_slabs_are_hardly_used);
    tcase_add_test(cases[1], what_is_trimmed_comes_back_in_small_pages);
    tcase_add_test(cases[2], producer_and_consumer_stay_flat);
    tcase_add_test(cases[2], one_trim_takes_all);
    tcase_add_test(cases[2], little_in_flight_takes_little);
    tcase_add_test(cases[2], stages_stay_flat);
#endif
    return run_suite("pool", cases, LENGTH(cases));
}
