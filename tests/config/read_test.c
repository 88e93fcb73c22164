/* The seam to core: what policy_read_file() and its sisters promise. */
#include "config/read.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/meta.h"
#include "tests/support/reading.h"

static char error[4096];

START_TEST(the_built_in_policy)
{
    struct policy *policy = policy_read_builtin();
    ck_assert_ptr_nonnull(policy);
    ck_assert_ptr_null(policy->path);
    const struct policy_module *module = policy_find_module(policy, "anything");
    ck_assert_str_eq(module->pattern, "*");
    ck_assert_uint_eq(module->rule_count, 2);
    ck_assert_uint_eq(module->rules[0].max_size, 512 << 10);
    ck_assert_str_eq(policy->backends[module->rules[0].backend].ops->name, "pool");
    ck_assert_str_eq(policy->backends[module->rules[1].backend].ops->name, "mmap");
    ck_assert_str_eq(policy->backends[policy->default_backend].ops->name, "mmap");
    ck_assert_str_eq(module->mark.file, "<built-in>");
    ck_assert_int_eq(policy->reload.signal, 0); /* no program loses a signal without asking */
    policy_destroy(policy);
}
END_TEST

START_TEST(a_failure_leaves_nothing_and_says_why)
{
    struct policy *policy = (struct policy *)1;
    ck_assert_int_eq(policy_read_string("sluice: 3\n", 10, &policy, error, sizeof(error)),
                     SLUICE_ERROR_POLICY);
    ck_assert_ptr_null(policy);
    ck_assert_ptr_eq(strstr(error, "<string>:1:9: error: "), error);
    ck_assert_int_eq(policy_read_file("/no/such/file", &policy, error, sizeof(error)),
                     SLUICE_ERROR_IO);
    ck_assert_ptr_null(policy);
    policy_destroy(NULL);
}
END_TEST

START_TEST(a_small_error_buffer)
{
    struct policy *policy;
    memset(error, 'x', sizeof(error));
    policy_read_string("a: 1\n", 5, &policy, error, 10);
    ck_assert_uint_eq(strlen(error), 9);
    ck_assert_int_eq(error[10], 'x');
    policy_read_string("a: 1\n", 5, &policy, error, 1);
    ck_assert_str_eq(error, "");
    policy_read_string("a: 1\n", 5, &policy, NULL, 0);
}
END_TEST

START_TEST(no_terminating_nul_is_needed)
{
    static const char text[] = "sluice: 1\nxxxxxxx";
    struct policy *policy;
    ck_assert_int_eq(policy_read_string(text, 10, &policy, error, sizeof(error)), SLUICE_OK);
    policy_destroy(policy);
    ck_assert_int_eq(policy_read_string(NULL, 0, &policy, error, sizeof(error)),
                     SLUICE_ERROR_POLICY);
}
END_TEST

START_TEST(warnings_do_not_fail)
{
    static const char text[] = "sluice: 1\nmodules: {m: {limit: {}}}\n";
    struct policy *policy;
    ck_assert_int_eq(policy_read_string(text, strlen(text), &policy, error, sizeof(error)),
                     SLUICE_OK);
    ck_assert_str_eq(error, "");
    policy_destroy(policy);
}
END_TEST

START_TEST(a_pipe_can_be_read)
{
    int ends[2];
    char name[32];
    struct policy *policy;
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq((int)write(ends[1], "sluice: 1\n", 10), 10);
    close(ends[1]);
    snprintf(name, sizeof(name), "/dev/fd/%d", ends[0]);
    ck_assert_int_eq(policy_read_file(name, &policy, error, sizeof(error)), SLUICE_OK);
    policy_destroy(policy);
    close(ends[0]);
}
END_TEST

/* Whatever budget is used up, and wherever: one clear mistake, and nothing left behind. */
START_TEST(every_budget)
{
    char yaml[32 << 10];
    struct text text;
    text_init(&text, yaml, sizeof(yaml));
    text_add(&text, "sluice: 1\nmodules:\n");
    for (int i = 0; i < 400; i++)
        text_add(&text, "  m%d: {route: [{to: mmap}], limit: {hard: 1GiB}}\n", i);
    struct reader_limits limits = reader_default_limits;
    limits.file_bytes = 32 << 10;
    unsigned refused = 0, taken = 0;
    for (size_t step = 1; step < 40; step++) {
        for (int which = 0; which < 2; which++) {
            size_t mapped = meta_mapped_bytes();
            limits.scratch_bytes = which == 0 ? step * (32 << 10) : 64 << 20;
            limits.policy_bytes = which == 1 ? step * (16 << 10) : 64 << 20;
            struct read read;
            struct read_source source = {.label = "<string>", .text = yaml, .length = strlen(yaml)};
            read_begin(&read, &source, &limits);
            if (read.policy) {
                taken++;
            } else if (read.report) {
                refused++;
                ck_assert_uint_eq(read.report->errors, 1);
                const char *said = read.report->entries[0].text;
                ck_assert_msg(strstr(said, "too large: it takes more than "), "%s", said);
                ck_assert_int_eq(read.result, SLUICE_ERROR_POLICY);
            }
            policy_destroy(read.policy);
            read_end(&read);
            ck_assert_uint_eq(meta_mapped_bytes(), mapped);
        }
    }
    ck_assert_uint_gt(refused, 5);
    ck_assert_uint_gt(taken, 5);
}
END_TEST

START_TEST(reading_again_and_again_takes_no_memory)
{
    struct policy *policy = policy_read_builtin();
    policy_destroy(policy);
    size_t before = meta_mapped_bytes();
    for (int i = 0; i < 1000; i++) {
        policy = policy_read_builtin();
        policy_destroy(policy);
        policy_read_string("sluice: 1\n", 10, &policy, error, sizeof(error));
        policy_destroy(policy);
        policy_read_string("a: [", 4, &policy, error, sizeof(error));
    }
    ck_assert_uint_eq(meta_mapped_bytes(), before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("read");
    TCase *tests = tcase_create("read");
    tcase_add_test(tests, the_built_in_policy);
    tcase_add_test(tests, a_failure_leaves_nothing_and_says_why);
    tcase_add_test(tests, a_small_error_buffer);
    tcase_add_test(tests, no_terminating_nul_is_needed);
    tcase_add_test(tests, warnings_do_not_fail);
    tcase_add_test(tests, a_pipe_can_be_read);
    tcase_add_test(tests, every_budget);
    tcase_add_test(tests, reading_again_and_again_takes_no_memory);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
