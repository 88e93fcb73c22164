/* The matcher against known cases, and against fnmatch(3) on thousands of random ones. */
#include "core/glob.h"

#include <check.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

START_TEST(fits)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"*", ""},
        {"*", "anything"},
        {"a*c", "abbbc"},
        {"a*c", "ac"},
        {"?", "x"},
        {"ros.*", "ros.nav"},
        {"*.so*", "libx.so.1"},
        {"[abc]", "b"},
        {"[a-c]x", "bx"},
        {"[!a-c]", "d"},
        {"[^a]", "b"},
        {"[]]", "]"},
        {"[a-]", "-"},
        {"\\*", "*"},
        {"a\\?b", "a?b"},
        {"[[:digit:]]", "7"},
        {"*[0-9]*", "a5b"},
        {"lib*-[0-9].so", "libx-2.so"},
        {"[a", "[a"},
        {"**a**", "xax"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(glob_match(cases[i][0], cases[i][1]), "%s %s", cases[i][0], cases[i][1]);
}
END_TEST

START_TEST(does_not_fit)
{
    static const char *const cases[][2] = {
        {"", "a"},     {"?", ""},      {"?", "ab"},  {"a*c", "abcd"},     {"[abc]", "d"},
        {"[!a]", "a"}, {"[a-c]", "d"}, {"\\*", "x"}, {"ros.*", "rosnav"}, {"[[:digit:]]", "x"},
        {"a", "A"},    {"[a", "a"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(!glob_match(cases[i][0], cases[i][1]), "%s %s", cases[i][0], cases[i][1]);
}
END_TEST

/* Short texts over few letters: they meet often. */
START_TEST(agrees_with_fnmatch)
{
    static const char letters[] = "ab*?[]!-\\ab";
    unsigned seed = 20240501;
    unsigned fitting = 0;
    for (int round = 0; round < 200000; round++) {
        char pattern[9], name[7];
        size_t length = (size_t)rand_r(&seed) % sizeof(pattern);
        for (size_t i = 0; i < length; i++)
            pattern[i] = letters[(size_t)rand_r(&seed) % (sizeof(letters) - 1)];
        pattern[length] = '\0';
        length = (size_t)rand_r(&seed) % sizeof(name);
        for (size_t i = 0; i < length; i++)
            name[i] = "ab]-"[rand_r(&seed) % 4];
        name[length] = '\0';
        size_t end = strlen(pattern);
        if (end > 0 && pattern[end - 1] == '\\')
            continue; /* glibc's answer to a backslash that ends the pattern differs by release */
        bool expected = fnmatch(pattern, name, 0) == 0;
        fitting += expected;
        ck_assert_msg(glob_match(pattern, name) == expected, "pattern \"%s\" name \"%s\": %d",
                      pattern, name, expected);
    }
    ck_assert_uint_gt(fitting, 1000);
}
END_TEST

/* What takes fnmatch() exponential time. */
START_TEST(many_stars_are_fast)
{
    char pattern[201], name[401];
    for (size_t i = 0; i < 200; i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[199] = 'b';
    pattern[200] = '\0';
    memset(name, 'a', 400);
    name[400] = '\0';
    clock_t start = clock();
    for (int i = 0; i < 100; i++)
        ck_assert(!glob_match(pattern, name));
    ck_assert_int_lt(clock() - start, 2 * CLOCKS_PER_SEC);
}
END_TEST

START_TEST(patterns_are_told_from_names)
{
    ck_assert(glob_is_pattern("ros.*"));
    ck_assert(glob_is_pattern("lib?"));
    ck_assert(glob_is_pattern("[ab]"));
    ck_assert(glob_is_pattern("a\\*"));
    ck_assert(!glob_is_pattern("libsqlite3.so.0"));
    ck_assert(!glob_is_pattern(""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("glob");
    TCase *tests = tcase_create("glob");
    tcase_add_test(tests, fits);
    tcase_add_test(tests, does_not_fit);
    tcase_add_test(tests, agrees_with_fnmatch);
    tcase_add_test(tests, many_stars_are_fast);
    tcase_add_test(tests, patterns_are_told_from_names);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
