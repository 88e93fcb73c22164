/* indexer.h - an inverted index over one batch of text files: which words stand in which files.
 *
 *   word ──► postings (sorted file numbers), in hash tables: shards by hash, each with a lock
 *   word ──► postings, in B-trees: one for each first letter's share, for questions about prefixes
 *
 * Built by several threads: each adds whole files; then each sorts and orders its share of the
 * shards. Then it is read-only.
 */
#ifndef SLUICE_TOOLS_DEMO_INDEXER_H
#define SLUICE_TOOLS_DEMO_INDEXER_H

#include <pthread.h>
#include <stdint.h>

#include "tools/demo/btree.h"
#include "tools/demo/hashtable.h"

#define INDEXER_SHARDS   64
#define INDEXER_TREES    16
#define INDEXER_WORD_MIN 3
#define INDEXER_WORD_MAX 24 /* longer ones are cut */

struct postings {
    uint32_t *files;
    uint32_t count, capacity;
};

struct indexer_shard {
    pthread_mutex_t lock;
    struct hashtable words;
};

struct indexer {
    struct indexer_shard shards[INDEXER_SHARDS];
    struct btree trees[INDEXER_TREES];
};

void indexer_init(struct indexer *indexer);

/* Frees everything; the index is empty and can be used again. One thread. */
void indexer_clear(struct indexer *indexer);

/* Adds all words of a file. Any thread. Returns the number of different words. */
uint32_t indexer_add(struct indexer *indexer, uint32_t file, const char *text, size_t length);

/* Call when all files are added: first sort for each shard, then order for each tree; any thread,
 * one for each. */
void indexer_sort(struct indexer *indexer, unsigned shard);
void indexer_order(struct indexer *indexer, unsigned tree);

/* The next word at or after *at: length > 0, its letters in lower case in word[]; *at moves behind
 * it. 0: no more words. */
size_t indexer_next_word(const char *text, size_t length, size_t *at, char word[INDEXER_WORD_MAX]);

/* The postings of a word, or NULL. */
const struct postings *indexer_find(const struct indexer *indexer, const char *word, size_t length);

/* The tree that holds all words of a first letter. */
const struct btree *indexer_tree(const struct indexer *indexer, char first);

#endif
