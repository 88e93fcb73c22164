/* The jemalloc backend: arenas apart from each other, memory that goes back in time, reset, the
 * limits on arenas and thread caches. */
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

#include "backends/jemalloc.h"
#include "core/arena.h"
#include "core/module.h"
#include "core/os.h"
#include "tests/support/testing.h"

static sluice_module module;

static void use(const char *parameters)
{
    char policy[512];
    snprintf(policy, sizeof policy, "default: j\nbackends:\n  j: {kind: jemalloc%s}\n", parameters);
    use_policy(policy);
    module = use_module("jem");
}

static struct sluice_arena *arena(void)
{
    return module_get(module)->arenas;
}

enum { COUNT = 40000 };
static void **objects;

static void make(size_t size)
{
    objects = objects == NULL ? test_memory(COUNT * sizeof *objects) : objects;
    for (int i = 0; i < COUNT; i++) {
        objects[i] = sluice_malloc(module, size);
        ck_assert_ptr_nonnull(objects[i]);
        memset(objects[i], 1, size);
    }
}

static void end_all(void)
{
    for (int i = 0; i < COUNT; i++)
        sluice_free(objects[i]);
}

START_TEST(settings_hold)
{
    bool flag;
    unsigned count;
    size_t size = sizeof flag;
    use("");
    ck_assert_int_eq(je_mallctl("opt.tcache", &flag, &size, NULL, 0), 0);
    ck_assert(!flag);
    size = sizeof flag;
    ck_assert_int_eq(je_mallctl("opt.retain", &flag, &size, NULL, 0), 0);
    ck_assert(flag);
    size = sizeof count;
    ck_assert_int_eq(je_mallctl("opt.narenas", &count, &size, NULL, 0), 0);
    ck_assert_uint_eq(count, 1);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void *allocate_once(void *unused)
{
    (void)unused;
    void *p = sluice_malloc(module, 100);
    sluice_free(p);
    return p;
}

/* The first allocation of a process may be in a thread with the smallest stack that there is. Sanitizers need more for
 * themselves. */
static void allocate_on_small_stack(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *p;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN);
    ck_assert_int_eq(pthread_create(&thread, &attributes, allocate_once, NULL), 0);
    pthread_join(thread, &p);
    ck_assert_ptr_nonnull(p);
}

START_TEST(a_small_stack_will_do)
{
    use("");
    allocate_on_small_stack();
}
END_TEST

/* Also where no rule of the policy leads there, but an override does that was there before. */
START_TEST(a_small_stack_will_do_for_an_override)
{
    use_policy("backends: {x: {kind: mmap}}\n");
    module = use_module("jem");
    ck_assert_int_eq(sluice_module_override("jem", "x"), SLUICE_OK);
    use_policy("backends: {x: {kind: jemalloc}}\n");
    allocate_on_small_stack();
    ck_assert_str_eq(arena()->ops->name, "jemalloc");
}
END_TEST
#endif

START_TEST(plain_malloc_is_not_jemalloc)
{
    use("");
    sluice_free(sluice_malloc(module, 100));
    jemalloc_usage_refresh(true);
    struct jemalloc_usage before, after;
    jemalloc_slot_usage(0, &before);
    void *p = malloc(10 * MIB);
    memset(p, 1, 10 * MIB);
    jemalloc_usage_refresh(true);
    jemalloc_slot_usage(0, &after);
    ck_assert_uint_le(after.active, before.active + MIB);
    free(p);
}
END_TEST

static bool memory_is_back(void *limit)
{
    return kernel_resident() <= *(uint64_t *)limit && stats_of(module).cached_bytes <= 4 * MIB;
}

/* Nobody calls jemalloc any more: the control thread lets it decay. */
START_TEST(idle_memory_goes_back_in_time)
{
    use(", dirty_decay: 200ms");
    sluice_free(sluice_malloc(module, 1000));
    objects = test_memory(COUNT * sizeof *objects);
    uint64_t limit = kernel_resident() + 6 * MIB;
    make(1000);
    end_all();
    if (!SANITIZED)
        ck_assert(wait_until(memory_is_back, &limit, 10000));
}
END_TEST

static void *free_them(void *index)
{
    end_all();
    return index;
}

START_TEST(a_thread_that_only_frees)
{
    use(", dirty_decay: 200ms");
    objects = test_memory(COUNT * sizeof *objects);
    sluice_free(sluice_malloc(module, 1000));
    uint64_t limit = kernel_resident() + 8 * MIB;
    for (int round = 0; round < 3; round++) {
        make(2000);
        run_threads(1, free_them);
        ck_assert_uint_eq(stats_of(module).live_objects, 0);
    }
    if (!SANITIZED)
        ck_assert(wait_until(memory_is_back, &limit, 10000));
}
END_TEST

static void *hold_one(void *barrier)
{
    void *p = sluice_malloc(module, 100);
    pthread_barrier_wait(barrier);
    sluice_free(p);
    return NULL;
}

START_TEST(threads_are_spread_over_arenas)
{
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    pthread_barrier_t barrier;
    use(", arenas: 4");
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, hold_one, &barrier);
    pthread_barrier_wait(&barrier);
    struct jemalloc_arena *a = arena()->instance;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_ne(a->slots[i], 0);
    ck_assert_uint_eq(a->slots[4], 0);
}
END_TEST

