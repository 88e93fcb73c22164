/* The last failure of each thread, and the names of results. */
#include "core/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/testing.h"

START_TEST(no_failure_no_text)
{
    ck_assert_str_eq(sluice_error_message(), "");
}
END_TEST

START_TEST(a_failure_is_one_statement)
{
    errno = EDOM;
    enum sluice_result r = error_set(SLUICE_ERROR_UNKNOWN, "no backend \"%s\"", "x");
    ck_assert_int_eq(r, SLUICE_ERROR_UNKNOWN);
    ck_assert_str_eq(sluice_error_message(), "no backend \"x\"");
    ck_assert_int_eq(errno, EDOM);
}
END_TEST

START_TEST(long_texts_are_cut)
{
    char text[6000];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    error_set(SLUICE_ERROR_POLICY, "%s", text);
    ck_assert_uint_eq(strlen(sluice_error_message()), 4095);
}
END_TEST

static void *fail_here(void *index)
{
    ck_assert_str_eq(sluice_error_message(), "");
    char mine[32];
    snprintf(mine, sizeof mine, "failure of thread %u", (unsigned)(uintptr_t)index);
    for (int i = 0; i < 1000; i++) {
        error_set(SLUICE_ERROR_STATE, "%s", mine);
        ck_assert_str_eq(sluice_error_message(), mine);
    }
    return NULL;
}

START_TEST(each_thread_has_its_own)
{
    error_set(SLUICE_ERROR_STATE, "mine");
    run_threads(8, fail_here);
    ck_assert_str_eq(sluice_error_message(), "mine");
}
END_TEST

static void *fail_once(void *unused)
{
    error_set(SLUICE_ERROR_STATE, "short life");
    return NULL;
}

START_TEST(threads_that_end_leave_no_text_behind)
{
    use_module("starts the library");
    for (int i = 0; i < 64; i++)
        run_threads(16, fail_once);
    uint64_t before = kernel_resident();
    for (int i = 0; i < 256; i++) /* 16 MiB of texts, if they stayed */
        run_threads(16, fail_once);
    if (!SANITIZED)
        ck_assert_uint_lt(kernel_resident(), before + 2 * MIB);
}
END_TEST

START_TEST(every_result_has_a_name)
{
    for (int r = SLUICE_OK; r <= SLUICE_ERROR_NOT_OWNED; r++) {
        ck_assert_str_ne(sluice_result_name((enum sluice_result)r), "unknown result");
        for (int other = SLUICE_OK; other < r; other++)
            ck_assert_str_ne(sluice_result_name((enum sluice_result)r),
                             sluice_result_name((enum sluice_result)other));
    }
    ck_assert_str_eq(sluice_result_name((enum sluice_result)12345), "unknown result");
    ck_assert_str_eq(sluice_version(), SLUICE_VERSION);
}
END_TEST

START_TEST(failing_allocations_say_why)
{
    sluice_module m = use_module("m");
    ck_assert_ptr_null(sluice_aligned_alloc(m, 3, 10));
    ck_assert_ptr_nonnull(strstr(sluice_error_message(), "alignment 3"));
    ck_assert_ptr_null(sluice_malloc(SLUICE_MODULE_INVALID, 10));
    ck_assert_ptr_nonnull(strstr(sluice_error_message(), "module"));
    volatile size_t huge = SIZE_MAX / 2;
    ck_assert_ptr_null(sluice_malloc(m, huge));
    ck_assert_msg(strstr(sluice_error_message(), "\"m\"") != NULL, "\"%s\"",
                  sluice_error_message());
    ck_assert_ptr_null(sluice_calloc(m, huge, 4));
    ck_assert_ptr_null(sluice_strdup(m, NULL));
    ck_assert_ptr_nonnull(strstr(sluice_error_message(), "strdup"));
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("error")};
    tcase_add_test(cases[0], no_failure_no_text);
    tcase_add_test(cases[0], a_failure_is_one_statement);
    tcase_add_test(cases[0], long_texts_are_cut);
    tcase_add_test(cases[0], each_thread_has_its_own);
    tcase_add_test(cases[0], threads_that_end_leave_no_text_behind);
    tcase_add_test(cases[0], every_result_has_a_name);
    tcase_add_test(cases[0], failing_allocations_say_why);
    return run_suite("error", cases, LENGTH(cases));
}
