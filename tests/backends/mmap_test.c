/* What the mmap backend promises beyond conformance: pages that go back at once or in time, few
 * kernel mappings, resizing in place, huge pages on whole pieces only. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "backends/builtin.h"
#include "core/arena.h"
#include "core/module.h"
#include "core/os.h"
#include "core/registry.h"
#include "tests/support/testing.h"

static sluice_module module;

static void use(const char *parameters)
{
    char policy[512];
    snprintf(policy, sizeof policy, "default: m\nbackends:\n  m: {kind: mmap%s}\n", parameters);
    use_policy(policy);
    module = use_module("blocks");
}

static void *touched(size_t size)
{
    void *p = sluice_malloc(module, size);
    ck_assert_ptr_nonnull(p);
    memset(p, 1, size);
    return p;
}

/* Lines of /proc/self/maps. */
static size_t mapping_count(void)
{
    static char text[65536];
    size_t count = 0;
    ssize_t n;
    int fd = open("/proc/self/maps", O_RDONLY);
    while ((n = read(fd, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < n; i++)
            count += text[i] == '\n';
    close(fd);
    return count;
}

START_TEST(pages_go_back_at_once)
{
    static const size_t sizes[] = {4096, 64 * KIB, 2 * MIB - 4096, 2 * MIB, 5 * MIB + 4096};
    use("");
    sluice_free(touched(4096));
    uint64_t before = kernel_resident();
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        enum { COUNT = 8 };
        void *p[COUNT];
        for (int k = 0; k < COUNT; k++)
            p[k] = touched(sizes[i]);
        ck_assert_uint_eq(stats_of(module).live_bytes, COUNT * sizes[i]);
        for (int k = 0; k < COUNT; k++)
            sluice_free(p[k]);
        ck_assert_uint_eq(stats_of(module).cached_bytes, 0);
        if (!SANITIZED)
            ck_assert_uint_le(kernel_resident(), before + 256 * KIB);
    }
}
END_TEST

START_TEST(objects_share_chunks)
{
    enum { COUNT = 20000 };
    use(", huge_pages: never");
    void **p = test_memory(COUNT * sizeof *p);
    sluice_free(touched(4096));
    size_t mappings = mapping_count();
    struct sluice_process_stats stats = process_stats();
    for (int i = 0; i < COUNT; i++)
        p[i] = sluice_malloc(module, 64 * KIB);
    uint64_t chunks = process_stats().chunk_bytes - stats.chunk_bytes;
    ck_assert_uint_le(chunks, COUNT * 64 * KIB + 4 * MIB);
    if (!SANITIZED)
        ck_assert_uint_le(mapping_count(), mappings + 40);
    for (int i = 0; i < COUNT; i += 2) /* holes everywhere: still no mapping is split */
        sluice_free(p[i]);
    if (!SANITIZED)
        ck_assert_uint_le(mapping_count(), mappings + 40);
    for (int i = 1; i < COUNT; i += 2)
        sluice_free(p[i]);
    ck_assert_uint_le(process_stats().chunk_bytes, stats.chunk_bytes + 2 * MIB);
}
END_TEST

START_TEST(holes_are_filled)
{
    enum { COUNT = 3000 };
    use("");
    void **p = test_memory(COUNT * sizeof *p);
    for (int i = 0; i < COUNT; i++)
        p[i] = sluice_malloc(module, 100 * KIB);
    uint64_t chunks = process_stats().chunk_bytes;
    for (int i = 0; i < COUNT; i += 3)
        sluice_free(p[i]);
    for (int i = 0; i < COUNT; i += 3)
        p[i] = sluice_malloc(module, 90 * KIB);
    ck_assert_uint_le(process_stats().chunk_bytes, chunks + 2 * MIB);
}
END_TEST

static bool nothing_cached(void *arg)
{
    (void)arg;
    return stats_of(module).cached_bytes == 0;
}

START_TEST(reuse_keeps_for_a_while)
{
    static const size_t sizes[] = {100 * KIB, 3 * MIB};
    use(", reuse: 300ms");
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        size_t size = sizes[i];
        char *p = touched(size);
        sluice_free(p);
        ck_assert_uint_ge(stats_of(module).cached_bytes, size);
        char *q = sluice_malloc(module, size);
        ck_assert_ptr_eq(p, q);
        ck_assert_int_eq(q[size - 1], 1); /* the same pages: nothing was faulted in again */
        ck_assert_uint_eq(stats_of(module).cached_bytes, 0);
        sluice_free(q);
        q = sluice_calloc(module, 1, size);
        ck_assert_ptr_eq(p, q);
        ck_assert(test_is_zero(q, size));
        sluice_free(q);
        ck_assert(wait_until(nothing_cached, NULL, 10000));
    }
}
END_TEST