START_TEST(modules_do_not_mix)
{
    use("");
    sluice_module second = use_module("second");
    void *mine[500], *theirs[500];
    for (int i = 0; i < 500; i++) {
        mine[i] = sluice_malloc(module, 64);
        theirs[i] = sluice_malloc(second, 64);
    }
    for (int i = 0; i < 500; i++)
        sluice_free(mine[i]);
    for (int i = 0; i < 500; i++) { /* what the first freed is not given to the second */
        void *p = sluice_malloc(second, 64);
        struct sluice_owner owner = {.struct_size = sizeof owner};
        ck_assert_int_eq(sluice_owner(p, &owner), SLUICE_OK);
        ck_assert_uint_eq(owner.module, second);
        for (int k = 0; k < 500; k++)
            ck_assert_ptr_ne(p, mine[k]);
    }
    for (int i = 0; i < 500; i++)
        sluice_free(theirs[i]);
}
END_TEST

START_TEST(reset_drops_everything)
{
    use(", arenas: 2");
    for (int round = 0; round < 3; round++) {
        make(500);
        void *large = sluice_malloc(module, 8 * MIB);
        ck_assert_ptr_nonnull(large);
        struct sluice_arena *a = arena();
        ck_assert_int_eq(a->ops->reset(a->instance), SLUICE_OK);
        struct jemalloc_usage usage;
        jemalloc_usage_refresh(true);
        jemalloc_slot_usage(((struct jemalloc_arena *)a->instance)->slots[0], &usage);
        ck_assert_uint_eq(usage.active, 0);
    }
}
END_TEST

static bool no_arena(void *arg)
{
    (void)arg;
    return process_stats().draining_arenas == 0;
}

START_TEST(ended_arenas_leave_nothing)
{
    struct sluice_process_stats first = process_stats();
    uint64_t chunks = 0;
    for (int round = 0; round < 20; round++) {
        use(", arenas: 3");
        make(300);
        end_all();
        use_policy("default: mmap\n");
        ck_assert(wait_until(no_arena, NULL, 10000));
        ck_assert_ptr_null(arena());
        chunks = process_stats().chunk_bytes;
    }
    ck_assert_uint_le(chunks, first.chunk_bytes + 4 * MIB);
}
END_TEST

/* More arenas than jemalloc has: the program goes on where it can, and hears why where it cannot.
 */
START_TEST(arenas_run_out)
{
    use("");
    sluice_free(sluice_malloc(module, 100));
    unsigned slot;
    enum sluice_result result = SLUICE_OK;
    int made = 0;
    for (; made < 5000; made++) {
        const extent_hooks_t *own = &((struct jemalloc_arena *)arena()->instance)->hooks;
        result = jemalloc_slot_create(own, &slot);
        if (result != SLUICE_OK)
            break;
    }
    ck_assert_int_eq(result, SLUICE_ERROR_LIMIT);
    ck_assert_int_ge(made, 4000);
    ck_assert_ptr_nonnull(strstr(sluice_error_message(), "4094"));
    sluice_module late = use_module("late");
    errno = 0;
    ck_assert_ptr_null(sluice_malloc(late, 100));
    ck_assert_int_eq(errno, ENOMEM);
    void *p = sluice_malloc(module, 100); /* who has an arena keeps it */
    ck_assert_ptr_nonnull(p);
    sluice_free(p);
}
END_TEST

START_TEST(thread_caches_run_out)
{
    unsigned tcache;
    int made = 0;
    use("");
    while (made < 5000 && jemalloc_tcache_create(&tcache))
        made++;
    ck_assert_int_ge(made, 3900);
    ck_assert_int_le(made, 4094);
    make(100); /* without one */
    end_all();
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
}
END_TEST

START_TEST(parameters_change_in_use)
{
    use(", dirty_decay: 1h");
    objects = test_memory(COUNT * sizeof *objects);
    sluice_free(sluice_malloc(module, 1000));
    uint64_t limit = kernel_resident() + 6 * MIB;
    make(1000);
    end_all();
    struct sluice_arena *before = arena();
    use(", dirty_decay: 100ms");
    ck_assert_ptr_eq(arena(), before);
    if (!SANITIZED)
        ck_assert(wait_until(memory_is_back, &limit, 10000));
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("jemalloc");
    tcase_add_test(tc, settings_hold);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tc, a_small_stack_will_do);
    tcase_add_test(tc, a_small_stack_will_do_for_an_override);
#endif
    tcase_add_test(tc, plain_malloc_is_not_jemalloc);
    tcase_add_test(tc, idle_memory_goes_back_in_time);
    tcase_add_test(tc, a_thread_that_only_frees);
    tcase_add_test(tc, threads_are_spread_over_arenas);
    tcase_add_test(tc, modules_do_not_mix);
    tcase_add_test(tc, reset_drops_everything);
    tcase_add_test(tc, ended_arenas_leave_nothing);
    tcase_add_test(tc, arenas_run_out);
    tcase_add_test(tc, thread_caches_run_out);
    tcase_add_test(tc, parameters_change_in_use);
    return run_suite("jemalloc", &tc, 1);
}
