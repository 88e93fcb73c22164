#include "config/yaml_memory.h"

#include "tests/support/reading.h"

static struct yaml_memory memory;

static void setup(void)
{
    memory = (struct yaml_memory){.region = meta_region_create(1 << 20)};
    ck_assert_ptr_null(yaml_memory_use(&memory));
}

static void teardown(void)
{
    ck_assert_ptr_eq(yaml_memory_use(NULL), &memory);
    meta_region_destroy(memory.region);
}

START_TEST(freed_blocks_are_used_again)
{
    void *first = sluice_yaml_malloc(100);
    sluice_yaml_free(first);
    ck_assert_ptr_eq(sluice_yaml_malloc(100), first);
    /* A million words: more than the budget, if they were not. */
    unsigned served = 0;
    for (unsigned i = 0; i < 1000000; i++) {
        void *p = sluice_yaml_malloc(16 + i % 50);
        served += p != NULL;
        sluice_yaml_free(p);
    }
    ck_assert_uint_eq(served, 1000000);
}
END_TEST

START_TEST(growing_keeps_the_content)
{
    char *p = sluice_yaml_realloc(NULL, 10);
    memcpy(p, "123456789", 10);
    for (size_t size = 10; size < 100000; size *= 3) {
        p = sluice_yaml_realloc(p, size);
        ck_assert_ptr_nonnull(p);
        ck_assert_str_eq(p, "123456789");
        memset(p + 10, 0xff, size - 10);
    }
    ck_assert_ptr_eq(sluice_yaml_realloc(p, 5), p);
    ck_assert_uint_eq((uintptr_t)p % 16, 0);
}
END_TEST

START_TEST(copies)
{
    ck_assert_str_eq(sluice_yaml_strdup("copy"), "copy");
    ck_assert_str_eq(sluice_yaml_strdup(""), "");
}
END_TEST

START_TEST(the_budget_is_a_bound)
{
    unsigned blocks = 0;
    while (sluice_yaml_malloc(64 << 10))
        ck_assert_uint_lt(++blocks, 16);
    ck_assert(meta_region_exhausted(memory.region));
    ck_assert_ptr_null(sluice_yaml_malloc(SIZE_MAX));
    ck_assert_ptr_null(sluice_yaml_realloc(sluice_yaml_malloc(16), SIZE_MAX - 100));
}
END_TEST

START_TEST(nothing_without_a_reading)
{
    yaml_memory_use(NULL);
    ck_assert_ptr_null(sluice_yaml_malloc(16));
    ck_assert_ptr_null(sluice_yaml_strdup("x"));
    sluice_yaml_free(NULL);
    yaml_memory_use(&memory);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("yaml_memory");
    TCase *tests = tcase_create("yaml_memory");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, freed_blocks_are_used_again);
    tcase_add_test(tests, growing_keeps_the_content);
    tcase_add_test(tests, copies);
    tcase_add_test(tests, the_budget_is_a_bound);
    tcase_add_test(tests, nothing_without_a_reading);
    suite_add_tcase(suite, tests);
    return reading_run(suite);
}
