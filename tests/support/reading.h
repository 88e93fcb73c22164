/* reading.h - policies as texts in tests of the reader. For tests that link //config. */
#ifndef SLUICE_TESTS_SUPPORT_READING_H
#define SLUICE_TESTS_SUPPORT_READING_H

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "config/read.h"
#include "config/text.h"
#include "core/policy.h"
#include "tests/support/fake_kinds.h"

/* A valid policy; the test fails with the reader's words when it is none. */
static inline struct policy *reading_policy(const char *yaml)
{
    static char error[4096];
    struct policy *policy;
    fake_kinds_register();
    enum sluice_result result =
        policy_read_string(yaml, strlen(yaml), &policy, error, sizeof(error));
    ck_assert_msg(result == SLUICE_OK, "%s\nin\n%s", error, yaml);
    return policy;
}

/* Everything that the reader says of a text, errors and warnings, as lines; "" when it says
 * nothing. The result is good until the next call. */
static inline const char *reading_report_within(const char *yaml, size_t length,
                                                const struct reader_limits *limits)
{
    static char lines[32768];
    struct text out;
    struct read read;
    struct read_source source = {.label = "<string>", .text = yaml, .length = length};
    fake_kinds_register();
    text_init(&out, lines, sizeof(lines));
    read_begin(&read, &source, limits);
    ck_assert_ptr_nonnull(read.report);
    ck_assert_msg((read.policy != NULL) == (read.report->errors == 0), "a policy despite errors");
    ck_assert_int_eq(read.result == SLUICE_OK, read.policy != NULL);
    report_write(read.report, REPORT_ALL, &out);
    policy_destroy(read.policy);
    read_end(&read);
    return lines;
}

static inline const char *reading_report(const char *yaml)
{
    return reading_report_within(yaml, strlen(yaml), &reader_default_limits);
}

/* The report is exactly this, without the "<string>:" before its first line. */
static inline void reading_expect(const char *yaml, const char *expected)
{
    char wanted[1024];
    const char *report = reading_report(yaml);
    snprintf(wanted, sizeof(wanted), "<string>:%s", expected);
    ck_assert_msg(strcmp(report, wanted) == 0, "expected\n%s\nfound\n%s\nin\n%s", wanted, report,
                  yaml);
}

/* A main() for a test program of one suite. */
static inline int reading_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
