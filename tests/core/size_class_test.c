/* The tables of size classes against the rule that they stand for. */
#include "core/size_class.h"

#include "tests/support/testing.h"

START_TEST(classes_rise_and_waste_a_fifth_at_most)
{
    ck_assert_uint_eq(size_class_most(0), 16);
    ck_assert_uint_eq(size_class_most(SIZE_CLASS_PLAIN - 1), SIZE_CLASS_MAX);
    for (unsigned c = 1; c < SIZE_CLASS_PLAIN; c++) {
        size_t size = size_class_most(c), below = size_class_most(c - 1), step = size - below;
        ck_assert_uint_gt(size, below);
        ck_assert_uint_eq(size % 16, 0);
        if (below >= 128) /* below, steps are 16 */
            ck_assert_uint_le(step * 5, size + 4 * 16);
        else
            ck_assert_uint_eq(step, 16);
    }
}
END_TEST

START_TEST(large_objects_are_a_line_longer)
{
    for (unsigned c = 0; c < SIZE_CLASS_COUNT; c++) {
        bool is_longer = c < SIZE_CLASS_PLAIN && size_class_most(c) >= 16 * KIB;
        ck_assert_int_eq(size_class_is_longer(c), is_longer);
        ck_assert_uint_eq(size_class_bytes[c] - size_class_most(c), is_longer ? 64 : 0);
    }
}
END_TEST

START_TEST(each_size_gets_the_smallest_class_that_holds_it)
{
    size_t wrong = 0;
    for (size_t size = 0; size <= SIZE_CLASS_MAX; size++) {
        unsigned c = size_class_of(size);
        wrong += c >= SIZE_CLASS_PLAIN || size_class_most(c) < size ||
                 (c > 0 && size_class_most(c - 1) >= size);
    }
    ck_assert_uint_eq(wrong, 0);
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
            unsigned count = alignment > 64 ? SIZE_CLASS_COUNT : SIZE_CLASS_PLAIN;
            for (unsigned other = 0; other < count; other++)
                if (size_class_most(other) >= size && size_class_bytes[other] % alignment == 0)
                    ck_assert_uint_ge(size_class_bytes[other], size_class_bytes[c]);
        }
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("size_class")};
    tcase_add_test(cases[0], classes_rise_and_waste_a_fifth_at_most);
    tcase_add_test(cases[0], large_objects_are_a_line_longer);
    tcase_add_test(cases[0], each_size_gets_the_smallest_class_that_holds_it);
    tcase_add_test(cases[0], aligned_classes_are_multiples_of_the_alignment);
    return run_suite("size_class", cases, LENGTH(cases));
}
