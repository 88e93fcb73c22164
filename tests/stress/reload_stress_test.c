/* reload_stress_test.c - policies change under load, thousands of times: no object is lost or changed, broken policies
 * change nothing, and Sluice's own memory does not grow.
 *
 * 16 threads allocate, fill, check and free objects of 8 modules, each other's too (an object is put into one of a shared
 * table's slots, and who takes it out frees it). Meanwhile 10,000 SIGHUPs arrive; after each the modules are served by other
 * backends, or, every fifth time, the file has a mistake. Signals coalesce, so each waits until the one before was acted on.
 *
 * What memory Sluice has is compared at rest, when the arenas of all other backends have ended. Under load it is no
 * measure: a jemalloc arena keeps, until it ends, the records of the most extents that it ever had.
 */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/meta.h"
#include "tests/support/testing.h"

#define RELOADS      10000
#define WARM_UP      1000
#define THREADS      16
#define MODULES      8
#define BROKEN_EVERY 5
#define SLOTS        2048

/* What 9,000 more reloads may leave behind: records of threads that took another size, and the like. */
#define GROWTH (64 * KIB)

static const char *const backends[] = {"blocks", "direct", "libc", "je"};

struct object {
    uint64_t seed;
    uint64_t size; /* with this header */
    char content[];
};

static _Atomic(struct object *) slots[SLOTS];
static sluice_module modules[MODULES];
static _Atomic bool stop;
static _Atomic uint32_t lost, operations;
static char policy_path[4200];
static uint64_t mapped_most; /* meta_mapped_bytes() under load */

static void check_and_free(struct object *o)
{
    if (!test_is_filled(o->content, o->size - sizeof *o, o->seed))
        atomic_fetch_add(&lost, 1);
    sluice_free(o);
}

static struct object *make(uint64_t *random)
{
    size_t size = sizeof(struct object) + test_random_size(random, 96 * KIB) % (64 * KIB + 4096);
    sluice_module m = modules[test_random(random) % MODULES];
    struct object *o = test_random(random) % 8 == 0
                           ? sluice_aligned_alloc(m, (size_t)64 << test_random(random) % 8, size)
                           : sluice_malloc(m, size);
    if (o == NULL) {
        atomic_fetch_add(&lost, 1);
        return NULL;
    }
    o->seed = test_random(random);
    o->size = size;
    test_fill(o->content, size - sizeof *o, o->seed);
    return o;
}

static struct object *resize(struct object *o, uint64_t *random)
{
    size_t size = sizeof *o + test_random_size(random, 64 * KIB);
    struct object *moved = sluice_realloc(SLUICE_MODULE_DEFAULT, o, size);
    if (moved == NULL) {
        atomic_fetch_add(&lost, 1);
        return o;
    }
    size_t kept = (size < moved->size ? size : moved->size) - sizeof *moved;
    if (!test_is_filled(moved->content, kept, moved->seed))
        atomic_fetch_add(&lost, 1);
    moved->size = size;
    test_fill(moved->content, size - sizeof *moved, moved->seed);
    return moved;
}

static void *work(void *index)
{
    uint64_t random = (uintptr_t)index + 1;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        struct object *o = atomic_exchange(&slots[test_random(&random) % SLOTS], NULL);
        switch (o == NULL ? 0 : test_random(&random) % 4) {
        case 0:
        case 1:
            if (o != NULL)
                check_and_free(o);
            o = make(&random);
            break;
        case 2:
            o = resize(o, &random);
            break;
        default:
            if (!test_is_filled(o->content, o->size - sizeof *o, o->seed))
                atomic_fetch_add(&lost, 1);
        }
        o = atomic_exchange(&slots[test_random(&random) % SLOTS], o);
        if (o != NULL)
            check_and_free(o);
        atomic_fetch_add_explicit(&operations, 1, memory_order_relaxed);
        sched_yield(); /* short turns: more orders of events, and nobody waits long for 16 threads */
    }
    return NULL;
}

/* A new file takes the old one's place, so that nobody reads half of it. */
static void use_file(const char *text)
{
    char temporary[4300];
    snprintf(temporary, sizeof temporary, "%s.new", policy_path);
    write_file(temporary, text);
    ck_assert_int_eq(rename(temporary, policy_path), 0);
}

static void write_policy(unsigned round, bool broken)
{
    char text[4096];
    unsigned change = round / 500; /* parameters change too, for arenas that live on */
    int n = snprintf(text, sizeof text,
                     "sluice: 1\n"
                     "default: direct\n"
                     "backends:\n"
                     "  blocks: {kind: pool, purge_after: %ums, retain: 1MiB, huge_pages: %s}\n"
                     "  direct: {kind: mmap, reuse: %ums}\n"
                     "  libc: {kind: glibc}\n"
                     "  je: {kind: jemalloc, dirty_decay: %ums, arenas: %u}\n"
                     "reload: {signal: SIGHUP, watch: false}\n"
                     "modules:\n",
                     20 + change, change % 2 == 0 ? "auto" : "always", change % 2 * 10, 20 + change,
                     1 + change / 10);
    for (unsigned i = 0; i < MODULES; i++) {
        const char *to = backends[(round + i) % LENGTH(backends)];
        /* The pool takes up to 64 KiB; who comes behind it changes too. */
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "  m%u: {route: [{max_size: %uKiB, to: %s}, {to: %s}]}\n", i,
                      round % 3 == 0 ? 64 : round % 60 + 1, to,
                      backends[1 + (round / 4 + i) % (LENGTH(backends) - 1)]);
    }
    if (broken)
        snprintf(text + n, sizeof text - (size_t)n, "  m%u: {route: [{to: nowhere}]}\n",
                 round % MODULES);
    use_file(text);
}

