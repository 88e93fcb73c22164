/* Sluice's own memory: records that are reused, regions that die together. */
#include "core/meta.h"

#include <stdint.h>
#include <string.h>

#include "tests/support/testing.h"

START_TEST(records_are_zero_and_aligned)
{
    static const size_t sizes[] = {1,   15,   16,   63,    64,    65,    127,
                                   128, 4095, 4096, 16384, 16385, 70000, 3 * MIB};
    for (int round = 0; round < 3; round++) {
        char *p[LENGTH(sizes)];
        for (size_t i = 0; i < LENGTH(sizes); i++) {
            p[i] = meta_alloc(sizes[i]);
            ck_assert_ptr_nonnull(p[i]);
            ck_assert_uint_eq((uintptr_t)p[i] % (sizes[i] >= 64 ? 64 : 16), 0);
            ck_assert(test_is_zero(p[i], sizes[i]));
            test_fill(p[i], sizes[i], i + 1);
        }
        for (size_t i = 0; i < LENGTH(sizes); i++) {
            ck_assert(test_is_filled(p[i], sizes[i], i + 1)); /* no two overlap */
            meta_free(p[i], sizes[i]);
        }
    }
    meta_free(NULL, 100);
    ck_assert_ptr_null(meta_alloc(SIZE_MAX));
    ck_assert_ptr_null(meta_alloc(SIZE_MAX / 2));
}
END_TEST

START_TEST(freed_records_serve_again)
{
    void *warm = meta_alloc(100);
    meta_free(warm, 100);
    size_t before = meta_mapped_bytes(), used = meta_used_bytes();
    for (int i = 0; i < 100000; i++) {
        void *p = meta_alloc(100), *q = meta_alloc(5000), *r = meta_alloc(100000);
        ck_assert(p != NULL && q != NULL && r != NULL);
        ck_assert_uint_ge(meta_used_bytes(), used + 100 + 5000 + 100000);
        meta_free(q, 5000);
        meta_free(p, 100);
        meta_free(r, 100000);
    }
    ck_assert_uint_le(meta_mapped_bytes(), before + MIB);
    ck_assert_uint_eq(meta_used_bytes(), used);
}
END_TEST

static void *use_records(void *index)
{
    uint64_t random = (uintptr_t)index + 1;
    void *kept[64] = {NULL};
    size_t sizes[64] = {0};
    for (int i = 0; i < TESTING_SCALE(20000); i++) {
        unsigned at = test_random(&random) % 64;
        if (kept[at] != NULL) {
            ck_assert(test_is_filled(kept[at], sizes[at], at));
            meta_free(kept[at], sizes[at]);
        }
        sizes[at] = test_random_size(&random, 20000);
        kept[at] = meta_alloc(sizes[at]);
        ck_assert_ptr_nonnull(kept[at]);
        ck_assert(test_is_zero(kept[at], sizes[at]));
        test_fill(kept[at], sizes[at], at);
    }
    for (unsigned at = 0; at < 64; at++)
        meta_free(kept[at], sizes[at]);
    return NULL;
}

START_TEST(records_of_a_size_lie_side_by_side)
{
    for (size_t size = 100; size <= 2048; size += 324) {
        char *last = meta_alloc_beside(size);
        size_t rounded = (size + 63) / 64 * 64, apart = 0;
        for (int i = 0; i < 20; i++) {
            char *between = meta_alloc(700), *p = meta_alloc_beside(size);
            ck_assert_ptr_nonnull(between);
            ck_assert(test_is_zero(p, size));
            ck_assert_uint_eq((uintptr_t)p % 64, 0);
            apart += (size_t)(p - last) != rounded;
            memset(p, 1, size);
            last = p;
        }
        ck_assert_uint_le(apart, 20 * rounded / ((size_t)16 << 10) + 1);
        meta_free(last, size);
        ck_assert_ptr_eq(meta_alloc_beside(size), last);
        ck_assert(test_is_zero(last, size));
    }
    size_t used = meta_used_bytes();
    void *p = meta_alloc_beside(1500);
    ck_assert_uint_eq(meta_used_bytes(), used + 1536);
    meta_free(p, 1500);
    ck_assert_uint_eq(meta_used_bytes(), used);
}
END_TEST

