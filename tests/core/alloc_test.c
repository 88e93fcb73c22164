/* The public allocation calls, as their comments in sluice.h promise. */
#include "core/alloc.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/support/testing.h"

/* One module for each kind that is built in. */
static const char *const kinds[] = {"pool", "mmap", "glibc", "jemalloc"};
static sluice_module modules[LENGTH(kinds)];

static void start(void)
{
    use_policy("default: mmap\n"
               "modules:\n"
               "  pool: {route: [{max_size: 64KiB, to: pool}, {to: mmap}]}\n"
               "  mmap: mmap\n"
               "  glibc: glibc\n"
               "  jemalloc: jemalloc\n");
    for (size_t i = 0; i < LENGTH(kinds); i++)
        modules[i] = use_module(kinds[i]);
}

START_TEST(sizes_and_content)
{
    start();
    static const size_t sizes[] = {
        0,        1,        15,           16,        17,      100,         1024,     1025,    4096,
        32 * KIB, 64 * KIB, 64 * KIB + 1, 100 * KIB, 2 * MIB, 2 * MIB + 1, 10 * MIB, 64 * MIB};
    sluice_module m = modules[_i];
    void *p[LENGTH(sizes)];
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        errno = EDOM;
        p[i] = sluice_malloc(m, sizes[i]);
        ck_assert_ptr_nonnull(p[i]);
        ck_assert_int_eq(errno, EDOM);
        ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
        ck_assert_uint_ge(sluice_usable_size(p[i]), sizes[i]);
        test_fill(p[i], sluice_usable_size(p[i]), i); /* all of it may be used */
        for (size_t j = 0; j < i; j++)
            ck_assert_ptr_ne(p[i], p[j]);
    }
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        ck_assert(test_is_filled(p[i], sluice_usable_size(p[i]), i));
        errno = EDOM;
        if (i % 2 == 0)
            sluice_free(p[i]);
        else
            sluice_free_sized(p[i], sizes[i]);
        ck_assert_int_eq(errno, EDOM);
    }
    struct sluice_module_stats s = stats_of(m);
    ck_assert_uint_eq(s.live_objects, 0);
    ck_assert_uint_eq(s.allocated_objects, LENGTH(sizes));
}
END_TEST

START_TEST(size_zero_gives_unique_objects)
{
    start();
    void *p[100];
    for (size_t i = 0; i < LENGTH(p); i++) {
        p[i] = i % 2 == 0 ? sluice_malloc(modules[_i], 0) : sluice_calloc(modules[_i], 0, i);
        ck_assert_ptr_nonnull(p[i]);
        for (size_t j = 0; j < i; j++)
            ck_assert_ptr_ne(p[i], p[j]);
    }
    for (size_t i = 0; i < LENGTH(p); i++)
        sluice_free(p[i]);
}
END_TEST

START_TEST(calloc_is_zero_also_where_memory_was_used)
{
    start();
    static const size_t sizes[] = {1, 24, 100, 1000, 5000, 60000, 70000, 300000, 3 * MIB};
    for (int round = 0; round < 4; round++)
        for (size_t i = 0; i < LENGTH(sizes); i++) {
            char *p = sluice_calloc(modules[_i], sizes[i], 3);
            ck_assert_ptr_nonnull(p);
            ck_assert(test_is_zero(p, sizes[i] * 3));
            memset(p, 0xff, sluice_usable_size(p));
            sluice_free(p);
        }
}
END_TEST

