#include "config/report.h"

#include "tests/support/reading.h"

static struct report report;
static char buffer[16384];

static const char *written(enum report_which which, size_t size)
{
    struct text text;
    text_init(&text, buffer, size);
    report_write(&report, which, &text);
    return buffer;
}

static struct policy_mark at(const char *file, uint32_t line, uint32_t column)
{
    return (struct policy_mark){file, line, column};
}

static void setup(void)
{
    memset(&report, 0, sizeof(report));
}

START_TEST(entries_are_told_in_the_order_of_the_file)
{
    report_error(&report, at("a", 3, 1), "third");
    report_warning(&report, at("b", 1, 1), "other file");
    report_error(&report, at("a", 1, 9), "second");
    report_error(&report, at("a", 1, 2), "first");
    report_sort(&report);
    ck_assert_str_eq(written(REPORT_ALL, sizeof(buffer)),
                     "a:1:2: error: first\na:1:9: error: second\na:3:1: error: third\n"
                     "b:1:1: warning: other file");
    ck_assert_str_eq(written(REPORT_WARNINGS, sizeof(buffer)), "b:1:1: warning: other file");
}
END_TEST

START_TEST(a_mistake_of_the_whole_file_has_no_line)
{
    report_error(&report, at("a", 0, 0), "cannot be read");
    ck_assert_str_eq(written(REPORT_ALL, sizeof(buffer)), "a: error: cannot be read");
}
END_TEST

START_TEST(the_same_mistake_is_told_once)
{
    report_error(&report, at("a", 1, 1), "wrong");
    report_error(&report, at("a", 1, 1), "wrong");
    report_error(&report, at("a", 1, 1), "also wrong");
    ck_assert_uint_eq(report.errors, 2);
}
END_TEST

START_TEST(twenty_are_kept_and_the_rest_counted)
{
    for (uint32_t i = 1; i <= 27; i++)
        report_error(&report, at("a", i, 1), "wrong");
    report_warning(&report, at("a", 99, 1), "odd");
    report_sort(&report);
    const char *text = written(REPORT_ERRORS, sizeof(buffer));
    ck_assert_ptr_nonnull(strstr(text, "a:20:1: error: wrong\nand 7 more errors"));
    ck_assert_ptr_null(strstr(text, "a:21:1"));
    ck_assert_ptr_null(strstr(text, "odd"));
    ck_assert_uint_eq(report.errors, 27);
}
END_TEST

START_TEST(a_small_buffer_gets_whole_lines_and_a_count)
{
    for (uint32_t i = 1; i <= 10; i++)
        report_error(&report, at("some/long/name.yaml", i, 1), "a mistake of some length");
    const char *text = written(REPORT_ERRORS, 300);
    ck_assert_uint_lt(strlen(text), 300);
    ck_assert_ptr_nonnull(strstr(text, "name.yaml:1:1: error: a mistake of some length\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nand 6 more errors"));
}
END_TEST

START_TEST(a_tiny_buffer_gets_the_start_of_the_first_line)
{
    report_error(&report, at("a", 1, 1), "wrong");
    ck_assert_str_eq(written(REPORT_ERRORS, 8), "a:1:1: ");
    ck_assert_str_eq(written(REPORT_ERRORS, 1), "");
}
END_TEST

START_TEST(one_entry_is_one_line)
{
    report_error(&report, at("a", 1, 1), "a \"%s\"", "b\nc\x1b[2J");
    ck_assert_str_eq(written(REPORT_ALL, sizeof(buffer)), "a:1:1: error: a \"b?c?[2J\"");
}
END_TEST

START_TEST(a_long_entry_is_cut)
{
    char name[1000];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    report_error(&report, at("a", 1, 1), "%s", name);
    size_t length = strlen(report.entries[0].text);
    ck_assert_uint_eq(length, sizeof(report.entries[0].text) - 1);
    ck_assert_str_eq(report.entries[0].text + length - 3, "...");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report");
    TCase *tests = tcase_create("report");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, entries_are_told_in_the_order_of_the_file);
    tcase_add_test(tests, a_mistake_of_the_whole_file_has_no_line);
    tcase_add_test(tests, the_same_mistake_is_told_once);
    tcase_add_test(tests, twenty_are_kept_and_the_rest_counted);
    tcase_add_test(tests, a_small_buffer_gets_whole_lines_and_a_count);
    tcase_add_test(tests, a_tiny_buffer_gets_the_start_of_the_first_line);
    tcase_add_test(tests, one_entry_is_one_line);
    tcase_add_test(tests, a_long_entry_is_cut);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