START_TEST(many_threads_share_the_lists)
{
    run_threads(8, use_records);
}
END_TEST

START_TEST(regions_die_together)
{
    size_t before = meta_mapped_bytes();
    for (int round = 0; round < 100; round++) {
        struct meta_region *r = meta_region_create(0);
        ck_assert_ptr_nonnull(r);
        for (unsigned i = 1; i < 2000; i++) {
            char *p = meta_region_alloc(r, i);
            ck_assert_ptr_nonnull(p);
            ck_assert_uint_eq((uintptr_t)p % 16, 0);
            ck_assert(test_is_zero(p, i));
            memset(p, 0xff, i);
        }
        ck_assert_ptr_nonnull(meta_region_alloc(r, MIB)); /* larger than a block */
        ck_assert_str_eq(meta_region_strndup(r, "abcdef", 3), "abc");
        meta_region_destroy(r);
    }
    meta_region_destroy(NULL);
    ck_assert_uint_eq(meta_mapped_bytes(), before);
}
END_TEST

START_TEST(a_budget_bounds_a_region)
{
    struct meta_region *r = meta_region_create(MIB);
    size_t total = 0;
    while (meta_region_alloc(r, 1000) != NULL)
        total += 1000;
    ck_assert_uint_le(total, MIB);
    ck_assert_uint_gt(total, MIB / 2);
    ck_assert(meta_region_exhausted(r));
    ck_assert_ptr_null(meta_region_alloc(r, SIZE_MAX));
    meta_region_destroy(r);
    struct meta_region *small = meta_region_create_small();
    ck_assert_ptr_nonnull(meta_region_alloc(small, 100));
    ck_assert(!meta_region_exhausted(small));
    meta_region_destroy(small);
}
END_TEST

static void use_and_destroy(size_t size)
{
    struct meta_region *r = meta_region_create(0);
    for (int i = 0; i < 4; i++) {
        char *p = meta_region_alloc(r, size);
        ck_assert_ptr_nonnull(p);
        ck_assert(test_is_zero(p, size));
        memset(p, 0xff, size);
    }
    meta_region_destroy(r);
}

/* Until its time, and no later; no more than a megabyte. */
START_TEST(blocks_are_kept_for_the_next_region)
{
    uint64_t due;
    size_t mapped = meta_mapped_bytes(), used = meta_used_bytes();
    use_and_destroy(50000);
    ck_assert_uint_eq(meta_mapped_bytes(), mapped);
    meta_keep_blocks(1000);
    meta_keep_blocks(500);
    use_and_destroy(50000);
    size_t kept = meta_mapped_bytes();
    ck_assert_uint_gt(kept, mapped);
    ck_assert_uint_eq(meta_used_bytes(), used);
    for (int i = 0; i < 100; i++)
        use_and_destroy(50000);
    ck_assert_uint_eq(meta_mapped_bytes(), kept);
    for (size_t size = 10000; size < 10 * MIB; size *= 2)
        use_and_destroy(size);
    ck_assert_uint_le(meta_mapped_bytes(), mapped + MIB);
    ck_assert_uint_eq(meta_used_bytes(), used);
    meta_expire_blocks(999, &due);
    ck_assert_uint_eq(due, 1000);
    ck_assert_uint_ge(meta_mapped_bytes(), kept);
    meta_expire_blocks(1000, &due);
    ck_assert_uint_eq(due, UINT64_MAX);
    ck_assert_uint_eq(meta_mapped_bytes(), mapped);
    use_and_destroy(50000);
    ck_assert_uint_eq(meta_mapped_bytes(), mapped);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("records"), tcase_create("regions")};
    tcase_add_test(cases[0], records_are_zero_and_aligned);
    tcase_add_test(cases[0], freed_records_serve_again);
    tcase_add_test(cases[0], records_of_a_size_lie_side_by_side);
    tcase_add_test(cases[0], many_threads_share_the_lists);
    tcase_add_test(cases[1], regions_die_together);
    tcase_add_test(cases[1], a_budget_bounds_a_region);
    tcase_add_test(cases[1], blocks_are_kept_for_the_next_region);
    return run_suite("meta", cases, LENGTH(cases));
}