START_TEST(alignments_up_to_1_gib)
{
    start();
    for (size_t alignment = 1; alignment <= GIB; alignment *= 2) {
        static const size_t sizes[] = {0, 1, 100, 5000, 70000, 3 * MIB};
        for (size_t i = 0; i < LENGTH(sizes); i++) {
            char *p = sluice_aligned_alloc(modules[_i], alignment, sizes[i]);
            ck_assert_msg(p != NULL, "%zu bytes at %zu: %s", sizes[i], alignment, strerror(errno));
            ck_assert_uint_eq((uintptr_t)p % (alignment < 16 ? 16 : alignment), 0);
            ck_assert_uint_ge(sluice_usable_size(p), sizes[i]);
            test_fill(p, sizes[i], alignment);
            ck_assert(test_is_filled(p, sizes[i], alignment));
            sluice_free(p);
        }
    }
    ck_assert_uint_eq(stats_of(modules[_i]).live_objects, 0);
}
END_TEST

START_TEST(bad_alignments_are_refused)
{
    start();
    static const size_t bad[] = {0, 3, 12, 24, 4097, 2 * GIB, SIZE_MAX, SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < LENGTH(bad); i++) {
        errno = 0;
        volatile size_t alignment = bad[i];
        ck_assert_ptr_null(sluice_aligned_alloc(modules[_i], alignment, 10));
        ck_assert_int_eq(errno, EINVAL);
    }
}
END_TEST

START_TEST(impossible_sizes_are_enomem)
{
    start();
    static const size_t bad[] = {PTRDIFF_MAX - 8, PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1,
                                 SIZE_MAX - 15,   SIZE_MAX,    SIZE_MAX / 4};
    sluice_module m = modules[_i];
    char *kept = sluice_strdup(m, "kept");
    for (size_t i = 0; i < LENGTH(bad); i++) {
        volatile size_t size = bad[i];
        errno = 0;
        ck_assert_ptr_null(sluice_malloc(m, size));
        ck_assert_int_eq(errno, ENOMEM);
        errno = 0;
        ck_assert_ptr_null(sluice_calloc(m, 1, size));
        ck_assert_int_eq(errno, ENOMEM);
        errno = 0;
        ck_assert_ptr_null(sluice_aligned_alloc(m, 4096, size));
        ck_assert_int_eq(errno, ENOMEM);
        errno = 0;
        ck_assert_ptr_null(sluice_realloc(m, kept, size));
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert_str_eq(kept, "kept");
    }
    volatile size_t half = SIZE_MAX / 2 + 2;
    errno = 0;
    ck_assert_ptr_null(sluice_calloc(m, half, 2)); /* the product is 4 */
    ck_assert_int_eq(errno, ENOMEM);
    errno = 0;
    ck_assert_ptr_null(sluice_calloc(m, 2, half));
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_uint_eq(stats_of(m).failed_allocations, 4 * LENGTH(bad) + 2);
    sluice_free(kept);
}
END_TEST

START_TEST(realloc_in_every_direction)
{
    start();
    static const size_t sizes[] = {1,     16,    40,     200,     1500,   20000,
                                   65000, 66000, 150000, 2 * MIB, 5 * MIB};
    sluice_module m = modules[_i];
    for (size_t from = 0; from < LENGTH(sizes); from++)
        for (size_t to = 0; to < LENGTH(sizes); to++) {
            char *p = sluice_malloc(m, sizes[from]);
            test_fill(p, sizes[from], from);
            errno = EDOM;
            char *q = sluice_realloc(SLUICE_MODULE_DEFAULT, p, sizes[to]);
            ck_assert_ptr_nonnull(q);
            ck_assert_int_eq(errno, EDOM);
            ck_assert_uint_ge(sluice_usable_size(q), sizes[to]);
            ck_assert(test_is_filled(q, sizes[from < to ? from : to], from));
            test_fill(q, sizes[to], to);
            /* Large objects that get small do not keep what they had. */
            if (sizes[from] >= 2 * MIB && sizes[to] <= MIB)
                ck_assert_uint_lt(sluice_usable_size(q), sizes[from] / 2);
            struct sluice_owner owner = {.struct_size = sizeof owner};
            ck_assert_int_eq(sluice_owner(q, &owner), SLUICE_OK);
            ck_assert_uint_eq(owner.module, m); /* not the module of the call */
            sluice_free(q);
        }
    ck_assert_uint_eq(stats_of(m).live_objects, 0);
    ck_assert_uint_eq(stats_of(m).live_bytes, 0);
    ck_assert_uint_eq(stats_of(SLUICE_MODULE_DEFAULT).allocated_objects, 0);
}
END_TEST

