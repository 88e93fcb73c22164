/* Policies of several files. */
#include "config/include.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/reading.h"

static char folder[256], error[8192];
static struct policy *policy;

static void setup(void)
{
    const char *base = getenv("TEST_TMPDIR");
    snprintf(folder, sizeof(folder), "%s/include-XXXXXX", base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(mkdir("conf", 0755), 0);
    policy = NULL;
    fake_kinds_register();
}

static void teardown(void)
{
    char command[300];
    policy_destroy(policy);
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void read_good(const char *name)
{
    policy_destroy(policy);
    ck_assert_msg(policy_read_file(name, &policy, error, sizeof(error)) == SLUICE_OK, "%s", error);
}

static void read_bad(const char *name, enum sluice_result result, const char *expected)
{
    ck_assert_int_eq(policy_read_file(name, &policy, error, sizeof(error)), result);
    ck_assert_ptr_null(policy);
    ck_assert_str_eq(error, expected);
}

static const char *name_of(uint32_t index)
{
    return policy->backends[index].name;
}

START_TEST(own_keys_win)
{
    write_file("site.yaml", "sluice: 1\ndefault: mmap\nreload: {signal: SIGHUP, watch: true}\n"
                            "backends: {a: {kind: fake-drop, size: 2MiB, number: 3}}\n");
    write_file("main.yaml", "sluice: 1\ninclude: [site.yaml]\ndefault: a\nreload: {watch: false}\n"
                            "backends: {a: {kind: fake-drop, number: 5}}\n");
    read_good("main.yaml");
    ck_assert_str_eq(name_of(policy->default_backend), "a");
    ck_assert_uint_eq(policy->backends[0].values[0], 2 << 20);
    ck_assert_uint_eq(policy->backends[0].values[2], 5);
    ck_assert(!policy->reload.watch);
    ck_assert_int_ne(policy->reload.signal, 0);
    ck_assert_str_eq(policy->default_mark.file, "main.yaml");
}
END_TEST

START_TEST(another_kind_replaces_the_whole_backend)
{
    write_file("site.yaml", "backends: {a: {kind: fake-small, size: 2MiB}}\n");
    write_file("main.yaml",
               "sluice: 1\ninclude: site.yaml\nbackends: {a: {kind: fake-drop, number: 5}}\n");
    read_good("main.yaml");
    ck_assert_str_eq(policy->backends[0].ops->name, "fake-drop");
    ck_assert_uint_eq(policy->backends[0].values[0], 65536);
}
END_TEST

START_TEST(own_patterns_and_entries_come_first)
{
    write_file("site.yaml", "modules: {\"*\": mmap}\nattribution: [{object: a, module: m}]\n");
    write_file("main.yaml", "sluice: 1\ninclude: [site.yaml]\nmodules: {\"ros.*\": glibc}\n"
                            "attribution: [{object: b, module: n}]\n");
    read_good("main.yaml");
    ck_assert_str_eq(policy_find_module(policy, "ros.nav")->pattern, "ros.*");
    ck_assert_str_eq(policy_find_module(policy, "x")->pattern, "*");
    ck_assert_str_eq(policy_find_module(policy, "x")->mark.file, "site.yaml");
    ck_assert_uint_eq(policy->attribution_count, 2);
    ck_assert_str_eq(policy->attribution[0].pattern, "b");
    ck_assert_str_eq(policy->attribution[1].pattern, "a");
}
END_TEST

START_TEST(later_files_win_over_earlier_ones)
{
    write_file("a.yaml", "default: mmap\nmodules: {m: mmap, n: mmap}\n");
    write_file("b.yaml", "default: glibc\nmodules: {m: glibc}\n");
    write_file("main.yaml", "sluice: 1\ninclude: [a.yaml, b.yaml]\nmodules:\n");
    read_good("main.yaml");
    ck_assert_str_eq(name_of(policy->default_backend), "glibc");
    ck_assert_str_eq(name_of(policy_find_module(policy, "m")->rules[0].backend), "glibc");
    ck_assert_str_eq(name_of(policy_find_module(policy, "n")->rules[0].backend), "mmap");
}
END_TEST

START_TEST(names_are_relative_to_the_file_that_has_them)
{
    char expected[300];
    write_file("main.yaml", "sluice: 1\ninclude: [conf/a.yaml]\n");
    write_file("conf/a.yaml", "include: [./b.yaml]\n");
    write_file("conf/b.yaml", "default: mmap\n");
    read_good("main.yaml");
    ck_assert_str_eq(name_of(policy->default_backend), "mmap");
    ck_assert_uint_eq(policy->file_count, 3);
    snprintf(expected, sizeof(expected), "%s/main.yaml", folder);
    ck_assert_str_eq(policy->path, expected);
    ck_assert_str_eq(policy->files[0], expected);
    snprintf(expected, sizeof(expected), "%s/conf/b.yaml", folder);
    ck_assert_str_eq(policy->files[2], expected);
}
END_TEST

START_TEST(a_file_that_two_include_is_read_for_both)
{
    write_file("base.yaml", "default: mmap\n");
    write_file("a.yaml", "include: [base.yaml]\n");
    write_file("b.yaml", "include: [base.yaml]\n");
    write_file("main.yaml", "sluice: 1\ninclude: [a.yaml, b.yaml]\n");
    read_good("main.yaml");
    ck_assert_uint_eq(policy->file_count, 4);
}
END_TEST

START_TEST(a_text_includes_from_the_working_directory)
{
    static const char yaml[] = "sluice: 1\ninclude: [site.yaml]\n";
    write_file("site.yaml", "default: mmap\n");
    policy = reading_policy(yaml);
    ck_assert_str_eq(name_of(policy->default_backend), "mmap");
    ck_assert_ptr_null(policy->path);
    ck_assert_uint_eq(policy->file_count, 1);
}
END_TEST

START_TEST(mistakes_are_named_where_they_are)
{
    write_file("main.yaml", "sluice: 1\ninclude: [conf/site.yaml]\nzebra: 1\n");
    write_file("conf/site.yaml", "modules:\n  m: {rout: mmap}\n");
    read_bad(
        "main.yaml", SLUICE_ERROR_POLICY,
        "main.yaml:3:1: error: unknown key \"zebra\" in the policy; known keys: sluice, "
        "default, backends, modules, phases, process, reload, observe, attribution and include\n"
        "conf/site.yaml:2:7: error: unknown key \"rout\" in a module; did you mean \"route\"?");
}
END_TEST

START_TEST(a_version_in_an_included_file_counts_too)
{
    write_file("main.yaml", "sluice: 1\ninclude: [site.yaml]\n");
    write_file("site.yaml", "sluice: 7\n");
    read_bad("main.yaml", SLUICE_ERROR_POLICY,
             "site.yaml:1:9: error: sluice: version \"7\" of the language is not known; this is "
             "Sluice " SLUICE_VERSION ", which reads version 1");
}
END_TEST

START_TEST(missing_files)
{
    write_file("main.yaml", "sluice: 1\ninclude: [a.yaml]\n");
    write_file("a.yaml", "include: [b.yaml]\n");
    read_bad("main.yaml", SLUICE_ERROR_POLICY,
             "a.yaml:1:11: error: cannot read the included file: main.yaml -> a.yaml -> b.yaml: No "
             "such file or directory");
    read_bad("nothing.yaml", SLUICE_ERROR_IO,
             "nothing.yaml: error: cannot be read: No such file or directory");
    read_bad("conf", SLUICE_ERROR_IO, "conf: error: cannot be read: this is a folder");
}
END_TEST

START_TEST(circles)
{
    write_file("a.yaml", "sluice: 1\ninclude: [conf/b.yaml]\n");
    write_file("conf/b.yaml", "include: [../a.yaml]\n");
    read_bad("a.yaml", SLUICE_ERROR_POLICY,
             "conf/b.yaml:1:11: error: files include each other in a circle: a.yaml -> conf/b.yaml "
             "-> conf/../a.yaml");
    write_file("self.yaml", "sluice: 1\ninclude: self.yaml\n");
    ck_assert_int_eq(symlink("self.yaml", "link.yaml"), 0);
    read_bad("link.yaml", SLUICE_ERROR_POLICY,
             "link.yaml:2:10: error: files include each other in a circle: link.yaml -> self.yaml");
}
END_TEST

START_TEST(depth)
{
    char name[32], text[64];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "%d.yaml", i);
        snprintf(text, sizeof(text), "sluice: 1\ninclude: %d.yaml\n", i + 1);
        write_file(name, text);
    }
    ck_assert_int_eq(policy_read_file("0.yaml", &policy, error, sizeof(error)),
                     SLUICE_ERROR_POLICY);
    static const char start[] = "16.yaml:2:10: error: includes are nested more than 16 deep: "
                                "0.yaml -> 1.yaml -> ";
    ck_assert_msg(strncmp(error, start, strlen(start)) == 0, "%s", error);
}
END_TEST

