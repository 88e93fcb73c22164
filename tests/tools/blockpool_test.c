/* The demo's global pool of 2 MiB blocks. */
#include "tools/demo/blockpool.h"

#include <check.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "tools/demo/layer.h"
#include "tools/demo/random.h"

#define PER_BLOCK (BLOCKPOOL_BLOCK / BLOCKPOOL_PIECE)
#define PIECES    (20 * PER_BLOCK)

static struct blockpool_piece *pieces[PIECES];

START_TEST(blocks_are_cut_and_given_back)
{
    struct blockpool_cache cache = {0};
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = blockpool_take(&cache);
        memset(pieces[i]->memory, (int)(i % 251), BLOCKPOOL_PIECE);
    }
    uint64_t blocks = layer_live_bytes() / BLOCKPOOL_BLOCK;
    ck_assert_uint_eq(blocks, PIECES / PER_BLOCK);

    struct random random = random_stream(1, 1);
    for (size_t i = PIECES; i > 0; i--) {
        size_t at = random_below(&random, i);
        struct blockpool_piece *piece = pieces[at];
        const unsigned char *bytes = piece->memory;
        ck_assert_uint_eq(bytes[0], bytes[BLOCKPOOL_PIECE - 1]); /* no other piece wrote here */
        pieces[at] = pieces[i - 1];
        blockpool_give(&cache, piece);
    }
    /* What a thread may keep for itself is all that is left. */
    ck_assert_uint_eq(cache.count, BLOCKPOOL_PRIVATE / BLOCKPOOL_PIECE);
    ck_assert_uint_ge(layer_live_bytes(), BLOCKPOOL_PRIVATE);
    blockpool_flush(&cache);
    ck_assert_uint_eq(cache.count, 0);
    ck_assert_uint_eq(layer_live_bytes(), 0);
}
END_TEST

static void *give_all(void *arg)
{
    struct blockpool_cache cache = {0};
    layer_thread(1);
    for (size_t i = 0; i < PIECES; i++)
        blockpool_give(&cache, pieces[i]);
    blockpool_flush(&cache);
    return NULL;
}

START_TEST(pieces_return_from_another_thread)
{
    struct blockpool_cache cache = {0};
    for (size_t i = 0; i < PIECES; i++)
        pieces[i] = blockpool_take(&cache);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, give_all, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(layer_live_bytes(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blockpool");
    TCase *tests = tcase_create("blockpool");
    tcase_add_test(tests, blocks_are_cut_and_given_back);
    tcase_add_test(tests, pieces_return_from_another_thread);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
