/* Soft and hard limits: what is refused, what happens then, and that the count is exact in the end. */
#include "core/limit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/module.h"
#include "tests/support/testing.h"

static const char *const kinds[] = {"pool", "mmap", "glibc", "jemalloc"};

/* A module m of that kind, under that limit; another one, n, without. */
static sluice_module limited(const char *kind, const char *limit)
{
    char text[1024];
    const char *route =
        strcmp(kind, "pool") == 0 ? "{max_size: 64KiB, to: pool}, {to: mmap}" : kind;
    snprintf(text, sizeof text,
             "default: mmap\nmodules:\n  m: {route: [%s%s%s], limit: {%s}}\n  n: pool\n",
             *route == '{' ? "" : "{to: ", route, *route == '{' ? "" : "}", limit);
    use_policy(text);
    return use_module("m");
}

struct pile {
    struct pile *next;
};

/* Allocates until it fails, n objects at most; returns their number. */
static size_t heap_up(struct pile **pile, sluice_module m, size_t size, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pile *p = sluice_malloc(m, size);
        if (p == NULL)
            return i;
        p->next = *pile;
        *pile = p;
    }
    return n;
}

static void clear(struct pile **pile)
{
    for (struct pile *p = *pile, *next; p != NULL; p = next) {
        next = p->next;
        sluice_free(p);
    }
    *pile = NULL;
}

START_TEST(a_hard_limit_is_reached_and_not_passed)
{
    static const size_t sizes[] = {64, 1000, 30000, 200000};
    sluice_module m = limited(kinds[_i], "hard: 8MiB");
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        struct pile *pile = NULL;
        errno = 0;
        heap_up(&pile, m, sizes[i], SIZE_MAX);
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert_ptr_nonnull(strstr(sluice_error_message(), "\"m\""));
        ck_assert_ptr_nonnull(strstr(sluice_error_message(), "hard limit"));
        /* Most of it was to be had; rounding and slabs take their part. */
        ck_assert_uint_ge(stats_of(m).live_bytes, 6 * MIB);
        ck_assert_uint_le(stats_of(m).live_bytes, 8 * MIB + 256 * KIB);
        ck_assert_uint_le(held_by(m), 8 * MIB);
        ck_assert_uint_eq(stats_of(m).limit_bytes, 8 * MIB);
        /* Others are not concerned. */
        void *p = sluice_malloc(use_module("n"), 1000);
        ck_assert_ptr_nonnull(p);
        sluice_free(p);
        clear(&pile);
        sluice_trim(m);
        ck_assert_int_eq((int64_t)held_by(m), 0);
    }
    /* And it can be had again. */
    struct pile *pile = NULL;
    ck_assert_uint_ge(heap_up(&pile, m, 4000, SIZE_MAX), 6 * MIB / 4096);
    clear(&pile);
}
END_TEST

START_TEST(a_failed_realloc_leaves_the_object)
{
    sluice_module m = limited(kinds[_i], "hard: 4MiB");
    char *p = sluice_malloc(m, MIB);
    ck_assert_ptr_nonnull(p);
    test_fill(p, MIB, 1);
    errno = 0;
    ck_assert_ptr_null(sluice_realloc(m, p, 6 * MIB));
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert(test_is_filled(p, MIB, 1));
    p = sluice_realloc(m, p, 100);
    ck_assert_ptr_nonnull(p);
    ck_assert(test_is_filled(p, 100, 1));
    sluice_free(p);
    sluice_trim(m);
    ck_assert_int_eq((int64_t)held_by(m), 0);
}
END_TEST

START_TEST(realloc_and_alignment_are_counted_exactly)
{
    sluice_module m = limited(kinds[_i], "hard: 256MiB");
    uint64_t random = 7;
    void *p[200] = {NULL};
    for (int i = 0; i < TESTING_SCALE(20000); i++) {
        void **at = &p[test_random(&random) % LENGTH(p)];
        size_t size = test_random_size(&random, 300000);
        switch (test_random(&random) % 3) {
        case 0:
            sluice_free(*at);
            *at = sluice_aligned_alloc(m, (size_t)16 << test_random(&random) % 14, size);
            break;
        case 1:
            *at = sluice_realloc(m, *at, size);
            break;
        default:
            sluice_free(*at);
            *at = sluice_calloc(m, 1, size);
        }
        ck_assert_ptr_nonnull(*at);
    }
    for (unsigned i = 0; i < LENGTH(p); i++)
        sluice_free(p[i]);
    sluice_trim(m);
    ck_assert_msg(held_by(m) == 0, "%s: %lld bytes", kinds[_i], (long long)held_by(m));
}
END_TEST