START_TEST(reuse_fits_smaller_and_larger)
{
    use(", reuse: 10s");
    char *p = touched(10 * MIB);
    sluice_free(p);
    char *q = sluice_calloc(module, 1, 8 * MIB + 4096); /* fits into nine tenths of it */
    ck_assert_ptr_eq(p, q);
    ck_assert(test_is_zero(q, 8 * MIB + 4096));
    ck_assert_uint_eq(stats_of(module).cached_bytes, 0); /* the tail went back */
    q = sluice_realloc(module, q, 10 * MIB);
    ck_assert_ptr_eq(p, q);
    sluice_free(q);
    q = sluice_malloc(module, 2 * MIB); /* far smaller: a run of its own */
    ck_assert_ptr_ne(p, q);
    sluice_free(q);
}
END_TEST

START_TEST(reuse_limit_bounds_what_is_kept)
{
    use(", reuse: 1h, reuse_limit: 8MiB");
    void *p[20];
    for (int i = 0; i < 20; i++)
        p[i] = touched(i % 2 ? MIB : 2 * MIB);
    for (int i = 0; i < 20; i++)
        sluice_free(p[i]);
    uint64_t cached = stats_of(module).cached_bytes;
    ck_assert_uint_le(cached, 8 * MIB);
    ck_assert_uint_ge(cached, 6 * MIB);
    ck_assert_uint_ge(sluice_trim(module), cached);
    ck_assert_uint_eq(stats_of(module).cached_bytes, 0);
}
END_TEST

START_TEST(kept_pages_do_not_stand_in_the_way_of_the_limit)
{
    use_policy("default: m\n"
               "backends: {m: {kind: mmap, reuse: 1h}}\n"
               "modules: {blocks: {route: [{to: m}], limit: {hard: 16MiB}}}\n");
    module = use_module("blocks");
    for (int round = 0; round < 3; round++) { /* each size finds the pages of the one before kept */
        void *small[120];
        for (int i = 0; i < 120; i++)
            small[i] = touched(128 * KIB);
        for (int i = 0; i < 120; i++)
            sluice_free(small[i]);
        void *large = touched(15 * MIB);
        errno = 0;
        ck_assert_ptr_null(sluice_malloc(module, 2 * MIB));
        ck_assert_int_eq(errno, ENOMEM);
        sluice_free(large);
    }
    sluice_trim(module);
    ck_assert_uint_eq(held_by(module), 0);
}
END_TEST

START_TEST(resizes_in_place)
{
    use("");
    char *p = touched(100 * KIB);
    ck_assert_ptr_eq(sluice_realloc(module, p, 40 * KIB), p);
    ck_assert_uint_eq(sluice_usable_size(p), 40 * KIB);
    ck_assert_uint_eq(stats_of(module).live_bytes, 40 * KIB);
    ck_assert_ptr_eq(sluice_realloc(module, p, 300 * KIB), p);
    ck_assert(test_is_zero(p + 40 * KIB, 260 * KIB)); /* the tail had gone back */
    ck_assert_ptr_eq(sluice_realloc(module, p, 1), p);
    ck_assert_uint_eq(sluice_usable_size(p), 4096);
    sluice_free(p);

    p = touched(9 * MIB);
    ck_assert_ptr_eq(sluice_realloc(module, p, 5 * MIB), p);
    if (!SANITIZED)
        ck_assert_uint_eq(resident_between(p, 9 * MIB), 5 * MIB);
    ck_assert_ptr_eq(sluice_realloc(module, p, 10 * MIB), p); /* within its chunks */
    ck_assert(test_is_zero(p + 5 * MIB, 5 * MIB));
    sluice_free(p);
}
END_TEST