START_TEST(realloc_of_null_and_to_zero)
{
    start();
    char *p = sluice_realloc(modules[_i], NULL, 100);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(stats_of(modules[_i]).live_objects, 1);
    p = sluice_realloc(modules[_i], p, 0);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(stats_of(modules[_i]).live_objects, 1);
    sluice_free(p);
    ck_assert_uint_eq(stats_of(modules[_i]).live_objects, 0);
}
END_TEST

START_TEST(realloc_across_a_reload)
{
    static const size_t sizes[] = {50, 3000, 60000, 200000, 3 * MIB};
    for (size_t to = 0; to < LENGTH(kinds); to++) {
        start();
        char *p[LENGTH(sizes)][3];
        for (size_t i = 0; i < LENGTH(sizes); i++)
            for (size_t j = 0; j < 3; j++) {
                p[i][j] = sluice_malloc(modules[_i], sizes[i]);
                test_fill(p[i][j], sizes[i], i + j);
            }
        ck_assert_int_eq(sluice_module_override(kinds[_i], kinds[to]), SLUICE_OK);
        static const double factor[] = {0.3, 1, 4};
        for (size_t i = 0; i < LENGTH(sizes); i++)
            for (size_t j = 0; j < 3; j++) {
                size_t size = (size_t)((double)sizes[i] * factor[j]);
                char *q = sluice_realloc(0, p[i][j], size);
                ck_assert_ptr_nonnull(q);
                ck_assert(test_is_filled(q, size < sizes[i] ? size : sizes[i], i + j));
                sluice_free(q);
            }
        ck_assert_uint_eq(stats_of(modules[_i]).live_objects, 0);
        ck_assert_uint_eq(stats_of(modules[_i]).live_bytes, 0);
        ck_assert_int_eq(sluice_module_override(kinds[_i], NULL), SLUICE_OK);
    }
}
END_TEST

