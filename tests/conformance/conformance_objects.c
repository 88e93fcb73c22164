/* conformance_objects.c - one thread, one object at a time: sizes, alignments, content, errors. */
#include <errno.h>
#include <string.h>

#include "tests/conformance/conformance.h"

static void setup(void)
{
    use_backend(NULL);
}

/* An aligned object that holds its bytes. */
static void check_aligned(size_t alignment, size_t size)
{
    uint8_t *p = sluice_aligned_alloc(module, alignment, size);
    ck_assert_msg(p != NULL, "alignment %zu, size %zu", alignment, size);
    ck_assert_msg(((uintptr_t)p & (alignment - 1)) == 0, "alignment %zu gave %p", alignment,
                  (void *)p);
    ck_assert_uint_ge(sluice_usable_size(p), size);
    fill(p, size, alignment + size);
    ck_assert(is_filled(p, size, alignment + size));
    sluice_free(p);
}

START_TEST(alignments)
{
    static const size_t sizes[] = {1, 24, 4095, 4096, 5000, 70000};
    for (size_t alignment = 1; alignment <= 4 * MIB; alignment *= 2)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            check_aligned(alignment, sizes[i]);
    for (size_t alignment = 8 * MIB; alignment <= GIB; alignment *= 2)
        check_aligned(alignment, 3 * KIB);
    check_aligned(2 * MIB, 2 * MIB);
    check_aligned(4 * MIB, 5 * MIB);
}
END_TEST

START_TEST(alignments_that_are_none)
{
    static const size_t wrong[] = {3, 24, 48, 2 * GIB, 0};
    for (size_t i = 0; wrong[i] != 0; i++) {
        errno = 0;
        ck_assert_ptr_null(sluice_aligned_alloc(module, wrong[i], 100));
        ck_assert_int_eq(errno, EINVAL);
    }
}
END_TEST

START_TEST(natural_alignment)
{
    for (size_t size = 0; size <= 300; size++) {
        void *p = sluice_malloc(module, size);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % 16, 0);
        sluice_free(p);
    }
}
END_TEST

START_TEST(size_zero)
{
    void *a = sluice_malloc(module, 0), *b = sluice_malloc(module, 0);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    ck_assert_ptr_ne(a, b);
    void *c = sluice_calloc(module, 0, 8), *d = sluice_aligned_alloc(module, 64, 0);
    ck_assert_ptr_nonnull(c);
    ck_assert_ptr_nonnull(d);
    a = sluice_realloc(module, a, 0); /* a minimal object, not a free */
    ck_assert_ptr_nonnull(a);
    sluice_free(a);
    sluice_free(b);
    sluice_free(c);
    sluice_free(d);
    sluice_free(NULL);
    ck_assert_uint_eq(sluice_usable_size(NULL), 0);
}
END_TEST

START_TEST(every_small_size)
{
    for (size_t size = 1; size <= 9000; size++) {
        uint8_t *p = sluice_malloc(module, size);
        ck_assert_ptr_nonnull(p);
        size_t usable = sluice_usable_size(p);
        ck_assert_uint_ge(usable, size);
        fill(p, usable, size);
        ck_assert(is_filled(p, usable, size));
        sluice_free_sized(p, size);
    }
}
END_TEST

START_TEST(many_sizes_at_once)
{
    enum { COUNT = 2000 };
    static void *p[COUNT];
    static size_t usable[COUNT];
    uint64_t random = 1;
    for (int i = 0; i < COUNT; i++) {
        p[i] = sluice_malloc(module, random_size(&random, 1, 256 * KIB));
        ck_assert_ptr_nonnull(p[i]);
        usable[i] = sluice_usable_size(p[i]);
        fill(p[i], usable[i], (uint64_t)i);
    }
    for (int i = 0; i < COUNT; i++) {
        ck_assert_msg(is_filled(p[i], usable[i], (uint64_t)i), "object %d of %zu bytes", i,
                      usable[i]);
        sluice_free(p[i]);
    }
}
END_TEST