START_TEST(tail_is_no_huge_page)
{
    use(", huge_pages: auto");
    char *p = touched(4 * MIB + 8192);
    if (!SANITIZED)
        ck_assert_uint_eq(resident_between(p, 6 * MIB), 4 * MIB + 8192);
    ck_assert_uint_eq(sluice_usable_size(p), 4 * MIB + 8192);
    sluice_free(p);
}
END_TEST

START_TEST(huge_pages_where_wanted)
{
    use(_i == 0 ? ", huge_pages: never" : _i == 1 ? ", huge_pages: auto" : ", huge_pages: always");
    if (!os_huge_available() || SANITIZED)
        return;
    char *p = touched(6 * MIB + 4096);
    uint64_t huge = kernel_huge();
    if (_i == 0)
        ck_assert_uint_eq(huge, 0);
    else
        ck_assert_uint_le(huge, _i == 1 ? 6 * MIB : 8 * MIB); /* the kernel may have none to give */
    ck_assert_uint_eq(sluice_usable_size(p), _i == 2 ? 8 * MIB : 6 * MIB + 4096);
    sluice_free(p);
}
END_TEST

/* Whether the kernel's mapping around p is advised to be huge pages. */
static bool is_advised_huge(const void *p)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    char line[512];
    bool here = false, advised = false;
    while (fgets(line, sizeof line, smaps) != NULL) {
        uintptr_t low, high;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &low, &high) == 2)
            here = (uintptr_t)p >= low && (uintptr_t)p < high;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            advised = strstr(line, " hg") != NULL;
    }
    fclose(smaps);
    return advised;
}

START_TEST(small_ones_share_huge_pages_where_wanted)
{
    use(_i == 0 ? ", huge_pages: auto" : ", huge_pages: always");
    if (!os_huge_available())
        return;
    char *p = touched(100 * KIB), *q = touched(100 * KIB);
    ck_assert_int_eq(is_advised_huge(p), _i == 1);
    ck_assert_uint_eq(sluice_usable_size(p), 100 * KIB);
    sluice_free(p);
    sluice_free(q);
}
END_TEST

/* Where pages cannot be taken away, calloc must be zero all the same, and accounting must add up.
 */
/* What grows finds room in its place mostly, and takes its pages along where not. */
START_TEST(what_grows_keeps_its_pages)
{
    use(", reuse: 100ms");
    size_t size = 100 * KIB, moves = 0;
    char *p = touched(size);
    test_fill(p, size, 1);
    while (size < 64 * MIB) {
        size_t had = size;
        size += size / 4;
        char *q = sluice_realloc(module, p, size);
        ck_assert_ptr_nonnull(q);
        moves += q != p && size > 2 * MIB;
        p = q;
        ck_assert(test_is_filled(p, had, 1));
        test_fill(p, size, 1);
        ck_assert_uint_eq(stats_of(module).live_bytes, sluice_usable_size(p));
        ck_assert_uint_eq(stats_of(module).live_objects, 1);
        if (!SANITIZED)
            ck_assert_uint_ge(resident_between(p, size), size); /* none of it was left behind */
    }
    ck_assert_uint_le(moves, 6); /* 2, 4, ... 64 MiB */
    ck_assert_uint_le(held_by(module), stats_of(module).live_bytes + stats_of(module).cached_bytes);
    sluice_free(p);
    sluice_trim(module);
    ck_assert_uint_eq(held_by(module), 0);
    ck_assert_uint_eq(stats_of(module).allocated_objects, stats_of(module).freed_objects);
}
END_TEST