START_TEST(strdup_copies)
{
    start();
    char *p = sluice_strdup(modules[_i], "text");
    ck_assert_str_eq(p, "text");
    char *empty = sluice_strdup(modules[_i], "");
    ck_assert_str_eq(empty, "");
    sluice_free(p);
    sluice_free(empty);
    errno = 0;
    ck_assert_ptr_null(sluice_strdup(modules[_i], NULL));
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(null_is_nothing)
{
    errno = EDOM;
    sluice_free(NULL); /* also as the very first call */
    sluice_free_sized(NULL, 100);
    ck_assert_uint_eq(sluice_usable_size(NULL), 0);
    ck_assert_int_eq(errno, EDOM);
    start();
    sluice_free(NULL);
    struct sluice_owner owner = {.struct_size = sizeof owner};
    ck_assert_int_eq(sluice_owner(NULL, &owner), SLUICE_ERROR_NOT_OWNED);
}
END_TEST

START_TEST(unregistered_modules_are_refused)
{
    start();
    static const sluice_module bad[] = {SLUICE_MODULE_INVALID, SLUICE_MODULE_ALL, 1000, 16384,
                                        20000};
    for (size_t i = 0; i < LENGTH(bad); i++) {
        errno = 0;
        ck_assert_ptr_null(sluice_malloc(bad[i], 10));
        ck_assert_int_eq(errno, EINVAL);
        errno = 0;
        ck_assert_ptr_null(sluice_calloc(bad[i], 10, 10));
        ck_assert_int_eq(errno, EINVAL);
        errno = 0;
        ck_assert_ptr_null(sluice_aligned_alloc(bad[i], 64, 10));
        ck_assert_int_eq(errno, EINVAL);
        errno = 0;
        ck_assert_ptr_null(sluice_realloc(bad[i], NULL, 10));
        ck_assert_int_eq(errno, EINVAL);
    }
}
END_TEST

START_TEST(owners_are_found)
{
    start();
    static const size_t sizes[] = {10, 5000, 300000};
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        char *p = sluice_malloc(modules[_i], sizes[i]);
        struct sluice_owner owner = {.struct_size = sizeof owner};
        ck_assert_int_eq(sluice_owner(p, &owner), SLUICE_OK);
        ck_assert_uint_eq(owner.struct_size, sizeof owner);
        ck_assert_uint_eq(owner.module, modules[_i]);
        const char *kind = _i == 0 && sizes[i] > 64 * KIB ? "mmap" : kinds[_i];
        ck_assert_str_eq(owner.kind, kind);
        ck_assert_str_eq(owner.backend, kind);
        ck_assert_ptr_null(owner.phase);
        ck_assert_uint_eq(owner.object_size, sluice_usable_size(p));
        sluice_free(p);
    }
    char *p = sluice_malloc(modules[_i], 100);
    char raw[sizeof(struct sluice_owner) + 8];
    memset(raw, 0x77, sizeof raw);
    struct sluice_owner *small = (struct sluice_owner *)(void *)raw;
    small->struct_size = offsetof(struct sluice_owner, backend);
    ck_assert_int_eq(sluice_owner(p, small), SLUICE_OK);
    ck_assert_uint_eq(small->module, modules[_i]);
    for (size_t i = small->struct_size; i < sizeof raw; i++)
        ck_assert_int_eq(raw[i], 0x77); /* no more is written */
    small->struct_size = sizeof(size_t);
    ck_assert_int_eq(sluice_owner(p, small), SLUICE_ERROR_INVALID);
    ck_assert_int_eq(sluice_owner(p, NULL), SLUICE_ERROR_INVALID);
    sluice_free(p);
}
END_TEST

static int owner_of(const void *p)
{
    struct sluice_owner owner = {.struct_size = sizeof owner};
    return sluice_owner(p, &owner);
}

START_TEST(what_is_no_object_has_no_owner)
{
    start();
    int local[64];
    static int global[64];
    char *libc = malloc(1000);
    ck_assert_ptr_nonnull(libc);
    memset(libc, 0, 1000);
    char *p = sluice_malloc(modules[_i], 1000), *large = sluice_malloc(modules[_i], MIB);
    memset(p, 0, 1000);
    memset(large, 0, MIB);
    /* A mapping between two holes, so that a look around it would fault. */
    char *page = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_int_eq(mprotect(page + 4096, 4096, PROT_READ | PROT_WRITE), 0);
    const void *foreign[] = {local + 8,
                             global + 8,
                             libc,
                             libc + 16,
                             page + 4096,
                             page + 4096 + 64,
                             page,
                             page + 8192,
                             (void *)16,
                             (void *)4096,
                             (void *)0x7fffffff0000,
                             (void *)UINTPTR_MAX,
                             (void *)0x123456789ab0,
                             (void *)0xffff800000000000};
    for (size_t i = 0; i < LENGTH(foreign); i++)
        ck_assert_msg(owner_of(foreign[i]) == SLUICE_ERROR_NOT_OWNED, "%zu: %p has an owner", i,
                      foreign[i]);
    /* Inside an object, or freed; jemalloc cannot tell. */
    bool tells = strcmp(kinds[_i], "jemalloc") != 0;
    const void *inside[] = {p + 16, p + 512, p + 1, large + 16, large + 4096};
    for (size_t i = 0; tells && i < LENGTH(inside); i++)
        ck_assert_msg(owner_of(inside[i]) == SLUICE_ERROR_NOT_OWNED, "inside, %zu: has an owner",
                      i);
    ck_assert_int_eq(owner_of(p), SLUICE_OK);
    ck_assert_int_eq(owner_of(large), SLUICE_OK);
    sluice_free(p);
    sluice_free(large);
    if (tells)
        ck_assert_int_eq(owner_of(large), SLUICE_ERROR_NOT_OWNED);
    free(libc);
}
END_TEST

