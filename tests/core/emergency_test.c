/* Allocation while a fork is under way, and before the library has started: without locks, caches or records. */
#include "core/emergency.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/pagemap.h"
#include "core/thread.h"
#include "tests/support/testing.h"

START_TEST(objects_of_their_own)
{
    use_module("starts the library");
    static const size_t sizes[] = {0, 1, 4096, 5000, 3 * MIB};
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        uint64_t before = emergency_bytes();
        char *p = emergency_alloc(sizes[i], 16);
        ck_assert_ptr_nonnull(p);
        uintptr_t entry = pagemap_lookup(p);
        ck_assert_uint_eq(entry & PAGEMAP_TAGS, PAGEMAP_EMERGENCY);
        ck_assert_uint_ge(emergency_usable(entry), sizes[i]);
        ck_assert_uint_eq(emergency_bytes(), before + emergency_usable(entry));
        ck_assert(test_is_zero(p, emergency_usable(entry)));
        test_fill(p, sizes[i], 1);
        /* The public calls know it. */
        ck_assert_uint_eq(sluice_usable_size(p), emergency_usable(entry));
        ck_assert_str_eq(kind_of(p), "emergency");
        p = sluice_realloc(0, p, sizes[i] + 10000);
        ck_assert_ptr_nonnull(p);
        ck_assert(test_is_filled(p, sizes[i], 1));
        ck_assert_uint_eq(emergency_bytes(), before);
        sluice_free(p);
    }
    ck_assert_ptr_null(emergency_alloc(SIZE_MAX, 16));
    char *aligned = emergency_alloc(100, GIB);
    ck_assert_uint_eq((uintptr_t)aligned % GIB, 0);
    sluice_free(aligned);
    ck_assert_uint_eq(emergency_bytes(), 0);
}
END_TEST

START_TEST(deferred_frees_are_carried_out)
{
    sluice_module m = use_module("m");
    for (size_t size = 16; size <= MIB; size *= 4)
        emergency_defer_free(sluice_malloc(m, size));
    emergency_defer_free(emergency_alloc(100, 16));
    ck_assert(emergency_has_deferred());
    sluice_free(sluice_malloc(m, 300000)); /* a slow operation */
    ck_assert(!emergency_has_deferred());
    ck_assert_uint_eq(stats_of(m).live_objects, 0);
    ck_assert_uint_eq(emergency_bytes(), 0);
}
END_TEST

/* ---- During a fork --------------------------------------------------------------------------- */

static pthread_mutex_t users =
    PTHREAD_MUTEX_INITIALIZER; /* such as a stream's, that fork waits for */
static _Atomic uint32_t holds, diverted_now;
static void *made[3];
static void *old_objects[64];
static sluice_module module;

/* Runs after the library's own prepare handler: all threads are held, and now another lock is wanted. */
static void want_users(void)
{
    pthread_mutex_lock(&users);
}

static void leave_users(void)
{
    pthread_mutex_unlock(&users);
}

static bool is_diverted(void *unused)
{
    return thread_is_diverted();
}

static void *hold_and_allocate(void *unused)
{
    void *warm = sluice_malloc(module, 100);
    pthread_mutex_lock(&users);
    atomic_store(&holds, 1);
    /* The fork is under way and waits for us; if we waited for it, nobody would ever go on. */
    ck_assert(wait_until(is_diverted, NULL, 20000));
    made[0] = sluice_malloc(module, 100);
    made[1] = sluice_calloc(module, 1, 300000);
    made[2] = sluice_aligned_alloc(module, 4096, 10);
    for (unsigned i = 0; i < LENGTH(made); i++) {
        ck_assert_ptr_nonnull(made[i]);
        test_fill(made[i], 10, i);
    }
    made[0] = sluice_realloc(0, made[0], 10000);
    ck_assert(test_is_filled(made[0], 10, 0));
    for (unsigned i = 0; i < LENGTH(old_objects); i++)
        sluice_free(old_objects[i]);
    sluice_free(warm);
    ck_assert(thread_is_diverted());
    atomic_store(&diverted_now, 1);
    pthread_mutex_unlock(&users);
    return NULL;
}

START_TEST(a_thread_that_fork_waits_for_can_allocate)
{
    /* Handlers of prepare run in the opposite order: registered first, it runs last. */
    pthread_atfork(want_users, leave_users, leave_users);
    use_policy(
        "default: mmap\nmodules: {m: {route: [{max_size: 64KiB, to: pool}, {to: glibc}]}}\n");
    module = use_module("m");
    for (unsigned i = 0; i < LENGTH(old_objects); i++)
        old_objects[i] = sluice_malloc(module, 10 + 3000 * i);
    pthread_t thread;
    pthread_create(&thread, NULL, hold_and_allocate, NULL);
    ck_assert(wait_for_count(&holds, 1, 20000));
    pid_t pid = fork();
    if (pid == 0) {
        for (unsigned i = 0; i < LENGTH(made); i++)
            if (!test_is_filled(made[i], 10, i))
                _exit(1);
        for (unsigned i = 0; i < LENGTH(made); i++)
            sluice_free(made[i]);
        sluice_free(sluice_malloc(module, 300000));
        _exit(stats_of(module).live_objects == 0 && emergency_bytes() == 0 ? 0 : 2);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", (unsigned)status);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(atomic_load(&diverted_now), 1);
    for (unsigned i = 0; i < LENGTH(made); i++)
        sluice_free(made[i]);
    sluice_free(sluice_malloc(module, 300000));
    ck_assert_uint_eq(stats_of(module).live_objects, 0);
    ck_assert_uint_eq(emergency_bytes(), 0);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("emergency")};
    tcase_add_test(cases[0], objects_of_their_own);
    tcase_add_test(cases[0], deferred_frees_are_carried_out);
    tcase_add_test(cases[0], a_thread_that_fork_waits_for_can_allocate);
    return run_suite("emergency", cases, LENGTH(cases));
}