START_TEST(huge_sizes)
{
    static const size_t sizes[] = {(size_t)1 << 47,
                                   (size_t)1 << 62,
                                   (size_t)PTRDIFF_MAX - 4096,
                                   (size_t)PTRDIFF_MAX,
                                   (size_t)PTRDIFF_MAX + 1,
                                   SIZE_MAX - 4096,
                                   SIZE_MAX - 16,
                                   SIZE_MAX};
    void *kept = sluice_malloc(module, 100);
    fill(kept, 100, 5);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        volatile size_t size = sizes[i]; /* keeps the compiler from warning of it */
        errno = 0;
        ck_assert_ptr_null(sluice_malloc(module, size));
        ck_assert_int_eq(errno, ENOMEM);
        errno = 0;
        ck_assert_ptr_null(sluice_aligned_alloc(module, 4096, size));
        ck_assert_int_eq(errno, ENOMEM);
        errno = 0;
        ck_assert_ptr_null(sluice_calloc(module, 1, size));
        ck_assert_int_eq(errno, ENOMEM);
        errno = 0;
        ck_assert_ptr_null(sluice_realloc(module, kept, size));
        ck_assert_int_eq(errno, ENOMEM);
    }
    ck_assert(is_filled(kept, 100, 5));
    sluice_free(kept);
}
END_TEST

START_TEST(calloc_is_zero)
{
    static const size_t sizes[] = {1,        24,     100,    4000,    4096,    10000,
                                   64 * KIB, 100000, 500000, 2 * MIB, 3000000, 5 * MIB};
    for (int round = 0; round < 4; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            uint8_t *p = sluice_calloc(module, 1, sizes[i]);
            ck_assert_ptr_nonnull(p);
            ck_assert_msg(is_zero(p, sizes[i]), "calloc of %zu, round %d", sizes[i], round);
            memset(p, 0xA5, sluice_usable_size(p)); /* for who gets this memory next */
            sluice_free(p);
            p = sluice_malloc(module, sizes[i] / 2 + 1);
            ck_assert_ptr_nonnull(p);
            memset(p, 0x5A, sluice_usable_size(p));
            sluice_free(p);
        }
}
END_TEST

START_TEST(calloc_overflow)
{
    volatile size_t half = SIZE_MAX / 2 + 1, root = (size_t)1 << 32;
    errno = 0;
    ck_assert_ptr_null(sluice_calloc(module, half, 2));
    ck_assert_int_eq(errno, ENOMEM);
    errno = 0;
    ck_assert_ptr_null(sluice_calloc(module, root, root + 1));
    ck_assert_int_eq(errno, ENOMEM);
}
END_TEST

/* Resizes from each size to each other: small, page-sized, chunk-sized. */
START_TEST(realloc_everywhere)
{
    static const size_t sizes[] = {1, 100, 5000, 65000, 200000, 1900000, 2 * MIB, 2500000, 9 * MIB};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    for (int from = 0; from < COUNT; from++)
        for (int to = 0; to < COUNT; to++) {
            uint8_t *p = sluice_malloc(module, sizes[from]);
            ck_assert_ptr_nonnull(p);
            fill(p, sizes[from], 7);
            p = sluice_realloc(module, p, sizes[to]);
            ck_assert_ptr_nonnull(p);
            ck_assert_uint_ge(sluice_usable_size(p), sizes[to]);
            size_t both = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
            ck_assert_msg(is_filled(p, both, 7), "%zu -> %zu", sizes[from], sizes[to]);
            fill(p, sizes[to], 9);
            ck_assert(is_filled(p, sizes[to], 9));
            sluice_free(p);
        }
}
END_TEST