static void free_it(void *p)
{
    sluice_free(p);
}

static void use_size_of(void *p)
{
    (void)!sluice_usable_size(p);
}

static void resize_it(void *p)
{
    (void)!sluice_realloc(0, p, 10);
}

START_TEST(misuse_is_reported)
{
    start();
    static char foreign[256];
    void (*const calls[])(void *) = {free_it, use_size_of, resize_it};
    static const char *const names[] = {"sluice_free(", "sluice_usable_size(", "sluice_realloc("};
    for (size_t i = 0; i < LENGTH(calls); i++) {
        struct child child = run_child(calls[i], foreign + 64, 20000);
        ck_assert_msg(child_aborted(&child), "%s: %s", names[i], child.error);
        ck_assert_ptr_nonnull(strstr(child.error, names[i]));
        ck_assert_ptr_nonnull(strstr(child.error, "not an object of Sluice"));
    }
    /* A header is gone with its object. */
    char *p = sluice_malloc(modules[2], 300000);
    sluice_free(p);
    (void)p;
}
END_TEST

static void *busy(void *index)
{
    uint64_t random = (uintptr_t)index + 1;
    void *kept[100] = {NULL};
    size_t sizes[100];
    for (int i = 0; i < TESTING_SCALE(50000); i++) {
        unsigned at = test_random(&random) % 100;
        if (kept[at] != NULL)
            ck_assert(test_is_filled(kept[at], sizes[at] < 64 ? sizes[at] : 64, at));
        sluice_free(kept[at]);
        sizes[at] = test_random_size(&random, 100000);
        kept[at] = sluice_malloc(modules[test_random(&random) % LENGTH(modules)], sizes[at]);
        ck_assert_ptr_nonnull(kept[at]);
        test_fill(kept[at], sizes[at] < 64 ? sizes[at] : 64, at);
    }
    for (unsigned at = 0; at < 100; at++)
        sluice_free(kept[at]);
    return NULL;
}

START_TEST(many_threads)
{
    start();
    run_threads(8, busy);
    struct sluice_module_stats all = stats_of(SLUICE_MODULE_ALL);
    ck_assert_uint_eq(all.live_objects, 0);
    ck_assert_uint_eq(all.allocated_objects, all.freed_objects);
}
END_TEST

int main(void)
{
    TCase *each = tcase_create("each backend"), *all = tcase_create("all together");
    int n = LENGTH(kinds);
    tcase_add_loop_test(each, sizes_and_content, 0, n);
    tcase_add_loop_test(each, size_zero_gives_unique_objects, 0, n);
    tcase_add_loop_test(each, calloc_is_zero_also_where_memory_was_used, 0, n);
    tcase_add_loop_test(each, alignments_up_to_1_gib, 0, n);
    tcase_add_loop_test(each, bad_alignments_are_refused, 0, n);
    tcase_add_loop_test(each, impossible_sizes_are_enomem, 0, n);
    tcase_add_loop_test(each, realloc_in_every_direction, 0, n);
    tcase_add_loop_test(each, realloc_of_null_and_to_zero, 0, n);
    tcase_add_loop_test(each, realloc_across_a_reload, 0, n);
    tcase_add_loop_test(each, strdup_copies, 0, n);
    tcase_add_loop_test(each, owners_are_found, 0, n);
    tcase_add_loop_test(each, what_is_no_object_has_no_owner, 0, n);
    tcase_add_test(all, null_is_nothing);
    tcase_add_test(all, unregistered_modules_are_refused);
    tcase_add_test(all, misuse_is_reported);
    tcase_add_test(all, many_threads);
    TCase *cases[] = {each, all};
    return run_suite("alloc", cases, LENGTH(cases));
}
