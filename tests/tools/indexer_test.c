/* The demo's inverted index. */
#include "tools/demo/indexer.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static struct indexer indexer;

static void finish(void)
{
    for (unsigned i = 0; i < INDEXER_SHARDS; i++)
        indexer_sort(&indexer, i);
    for (unsigned i = 0; i < INDEXER_TREES; i++)
        indexer_order(&indexer, i);
}

START_TEST(words)
{
    static const char text[] = "The x 9lives_of CATS; naïve abcdefghijklmnopqrstuvwxyz, end";
    static const char *const wanted[] = {"the", "lives_of", "cats", "abcdefghijklmnopqrstuvwx",
                                         "end"};
    char word[INDEXER_WORD_MAX];
    size_t at = 0, length, n = 0;
    while ((length = indexer_next_word(text, strlen(text), &at, word)) > 0) {
        if (strncmp(word, "na", 2) == 0 || strncmp(word, "ve", 2) == 0)
            continue;
        ck_assert_uint_lt(n, sizeof(wanted) / sizeof(wanted[0]));
        ck_assert_uint_eq(length, strlen(wanted[n]));
        ck_assert_mem_eq(word, wanted[n], length);
        n++;
    }
    ck_assert_uint_eq(n, sizeof(wanted) / sizeof(wanted[0]));
    ck_assert_uint_eq(indexer_next_word("", 0, &(size_t){0}, word), 0);
}
END_TEST

START_TEST(finds_files)
{
    indexer_init(&indexer);
    /* Files come in any order. */
    for (uint32_t file = 100; file-- > 0;) {
        char text[64];
        int length = snprintf(text, sizeof(text), "every every %s only%c",
                              file % 3 == 0 ? "third" : "", (char)('a' + (char)(file % 26)));
        ck_assert_uint_eq(indexer_add(&indexer, file, text, (size_t)length), file % 3 == 0 ? 3 : 2);
    }
    finish();

    const struct postings *every = indexer_find(&indexer, "every", 5);
    ck_assert_uint_eq(every->count, 100); /* once for each file, though it stands there twice */
    for (uint32_t i = 0; i < 100; i++)
        ck_assert_uint_eq(every->files[i], i);
    const struct postings *third = indexer_find(&indexer, "third", 5);
    ck_assert_uint_eq(third->count, 34);
    ck_assert_uint_eq(third->files[1], 3);
    ck_assert_ptr_null(indexer_find(&indexer, "none", 4));

    const struct btree *tree = indexer_tree(&indexer, 'o');
    const struct btree_item *item = btree_find(tree, "onlyz", 5);
    ck_assert_ptr_eq(item->value, indexer_find(&indexer, "onlyz", 5));
    ck_assert(btree_is_sound(tree));

    indexer_clear(&indexer);
    ck_assert_uint_eq(layer_live_bytes(), 0);
    ck_assert_ptr_null(indexer_find(&indexer, "every", 5));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("indexer");
    TCase *tests = tcase_create("indexer");
    tcase_add_test(tests, words);
    tcase_add_test(tests, finds_files);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
