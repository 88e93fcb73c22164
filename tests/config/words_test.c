#include "config/words.h"

#include "tests/support/reading.h"

static const char *nearest(const char *word)
{
    static const char *const known[] = {"retain", "purge_after", "huge_pages", "kind", "to", NULL};
    struct words words;
    words_begin(&words, word);
    for (size_t i = 0; known[i]; i++)
        words_offer(&words, known[i]);
    return words_nearest(&words);
}

START_TEST(slips_are_recognised)
{
    ck_assert_str_eq(nearest("retian"), "retain");  /* swapped */
    ck_assert_str_eq(nearest("retin"), "retain");   /* dropped */
    ck_assert_str_eq(nearest("retainn"), "retain"); /* doubled */
    ck_assert_str_eq(nearest("Retain"), "retain");  /* other case */
    ck_assert_str_eq(nearest("purge-after"), "purge_after");
    ck_assert_str_eq(nearest("hugepages"), "huge_pages");
    ck_assert_str_eq(nearest("knd"), "kind");
    ck_assert_str_eq(nearest("too"), "to");
}
END_TEST

START_TEST(other_words_are_not)
{
    ck_assert_ptr_null(nearest("banana"));
    ck_assert_ptr_null(nearest(""));
    ck_assert_ptr_null(nearest("xy"));
    ck_assert_ptr_null(nearest("a word of more than forty letters, which is not compared"));
}
END_TEST

START_TEST(nothing_offered)
{
    struct words words;
    words_begin(&words, "retain");
    ck_assert_ptr_null(words_nearest(&words));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("words");
    TCase *tests = tcase_create("words");
    tcase_add_test(tests, slips_are_recognised);
    tcase_add_test(tests, other_words_are_not);
    tcase_add_test(tests, nothing_offered);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
