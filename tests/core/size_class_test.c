/* The tables of size classes against the rule that they stand for. */
#include "core/size_class.h"

#include "tests/support/testing.h"

START_TEST(classes_rise_and_waste_a_fifth_at_most)
{
    ck_assert_uint_eq(size_class_bytes[0], 16);
    ck_assert_uint_eq(size_class_bytes[SIZE_CLASS_COUNT - 1], SIZE_CLASS_MAX);
    for (unsigned c = 1; c < SIZE_CLASS_COUNT; c++) {
        uint32_t step = size_class_bytes[c] - size_class_bytes[c - 1];
        ck_assert_uint_gt(size_class_bytes[c], size_class_bytes[c - 1]);
        ck_assert_uint_eq(size_class_bytes[c] % 16, 0);
        if (size_class_bytes[c - 1] >= 128) /* below, steps are 16 */
            ck_assert_uint_le(step * 5, size_class_bytes[c] + 4 * 16);
        else
            ck_assert_uint_eq(step, 16);
    }
}
END_TEST

START_TEST(each_size_gets_the_smallest_class_that_holds_it)
{
    for (size_t size = 0; size <= SIZE_CLASS_MAX; size++) {
        unsigned c = size_class_of(size);
        ck_assert_uint_lt(c, SIZE_CLASS_COUNT);
        ck_assert_uint_ge(size_class_bytes[c], size);
        if (c > 0)
            ck_assert_uint_lt(size_class_bytes[c - 1], size);
    }
}
END_TEST

START_TEST(aligned_classes_are_multiples_of_the_alignment)
{
    for (size_t alignment = 16; alignment <= 64 * KIB; alignment *= 2)
        for (size_t size = 1; size <= SIZE_CLASS_MAX; size += 97) {
            unsigned c = size_class_aligned(size, alignment);
            ck_assert_uint_lt(c, SIZE_CLASS_COUNT); /* 64 KiB serves them all */
            ck_assert_uint_eq(size_class_bytes[c] % alignment, 0);
            ck_assert_uint_ge(size_class_bytes[c], size);
            for (unsigned smaller = size_class_of(size); smaller < c; smaller++)
                ck_assert_uint_ne(size_class_bytes[smaller] % alignment, 0);
        }
    ck_assert_uint_eq(size_class_aligned(16, 128 * KIB), SIZE_CLASS_COUNT);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("size_class")};
    tcase_add_test(cases[0], classes_rise_and_waste_a_fifth_at_most);
    tcase_add_test(cases[0], each_size_gets_the_smallest_class_that_holds_it);
    tcase_add_test(cases[0], aligned_classes_are_multiples_of_the_alignment);
    return run_suite("size_class", cases, LENGTH(cases));
}
