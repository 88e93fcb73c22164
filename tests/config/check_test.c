/* What `sluice check` says of a file, to the letter: each problem with its line and column, all of them in one run, in the
 * order of the file; as lines and as JSON; and what it says of a policy without one. */
#include "config/check.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/reading.h"
#include "tests/support/testing.h"

static char said[65536], problems[65536];

/* Checks a file of that text, policy.yaml of the working directory; returns whether it is valid. */
static bool check(const char *text, unsigned flags)
{
    struct text out, lines;
    fake_kinds_register();
    ck_assert_int_eq(chdir(test_folder()), 0);
    write_file("policy.yaml", text);
    text_init(&out, said, sizeof said);
    text_init(&lines, problems, sizeof problems);
    return check_text("policy.yaml", flags, &out, &lines);
}

static bool check_as_json(const char *text, unsigned flags)
{
    struct text out;
    fake_kinds_register();
    ck_assert_int_eq(chdir(test_folder()), 0);
    write_file("policy.yaml", text);
    text_init(&out, said, sizeof said);
    return check_json("policy.yaml", flags, &out);
}

static const struct expectation {
    const char *what, *policy;
    bool is_valid;
    const char *problems; /* each line without "policy.yaml:" */
} expectations[] = {
    {"nothing", "sluice: 1\n", true, ""},

    /* Dead rules. */
    {"a rule behind one that takes every size",
     "sluice: 1\n"
     "modules:\n"
     "  m:\n"
     "    route:\n"
     "      - {to: mmap}\n"
     "      - {max_size: 1KiB, to: pool}\n"
     "      - {to: glibc}\n",
     true,
     "6:9: warning: this rule is never used: the rule in line 5 takes every size\n"
     "7:9: warning: this rule is never used: the rule in line 5 takes every size\n"},
    {"a rule whose sizes are taken",
     "sluice: 1\n"
     "modules:\n"
     "  m: {route: [{max_size: 4KiB, to: pool}, {max_size: 1KiB, to: glibc}, {to: mmap}]}\n",
     true,
     "3:43: warning: this rule is never used: the rule in line 3 takes every size up to 4KiB\n"},
    {"a rule beyond what its backend serves",
     "sluice: 1\nmodules:\n  m:\n    route: [{max_size: 1MiB, to: pool}, {to: mmap}]\n", true,
     "4:24: warning: max_size: \"pool\" (pool) serves up to 512KiB only; larger sizes go to the next rule\n"},

    /* Globs that no name reaches. */
    {"a glob behind a wider one",
     "sluice: 1\nmodules:\n  \"lib*\": pool\n  \"libssl*\": glibc\n  libssl.so: glibc\n", true,
     "4:3: warning: \"libssl*\" is never used: every name that it fits meets \"lib*\" first, in line "
     "3\n"},
    {"a glob behind *", "sluice: 1\nmodules:\n  \"*\": pool\n  \"a*\": glibc\n  \"?\": glibc\n",
     true,
     "4:3: warning: \"a*\" is never used: every name that it fits meets \"*\" first, in line 3\n"
     "5:3: warning: \"?\" is never used: every name that it fits meets \"*\" first, in line 3\n"},

    /* Backends that are not there, with what may have been meant. */
    {"an unknown backend", "sluice: 1\nbackends:\n  general: {kind: glibc}\ndefault: genral\n",
     false, "4:10: error: default: unknown backend \"genral\"; did you mean \"general\"?\n"},
    {"an unknown kind", "sluice: 1\nbackends:\n  b:\n    kind: jemaloc\n", false,
     "4:11: error: backend \"b\": unknown kind \"jemaloc\"; did you mean \"jemalloc\"? Known kinds: "
     "pool, region, mmap, glibc, jemalloc, fake-drop, fake-small, plugin\n"},
    {"an unknown key and an unknown unit",
     "sluice: 1\nbackends:\n  b: {kind: pool, retian: 1MiB, purge_after: 1 sec}\n", false,
     "3:19: error: unknown key \"retian\" in backend \"b\" (pool); did you mean \"retain\"?\n"
     "3:46: error: purge_after: unknown unit \"sec\"; did you mean \"1 s\"?\n"},

    /* Several of all sorts, in the order of the file and not of the reader. */
    {"several in one run",
     "sluice: 1\n"
     "defualt: pool\n"
     "modules:\n"
     "  \"*\": mmap\n"
     "  m: {route: [{to: mmap}, {to: dircet}], limit: {soft: 2MiB, hard: 1MiB}}\n"
     "  n*: nowhere\n"
     "backends:\n"
     "  direct: {kind: mmap, reuse: -1s}\n"
     "reload: {signal: SIGHUPP}\n",
     false,
     "2:1: error: unknown key \"defualt\" in the policy; did you mean \"default\"?\n"
     "5:32: error: to: unknown backend \"dircet\"; did you mean \"direct\"?\n"
     "5:56: error: soft: 2MiB is above the hard limit, 1MiB: it would never be reached\n"
     "6:3: warning: \"n*\" is never used: every name that it fits meets \"*\" first, in line 4\n"
     "6:7: error: module \"n*\": unknown backend \"nowhere\"; known backends: direct, pool, region, "
     "mmap, glibc, jemalloc, fake-drop, fake-small\n"
     "8:31: error: reuse: expected a duration such as 10ms, 1s or 5m, found the negative \"-1s\"\n"
     "9:18: error: signal: unknown signal \"SIGHUPP\"; did you mean \"SIGHUP\"? Use SIGHUP, SIGUSR1, "
     "SIGUSR2 or none\n"},
};