/* ---- Threads --------------------------------------------------------------------------------- */

static sluice_module shared;
static struct pile *piles[32];
static _Atomic uint32_t full;
static _Atomic bool over;

static void *fill_up(void *index)
{
    struct pile **pile = &piles[(uintptr_t)index];
    size_t size = (size_t)100 << (uintptr_t)index % 9;
    heap_up(pile, shared, size, SIZE_MAX);
    atomic_fetch_add(&full, 1);
    wait_for_count(&full, 32, 60000);
    return NULL;
}

static void *watch(void *limit)
{
    while (atomic_load(&full) < 32)
        if (stats_of(shared).live_bytes > (uintptr_t)limit + 32 * 2 * MIB)
            atomic_store(&over, true);
    return NULL;
}

START_TEST(many_threads_do_not_pass_it_together)
{
    shared = limited(kinds[_i], "hard: 64MiB");
    pthread_t watcher;
    pthread_create(&watcher, NULL, watch, (void *)(64 * MIB));
    run_threads(32, fill_up);
    pthread_join(watcher, NULL);
    ck_assert(!atomic_load(&over));
    struct sluice_module_stats s = stats_of(shared);
    ck_assert_uint_le(s.live_bytes, 64 * MIB + 32 * 2 * MIB);
    ck_assert_uint_ge(s.live_bytes, 48 * MIB); /* what idle threads keep is a small part */
    for (unsigned i = 0; i < 32; i++)
        clear(&piles[i]); /* another thread than theirs, and they are gone */
    sluice_trim(shared);
    ck_assert_msg(held_by(shared) == 0, "%s: %lld bytes", kinds[_i], (long long)held_by(shared));
}
END_TEST

static _Atomic uint32_t freed, done;

static void *free_and_stay(void *index)
{
    struct pile **pile = &piles[(uintptr_t)index];
    heap_up(pile, shared, 20000, 25); /* half a megabyte each */
    clear(pile);
    atomic_fetch_add(&freed, 1);
    wait_for_count(&done, 1, 60000);
    return NULL;
}

static void *take_all(void *unused)
{
    wait_for_count(&freed, 31, 60000);
    struct pile *pile = NULL;
    size_t n = heap_up(&pile, shared, 20000, SIZE_MAX);
    clear(&pile);
    atomic_store(&done, 1);
    return (void *)n;
}

START_TEST(what_idle_threads_freed_others_may_have)
{
    /* The pool counts whole slabs, and the empty ones that threads allocate from until somebody trims. */
    shared = limited(kinds[_i], "hard: 16MiB, on_hard: trim");
    pthread_t threads[32];
    for (unsigned i = 0; i < 31; i++)
        pthread_create(&threads[i], NULL, free_and_stay, (void *)(uintptr_t)i);
    pthread_create(&threads[31], NULL, take_all, NULL);
    void *n;
    pthread_join(threads[31], &n);
    for (unsigned i = 0; i < 31; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_ge((size_t)n * 20000, 8 * MIB);
}
END_TEST

static void *end_in_debt(void *unused)
{
    struct pile *pile = NULL;
    heap_up(&pile, shared, 5000, 20);
    return pile;
}

START_TEST(threads_that_end_leave_the_count_right)
{
    shared = limited(kinds[_i], "hard: 4MiB");
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        void *pile;
        pthread_create(&thread, NULL, end_in_debt, NULL);
        pthread_join(thread, &pile);
        struct pile *mine = pile;
        clear(&mine);
        ck_assert_uint_le(held_by(shared), 4 * MIB); /* below zero would be a huge number */
    }
    sluice_trim(shared);
    ck_assert_msg(held_by(shared) == 0, "%s: %lld bytes", kinds[_i], (long long)held_by(shared));
}
END_TEST

/* ---- Actions --------------------------------------------------------------------------------- */

static struct {
    _Atomic uint32_t soft, hard;
    uint64_t held, limit;
    sluice_module module;
} notices;

static void on_limit(sluice_module m, int hard, uint64_t held, uint64_t limit, void *arg)
{
    ck_assert_ptr_eq(arg, &notices);
    notices.held = held;
    notices.limit = limit;
    notices.module = m;
    atomic_fetch_add(hard ? &notices.hard : &notices.soft, 1);
    sluice_free(sluice_malloc(m, 10)); /* it may allocate */
}

