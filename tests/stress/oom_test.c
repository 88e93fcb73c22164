/* oom_test.c - the system refuses memory at the Nth request, for N = 1 to 300: every call fails cleanly with ENOMEM, or
 * succeeds; nothing crashes; what exists keeps its content; and when memory is there again, all works.
 *
 * This program has an mmap() of its own. Between arm() and disarm() it counts the anonymous mappings that are asked for by
 * armed threads, and refuses all from the Nth on, or the Nth alone. glibc's own allocator calls mmap by another way; it has
 * a double of its own: RLIMIT_AS, in the last test.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/os.h"
#include "tests/support/testing.h"

static _Atomic long requests, refuse_at; /* 0: not armed */
static _Atomic bool refuse_one;

/* Here in place of libc's: the library's objects are linked into this program. */
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    long at = atomic_load_explicit(&refuse_at, memory_order_relaxed);
    if (at != 0 && (flags & MAP_ANONYMOUS) != 0) {
        long n = atomic_fetch_add_explicit(&requests, 1, memory_order_relaxed) + 1;
        bool refused = atomic_load_explicit(&refuse_one, memory_order_relaxed) ? n == at : n >= at;
        if (refused) {
            errno = ENOMEM;
            return MAP_FAILED;
        }
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

static void arm(long n, bool one)
{
    atomic_store(&requests, 0);
    atomic_store(&refuse_one, one);
    atomic_store(&refuse_at, n);
}

static void disarm(void)
{
    atomic_store(&refuse_at, 0);
}

static const char policy[] = "sluice: 1\n"
                             "default: mmap\n"
                             "backends: {blocks: {kind: pool, purge_after: 10ms}}\n"
                             "modules:\n"
                             "  a: {route: [{max_size: 64KiB, to: blocks}, {to: mmap}]}\n"
                             "  b: jemalloc\n"
                             "  c: mmap\n";
static const char other_policy[] =
    "sluice: 1\ndefault: jemalloc\nmodules: {a: jemalloc, b: mmap, c: pool}\n";

#define COUNT 300
static struct {
    char *p;
    size_t size;
} kept[COUNT];
static unsigned failures;

/* Fails the test when a call did neither succeed nor fail cleanly. */
static void *clean(void *p, size_t size)
{
    if (p == NULL) {
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert_str_ne(sluice_error_message(), "");
        failures++;
    } else {
        memset(p, 1, size);
    }
    errno = 0;
    return p;
}

/* Some of everything. What succeeds is kept, filled. */
static void use_everything(void)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    uint64_t random = 9;
    for (unsigned i = 0; i < COUNT; i++) {
        errno = 0;
        sluice_module m = sluice_module_register(names[i % LENGTH(names)]);
        if (m == SLUICE_MODULE_INVALID) {
            ck_assert_int_eq(errno, ENOMEM);
            continue;
        }
        size_t size = test_random_size(&random, i % 20 == 0 ? 2 * MIB : 50 * KIB);
        void *p = i % 7 == 0   ? clean(sluice_aligned_alloc(m, (size_t)64 << i % 16, size), size)
                  : i % 7 == 1 ? clean(sluice_calloc(m, 1, size), size)
                               : clean(sluice_malloc(m, size), size);
        if (p == NULL)
            continue;
        test_fill(p, size, i);
        kept[i].p = p;
        kept[i].size = size;
        if (i % 5 == 0) {
            size_t more = size * 3;
            errno = 0;
            char *moved = sluice_realloc(0, p, more);
            if (moved == NULL) {
                ck_assert_int_eq(errno, ENOMEM);
                failures++;
            } else {
                kept[i].p = moved;
            }
            ck_assert(test_is_filled(kept[i].p, size, i));
        }
        if (i % 50 == 0) {
            enum sluice_result r =
                i % 100 == 0 ? sluice_policy_load_string(other_policy, sizeof other_policy - 1)
                             : sluice_policy_load_string(policy, sizeof policy - 1);
            /* A policy that cannot be read for want of memory is reported as one or the other. */
            ck_assert(r == SLUICE_OK || r == SLUICE_ERROR_NO_MEMORY || r == SLUICE_ERROR_POLICY);
            sluice_trim(SLUICE_MODULE_ALL);
        }
    }
}

static void check_and_free(void)
{
    for (unsigned i = 0; i < COUNT; i++) {
        if (kept[i].p != NULL)
            ck_assert_msg(test_is_filled(kept[i].p, kept[i].size, i), "object %u", i);
        sluice_free(kept[i].p);
        kept[i].p = NULL;
    }
    ck_assert_uint_eq(stats_of(SLUICE_MODULE_ALL).live_objects, 0);
}

static void *in_a_thread(void *unused)
{
    use_everything();
    for (unsigned i = 0; i < COUNT; i += 2) { /* the other half is left to the main thread */
        if (kept[i].p != NULL)
            ck_assert(test_is_filled(kept[i].p, kept[i].size, i));
        sluice_free(kept[i].p);
        kept[i].p = NULL;
    }
    return NULL;
}

