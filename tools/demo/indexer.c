/* indexer.c - see indexer.h. */
#include "tools/demo/indexer.h"

#include <string.h>

#include "tools/demo/hash.h"

static unsigned shard_of(const char *word, size_t length)
{
    /* Other bits than those that the shard's table uses. */
    return (unsigned)(hash_finish(hash_bytes(HASH_START, word, length)) >> 48) % INDEXER_SHARDS;
}

static unsigned tree_of(char first)
{
    return (unsigned char)first % INDEXER_TREES;
}

void indexer_init(struct indexer *indexer)
{
    for (unsigned i = 0; i < INDEXER_SHARDS; i++) {
        pthread_mutex_init(&indexer->shards[i].lock, NULL);
        hashtable_init(&indexer->shards[i].words, DEMO_INDEX);
    }
    for (unsigned i = 0; i < INDEXER_TREES; i++)
        btree_init(&indexer->trees[i], DEMO_INDEX);
}

void indexer_clear(struct indexer *indexer)
{
    for (unsigned i = 0; i < INDEXER_TREES; i++)
        btree_clear(&indexer->trees[i]); /* its keys are the tables' */
    for (unsigned i = 0; i < INDEXER_SHARDS; i++) {
        struct hashtable *words = &indexer->shards[i].words;
        struct hashtable_cursor cursor = {0};
        struct hashtable_entry *entry;
        while ((entry = hashtable_next(words, &cursor)) != NULL) {
            struct postings *postings = entry->value;
            demo_free(postings->files, postings->capacity * sizeof(uint32_t));
            demo_free(postings, sizeof(*postings));
        }
        hashtable_clear(words);
    }
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

size_t indexer_next_word(const char *text, size_t length, size_t *at, char word[INDEXER_WORD_MAX])
{
    size_t i = *at;
    while (i < length) {
        while (i < length && !is_word_start(text[i]))
            i++;
        size_t start = i, kept = 0;
        for (; i < length && is_word_byte(text[i]); i++) {
            if (kept < INDEXER_WORD_MAX)
                word[kept++] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
        }
        if (i - start >= INDEXER_WORD_MIN) {
            *at = i;
            return kept;
        }
    }
    *at = i;
    return 0;
}

static void postings_add(struct hashtable_entry *entry, uint32_t file)
{
    struct postings *postings = entry->value;
    if (postings == NULL) {
        postings = demo_calloc(DEMO_INDEX, sizeof(*postings));
        entry->value = postings;
    }
    if (postings->count == postings->capacity) {
        uint32_t capacity = postings->capacity == 0 ? 2 : 2 * postings->capacity;
        postings->files =
            demo_realloc(DEMO_INDEX, postings->files, postings->capacity * sizeof(uint32_t),
                         capacity * sizeof(uint32_t));
        postings->capacity = capacity;
    }
    postings->files[postings->count++] = file;
}

/* A file's words are collected first, so that each is entered once. */
uint32_t indexer_add(struct indexer *indexer, uint32_t file, const char *text, size_t length)
{
    struct hashtable seen;
    hashtable_init(&seen, DEMO_INDEX);
    char word[INDEXER_WORD_MAX];
    size_t at = 0, word_length;
    while ((word_length = indexer_next_word(text, length, &at, word)) > 0)
        hashtable_add(&seen, word, word_length);

    struct hashtable_cursor cursor = {0};
    struct hashtable_entry *entry;
    while ((entry = hashtable_next(&seen, &cursor)) != NULL) {
        struct indexer_shard *shard = &indexer->shards[shard_of(entry->key, entry->length)];
        pthread_mutex_lock(&shard->lock);
        postings_add(hashtable_add(&shard->words, entry->key, entry->length), file);
        pthread_mutex_unlock(&shard->lock);
    }
    uint32_t count = (uint32_t)seen.count;
    hashtable_clear(&seen);
    return count;
}

/* Shell's sort: in place, where qsort() would call malloc() behind the layer's back. Files come
 * nearly in order. */
static void sort_files(uint32_t *files, uint32_t count)
{
    static const uint32_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1}; /* Ciura, 2001 */
    for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
        for (uint32_t i = gaps[g]; i < count; i++) {
            uint32_t file = files[i], at = i;
            for (; at >= gaps[g] && files[at - gaps[g]] > file; at -= gaps[g])
                files[at] = files[at - gaps[g]];
            files[at] = file;
        }
    }
}

void indexer_sort(struct indexer *indexer, unsigned shard)
{
    struct hashtable_cursor cursor = {0};
    struct hashtable_entry *entry;
    while ((entry = hashtable_next(&indexer->shards[shard].words, &cursor)) != NULL) {
        struct postings *postings = entry->value;
        sort_files(postings->files, postings->count);
    }
}

void indexer_order(struct indexer *indexer, unsigned tree)
{
    for (unsigned i = 0; i < INDEXER_SHARDS; i++) {
        struct hashtable_cursor cursor = {0};
        struct hashtable_entry *entry;
        while ((entry = hashtable_next(&indexer->shards[i].words, &cursor)) != NULL) {
            if (tree_of(entry->key[0]) == tree)
                btree_insert(&indexer->trees[tree], entry->key, entry->length, entry->value);
        }
    }
}

const struct postings *indexer_find(const struct indexer *indexer, const char *word, size_t length)
{
    const struct hashtable *words = &indexer->shards[shard_of(word, length)].words;
    const struct hashtable_entry *entry = hashtable_find(words, word, length);
    return entry == NULL ? NULL : entry->value;
}

const struct btree *indexer_tree(const struct indexer *indexer, char first)
{
    return &indexer->trees[tree_of(first)];
}