static void silence(void)
{
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
}

START_TEST(soft_notify_tells_once_until_it_has_fallen)
{
    silence();
    sluice_on_limit(on_limit, &notices);
    sluice_module m = limited(kinds[_i], "soft: 4MiB, on_soft: notify");
    struct pile *pile = NULL;
    for (uint32_t round = 1; round <= 3; round++) {
        ck_assert_uint_eq(heap_up(&pile, m, 10000, 1000), 1000); /* nothing is refused */
        ck_assert_uint_eq(atomic_load(&notices.soft), round);
        ck_assert_uint_eq(notices.module, m);
        ck_assert_uint_eq(notices.limit, 4 * MIB);
        ck_assert_uint_gt(notices.held, 4 * MIB);
        clear(&pile);
        sluice_trim(m);
    }
    ck_assert_uint_eq(atomic_load(&notices.hard), 0);
    sluice_on_limit(NULL, NULL);
    heap_up(&pile, m, 10000, 1000);
    ck_assert_uint_eq(atomic_load(&notices.soft), 3);
    clear(&pile);
}
END_TEST

/* By the call that crosses the limit, not by a later one: there may be none. */
START_TEST(soft_notify_tells_at_once)
{
    static const size_t sizes[] = {200, 10000, 70000};
    silence();
    sluice_on_limit(on_limit, &notices);
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        sluice_module m = limited(kinds[_i], "soft: 4MiB, on_soft: notify");
        const struct module *record = module_get(m);
        struct pile *pile = NULL;
        uint32_t before = atomic_load(&notices.soft);
        for (size_t bytes = 0; bytes < 8 * MIB; bytes += sizes[i]) {
            heap_up(&pile, m, sizes[i], 1);
            if (atomic_load(&record->held) > 4 * MIB)
                break;
        }
        ck_assert_uint_eq(atomic_load(&notices.soft), before + 1);
        clear(&pile);
        sluice_trim(m);
    }
    sluice_on_limit(NULL, NULL);
}
END_TEST

START_TEST(hard_notify_tells_and_fails)
{
    silence();
    sluice_on_limit(on_limit, &notices);
    sluice_module m = limited(kinds[_i], "hard: 4MiB, on_hard: notify");
    struct pile *pile = NULL;
    ck_assert_uint_lt(heap_up(&pile, m, 10000, 1000), 1000);
    ck_assert_uint_eq(atomic_load(&notices.hard), 1);
    clear(&pile);
}
END_TEST

static int first_arg, second_arg;
static _Atomic uint32_t told_first, told_second;
static _Atomic bool mismatched, told_enough;

static void first_callback(sluice_module m, int hard, uint64_t held, uint64_t limit, void *arg)
{
    atomic_fetch_add(&told_first, 1);
    if (arg != &first_arg)
        atomic_store(&mismatched, true);
}

static void second_callback(sluice_module m, int hard, uint64_t held, uint64_t limit, void *arg)
{
    atomic_fetch_add(&told_second, 1);
    if (arg != &second_arg)
        atomic_store(&mismatched, true);
}

static void *change_callbacks(void *index)
{
    while (!atomic_load(&told_enough)) {
        sluice_on_limit(first_callback, &first_arg);
        sluice_on_limit(second_callback, &second_arg);
    }
    return NULL;
}

static void *run_into_the_limit(void *index)
{
    if ((uintptr_t)index == 0)
        return change_callbacks(index);
    uint64_t end = now_ms() + 20000;
    while ((atomic_load(&told_first) < 20000 || atomic_load(&told_second) < 20000) &&
           now_ms() < end)
        ck_assert_ptr_null(sluice_malloc(shared, 8 * MIB));
    atomic_store(&told_enough, true);
    return NULL;
}

START_TEST(a_callback_is_called_with_its_own_argument)
{
    silence();
    shared = limited("mmap", "hard: 4MiB, on_hard: notify");
    uint64_t before = process_stats().metadata_bytes;
    run_threads(3, run_into_the_limit);
    ck_assert(!atomic_load(&mismatched));
    ck_assert_uint_gt(atomic_load(&told_first), 0);
    ck_assert_uint_gt(atomic_load(&told_second), 0);
    /* However often they changed: a pair that was there before is found again. */
    ck_assert_uint_le(process_stats().metadata_bytes, before + 256 * KIB);
}
END_TEST

