/* The example policies, each read as a program would, and what each promises. Runs in the root
 * of the source tree. */
#include <dirent.h>
#include <stdlib.h>

#include "config/print.h"
#include "tests/support/reading.h"

#define FOLDER "config/policies"

static char error[8192];

static struct policy *read_example(const char *name)
{
    char path[300];
    struct policy *policy;
    snprintf(path, sizeof(path), FOLDER "/%s", name);
    ck_assert_msg(policy_read_file(path, &policy, error, sizeof(error)) == SLUICE_OK, "%s", error);
    return policy;
}

static const char *kind_for(const struct policy *policy, const char *module, size_t size)
{
    const struct policy_module *entry = policy_find_module(policy, module);
    uint32_t backend = policy->default_backend;
    for (size_t i = 0; entry && i < entry->rule_count; i++) {
        backend = entry->rules[i].backend;
        if (size <= entry->rules[i].max_size)
            break;
    }
    return policy->backends[backend].ops->name;
}

START_TEST(each_is_valid_and_warns_of_nothing)
{
    DIR *folder = opendir(FOLDER);
    ck_assert_msg(folder != NULL, FOLDER " is not there");
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[300];
        struct read read;
        if (!strstr(entry->d_name, ".yaml"))
            continue;
        snprintf(path, sizeof(path), FOLDER "/%s", entry->d_name);
        read_begin(&read, &(struct read_source){.path = path}, &reader_default_limits);
        ck_assert_msg(read.report->errors + read.report->warnings == 0, "%s:%u: %s", path,
                      read.report->entries[0].mark.line, read.report->entries[0].text);
        policy_destroy(read.policy);
        read_end(&read);
        count++;
    }
    closedir(folder);
    ck_assert_int_ge(count, 7);
}
END_TEST

static void same_mark(struct policy_mark a, struct policy_mark b)
{
    ck_assert_uint_eq(a.line, b.line);
    ck_assert_uint_eq(a.column, b.column);
}

/* The built-in one is made in C. */
START_TEST(the_default_is_what_is_built_in)
{
    static char text[2][16384];
    struct policy *example = read_example("default.yaml"), *builtin = policy_read_builtin();
    policy_diff(builtin, example, NULL, error, sizeof(error));
    ck_assert_str_eq(error, "");
    const struct policy *both[] = {example, builtin};
    for (int i = 0; i < 2; i++) {
        struct text out;
        text_init(&out, text[i], sizeof(text[i]));
        print_policy(both[i], &out);
    }
    ck_assert_str_eq(text[0], text[1]);
    ck_assert_uint_eq(builtin->backend_count, example->backend_count);
    for (size_t i = 0; i < example->backend_count; i++) {
        const struct policy_backend *a = &example->backends[i], *b = &builtin->backends[i];
        ck_assert_str_eq(a->name, b->name);
        ck_assert_ptr_eq(a->ops, b->ops);
        ck_assert_mem_eq(a->values, b->values, a->ops->param_count * sizeof(*a->values));
        same_mark(a->mark, b->mark);
    }
    for (size_t i = 0; i < example->modules[0].rule_count; i++)
        same_mark(example->modules[0].rules[i].mark, builtin->modules[0].rules[i].mark);
    same_mark(example->modules[0].mark, builtin->modules[0].mark);
    same_mark(example->default_mark, builtin->default_mark);
    ck_assert_int_eq(example->observe, builtin->observe);
    policy_destroy(example);
    policy_destroy(builtin);
}
END_TEST

START_TEST(the_field_report_is_cured)
{
    struct policy *policy = read_example("field-report.yaml");
    static const char *const modules[] = {"blockpool", "frames", "tables", "longlived"};
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
        ck_assert_str_eq(policy_find_module(policy, modules[i])->pattern, modules[i]);
        ck_assert_str_eq(kind_for(policy, modules[i], 4096), "pool");
        ck_assert_str_eq(kind_for(policy, modules[i], 2 << 20), "mmap");
    }
    /* What stays does not share chunks with what a stage frees. */
    ck_assert_uint_ne(policy_find_module(policy, "longlived")->rules[0].backend,
                      policy_find_module(policy, "frames")->rules[0].backend);
    ck_assert(policy->reload.watch);
    policy_destroy(policy);
}
END_TEST

START_TEST(each_cure_is_what_it_says)
{
    struct policy *policy = read_example("mallopt-pins.yaml");
    ck_assert_str_eq(kind_for(policy, "any", 100), "glibc");
    ck_assert_uint_ne(policy->process.mallopt_present & 1u << POLICY_MALLOPT_MMAP_THRESHOLD, 0);
    policy_destroy(policy);
    policy = read_example("direct-mmap.yaml");
    ck_assert_str_eq(kind_for(policy, "longlived", 100), "mmap");
    ck_assert_str_eq(kind_for(policy, "any", 100), "glibc");
    policy_destroy(policy);
    policy = read_example("pool.yaml");
    ck_assert_str_eq(kind_for(policy, "any", 65536), "pool");
    ck_assert_str_eq(kind_for(policy, "any", 65537), "mmap");
    policy_destroy(policy);
    policy = read_example("jemalloc.yaml");
    ck_assert_str_eq(kind_for(policy, "any", 100), "jemalloc");
    policy_destroy(policy);
    policy = read_example("kubernetes-service.yaml");
    ck_assert_uint_eq(policy_find_module(policy, "requests")->limit.hard, 1 << 30);
    ck_assert(policy->reload.watch);
    policy_destroy(policy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policies");
    TCase *tests = tcase_create("policies");
    tcase_add_test(tests, each_is_valid_and_warns_of_nothing);
    tcase_add_test(tests, the_default_is_what_is_built_in);
    tcase_add_test(tests, the_field_report_is_cured);
    tcase_add_test(tests, each_cure_is_what_it_says);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