/* Two copies of it would be beyond the limit. */
START_TEST(what_grows_is_charged_once)
{
    use_policy("default: mmap\nmodules:\n  blocks: {route: [{to: mmap}], limit: {hard: 24MiB}}\n");
    module = use_module("blocks");
    char *p = touched(9 * MIB);
    test_fill(p, 9 * MIB, 2);
    p = sluice_realloc(module, p, 17 * MIB);
    ck_assert_ptr_nonnull(p);
    ck_assert(test_is_filled(p, 9 * MIB, 2));
    ck_assert_uint_eq(held_by(module), 17 * MIB);
    errno = 0;
    ck_assert_ptr_null(sluice_realloc(module, p, 40 * MIB));
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert(test_is_filled(p, 9 * MIB, 2));
    sluice_free(p);
    ck_assert_uint_eq(held_by(module), 0);
}
END_TEST

/* Each move leaves the kernel with a mapping more; they are bounded, and go with the memory. */
START_TEST(what_grows_leaves_few_mappings)
{
    use("");
    for (int i = 0; i < TESTING_SCALE(400); i++) {
        char *p = touched(3 * MIB);
        p = sluice_realloc(module, p, 5 * MIB);
        p[5 * MIB - 1] = 1;
        p = sluice_realloc(module, p, 11 * MIB);
        ck_assert_int_eq(p[0], 1);
        ck_assert_int_eq(p[5 * MIB - 1], 1);
        sluice_free(p);
    }
    size_t before = mapping_count();
    ck_assert_uint_le(before, 700);
    void *many[100];
    for (size_t i = 0; i < LENGTH(many); i++)
        many[i] = sluice_realloc(module, touched(2 * MIB), 3 * MIB);
    ck_assert_uint_le(mapping_count(), before + 4 * LENGTH(many));
    for (size_t i = 0; i < LENGTH(many); i++)
        sluice_free(many[i]);
}
END_TEST

START_TEST(locked_in_memory)
{
    static const size_t sizes[] = {64 * KIB, 3 * MIB};
    use("");
    sluice_free(touched(64 * KIB));
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0)
        return; /* not allowed here */
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < LENGTH(sizes); i++) {
            char *p = sluice_calloc(module, 1, sizes[i]);
            ck_assert_ptr_nonnull(p);
            ck_assert(test_is_zero(p, sizes[i]));
            memset(p, 1, sizes[i]);
            p = sluice_realloc(module, p, 3 * sizes[i]); /* 9 MiB: another run */
            ck_assert_int_eq(p[sizes[i] - 1], 1);
            memset(p, 1, 3 * sizes[i]);
            p = sluice_realloc(module, p, sizes[i] / 2);
            sluice_free(p);
        }
    ck_assert_uint_eq(stats_of(module).live_bytes, 0);
    munlockall();
    sluice_trim(module);
    ck_assert_uint_eq(stats_of(module).cached_bytes, 0);
    ck_assert_uint_eq(held_by(module), 0);
}
END_TEST

START_TEST(reset_drops_everything)
{
    use(", reuse: 1h");
    uint64_t random = 1;
    for (int i = 0; i < 300; i++) {
        void *p = touched(test_random_size(&random, 5 * MIB));
        if (i % 3 == 0)
            sluice_free(p);
    }
    struct sluice_arena *a = module_get(module)->arenas;
    ck_assert_ptr_eq(a->ops, registry_find("mmap"));
    struct thread *t = thread_enter_current();
    arena_reset(t, a, false);
    thread_leave_current(t);
    struct sluice_module_stats stats = stats_of(module);
    ck_assert_uint_eq(stats.live_objects, 0);
    ck_assert_uint_eq(stats.live_bytes, 0);
    ck_assert_uint_eq(stats.cached_bytes, 0);
    ck_assert_uint_eq(stats.freed_objects, stats.allocated_objects);
    ck_assert_uint_eq(held_by(module), 0);
    sluice_free(touched(3 * MIB)); /* good for use again */
}
END_TEST