START_TEST(soft_fail_refuses_from_there)
{
    sluice_module m = limited(kinds[_i], "soft: 4MiB, hard: 100MiB, on_soft: fail, on_hard: abort");
    struct pile *pile = NULL;
    size_t n = heap_up(&pile, m, 10000, 1000);
    ck_assert_uint_lt(n, 1000);
    ck_assert_uint_ge(n * 10000, 3 * MIB);
    ck_assert_ptr_nonnull(strstr(sluice_error_message(), "soft limit"));
    clear(&pile);
    sluice_trim(m);
    ck_assert_uint_gt(heap_up(&pile, m, 10000, 100), 99);
    clear(&pile);
}
END_TEST

START_TEST(fallback_serves_from_elsewhere)
{
    static const char *const others[] = {"jemalloc", "pool", "mmap", "glibc"};
    for (int hard = 0; hard <= 1; hard++) {
        char limit[128];
        snprintf(limit, sizeof limit,
                 hard ? "hard: 4MiB, on_hard: {fallback: %s}"
                      : "soft: 4MiB, on_soft: {fallback: %s}",
                 others[_i]);
        sluice_module m = limited(kinds[_i], limit);
        struct pile *pile = NULL;
        ck_assert_uint_eq(heap_up(&pile, m, 10000, 1500), 1500);
        ck_assert_str_eq(kind_of(pile), others[_i]);
        struct pile *first = pile;
        while (first->next != NULL)
            first = first->next;
        ck_assert_str_eq(kind_of(first), kinds[_i]);
        clear(&pile);
        sluice_trim(m);
        ck_assert_int_eq((int64_t)held_by(m), 0);
        ck_assert_uint_eq(heap_up(&pile, m, 10000, 1), 1);
        ck_assert_str_eq(kind_of(pile), kinds[_i]); /* home again */
        clear(&pile);
    }
}
END_TEST

static void *clear_pile(void *pile)
{
    clear(pile);
    return NULL;
}

/* Nobody comes behind it. */
START_TEST(fallback_serves_large_zeros)
{
    char text[300];
    snprintf(text, sizeof text, "modules: {m: {route: mmap, limit: {%s}}}\n",
             _i == 0 ? "soft: 1MiB, on_soft: {fallback: pool}"
                     : "hard: 1MiB, on_hard: {fallback: pool}");
    use_policy(text);
    sluice_module m = use_module("m");
    void *first = sluice_malloc(m, _i == 0 ? 2 * MIB : MIB);
    ck_assert_ptr_nonnull(first);
    for (size_t size = 1000; size <= 512 * KIB; size *= 2) {
        char *dirty = sluice_malloc(m, size);
        ck_assert_str_eq(kind_of(dirty), "pool");
        memset(dirty, 1, size);
        sluice_free(dirty);
        char *p = sluice_calloc(m, 1, size);
        ck_assert_ptr_nonnull(p);
        ck_assert_str_eq(kind_of(p), "pool");
        for (size_t i = 0; i < size; i++)
            ck_assert_int_eq(p[i], 0);
        sluice_free(p);
    }
    sluice_free(first);
}
END_TEST

