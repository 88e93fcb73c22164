/* The demo's hash table against a table of what must be in it; and the cache that is built on
 * it. */
#include "tools/demo/hashtable.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tools/demo/cache.h"
#include "tools/demo/random.h"

#define KEYS 3000

static int values[KEYS];

static size_t key_text(char text[16], unsigned k)
{
    return (size_t)snprintf(text, 16, "k%u", k);
}

START_TEST(random_changes)
{
    static bool is_in[KEYS];
    struct random random = random_stream(3, (uint64_t)_i);
    struct hashtable table;
    hashtable_init(&table, DEMO_TABLES);
    memset(is_in, 0, sizeof(is_in));
    size_t count = 0;
    for (unsigned step = 0; step < 30000; step++) {
        unsigned k = (unsigned)random_below(&random, KEYS);
        char key[16];
        size_t length = key_text(key, k);
        if (random_below(&random, 2) == 0) {
            struct hashtable_entry *entry = hashtable_add(&table, key, length);
            ck_assert_ptr_eq(entry->value, is_in[k] ? &values[k] : NULL);
            ck_assert_mem_eq(entry->key, key, length);
            entry->value = &values[k];
            count += !is_in[k];
            is_in[k] = true;
        } else {
            void *value = NULL;
            ck_assert_int_eq(hashtable_remove(&table, key, length, &value), is_in[k]);
            ck_assert_ptr_eq(value, is_in[k] ? &values[k] : NULL);
            count -= is_in[k];
            is_in[k] = false;
        }
        ck_assert_uint_eq(table.count, count);
    }

    size_t met = 0;
    struct hashtable_cursor cursor = {0};
    struct hashtable_entry *entry;
    while ((entry = hashtable_next(&table, &cursor)) != NULL) {
        ck_assert(is_in[(int *)entry->value - values]);
        met++;
    }
    ck_assert_uint_eq(met, count);
    hashtable_clear(&table);
    ck_assert_uint_eq(layer_live_bytes(), 0);
}
END_TEST

START_TEST(empty)
{
    struct hashtable table;
    struct hashtable_cursor cursor = {0};
    void *value;
    hashtable_init(&table, DEMO_TABLES);
    ck_assert_ptr_null(hashtable_find(&table, "a", 1));
    ck_assert(!hashtable_remove(&table, "a", 1, &value));
    ck_assert_ptr_null(hashtable_next(&table, &cursor));
    hashtable_clear(&table);
    ck_assert_uint_eq(layer_live_bytes(), 0);
}
END_TEST

START_TEST(keys_are_bytes)
{
    struct hashtable table;
    hashtable_init(&table, DEMO_TABLES);
    hashtable_add(&table, "a\0b", 3)->value = &values[0];
    hashtable_add(&table, "a\0c", 3)->value = &values[1];
    hashtable_add(&table, "a", 1)->value = &values[2];
    hashtable_add(&table, "", 0)->value = &values[3];
    ck_assert_uint_eq(table.count, 4);
    ck_assert_ptr_eq(hashtable_find(&table, "a\0c", 3)->value, &values[1]);
    ck_assert_ptr_eq(hashtable_find(&table, "", 0)->value, &values[3]);
    hashtable_clear(&table);
    ck_assert_uint_eq(layer_live_bytes(), 0);
}
END_TEST

START_TEST(cache_forgets_the_oldest)
{
    static struct cache cache;
    cache_init(&cache);
    for (uint32_t q = 0; q < 2 * CACHE_RESULTS; q++) {
        char query[16];
        size_t length = key_text(query, q);
        uint32_t files[3] = {q, q + 1, q + 2};
        const struct result *result = cache_put(&cache, query, length, files, q % 3);
        ck_assert_uint_eq(result->count, q % 3);
        ck_assert_ptr_eq(cache_find(&cache, query, length), result);
    }
    for (uint32_t q = 0; q < 2 * CACHE_RESULTS; q++) {
        char query[16];
        const struct result *result = cache_find(&cache, query, key_text(query, q));
        ck_assert_int_eq(result != NULL, q >= CACHE_RESULTS);
        if (result != NULL && result->count > 0)
            ck_assert_uint_eq(result->files[0], q);
    }
    cache_clear(&cache);
    ck_assert_uint_eq(layer_live_bytes(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hashtable");
    TCase *tests = tcase_create("hashtable");
    tcase_add_loop_test(tests, random_changes, 0, 4);
    tcase_add_test(tests, empty);
    tcase_add_test(tests, keys_are_bytes);
    tcase_add_test(tests, cache_forgets_the_oldest);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