START_TEST(problems_as_lines)
{
    const struct expectation *e = &expectations[_i];
    bool is_valid = check(e->policy, 0);
    char expected[8192] = "";
    size_t used = 0;
    for (const char *at = e->problems, *end; *at != '\0'; at = end + 1) {
        end = strchr(at, '\n');
        used += (size_t)snprintf(expected + used, sizeof expected - used, "policy.yaml:%.*s\n",
                                 (int)(end - at), at);
    }
    ck_assert_msg(strcmp(problems, expected) == 0, "%s: expected\n%sfound\n%s", e->what, expected,
                  problems);
    ck_assert_msg(is_valid == e->is_valid, "%s", e->what);
    ck_assert_msg((*said != '\0') == e->is_valid, "%s: %s", e->what, said);
}
END_TEST

START_TEST(problems_as_json)
{
    const struct expectation *e = &expectations[_i];
    bool is_valid = check_as_json(e->policy, 0);
    ck_assert(is_valid == e->is_valid);
    ck_assert_msg(strstr(said, is_valid ? "\"valid\": true" : "\"valid\": false") != NULL, "%s",
                  said);
    for (const char *at = e->problems; *at != '\0'; at = strchr(at, '\n') + 1) {
        unsigned line, column;
        char severity[16], wanted[128];
        ck_assert_int_eq(sscanf(at, "%u:%u: %15[a-z]:", &line, &column, severity), 3);
        snprintf(wanted, sizeof wanted,
                 "{\"file\": \"policy.yaml\", \"line\": %u, \"column\": %u, \"severity\": \"%s\"",
                 line, column, severity);
        ck_assert_msg(strstr(said, wanted) != NULL, "%s: %s", wanted, said);
    }
}
END_TEST

START_TEST(a_valid_policy_is_summed_up)
{
    ck_assert(check("sluice: 1\n", 0));
    ck_assert_str_eq(said, "policy.yaml: ok: 0 backends, 0 modules\n");
    write_file("site.yaml", "backends: {b: {kind: pool}}\n");
    ck_assert(check("sluice: 1\ninclude: [site.yaml]\nmodules:\n  m: b\n  n: {limit: {}}\n", 0));
    ck_assert_str_eq(said, "policy.yaml: ok: 1 backend, 2 modules, 2 files, 1 warning\n");
}
END_TEST

START_TEST(mistakes_are_found_where_they_stand)
{
    ck_assert_int_eq(chdir(test_folder()), 0);
    write_file("site.yaml", "modules:\n  m: nowhere\n");
    ck_assert(!check("sluice: 1\ninclude: [site.yaml]\ndefault: nobody\n", 0));
    ck_assert_ptr_nonnull(strstr(problems, "site.yaml:2:6: error: "));
    ck_assert_ptr_nonnull(strstr(problems, "policy.yaml:3:10: error: "));
}
END_TEST

START_TEST(the_policy_as_it_takes_effect)
{
    ck_assert(check("sluice: 1\ndefault: pool\n", CHECK_PRINT));
    ck_assert_ptr_nonnull(strstr(said, "default: pool"));
    ck_assert(check_as_json("sluice: 1\ndefault: pool\n", CHECK_PRINT));
    ck_assert_ptr_nonnull(strstr(said, "\"effective\": \""));
    ck_assert(!check("sluice: 1\ndefault: nobody\n", CHECK_PRINT));
    ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(a_file_that_cannot_be_read)
{
    struct text out, lines;
    text_init(&out, said, sizeof said);
    text_init(&lines, problems, sizeof problems);
    ck_assert(!check_text("/nowhere/policy.yaml", 0, &out, &lines));
    ck_assert_str_eq(problems,
                     "/nowhere/policy.yaml: error: cannot be read: No such file or directory\n");
    text_init(&out, said, sizeof said);
    ck_assert(!check_json("/nowhere/policy.yaml", 0, &out));
    ck_assert_ptr_nonnull(
        strstr(said, "\"line\": null, \"column\": null, \"severity\": \"error\""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("check");
    TCase *tests = tcase_create("check");
    suite_add_tcase(suite, tests);
    tcase_add_loop_test(tests, problems_as_lines, 0, (int)LENGTH(expectations));
    tcase_add_loop_test(tests, problems_as_json, 0, (int)LENGTH(expectations));
    tcase_add_test(tests, a_valid_policy_is_summed_up);
    tcase_add_test(tests, mistakes_are_found_where_they_stand);
    tcase_add_test(tests, the_policy_as_it_takes_effect);
    tcase_add_test(tests, a_file_that_cannot_be_read);
    return reading_run(suite);
}