/* Whatever call asks, the fallback's objects count for the module, and are freed to their own arena by any thread. */
START_TEST(fallback_is_accounted_and_freed_to_its_owner)
{
    static const char *const others[] = {"jemalloc", "pool", "mmap", "glibc"};
    for (int hard = 0; hard <= 1; hard++) {
        char limit[128];
        snprintf(limit, sizeof limit,
                 hard ? "hard: 4MiB, on_hard: {fallback: %s}"
                      : "soft: 4MiB, on_soft: {fallback: %s}",
                 others[_i]);
        sluice_module m = limited(kinds[_i], limit);
        struct sluice_module_stats before = stats_of(m);
        struct pile *pile = NULL;
        heap_up(&pile, m, 20000, 400);
        struct sluice_module_stats high = stats_of(m);
        ck_assert_uint_eq(high.live_objects - before.live_objects, 400);
        ck_assert_uint_ge(high.live_bytes, 400 * 20000);
        ck_assert_uint_eq(high.failed_allocations, before.failed_allocations);

        char *p = sluice_calloc(m, 3, 10000);
        ck_assert_str_eq(kind_of(p), others[_i]);
        ck_assert(test_is_zero(p, 30000));
        test_fill(p, 30000, 7);
        p = sluice_realloc(0, p, 40000);
        ck_assert_ptr_nonnull(p);
        ck_assert_str_eq(kind_of(p), others[_i]);
        ck_assert(test_is_filled(p, 30000, 7));
        struct sluice_owner owner = {.struct_size = sizeof owner};
        ck_assert_int_eq(sluice_owner(p, &owner), SLUICE_OK);
        ck_assert_uint_eq(owner.module, m);
        char *q = sluice_aligned_alloc(m, 512, 30000);
        ck_assert_str_eq(kind_of(q), others[_i]);
        ck_assert_uint_eq((uintptr_t)q % 512, 0);
        /* An object from before the limit, resized beyond it. */
        struct pile *first = pile;
        while (first->next->next != NULL)
            first = first->next;
        ck_assert_str_eq(kind_of(first->next), kinds[_i]);
        first->next = sluice_realloc(0, first->next, 60000);
        ck_assert_str_eq(kind_of(first->next), others[_i]);
        first->next->next = NULL;
        sluice_free(p);
        sluice_free(q);

        pthread_t thread;
        pthread_create(&thread, NULL, clear_pile, &pile);
        pthread_join(thread, NULL);
        sluice_trim(m);
        struct sluice_module_stats after = stats_of(m);
        ck_assert_uint_eq(after.live_objects, before.live_objects);
        ck_assert_uint_eq(after.live_bytes, before.live_bytes);
        ck_assert_uint_eq(after.allocated_objects - before.allocated_objects,
                          after.freed_objects - before.freed_objects);
        ck_assert_int_eq((int64_t)held_by(m), 0);
    }
}
END_TEST

START_TEST(a_phase_falls_back_too)
{
    use_policy("default: mmap\nmodules: {m: {route: glibc, limit: {hard: 4MiB, on_hard: {fallback: "
               "jemalloc}}}}\nphases: {f: {modules: [m], backend: mmap}}\n");
    sluice_module m = use_module("m");
    sluice_phase *phase;
    ck_assert_int_eq(sluice_phase_begin("f", &phase), SLUICE_OK);
    struct pile *pile = NULL;
    heap_up(&pile, m, 20000, 400);
    ck_assert_ptr_nonnull(pile);
    ck_assert_str_eq(kind_of(pile), "jemalloc");
    void *newest[2] = {pile, pile->next};
    ck_assert_int_eq(sluice_phase_end(phase), SLUICE_OK);
    /* What came from beyond the phase is not dropped with it. */
    for (size_t i = 0; i < LENGTH(newest); i++) {
        ck_assert_str_eq(kind_of(newest[i]), "jemalloc");
        sluice_free(newest[i]);
    }
}
END_TEST

START_TEST(soft_trim_gives_back)
{
    sluice_module m = limited(kinds[_i], "soft: 16MiB, on_soft: trim");
    struct pile *small = NULL, *pile = NULL;
    for (uint32_t round = 0; round < 3; round++) {
        /* What is kept of one size cannot serve another. */
        heap_up(&small, m, 500, 12 * MIB / 512);
        clear(&small);
        uint64_t cached = stats_of(m).cached_bytes;
        ck_assert_uint_eq(heap_up(&pile, m, 30000, 1000), 1000); /* nothing is refused */
        if (cached > 4 * MIB)
            ck_assert_uint_lt(stats_of(m).cached_bytes, cached);
        clear(&pile);
        sluice_trim(m);
    }
    ck_assert_uint_eq(stats_of(m).failed_allocations, 0);
    ck_assert_int_eq((int64_t)held_by(m), 0);
}
END_TEST

START_TEST(hard_fail_is_the_default)
{
    static const char *const limits[] = {"hard: 4MiB", "hard: 4MiB, on_hard: fail"};
    for (size_t i = 0; i < LENGTH(limits); i++) {
        sluice_module m = limited(kinds[_i], limits[i]);
        struct pile *pile = NULL;
        uint64_t failed = stats_of(m).failed_allocations;
        ck_assert_uint_lt(heap_up(&pile, m, 10000, 1000), 1000);
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert_uint_eq(stats_of(m).failed_allocations, failed + 1);
        clear(&pile);
    }
}
END_TEST

