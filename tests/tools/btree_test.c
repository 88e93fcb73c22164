/* The demo's B-tree against a table of what must be in it. */
#include "tools/demo/btree.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tools/demo/random.h"

#define KEYS 5000

/* Keys are big-endian numbers, so that memcmp() orders them as numbers. */
static unsigned char keys[KEYS][4];
static bool is_in[KEYS];

static void fill_keys(void)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        uint32_t big = __builtin_bswap32(i);
        memcpy(keys[i], &big, sizeof(big));
        is_in[i] = false;
    }
}

struct walk {
    uint32_t next;
    size_t count;
};

static bool visit(const struct btree_item *item, void *arg)
{
    struct walk *walk = arg;
    while (walk->next < KEYS && !is_in[walk->next])
        walk->next++;
    ck_assert_uint_lt(walk->next, KEYS);
    ck_assert_ptr_eq(item->key, keys[walk->next]);
    ck_assert_ptr_eq(item->value, &is_in[walk->next]);
    walk->next++;
    walk->count++;
    return true;
}

static void check_against_table(const struct btree *tree)
{
    ck_assert(btree_is_sound(tree));
    struct walk walk = {0};
    btree_scan(tree, NULL, 0, visit, &walk);
    ck_assert_uint_eq(walk.count, tree->count);
}

START_TEST(random_changes)
{
    struct btree tree;
    struct random random = random_stream(7, (uint64_t)_i);
    fill_keys();
    btree_init(&tree, DEMO_TABLES);
    size_t count = 0;
    for (unsigned step = 0; step < 40000; step++) {
        /* Grows in one half of the time and shrinks in the other. */
        bool adds = random_below(&random, 100) < (step / 10000 % 2 == 0 ? 70 : 30);
        uint32_t k = (uint32_t)random_below(&random, KEYS);
        if (adds) {
            ck_assert_int_eq(btree_insert(&tree, keys[k], 4, &is_in[k]), !is_in[k]);
            count += !is_in[k];
            is_in[k] = true;
        } else {
            struct btree_item item = {0};
            ck_assert_int_eq(btree_remove(&tree, keys[k], 4, &item), is_in[k]);
            if (is_in[k])
                ck_assert_ptr_eq(item.key, keys[k]);
            count -= is_in[k];
            is_in[k] = false;
        }
        ck_assert_uint_eq(tree.count, count);
        if (step % 1000 == 0)
            check_against_table(&tree);
    }
    for (uint32_t k = 0; k < KEYS; k++) {
        const struct btree_item *item = btree_find(&tree, keys[k], 4);
        ck_assert_int_eq(item != NULL, is_in[k]);
    }
    btree_clear(&tree);
    ck_assert_ptr_null(tree.root);
    ck_assert_uint_eq(layer_live_bytes(), 0);
}
END_TEST

START_TEST(in_order_and_emptied)
{
    struct btree tree;
    fill_keys();
    btree_init(&tree, DEMO_TABLES);
    for (uint32_t k = 0; k < KEYS; k++) {
        uint32_t at = _i == 0 ? k : KEYS - 1 - k;
        ck_assert(btree_insert(&tree, keys[at], 4, &is_in[at]));
        is_in[at] = true;
    }
    check_against_table(&tree);
    for (uint32_t k = 0; k < KEYS; k++) {
        struct btree_item item;
        ck_assert(btree_remove(&tree, keys[k], 4, &item));
        is_in[k] = false;
        if (k % 500 == 0)
            check_against_table(&tree);
    }
    ck_assert_ptr_null(tree.root);
    ck_assert_uint_eq(layer_live_bytes(), 0);
}
END_TEST

START_TEST(empty)
{
    struct btree tree;
    struct btree_item item;
    btree_init(&tree, DEMO_TABLES);
    ck_assert(btree_is_sound(&tree));
    ck_assert_ptr_null(btree_find(&tree, "a", 1));
    ck_assert(!btree_remove(&tree, "a", 1, &item));
    btree_scan(&tree, "a", 1, visit, NULL);
    btree_clear(&tree);
}
END_TEST

struct words {
    const char *found[8];
    size_t count, most;
};

static bool collect(const struct btree_item *item, void *arg)
{
    struct words *words = arg;
    words->found[words->count++] = item->key;
    return words->count < words->most;
}

START_TEST(scan_from)
{
    static const char *const words[] = {"bee", "be", "bear", "ant", "cow", "bea"};
    struct btree tree;
    btree_init(&tree, DEMO_TABLES);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        ck_assert(btree_insert(&tree, words[i], strlen(words[i]), NULL));
    ck_assert(!btree_insert(&tree, "bee", 3, NULL));

    struct words from_be = {.most = 8};
    btree_scan(&tree, "be", 2, collect, &from_be);
    ck_assert_uint_eq(from_be.count, 5);
    ck_assert_str_eq(from_be.found[0], "be"); /* a prefix comes first */
    ck_assert_str_eq(from_be.found[1], "bea");
    ck_assert_str_eq(from_be.found[2], "bear");
    ck_assert_str_eq(from_be.found[3], "bee");
    ck_assert_str_eq(from_be.found[4], "cow");

    struct words two = {.most = 2};
    btree_scan(&tree, "bb", 2, collect, &two); /* not in the tree */
    ck_assert_uint_eq(two.count, 2);
    ck_assert_str_eq(two.found[0], "be");
    btree_clear(&tree);
}
END_TEST

/* A scan from each key meets exactly the keys from there on. */
static bool count_item(const struct btree_item *item, void *arg)
{
    ++*(size_t *)arg;
    return true;
}

START_TEST(scan_from_each)
{
    struct btree tree;
    fill_keys();
    btree_init(&tree, DEMO_TABLES);
    for (uint32_t k = 1; k < KEYS; k += 2)
        btree_insert(&tree, keys[k], 4, NULL);
    for (uint32_t k = 0; k < KEYS; k += 37) {
        size_t count = 0;
        btree_scan(&tree, keys[k], 4, count_item, &count);
        ck_assert_uint_eq(count, (KEYS - k + 1) / 2);
    }
    btree_clear(&tree);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("btree");
    TCase *tests = tcase_create("btree");
    tcase_add_loop_test(tests, random_changes, 0, 4);
    tcase_add_loop_test(tests, in_order_and_emptied, 0, 2);
    tcase_add_test(tests, empty);
    tcase_add_test(tests, scan_from);
    tcase_add_test(tests, scan_from_each);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
