/* alloc_stress_test.c - everything that programs do with objects, at random and at once: all sizes, alignments, calloc,
 * realloc, frees by others, threads that end with objects out, trims meanwhile. No byte is lost, and when all is free
 * nothing is counted as live or charged.
 *
 * Under the sanitizers there are fewer rounds (a quarter, and an eighth with the thread sanitizer).
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/testing.h"

#define THREADS    12
#define LIVES      TESTING_SCALE(12) /* of each thread, one after the other */
#define OPERATIONS 10000             /* in a life */
#define SLOTS      4096

static const char *const kinds[] = {"pool", "mmap", "glibc", "jemalloc"};

struct object {
    uint64_t seed, size, alignment;
    char content[];
};

static _Atomic(struct object *) slots[SLOTS];
static sluice_module modules[LENGTH(kinds)];
static _Atomic uint32_t lost, running;

static void check(const struct object *o)
{
    if (!test_is_filled(o->content, o->size - sizeof *o, o->seed) ||
        (uintptr_t)o % (o->alignment == 0 ? 16 : o->alignment) != 0 ||
        sluice_usable_size(o) < o->size)
        atomic_fetch_add(&lost, 1);
}

static void fill(struct object *o, size_t size, size_t alignment, uint64_t seed)
{
    o->seed = seed;
    o->size = size;
    o->alignment = alignment;
    test_fill(o->content, size - sizeof *o, seed);
}

static size_t size_at(uint64_t *random)
{
    /* Small ones mostly; now and then one of megabytes. */
    size_t high = test_random(random) % 200 == 0 ? 5 * MIB : 40 * KIB;
    return sizeof(struct object) + test_random_size(random, high);
}

static struct object *make(uint64_t *random)
{
    size_t size = size_at(random), alignment = 0;
    sluice_module m = modules[test_random(random) % LENGTH(modules)];
    struct object *o;
    switch (test_random(random) % 8) {
    case 0:
        alignment = (size_t)16 << test_random(random) % 18; /* up to 2 MiB */
        o = sluice_aligned_alloc(m, alignment, size);
        break;
    case 1:
        o = sluice_calloc(m, 1, size);
        if (o != NULL && !test_is_zero(o, size < 4096 ? size : 4096))
            atomic_fetch_add(&lost, 1);
        break;
    default:
        o = sluice_malloc(m, size);
    }
    if (o == NULL) {
        atomic_fetch_add(&lost, 1);
        return NULL;
    }
    fill(o, size, alignment, test_random(random));
    return o;
}

static struct object *resize(struct object *o, uint64_t *random)
{
    size_t size = size_at(random), kept = size < o->size ? size : o->size;
    struct object *moved = sluice_realloc(0, o, size);
    if (moved == NULL) {
        atomic_fetch_add(&lost, 1);
        return o;
    }
    if (!test_is_filled(moved->content, kept - sizeof *moved, moved->seed))
        atomic_fetch_add(&lost, 1);
    fill(moved, size, 0, moved->seed + 1);
    return moved;
}

static void step(uint64_t *random)
{
    struct object *o = atomic_exchange(&slots[test_random(random) % SLOTS], NULL);
    if (o == NULL) {
        o = make(random);
    } else {
        check(o);
        switch (test_random(random) % 4) {
        case 0:
            o = resize(o, random);
            break;
        case 1:
            break;
        default:
            if (test_random(random) % 2 == 0)
                sluice_free(o);
            else
                sluice_free_sized(o, o->size);
            o = NULL;
        }
    }
    o = atomic_exchange(&slots[test_random(random) % SLOTS], o);
    if (o != NULL) {
        check(o);
        sluice_free(o);
    }
}

static void *live(void *seed)
{
    uint64_t random = (uintptr_t)seed;
    for (int i = 0; i < OPERATIONS; i++)
        step(&random);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

/* Starts one life after the other, so that threads end all the time. */
static void *live_again_and_again(void *index)
{
    for (uintptr_t i = 0; i < LIVES; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, live, (void *)((uintptr_t)index * LIVES + i + 1)) != 0)
            abort();
        pthread_join(thread, NULL);
    }
    return NULL;
}

static void *trim_meanwhile(void *unused)
{
    for (unsigned i = 0; atomic_load(&running) > 0; i++) {
        sluice_trim(i % 5 == 4 ? SLUICE_MODULE_ALL : modules[i % LENGTH(modules)]);
        struct sluice_module_stats s = {.struct_size = sizeof s};
        sluice_stats_module(SLUICE_MODULE_ALL, &s);
        sched_yield();
    }
    return NULL;
}

START_TEST(everything_at_once)
{
    use_policy("default: mmap\n"
               "backends:\n"
               "  blocks: {kind: pool, thread_cache: 512KiB, retain: 1MiB, purge_after: 10ms}\n"
               "modules:\n"
               "  pool: {route: [{max_size: 64KiB, to: blocks}, {to: mmap}]}\n"
               "  mmap: mmap\n"
               "  glibc: glibc\n"
               "  jemalloc: jemalloc\n");
    for (size_t i = 0; i < LENGTH(kinds); i++)
        modules[i] = use_module(kinds[i]);
    atomic_store(&running, THREADS * LIVES);
    pthread_t trimmer;
    pthread_create(&trimmer, NULL, trim_meanwhile, NULL);
    run_threads(THREADS, live_again_and_again);
    pthread_join(trimmer, NULL);
    for (unsigned i = 0; i < SLOTS; i++)
        if (slots[i] != NULL) {
            check(slots[i]);
            sluice_free(slots[i]);
        }
    ck_assert_uint_eq(atomic_load(&lost), 0);
    sluice_trim(SLUICE_MODULE_ALL);
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        struct sluice_module_stats s = stats_of(modules[i]);
        ck_assert_uint_eq(s.live_objects, 0);
        ck_assert_uint_eq(s.live_bytes, 0);
        ck_assert_uint_eq(s.allocated_objects, s.freed_objects);
        ck_assert_uint_eq(s.failed_allocations, 0);
        ck_assert_msg(held_by(modules[i]) == 0, "%s: %lld bytes charged", kinds[i],
                      (long long)held_by(modules[i]));
    }
    ck_assert_uint_eq(stats_of(modules[0]).cached_bytes,
                      0); /* the pool keeps nothing after a trim */
    ck_assert_uint_le(process_stats().threads, 2);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("alloc")};
    tcase_set_timeout(cases[0], 800);
    tcase_add_test(cases[0], everything_at_once);
    return run_suite("alloc_stress", cases, LENGTH(cases));
}