START_TEST(hard_trim_makes_room)
{
    sluice_module m = limited(kinds[_i], "hard: 8MiB, on_hard: trim");
    for (size_t round = 0; round < 20; round++) {
        struct pile *pile = NULL;
        size_t size = (size_t)4000 << round % 6; /* mmap takes a page for less */
        ck_assert_uint_eq(heap_up(&pile, m, size, 4 * MIB / size), 4 * MIB / size);
        clear(&pile);
    }
}
END_TEST

static void pass_hard(void *kind)
{
    struct pile *pile = NULL;
    heap_up(&pile, limited(kind, "hard: 2MiB, on_hard: abort"), 10000, 1000);
}

static void pass_soft(void *kind)
{
    struct pile *pile = NULL;
    heap_up(&pile, limited(kind, "soft: 2MiB, on_soft: abort"), 10000, 1000);
}

START_TEST(abort_says_who_and_how_much)
{
    char kind[16];
    snprintf(kind, sizeof kind, "%s", kinds[_i]);
    struct child child = run_child(pass_hard, kind, 30000);
    ck_assert(child_aborted(&child));
    ck_assert_ptr_nonnull(strstr(child.error, "module \"m\": an allocation of 10000 bytes"));
    ck_assert_ptr_nonnull(strstr(child.error, "hard limit of 2097152 bytes"));
    child = run_child(pass_soft, kind, 30000);
    ck_assert(child_aborted(&child));
    ck_assert_ptr_nonnull(strstr(child.error, "soft limit of 2097152 bytes"));
}
END_TEST

START_TEST(limits_follow_the_policy)
{
    struct pile *pile = NULL;
    sluice_module m = limited(kinds[_i], "hard: 64MiB");
    ck_assert_uint_eq(heap_up(&pile, m, 10000, 1000), 1000);
    limited(kinds[_i],
            "hard: 1MiB"); /* below what is out: nothing is taken away, nothing is given */
    ck_assert_uint_eq(stats_of(m).limit_bytes, MIB);
    ck_assert_ptr_null(sluice_malloc(m, 50000));
    clear(&pile);
    sluice_trim(m);
    ck_assert_uint_ge(heap_up(&pile, m, 10000, 1000), 40);
    limited(kinds[_i], "");
    ck_assert_uint_eq(stats_of(m).limit_bytes, 0);
    ck_assert_uint_eq(heap_up(&pile, m, 10000, 1000), 1000);
    clear(&pile);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("hard"), tcase_create("threads"), tcase_create("actions")};
    int n = LENGTH(kinds);
    tcase_add_loop_test(cases[0], a_hard_limit_is_reached_and_not_passed, 0, n);
    tcase_add_loop_test(cases[0], a_failed_realloc_leaves_the_object, 0, n);
    tcase_add_loop_test(cases[0], realloc_and_alignment_are_counted_exactly, 0, n);
    tcase_add_loop_test(cases[0], limits_follow_the_policy, 0, n);
    tcase_add_loop_test(cases[1], many_threads_do_not_pass_it_together, 0, n);
    tcase_add_loop_test(cases[1], what_idle_threads_freed_others_may_have, 0, n);
    tcase_add_loop_test(cases[1], threads_that_end_leave_the_count_right, 0, n);
    tcase_add_loop_test(cases[2], soft_notify_tells_once_until_it_has_fallen, 0, n);
    tcase_add_loop_test(cases[2], soft_notify_tells_at_once, 0, n);
    tcase_add_loop_test(cases[2], hard_notify_tells_and_fails, 0, n);
    tcase_add_test(cases[2], a_callback_is_called_with_its_own_argument);
    tcase_add_loop_test(cases[2], soft_fail_refuses_from_there, 0, n);
    tcase_add_loop_test(cases[2], fallback_serves_from_elsewhere, 0, n);
    tcase_add_loop_test(cases[2], fallback_serves_large_zeros, 0, 2);
    tcase_add_loop_test(cases[2], fallback_is_accounted_and_freed_to_its_owner, 0, n);
    tcase_add_test(cases[2], a_phase_falls_back_too);
    tcase_add_loop_test(cases[2], soft_trim_gives_back, 0, n);
    tcase_add_loop_test(cases[2], hard_fail_is_the_default, 0, n);
    tcase_add_loop_test(cases[2], hard_trim_makes_room, 0, n);
    tcase_add_loop_test(cases[2], abort_says_who_and_how_much, 0, n);
    return run_suite("limit", cases, LENGTH(cases));
}