static void one_round(long n, bool one)
{
    pthread_t thread;
    ck_assert_int_eq(sluice_policy_load_string(policy, sizeof policy - 1), SLUICE_OK);
    arm(n, one);
    use_everything();
    disarm();
    check_and_free();
    /* A thread that is new, and finds no memory for its record. */
    ck_assert_int_eq(pthread_create(&thread, NULL, in_a_thread, NULL), 0);
    arm(n, one);
    pthread_join(thread, NULL);
    disarm();
    check_and_free();
    /* Memory is back. */
    failures = 0;
    ck_assert_int_eq(sluice_policy_load_string(policy, sizeof policy - 1), SLUICE_OK);
    use_everything();
    ck_assert_uint_eq(failures, 0);
    check_and_free();
    sluice_trim(SLUICE_MODULE_ALL);
}

/* From the Nth on, nothing: N = 1, 2, 3, ... in one process, so that each round finds what the last left behind. */
START_TEST(from_the_nth_on)
{
    silence_log();
    for (long n = 1; n <= TESTING_SCALE(300); n++)
        one_round(n, false);
}
END_TEST

START_TEST(the_nth_alone)
{
    silence_log();
    for (long n = 1; n <= TESTING_SCALE(300); n++)
        one_round(n, true);
}
END_TEST

/* The same in processes where the library has done nothing yet but to start. */
static void fresh(void *n)
{
    ck_assert_int_eq(sluice_policy_load_string(policy, sizeof policy - 1), SLUICE_OK);
    arm((long)(uintptr_t)n, false);
    use_everything();
    disarm();
    check_and_free();
}

START_TEST(in_a_fresh_process)
{
    for (uintptr_t n = 1; n <= TESTING_SCALE(300); n++) {
        struct child child = run_child(fresh, (void *)n, 60000);
        ck_assert_msg(child_succeeded(&child), "N = %u: status %x\n%s", (unsigned)n,
                      (unsigned)child.status, child.error);
    }
}
END_TEST

/* Nothing at all to start with: the library says so, and does not crash. */
static void start_without_memory(void *n)
{
    arm((long)(uintptr_t)n, false);
    void *p = sluice_malloc(0, 100);
    if (p == NULL && errno != ENOMEM)
        _exit(1);
    disarm();
    sluice_free(p);
    p = sluice_malloc(0, 100);
    if (p == NULL)
        _exit(2);
    sluice_free(p);
}

START_TEST(at_the_start)
{
    for (uintptr_t n = 1; n <= 40; n++) {
        struct child child = run_child(start_without_memory, (void *)n, 60000);
        bool told = child_aborted(&child) && strstr(child.error, "sluice: fatal: no ") != NULL;
        ck_assert_msg(told || child_succeeded(&child), "N = %u: status %x\n%s", (unsigned)n,
                      (unsigned)child.status, child.error);
    }
}
END_TEST

#if !SANITIZED

/* The kernel's own refusal, with every backend, glibc's too. */
START_TEST(address_space_runs_out)
{
    silence_log();
    static const char *const kinds[] = {"pool", "mmap", "glibc", "jemalloc"};
    char text[256];
    snprintf(text, sizeof text, "default: mmap\nmodules: {m: {route: [%s{to: %s}]}}\n",
             _i == 0 ? "{max_size: 64KiB, to: pool}, " : "", _i == 0 ? "mmap" : kinds[_i]);
    use_policy(text);
    sluice_module m = use_module("m");
    void *first = sluice_malloc(m, 100);
    struct rlimit limit = {1500 * MIB, 1500 * MIB};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    static const size_t sizes[] = {3 * MIB, 60 * KIB, 5000};
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        void **pile = NULL;
        void **p;
        size_t n = 0;
        while ((p = sluice_malloc(m, sizes[i])) != NULL && n < 300000) {
            *p = pile;
            pile = p;
            n++;
        }
        ck_assert_int_eq(p == NULL ? errno : ENOMEM, ENOMEM);
        ck_assert_uint_gt(n, 100);
        while (pile != NULL) {
            void **next = *pile;
            sluice_free(pile);
            pile = next;
        }
        sluice_free(p);
        sluice_trim(m);
    }
    sluice_free(first);
    void *again = sluice_malloc(
        m, 3 * MIB); /* jemalloc keeps address space, in pieces of what was asked for */
    ck_assert_ptr_nonnull(again);
    sluice_free(again);
    ck_assert_uint_eq(stats_of(m).live_objects, 0);
}
END_TEST

#endif

int main(void)
{
    TCase *cases[] = {tcase_create("nth"), tcase_create("fresh"), tcase_create("start"),
                      tcase_create("kernel")};
    for (size_t i = 0; i < LENGTH(cases); i++)
        tcase_set_timeout(cases[i], 280);
    tcase_add_test(cases[0], from_the_nth_on);
    tcase_add_test(cases[0], the_nth_alone);
    tcase_add_test(cases[1], in_a_fresh_process);
    tcase_add_test(cases[2], at_the_start);
#if !SANITIZED
    tcase_add_loop_test(cases[3], address_space_runs_out, 0, 4);
#endif
    return run_suite("oom", cases, LENGTH(cases));
}