START_TEST(check_knows_objects)
{
    use(", reuse: 1h");
    char *small = touched(100 * KIB), *large = touched(4 * MIB);
    struct sluice_arena *a = module_get(module)->arenas;
    ck_assert(a->ops->check(a->instance, small));
    ck_assert(a->ops->check(a->instance, large));
    ck_assert(!a->ops->check(a->instance, small + 4096));
    ck_assert(!a->ops->check(a->instance, small + 8));
    ck_assert(!a->ops->check(a->instance, large + 4096));
    sluice_free(small);
    sluice_free(large);
    ck_assert(!a->ops->check(a->instance, small));
    ck_assert(!a->ops->check(a->instance, large));
}
END_TEST

static void free_twice(void *size)
{
    char *p = touched(*(size_t *)size);
    sluice_free(touched(*(size_t *)size)); /* something else was freed, too */
    sluice_free(p);
    sluice_free(p);
}

static void free_inside(void *size)
{
    char *p = touched(*(size_t *)size);
    sluice_free(p + *(size_t *)size / 2);
}

START_TEST(misuse_is_reported)
{
    static const size_t sizes[] = {4096, 100 * KIB, 4 * MIB};
    size_t size = sizes[_i % 3];
    use(_i < 3 ? "" : ", reuse: 1h");
    struct child child = run_child(free_twice, &size, 10000);
    if (_i == 2) { /* nothing is mapped there any more: whoever looks may fault */
        ck_assert(!child_succeeded(&child));
    } else {
        ck_assert(child_aborted(&child));
        ck_assert_ptr_nonnull(strstr(child.error, "sluice: "));
    }
    child = run_child(free_inside, &size, 10000);
    ck_assert(child_aborted(&child));
    ck_assert_ptr_nonnull(strstr(child.error, "sluice: "));
}
END_TEST

START_TEST(parameters_change_in_use)
{
    use(", reuse: 1h");
    struct sluice_arena *a = module_get(module)->arenas;
    void *p = touched(4 * MIB);
    if (a == NULL)
        a = module_get(module)->arenas;
    sluice_free(p);
    ck_assert_uint_ge(stats_of(module).cached_bytes, 4 * MIB);
    use(", reuse: 0s");
    ck_assert_ptr_eq(module_get(module)->arenas, a); /* the same arena */
    ck_assert(wait_until(nothing_cached, NULL, 10000));
    sluice_free(touched(4 * MIB));
    ck_assert_uint_eq(stats_of(module).cached_bytes, 0);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("mmap");
    tcase_add_test(tc, pages_go_back_at_once);
    tcase_add_test(tc, objects_share_chunks);
    tcase_add_test(tc, holes_are_filled);
    tcase_add_test(tc, reuse_keeps_for_a_while);
    tcase_add_test(tc, reuse_fits_smaller_and_larger);
    tcase_add_test(tc, reuse_limit_bounds_what_is_kept);
    tcase_add_test(tc, kept_pages_do_not_stand_in_the_way_of_the_limit);
    tcase_add_test(tc, resizes_in_place);
    tcase_add_test(tc, tail_is_no_huge_page);
    tcase_add_loop_test(tc, huge_pages_where_wanted, 0, 3);
    tcase_add_loop_test(tc, small_ones_share_huge_pages_where_wanted, 0, 2);
    tcase_add_test(tc, what_grows_keeps_its_pages);
    tcase_add_test(tc, what_grows_is_charged_once);
    tcase_add_test(tc, what_grows_leaves_few_mappings);
    tcase_add_test(tc, locked_in_memory);
    tcase_add_test(tc, reset_drops_everything);
    tcase_add_test(tc, check_knows_objects);
    tcase_add_loop_test(tc, misuse_is_reported, 0, 6);
    tcase_add_test(tc, parameters_change_in_use);
    return run_suite("mmap", &tc, 1);
}
