/* Lines on standard error: levels, prefixes, and the end of the program. */
#include "core/log.h"

#include <errno.h>
#include <string.h>

#include "tests/support/testing.h"

static void write_all_levels(void *level)
{
    if (level != NULL && !log_set_level(level))
        log_fatal("level");
    log_line(LOG_LEVEL_ERROR, "e %d", 1);
    log_line(LOG_LEVEL_WARN, "w");
    log_line(LOG_LEVEL_INFO, "i");
    log_line(LOG_LEVEL_DEBUG, "d");
}

static const char *lines_at(char *level)
{
    static struct child child;
    child = run_child(write_all_levels, level, 10000);
    ck_assert(child_succeeded(&child));
    return child.error;
}

START_TEST(levels)
{
    static char error[] = "error", info[] = "info", debug[] = "debug";
    ck_assert_str_eq(lines_at(error), "sluice: error: e 1\n");
    ck_assert_str_eq(lines_at(NULL), "sluice: error: e 1\nsluice: warning: w\n");
    ck_assert_str_eq(lines_at(info), "sluice: error: e 1\nsluice: warning: w\nsluice: info: i\n");
    ck_assert_ptr_nonnull(strstr(lines_at(debug), "sluice: debug: d\n"));
    ck_assert_int_eq(log_set_level("loud"), 0);
}
END_TEST

static void write_several_lines(void *unused)
{
    errno = EDOM;
    log_line(LOG_LEVEL_ERROR, "first\nsecond\n");
    char text[3000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    log_line(LOG_LEVEL_ERROR, "%s", text);
    if (errno != EDOM)
        log_fatal("errno");
}

START_TEST(each_line_has_the_prefix)
{
    struct child child = run_child(write_several_lines, NULL, 10000);
    ck_assert(child_succeeded(&child));
    const char *expected = "sluice: error: first\nsluice: error: second\nsluice: error: xxx";
    ck_assert_int_eq(strncmp(child.error, expected, strlen(expected)), 0);
    ck_assert_int_eq(child.error[strlen(child.error) - 1], '\n');
}
END_TEST

static void end(void *unused)
{
    log_fatal("no way %s", "on");
}

START_TEST(a_fatal_line_ends_the_program)
{
    struct child child = run_child(end, NULL, 10000);
    ck_assert(child_aborted(&child));
    ck_assert_str_eq(child.error, "sluice: fatal: no way on\n");
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("log")};
    tcase_add_test(cases[0], levels);
    tcase_add_test(cases[0], each_line_has_the_prefix);
    tcase_add_test(cases[0], a_fatal_line_ends_the_program);
    return run_suite("log", cases, LENGTH(cases));
}
