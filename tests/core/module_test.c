/* Modules: names, ids, and that there may be thousands of them. */
#include "core/module.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/testing.h"

static const char *numbered(unsigned i)
{
    static __thread char name[32];
    snprintf(name, sizeof name, "module.%u", i);
    return name;
}

START_TEST(the_same_name_has_the_same_id)
{
    sluice_module a = sluice_module_register("a"), b = sluice_module_register("b");
    ck_assert_uint_ne(a, b);
    ck_assert_uint_ne(a, SLUICE_MODULE_DEFAULT);
    char copy[] = "a";
    ck_assert_uint_eq(sluice_module_register(copy), a);
    ck_assert_uint_eq(sluice_module_register("default"), SLUICE_MODULE_DEFAULT);
    ck_assert_str_eq(sluice_module_name(a), "a");
    ck_assert_str_eq(sluice_module_name(SLUICE_MODULE_DEFAULT), "default");
    ck_assert_ptr_null(sluice_module_name((sluice_module)(b + 1)));
    ck_assert_ptr_null(sluice_module_name(SLUICE_MODULE_INVALID));
    ck_assert_ptr_null(sluice_module_name(SLUICE_MODULE_ALL));
}
END_TEST

START_TEST(names)
{
    char longest[257];
    memset(longest, 'n', sizeof longest);
    longest[256] = '\0';
    static const char *const bad[] = {"", "a\n", "\t", "tab\tin", "\x7f", "\x01"};
    for (size_t i = 0; i < LENGTH(bad); i++) {
        errno = 0;
        ck_assert_uint_eq(sluice_module_register(bad[i]), SLUICE_MODULE_INVALID);
        ck_assert_int_eq(errno, EINVAL);
        ck_assert_ptr_nonnull(strstr(sluice_error_message(), "255"));
    }
    errno = 0;
    ck_assert_uint_eq(sluice_module_register(NULL), SLUICE_MODULE_INVALID);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_uint_eq(sluice_module_register(longest), SLUICE_MODULE_INVALID);
    longest[255] = '\0';
    sluice_module m = sluice_module_register(longest);
    ck_assert_uint_ne(m, SLUICE_MODULE_INVALID);
    ck_assert_str_eq(sluice_module_name(m), longest);
    static const char *const good[] = {" ", "libsqlite3.so.0", "größe", "a=b,c", "[x]*"};
    for (size_t i = 0; i < LENGTH(good); i++)
        ck_assert_uint_ne(sluice_module_register(good[i]), SLUICE_MODULE_INVALID);
}
END_TEST

START_TEST(thousands_of_modules)
{
    use_policy("default: mmap\n"
               "modules: {\"module.*\": {route: [{max_size: 64KiB, to: pool}, {to: mmap}]}}\n");
    enum { COUNT = 4500 };
    static void *objects[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        sluice_module m = use_module(numbered(i));
        ck_assert_uint_eq(m, i + 1);
        objects[i] = sluice_malloc(m, 100);
        ck_assert_ptr_nonnull(objects[i]);
        test_fill(objects[i], 100, i);
    }
    ck_assert_uint_eq(process_stats().modules, COUNT + 1);
    for (unsigned i = 0; i < COUNT; i++) {
        ck_assert_uint_eq(sluice_module_register(numbered(i)), i + 1);
        ck_assert(test_is_filled(objects[i], 100, i));
        struct sluice_owner owner = {.struct_size = sizeof owner};
        ck_assert_int_eq(sluice_owner(objects[i], &owner), SLUICE_OK);
        ck_assert_uint_eq(owner.module, i + 1);
        struct sluice_module_stats s = stats_of((sluice_module)(i + 1));
        ck_assert_uint_eq(s.live_objects, 1);
        ck_assert_uint_eq(s.live_bytes, 112);
        sluice_free(objects[i]);
    }
    ck_assert_uint_eq(stats_of(SLUICE_MODULE_ALL).live_objects, 0);
}
END_TEST

START_TEST(a_full_table_says_so)
{
    unsigned i = 0;
    while (i < MODULE_CAPACITY - 1)
        ck_assert_uint_ne(sluice_module_register(numbered(i++)), SLUICE_MODULE_INVALID);
    errno = 0;
    ck_assert_uint_eq(sluice_module_register("one more"), SLUICE_MODULE_INVALID);
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_ptr_nonnull(strstr(sluice_error_message(), "one more"));
    ck_assert_uint_eq(sluice_module_register(numbered(77)),
                      78); /* those that are there are found */
    void *p = sluice_malloc(MODULE_CAPACITY - 1, 10);
    ck_assert_ptr_nonnull(p);
    sluice_free(p);
}
END_TEST

static sluice_module seen[8][500];

static void *register_all(void *index)
{
    unsigned me = (unsigned)(uintptr_t)index;
    for (unsigned i = 0; i < 500; i++) {
        unsigned n = (i * 7 + me * 61) % 500;
        seen[me][n] = sluice_module_register(numbered(n));
    }
    return NULL;
}

START_TEST(threads_that_register_agree)
{
    run_threads(8, register_all);
    for (unsigned n = 0; n < 500; n++) {
        ck_assert_uint_ne(seen[0][n], SLUICE_MODULE_INVALID);
        ck_assert_str_eq(sluice_module_name(seen[0][n]), numbered(n));
        for (unsigned i = 1; i < 8; i++)
            ck_assert_uint_eq(seen[i][n], seen[0][n]);
    }
    ck_assert_uint_eq(module_count(), 501);
}
END_TEST

int main(void)
{
    TCase *cases[] = {tcase_create("module")};
    tcase_add_test(cases[0], the_same_name_has_the_same_id);
    tcase_add_test(cases[0], names);
    tcase_add_test(cases[0], thousands_of_modules);
    tcase_add_test(cases[0], a_full_table_says_so);
    tcase_add_test(cases[0], threads_that_register_agree);
    return run_suite("module", cases, LENGTH(cases));
}
