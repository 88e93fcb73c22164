#include "config/explain.h"

#include "tests/support/reading.h"

static const char yaml[] = "sluice: 1\n"
                           "default: a\n"
                           "backends: {a: {kind: fake-drop}, s: {kind: fake-small}}\n"
                           "modules:\n"
                           "  perception:\n"
                           "    route:\n"
                           "      - {max_size: 1KiB, to: s}\n"
                           "      - {to: mmap}\n"
                           "    limit: {soft: 1GiB, hard: 2GiB, on_hard: {fallback: a}}\n"
                           "  \"ros.*\": s\n"
                           "phases:\n"
                           "  frame: {modules: [perception], backend: a}\n";

static struct policy *policy;
static char buffer[8192];

static void setup(void)
{
    policy = reading_policy(yaml);
}

static void teardown(void)
{
    policy_destroy(policy);
}

static const char *words(struct explain_question question)
{
    struct text out;
    text_init(&out, buffer, sizeof(buffer));
    explain_text(policy, &question, &out);
    return buffer;
}

static const char *json(struct explain_question question)
{
    struct text out;
    text_init(&out, buffer, sizeof(buffer));
    explain_json(policy, &question, &out);
    return buffer;
}

#define ASK(module, size)              ((struct explain_question){module, size, NULL, NULL})
#define ASK_SET(module, size, backend) ((struct explain_question){module, size, backend, "--set"})

START_TEST(by_the_modules_own_entry)
{
    ck_assert_str_eq(
        words(ASK("perception", 1025)),
        "perception, 1025 bytes: backend \"mmap\"\n"
        "  module    \"perception\" has an entry of its own, <string>:5:3\n"
        "  rule 1    to \"s\" (fake-small), up to 1KiB, <string>:7:9: 1025 is larger\n"
        "  rule 2    to \"mmap\", every size, <string>:8:9: decides\n"
        "  limit     above 1GiB, <string>:9:12: it is logged and the program is told\n"
        "  limit     beyond 2GiB, <string>:9:12: further allocations come from \"a\" (fake-drop)\n"
        "  phase     while \"frame\" is open, <string>:12:3: \"a\" (fake-drop) serves instead\n");
}
END_TEST

START_TEST(sizes_at_the_border_fit)
{
    ck_assert_ptr_eq(strstr(words(ASK("perception", 1024)),
                            "perception, 1KiB (1024 bytes): backend \"s\" (fake-small)\n"),
                     buffer);
    ck_assert_ptr_nonnull(strstr(buffer, "rule 2    to \"mmap\", every size, <string>:8:9: not "
                                         "asked\n"));
    ck_assert_ptr_eq(strstr(words(ASK("perception", 1)), "perception, 1 byte: "), buffer);
}
END_TEST

START_TEST(by_a_pattern_and_an_added_rule)
{
    ck_assert_str_eq(
        words(ASK("ros.nav", 128 << 10)),
        "ros.nav, 128KiB (131072 bytes): backend \"a\" (fake-drop)\n"
        "  module    \"ros.*\" is the first pattern that fits \"ros.nav\", "
        "<string>:10:3\n"
        "  rule 1    to \"s\" (fake-small), up to 64KiB, <string>:10:12: 128KiB is "
        "larger\n"
        "  rule 2    to \"a\" (fake-drop), every size, added because \"s\" (fake-small) "
        "serves no more than 64KiB: decides\n");
}
END_TEST

START_TEST(by_the_default)
{
    ck_assert_str_eq(words(ASK("nobody", 64)),
                     "nobody, 64 bytes: backend \"a\" (fake-drop)\n"
                     "  module    nothing names \"nobody\": default: \"a\" (fake-drop), "
                     "<string>:2:10\n"
                     "  rule 1    to \"a\" (fake-drop), every size, <string>:2:10: decides\n");
}
END_TEST

START_TEST(by_an_override)
{
    ck_assert_str_eq(words(ASK_SET("nobody", 64, "mmap")),
                     "nobody, 64 bytes: backend \"mmap\"\n"
                     "  override  --set sends \"nobody\" to \"mmap\", which wins over the policy\n"
                     "  module    nothing names \"nobody\": default: \"a\" (fake-drop), "
                     "<string>:2:10\n"
                     "  rule 1    to \"mmap\", every size: decides\n");
    /* The limit stays the module's. */
    ck_assert_ptr_nonnull(strstr(words(ASK_SET("perception", 64, "mmap")), "limit     above"));
    ck_assert_ptr_nonnull(strstr(words(ASK_SET("perception", 64, "zebra")),
                                 "  override  --set names backend \"zebra\", which the policy does "
                                 "not have: its own route serves\n"));
    ck_assert_ptr_nonnull(strstr(words(ASK_SET("perception", 1 << 20, "s")),
                                 "rule 2    to \"a\" (fake-drop), every size, added because"));
}
END_TEST

START_TEST(as_json)
{
    ck_assert_str_eq(
        json(ASK("perception", 2048)),
        "{\"module\": \"perception\", \"size\": 2048, \"backend\": \"mmap\", \"kind\": \"mmap\", "
        "\"because\": \"exact\", \"override\": null, \"entry\": {\"pattern\": \"perception\", "
        "\"file\": \"<string>\", \"line\": 5, \"column\": 3}, \"rules\": [{\"rule\": 1, "
        "\"backend\": \"s\", \"kind\": \"fake-small\", \"takes_up_to\": 1024, \"decides\": false, "
        "\"added\": false, \"file\": \"<string>\", \"line\": 7, \"column\": 9}, {\"rule\": 2, "
        "\"backend\": \"mmap\", \"kind\": \"mmap\", \"takes_up_to\": null, \"decides\": true, "
        "\"added\": false, \"file\": \"<string>\", \"line\": 8, \"column\": 9}], \"limit\": "
        "{\"soft\": 1073741824, \"on_soft\": \"notify\", \"on_soft_backend\": null, \"hard\": "
        "2147483648, \"on_hard\": \"fallback\", \"on_hard_backend\": \"a\", \"file\": "
        "\"<string>\", \"line\": 9, \"column\": 12}, \"phases\": [{\"phase\": \"frame\", "
        "\"backend\": \"a\", \"kind\": \"fake-drop\", \"file\": \"<string>\", \"line\": 12, "
        "\"column\": 3}]}\n");
    ck_assert_str_eq(
        json(ASK_SET("nobody", 0, "s")),
        "{\"module\": \"nobody\", \"size\": 0, \"backend\": \"s\", \"kind\": \"fake-small\", "
        "\"because\": \"override\", \"override\": {\"backend\": \"s\", \"from\": \"--set\"}, "
        "\"entry\": null, \"rules\": [{\"rule\": 1, \"backend\": \"s\", \"kind\": "
        "\"fake-small\", \"takes_up_to\": 65536, \"decides\": true, \"added\": false, \"file\": "
        "null, \"line\": null, \"column\": null}, {\"rule\": 2, \"backend\": \"a\", \"kind\": "
        "\"fake-drop\", \"takes_up_to\": null, \"decides\": false, \"added\": true, \"file\": "
        "null, \"line\": null, \"column\": null}], \"limit\": null, \"phases\": []}\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("explain");
    TCase *tests = tcase_create("explain");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, by_the_modules_own_entry);
    tcase_add_test(tests, sizes_at_the_border_fit);
    tcase_add_test(tests, by_a_pattern_and_an_added_rule);
    tcase_add_test(tests, by_the_default);
    tcase_add_test(tests, by_an_override);
    tcase_add_test(tests, as_json);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
