/* A plugin from its file: by path, by name, from a policy, with options, and across a fork. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/registry.h"
#include "tests/support/testing.h"

static char library[PATH_MAX];

static void find_library(void)
{
    ck_assert_ptr_nonnull(realpath("tests/core/test_plugin.so", library));
}

static sluice_module use_plugin(const char *options)
{
    char text[2 * PATH_MAX];
    snprintf(text, sizeof text,
             "default: mmap\nbackends: {mine: {kind: plugin, library: %s%s}}\nmodules: {m: mine}\n",
             library, options);
    use_policy(text);
    return use_module("m");
}

START_TEST(a_plugin_is_loaded_once)
{
    find_library();
    ck_assert_int_eq(sluice_backend_load(library), SLUICE_OK);
    const struct sluice_backend_ops *ops = registry_find("test-plugin");
    ck_assert_ptr_nonnull(ops);
    ck_assert_int_eq(sluice_backend_load(library), SLUICE_OK);
    const struct sluice_backend_ops *again;
    ck_assert_int_eq(registry_load(library, &again), SLUICE_OK);
    ck_assert_ptr_eq(again, ops);
}
END_TEST

START_TEST(a_bare_name_is_looked_for_in_the_plugin_path)
{
    find_library();
    char path[2 * PATH_MAX];
    snprintf(path, sizeof path, "/nowhere:%.*s", (int)(strrchr(library, '/') - library), library);
    setenv("SLUICE_PLUGIN_PATH", path, 1);
    ck_assert_msg(sluice_backend_load("test_plugin") == SLUICE_OK, "%s", sluice_error_message());
}
END_TEST

START_TEST(its_other_names_lead_to_the_same)
{
    find_library();
    char linked[PATH_MAX];
    snprintf(linked, sizeof linked, "%s/linked.so", test_folder());
    ck_assert_int_eq(symlink(library, linked), 0);
    ck_assert_int_eq(sluice_backend_load(library), SLUICE_OK);
    ck_assert_msg(sluice_backend_load(linked) == SLUICE_OK, "%s", sluice_error_message());
    const struct sluice_backend_ops *ops;
    ck_assert_int_eq(registry_load(linked, &ops), SLUICE_OK);
    ck_assert_ptr_eq(ops, registry_find("test-plugin"));
}
END_TEST

START_TEST(each_refusal_has_a_result_and_a_reason)
{
    char text[PATH_MAX], long_name[400];
    snprintf(text, sizeof text, "%s/text.so", test_folder());
    write_file(text, "This is no shared object.\n");
    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    const struct {
        const char *library;
        enum sluice_result result;
        const char *reason;
    } refusals[] = {
        {NULL, SLUICE_ERROR_INVALID, "no library is named"},
        {"", SLUICE_ERROR_INVALID, "no library is named"},
        {long_name, SLUICE_ERROR_INVALID, "too long"},
        {"/nowhere/libmine.so", SLUICE_ERROR_IO, "/nowhere/libmine.so"},
        {"nobody_has_this", SLUICE_ERROR_IO, "nobody_has_this"},
        {text, SLUICE_ERROR_IO, "cannot be opened"},
        {"libm.so.6", SLUICE_ERROR_UNKNOWN, "does not export sluice_backend_plugin"},
        {"tests/core/test_plugin_abi.so", SLUICE_ERROR_UNSUPPORTED,
         "version 99 of the interface, this library has 1"},
        {"tests/core/test_plugin_table.so", SLUICE_ERROR_INVALID, "alloc"},
        {"tests/core/test_plugin_taken.so", SLUICE_ERROR_STATE, "\"pool\" exists already"},
    };
    for (size_t i = 0; i < LENGTH(refusals); i++) {
        const char *name = refusals[i].library == NULL ? "(null)" : refusals[i].library;
        enum sluice_result result = sluice_backend_load(refusals[i].library);
        ck_assert_msg(result == refusals[i].result, "%s: %s: %s", name, sluice_result_name(result),
                      sluice_error_message());
        ck_assert_msg(strstr(sluice_error_message(), refusals[i].reason) != NULL, "%s: %s", name,
                      sluice_error_message());
    }
}
END_TEST

START_TEST(a_policy_uses_it)
{
    find_library();
    sluice_module m = use_plugin("");
    char *p = sluice_strdup(m, "text");
    ck_assert_str_eq(kind_of(p), "test-plugin");
    p = sluice_realloc(0, p, 10000);
    ck_assert_str_eq(p, "text");
    ck_assert_uint_eq(stats_of(m).live_objects, 1);
    sluice_free(p);
    ck_assert_uint_eq(stats_of(m).live_objects, 0);
}
END_TEST

START_TEST(its_refusal_fails_allocations_alone)
{
    find_library();
    sluice_module m = use_plugin(", options: {refuse: because}");
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    ck_assert_ptr_null(sluice_malloc(m, 100));
    void *p = sluice_malloc(SLUICE_MODULE_DEFAULT, 100);
    ck_assert_ptr_nonnull(p);
    sluice_free(p);
}
END_TEST

static void use_in_child(void *kept)
{
    if (strcmp(kept, "kept") != 0)
        _exit(1);
    sluice_free(kept);
    char *p = sluice_strdup(use_module("m"), "more");
    if (strcmp(kind_of(p), "test-plugin") != 0)
        _exit(2);
    sluice_free(p);
}

START_TEST(it_goes_on_after_a_fork)
{
    find_library();
    char *kept = sluice_strdup(use_plugin(""), "kept");
    struct child child = run_child(use_in_child, kept, 20000);
    ck_assert_msg(child_succeeded(&child), "%x: %s", (unsigned)child.status, child.error);
    ck_assert_str_eq(kept, "kept");
    sluice_free(kept);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("plugin")};
    tcase_add_test(cases[0], a_plugin_is_loaded_once);
    tcase_add_test(cases[0], a_bare_name_is_looked_for_in_the_plugin_path);
    tcase_add_test(cases[0], its_other_names_lead_to_the_same);
    tcase_add_test(cases[0], each_refusal_has_a_result_and_a_reason);
    tcase_add_test(cases[0], a_policy_uses_it);
    tcase_add_test(cases[0], its_refusal_fails_allocations_alone);
    tcase_add_test(cases[0], it_goes_on_after_a_fork);
    return run_suite("plugin", cases, LENGTH(cases));
}