/* Grows like a vector, and shrinks again. */
START_TEST(realloc_steps)
{
    uint8_t *p = NULL;
    size_t size = 0;
    while (size < 6 * MIB) {
        size_t next = size + size / 2 + 100;
        p = sluice_realloc(module, p, next);
        ck_assert_ptr_nonnull(p);
        ck_assert(is_filled(p, size, 3));
        fill(p, next, 3);
        size = next;
    }
    while (size > 100) {
        size = size * 2 / 3;
        p = sluice_realloc(module, p, size);
        ck_assert_ptr_nonnull(p);
        ck_assert(is_filled(p, size, 3));
    }
    sluice_free(p);
}
END_TEST

START_TEST(realloc_of_aligned)
{
    for (size_t alignment = 32; alignment <= 64 * KIB; alignment *= 2) {
        uint8_t *p = sluice_aligned_alloc(module, alignment, 1000);
        ck_assert_ptr_nonnull(p);
        fill(p, 1000, alignment);
        p = sluice_realloc(module, p, 3000);
        ck_assert_ptr_nonnull(p);
        ck_assert(is_filled(p, 1000, alignment));
        p = sluice_realloc(module, p, 200000);
        ck_assert_ptr_nonnull(p);
        ck_assert(is_filled(p, 1000, alignment));
        p = sluice_realloc(module, p, 500);
        ck_assert_ptr_nonnull(p);
        ck_assert(is_filled(p, 500, alignment));
        sluice_free(p);
    }
}
END_TEST

START_TEST(owner_of_objects)
{
    static const size_t sizes[] = {8, 5000, 100000, 3 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *p = sluice_malloc(module, sizes[i]);
        struct sluice_owner owner = {.struct_size = sizeof owner};
        ck_assert_int_eq(sluice_owner(p, &owner), SLUICE_OK);
        ck_assert_uint_eq(owner.module, module);
        if (sizes[i] < 64 * KIB) /* larger ones may be beyond the backend, and go elsewhere */
            ck_assert_str_eq(owner.backend, "subject");
        ck_assert_ptr_null(owner.phase);
        ck_assert_uint_eq(owner.object_size, sluice_usable_size(p));
        sluice_free(p);
    }
    static char nobodys[4096];
    struct sluice_owner owner = {.struct_size = sizeof owner};
    ck_assert_int_eq(sluice_owner(nobodys + 2048, &owner), SLUICE_ERROR_NOT_OWNED);
}
END_TEST

START_TEST(errno_is_kept)
{
    static const size_t sizes[] = {16, 3000, 100000, 3 * MIB};
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            errno = EDOM;
            void *p = sluice_malloc(module, sizes[i]);
            ck_assert_int_eq(errno, EDOM);
            p = sluice_realloc(module, p, sizes[i] * 2);
            ck_assert_int_eq(errno, EDOM);
            sluice_free(p);
            ck_assert_int_eq(errno, EDOM);
        }
    sluice_trim(module);
    ck_assert_int_eq(errno, EDOM);
}
END_TEST

TCase *objects_cases(void)
{
    TCase *tc = tcase_create("objects");
    tcase_add_checked_fixture(tc, setup, NULL);
    ADD_CASE(tc, alignments, 1);
    ADD_CASE(tc, alignments_that_are_none, 1);
    ADD_CASE(tc, natural_alignment, 1);
    ADD_CASE(tc, size_zero, 1);
    ADD_CASE(tc, every_small_size, 1);
    ADD_CASE(tc, many_sizes_at_once, 1);
    ADD_CASE(tc, huge_sizes, 1);
    ADD_CASE(tc, calloc_is_zero, 1);
    ADD_CASE(tc, calloc_overflow, 1);
    ADD_CASE(tc, realloc_everywhere, 1);
    ADD_CASE(tc, realloc_steps, 1);
    ADD_CASE(tc, realloc_of_aligned, 1);
    ADD_CASE(tc, owner_of_objects, 1);
    ADD_CASE(tc, errno_is_kept, 1);
    return tc;
}
