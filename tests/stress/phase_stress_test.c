/* phase_stress_test.c - pipelines of frames in 16 threads, while policies that bind the phase to one backend after the
 * other are loaded and everything is trimmed now and then: no byte of an open instance is lost, nothing of an ended one is
 * left, other modules go on, and Sluice's own memory in use does not grow. Some of the policies watch what has ended.
 *
 * Under the sanitizers there are fewer frames (a quarter, and an eighth with the thread sanitizer).
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/meta.h"
#include "tests/support/testing.h"

#define THREADS 16
#define FRAMES  TESTING_SCALE(200) /* of each thread */
#define OBJECTS 200                /* of a frame */
#define BOUND   3                  /* modules that the phase is bound to */

static const char *const kinds[] = {
    "pool",
    "jemalloc",
    "region",
    "mmap",
    "glibc, track: true",
    "pool, check: poison, keep: 2",
    "jemalloc, check: protect",
    "region, check: protect, purge: end",
    "mmap, check: poison",
};

static sluice_module bound[BOUND], free_module;
static _Atomic uint32_t lost, running;

struct frame {
    sluice_phase *phase;
    void *object[OBJECTS];
    size_t size[OBJECTS];
    uint64_t seed;
    uint32_t count;
};

static void use_kind(const char *kind)
{
    char policy[256];
    snprintf(policy, sizeof policy,
             "default: pool\nphases:\n  frame: {modules: [\"bound.*\"], backend: %s}\n", kind);
    use_policy(policy);
}

static void on_end(void *frame)
{
    ((struct frame *)frame)->count += 1000;
}

static void fill_frame(struct frame *f, uint64_t *random)
{
    f->count = 0;
    f->seed = test_random(random);
    ck_assert_msg(sluice_phase_begin("frame", &f->phase) == SLUICE_OK, "%s",
                  sluice_error_message());
    ck_assert_int_eq(sluice_phase_on_end(f->phase, on_end, f), SLUICE_OK);
    ck_assert_int_eq(sluice_phase_enter(f->phase), SLUICE_OK);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        size_t high = test_random(random) % 50 == 0 ? MIB : 8 * KIB;
        f->size[i] = test_random_size(random, high);
        f->object[i] = sluice_malloc(bound[test_random(random) % BOUND], f->size[i]);
        ck_assert_ptr_nonnull(f->object[i]);
        test_fill(f->object[i], f->size[i], f->seed + i);
        if (test_random(random) % 4 == 0) { /* one that goes before */
            sluice_free(f->object[i]);
            f->object[i] = NULL;
        }
    }
    ck_assert_int_eq(sluice_phase_leave(f->phase), SLUICE_OK);
}

static void end_frame(struct frame *f)
{
    for (uint32_t i = 0; i < OBJECTS; i++)
        if (f->object[i] != NULL && !test_is_filled(f->object[i], f->size[i], f->seed + i))
            atomic_fetch_add(&lost, 1);
    char *kept = NULL;
    uint32_t chosen = OBJECTS;
    for (uint32_t i = 0; i < OBJECTS && kept == NULL; i++)
        if (f->object[i] != NULL) {
            kept = sluice_phase_promote(f->object[i]);
            chosen = i;
        }
    ck_assert_msg(sluice_phase_end(f->phase) == SLUICE_OK, "%s", sluice_error_message());
    ck_assert_uint_eq(f->count, 1000);
    if (kept != NULL && !test_is_filled(kept, f->size[chosen], f->seed + chosen))
        atomic_fetch_add(&lost, 1);
    sluice_free(kept);
}

static void *pipeline(void *index)
{
    uint64_t random = (uintptr_t)index + 1;
    struct frame frames[2];
    char *others[64] = {NULL};
    fill_frame(&frames[0], &random);
    for (int n = 1; n < FRAMES; n++) {
        fill_frame(&frames[n % 2], &random); /* begins before the one before it has ended */
        end_frame(&frames[(n + 1) % 2]);
        char **other = &others[n % 64]; /* of no phase, and longer than any */
        if (*other != NULL && !test_is_filled(*other, 500, (uintptr_t)index + 7))
            atomic_fetch_add(&lost, 1);
        sluice_free(*other);
        *other = sluice_malloc(free_module, 500);
        test_fill(*other, 500, (uintptr_t)index + 7);
    }
    end_frame(&frames[(FRAMES - 1) % 2]);
    for (size_t i = 0; i < LENGTH(others); i++)
        sluice_free(others[i]);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void *disturb(void *unused)
{
    (void)unused;
    for (unsigned n = 0; atomic_load(&running) > 0; n++) {
        use_kind(kinds[n % LENGTH(kinds)]);
        if (n % 8 == 0)
            sluice_trim(SLUICE_MODULE_ALL);
        sched_yield();
    }
    return NULL;
}

static void *pipeline_or_disturb(void *index)
{
    return (uintptr_t)index == THREADS ? disturb(NULL) : pipeline(index);
}

static void run_once(void)
{
    atomic_store(&running, THREADS);
    run_threads(THREADS + 1, pipeline_or_disturb);
}

static bool nothing_drains(void *unused)
{
    (void)unused;
    return process_stats().draining_arenas == 0;
}

START_TEST(frames_in_a_pipeline)
{
    use_kind(kinds[0]);
    for (int i = 0; i < BOUND; i++) {
        char name[24];
        snprintf(name, sizeof name, "bound.%d", i);
        bound[i] = use_module(name);
    }
    free_module = use_module("free");
    run_once();
    size_t used = 0;
    for (int round = 0; round < 2; round++) {
        if (round > 0)
            run_once();
        ck_assert(wait_until(nothing_drains, NULL, 60000));
        size_t now = meta_used_bytes();
        ck_assert_msg(round == 0 || now < used + 2 * MIB, "own memory grew from %zu to %zu", used,
                      now);
        used = now;
    }
    ck_assert_uint_eq(atomic_load(&lost), 0);
    for (int i = 0; i < BOUND; i++) {
        ck_assert_uint_eq(stats_of(bound[i]).live_objects, 0);
        ck_assert_uint_eq(stats_of(bound[i]).live_bytes, 0);
    }
    sluice_trim(SLUICE_MODULE_ALL);
    for (int i = 0; i < BOUND; i++)
        ck_assert_uint_eq(held_by(bound[i]), 0);
    ck_assert_uint_eq(stats_of(free_module).live_objects, 0);
    struct sluice_phase_stats stats = {.struct_size = sizeof stats};
    ck_assert_int_eq(sluice_stats_phase("frame", &stats), SLUICE_OK);
    ck_assert_uint_eq(stats.begun, (uint64_t)2 * THREADS * FRAMES);
    ck_assert_uint_eq(stats.ended, stats.begun);
    ck_assert_uint_eq(stats.open, 0);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("phases")};
    tcase_set_timeout(cases[0], 600);
    tcase_add_test(cases[0], frames_in_a_pipeline);
    return run_suite("phase_stress", cases, LENGTH(cases));
}
