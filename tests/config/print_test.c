/* The effective policy: complete, and a policy again. */
#include "config/print.h"

#include "tests/support/reading.h"

static char first[65536], second[65536];

static const char *printed(const char *yaml, char *buffer, size_t size)
{
    struct policy *policy = reading_policy(yaml);
    struct text out;
    text_init(&out, buffer, size);
    print_policy(policy, &out);
    ck_assert(!out.cut);
    policy_destroy(policy);
    return buffer;
}

static const char everything[] =
    "sluice: 1\n"
    "x-r: &r [{max_size: 1.5KiB, to: s}, {to: a}]\n"
    "default: a\n"
    "backends:\n"
    "  a: {kind: fake-drop, time: 1500us, flag: on, options: {\"k: 1\": \"on\", n: 07}}\n"
    "  s: fake-small\n"
    "modules:\n"
    "  m: {route: *r, limit: {soft: 1GiB, hard: 2GiB, on_soft: {fallback: a}}}\n"
    "  \"yes\": s\n"
    "  \"*\": mmap\n"
    "phases:\n"
    "  frame: {modules: [m, \"ros.*\"], backend: pool, check: protect, keep: 2, purge: end}\n"
    "  stage: {modules: m, backend: glibc, track: true}\n"
    "process: {mallopt: {mmap_threshold: 1MiB, arena_max: 2}}\n"
    "reload: {signal: SIGRTMIN+2, watch: yes}\n"
    "observe: off\n"
    "attribution: [{object: \"lib*\", module: m}, {thread: t, module: n}, auto, "
    "{wrappers: [a, \"b c\"]}]\n";

START_TEST(defaults_are_filled_in)
{
    ck_assert_str_eq(
        printed("sluice: 1\ndefault: glibc\nbackends: {s: {kind: fake-small, flag: on}}\n"
                "modules: {m: s}\n",
                first, sizeof(first)),
        "sluice: 1\n\n"
        "default: glibc\n\n"
        "backends:\n"
        "  s:\n"
        "    kind: fake-small\n"
        "    size: 64KiB\n"
        "    time: 1s\n"
        "    number: 4\n"
        "    flag: true\n"
        "    choice: green\n"
        "  glibc:\n"
        "    kind: glibc\n\n"
        "modules:\n"
        "  m:\n"
        "    route:\n"
        "      - {to: s}\n"
        "      - {to: glibc}\n\n"
        "reload:\n"
        "  signal: none\n"
        "  watch: false\n\n"
        "observe: on\n");
}
END_TEST

START_TEST(what_is_printed_reads_back_the_same)
{
    char difference[4096];
    printed(everything, first, sizeof(first));
    printed(first, second, sizeof(second));
    ck_assert_str_eq(first, second);
    struct policy *a = reading_policy(everything), *b = reading_policy(first);
    policy_diff(a, b, NULL, difference, sizeof(difference));
    ck_assert_str_eq(difference, "");
    policy_destroy(a);
    policy_destroy(b);
}
END_TEST

START_TEST(names_keep_their_meaning)
{
    printed(everything, first, sizeof(first));
    ck_assert_ptr_nonnull(strstr(first, "\n  \"yes\":\n"));
    ck_assert_ptr_nonnull(strstr(first, "\n      \"k: 1\": \"on\"\n"));
    ck_assert_ptr_nonnull(strstr(first, "\n      - {max_size: 1536, to: s}\n"));
    ck_assert_ptr_nonnull(strstr(first, "\n    time: 1500us\n"));
    ck_assert_ptr_nonnull(strstr(first, "\n  signal: SIGRTMIN+2\n"));
    ck_assert_ptr_nonnull(strstr(first, "\n      on_soft: {fallback: a}\n"));
    ck_assert_ptr_nonnull(strstr(first, "\n  - auto\n"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("print");
    TCase *tests = tcase_create("print");
    tcase_add_test(tests, defaults_are_filled_in);
    tcase_add_test(tests, what_is_printed_reads_back_the_same);
    tcase_add_test(tests, names_keep_their_meaning);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