static struct sluice_reload_status brief_status(void)
{
    struct sluice_reload_status s = {.struct_size = offsetof(struct sluice_reload_status, path)};
    ck_assert_int_eq(sluice_reload_status(&s), SLUICE_OK);
    return s;
}

static bool was_attempted(void *before)
{
    return brief_status().attempts > ((struct sluice_reload_status *)before)->attempts;
}

/* Signals that the file has changed, and waits until that was acted on. `broken`: it has a mistake. */
static void reload(bool broken)
{
    struct sluice_reload_status before = brief_status();
    ck_assert_int_eq(kill(getpid(), SIGHUP), 0);
    ck_assert_msg(wait_until(was_attempted, &before, 60000), "no reload after %llu",
                  (unsigned long long)before.attempts);
    struct sluice_reload_status after = brief_status();
    ck_assert_uint_eq(after.attempts, before.attempts + 1);
    ck_assert_uint_eq(after.failures, before.failures + broken);
    ck_assert_uint_eq(after.successes, before.successes + !broken);
    ck_assert_uint_eq(after.generation, before.generation + !broken);
}

static void check_growth(const char *what, uint64_t before, uint64_t after, uint64_t tolerance)
{
    ck_assert_msg(after <= before + tolerance, "%s grew: %llu KiB after %u reloads, %llu after %u",
                  what, (unsigned long long)(before / KIB), WARM_UP,
                  (unsigned long long)(after / KIB), RELOADS);
}

static bool nothing_drains(void *unused)
{
    return process_stats().draining_arenas == 0;
}

/* What Sluice has once nobody uses it: no object lives, and every module is served by the same backend. */
struct rest {
    uint64_t own;      /* records and regions in use */
    uint64_t metadata; /* the backends' */
    uint64_t resident; /* as the kernel says */
};

static struct rest come_to_rest(void)
{
    use_file("sluice: 1\n"
             "default: direct\n"
             "backends: {direct: {kind: mmap}}\n"
             "reload: {signal: SIGHUP, watch: false}\n");
    reload(false);
    ck_assert_msg(wait_until(nothing_drains, NULL, 30000), "%u arenas drain for ever",
                  (unsigned)process_stats().draining_arenas);
    sluice_trim(SLUICE_MODULE_ALL);
    malloc_trim(0); /* libc keeps what the module had of it, also when the module has left */
    for (unsigned i = 0; i < MODULES; i++)
        ck_assert_msg(held_by(modules[i]) == 0, "m%u: %lld bytes charged to its limit, none live",
                      i, (long long)held_by(modules[i]));
    return (struct rest){meta_used_bytes(), stats_of(SLUICE_MODULE_ALL).metadata_bytes,
                         kernel_resident()};
}

/* Reloads number first to last, under the load of the threads. */
static struct rest storm(unsigned first, unsigned last)
{
    pthread_t threads[THREADS];
    atomic_store(&stop, false);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i), 0);
    for (unsigned round = first; round <= last; round++) {
        bool broken = round % BROKEN_EVERY == BROKEN_EVERY - 1;
        write_policy(round, broken);
        reload(broken);
        if (round % 50 != 0)
            continue;
        /* Every module has at most one arena of each backend, however often they came and went; and one that drains,
         * with parameters of before. */
        ck_assert_uint_le(process_stats().arenas, 2 * (MODULES + 1) * LENGTH(backends));
        uint64_t mapped = meta_mapped_bytes();
        mapped_most = mapped > mapped_most ? mapped : mapped_most;
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < SLOTS; i++) {
        struct object *o = atomic_exchange(&slots[i], NULL);
        if (o != NULL)
            check_and_free(o);
    }
    ck_assert_uint_eq(atomic_load(&lost), 0);
    ck_assert_uint_gt(atomic_load(&operations), last);
    struct sluice_module_stats all = stats_of(SLUICE_MODULE_ALL);
    ck_assert_uint_eq(all.live_objects, 0);
    ck_assert_uint_eq(all.live_bytes, 0);
    ck_assert_uint_eq(all.allocated_objects, all.freed_objects);
    ck_assert_uint_eq(all.failed_allocations, 0);
    return come_to_rest();
}

START_TEST(reloads_under_load)
{
    silence_log();
    snprintf(policy_path, sizeof policy_path, "%s/policy.yaml", test_folder());
    write_policy(0, false);
    ck_assert_msg(sluice_init(policy_path) == SLUICE_OK, "%s", sluice_error_message());
    for (unsigned i = 0; i < MODULES; i++) {
        char name[8];
        snprintf(name, sizeof name, "m%u", i);
        modules[i] = use_module(name);
    }
    struct rest few = storm(1, WARM_UP);
    uint64_t mapped = mapped_most;
    struct rest many = storm(WARM_UP + 1, RELOADS);
    check_growth("records and regions", few.own, many.own, GROWTH);
    check_growth("the backends' metadata", few.metadata, many.metadata, GROWTH);
    check_growth("mapped for records under load", mapped, mapped_most, 2 * MIB); /* blocks */
    if (!SANITIZED)
        check_growth("resident memory", few.resident, many.resident, 8 * MIB); /* libc's heaps */
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("reload")};
    tcase_set_timeout(cases[0], 800);
    tcase_add_test(cases[0], reloads_under_load);
    return run_suite("reload_stress", cases, LENGTH(cases));
}