START_TEST(number_of_files)
{
    char text[1024];
    struct text out;
    text_init(&out, text, sizeof(text));
    write_file("a.yaml", "default: mmap\n");
    text_add(&out, "sluice: 1\ninclude: [");
    for (int i = 0; i < 70; i++)
        text_add(&out, "a.yaml, ");
    text_add(&out, "]\n");
    write_file("main.yaml", text);
    ck_assert_int_eq(policy_read_file("main.yaml", &policy, error, sizeof(error)),
                     SLUICE_ERROR_POLICY);
    ck_assert_ptr_nonnull(
        strstr(error, "error: more than 63 files are included: main.yaml -> a.yaml"));
}
END_TEST

START_TEST(a_file_that_is_too_large)
{
    FILE *file = fopen("main.yaml", "w");
    fputs("sluice: 1\n", file);
    for (int i = 0; i < 1 << 20; i++)
        fputc('\n', file);
    fclose(file);
    read_bad("main.yaml", SLUICE_ERROR_POLICY,
             "main.yaml: error: larger than 1024 KiB: that cannot be a policy");
    read_bad("/dev/zero", SLUICE_ERROR_POLICY,
             "/dev/zero: error: larger than 1024 KiB: that cannot be a policy");
    read_bad("/dev/null", SLUICE_ERROR_POLICY,
             "/dev/null:1:1: error: the policy is empty: it needs at least the line \"sluice: 1\"");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("include");
    TCase *tests = tcase_create("include");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, own_keys_win);
    tcase_add_test(tests, another_kind_replaces_the_whole_backend);
    tcase_add_test(tests, own_patterns_and_entries_come_first);
    tcase_add_test(tests, later_files_win_over_earlier_ones);
    tcase_add_test(tests, names_are_relative_to_the_file_that_has_them);
    tcase_add_test(tests, a_file_that_two_include_is_read_for_both);
    tcase_add_test(tests, a_text_includes_from_the_working_directory);
    tcase_add_test(tests, mistakes_are_named_where_they_are);
    tcase_add_test(tests, a_version_in_an_included_file_counts_too);
    tcase_add_test(tests, missing_files);
    tcase_add_test(tests, circles);
    tcase_add_test(tests, depth);
    tcase_add_test(tests, number_of_files);
    tcase_add_test(tests, a_file_that_is_too_large);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
