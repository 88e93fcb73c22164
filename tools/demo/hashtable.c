/* hashtable.c - see hashtable.h. */
#include "tools/demo/hashtable.h"

#include <string.h>

#include "tools/demo/hash.h"

#define FIRST_BUCKETS 16

static uint64_t hash_of(const void *key, size_t length)
{
    return hash_finish(hash_bytes(HASH_START, key, length));
}

/* At least the struct, whose assignment writes its padding too. */
static size_t entry_size(size_t length)
{
    size_t size = offsetof(struct hashtable_entry, key) + length;
    return size < sizeof(struct hashtable_entry) ? sizeof(struct hashtable_entry) : size;
}

static struct hashtable_entry **bucket_of(const struct hashtable *table, uint64_t hash)
{
    return &table->buckets[hash & (table->bucket_count - 1)];
}

static bool is_entry(const struct hashtable_entry *entry, uint64_t hash, const void *key,
                     size_t length)
{
    return entry->hash == hash && entry->length == length && memcmp(entry->key, key, length) == 0;
}

void hashtable_init(struct hashtable *table, enum demo_module module)
{
    *table = (struct hashtable){.module = module};
}

void hashtable_clear(struct hashtable *table)
{
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct hashtable_entry *entry = table->buckets[i];
        while (entry != NULL) {
            struct hashtable_entry *next = entry->next;
            demo_free(entry, entry_size(entry->length));
            entry = next;
        }
    }
    demo_free(table->buckets, table->bucket_count * sizeof(*table->buckets));
    hashtable_init(table, table->module);
}

static void grow(struct hashtable *table)
{
    size_t old_count = table->bucket_count;
    struct hashtable_entry **old = table->buckets;
    table->bucket_count = old_count == 0 ? FIRST_BUCKETS : 2 * old_count;
    table->buckets = demo_calloc(table->module, table->bucket_count * sizeof(*table->buckets));
    for (size_t i = 0; i < old_count; i++) {
        struct hashtable_entry *entry = old[i];
        while (entry != NULL) {
            struct hashtable_entry *next = entry->next;
            struct hashtable_entry **bucket = bucket_of(table, entry->hash);
            entry->next = *bucket;
            *bucket = entry;
            entry = next;
        }
    }
    demo_free(old, old_count * sizeof(*old));
}

static struct hashtable_entry *find(const struct hashtable *table, uint64_t hash, const void *key,
                                    size_t length)
{
    if (table->bucket_count == 0)
        return NULL;
    struct hashtable_entry *entry = *bucket_of(table, hash);
    while (entry != NULL && !is_entry(entry, hash, key, length))
        entry = entry->next;
    return entry;
}

struct hashtable_entry *hashtable_find(const struct hashtable *table, const void *key,
                                       size_t length)
{
    return find(table, hash_of(key, length), key, length);
}

struct hashtable_entry *hashtable_add(struct hashtable *table, const void *key, size_t length)
{
    uint64_t hash = hash_of(key, length);
    struct hashtable_entry *entry = find(table, hash, key, length);
    if (entry != NULL)
        return entry;
    if (table->count == table->bucket_count)
        grow(table);

    struct hashtable_entry **bucket = bucket_of(table, hash);
    entry = demo_alloc(table->module, entry_size(length));
    *entry = (struct hashtable_entry){.next = *bucket, .hash = hash, .length = (uint32_t)length};
    memcpy(entry->key, key, length);
    *bucket = entry;
    table->count++;
    return entry;
}

bool hashtable_remove(struct hashtable *table, const void *key, size_t length, void **value)
{
    if (table->bucket_count == 0)
        return false;
    uint64_t hash = hash_of(key, length);
    struct hashtable_entry **link = bucket_of(table, hash);
    while (*link != NULL && !is_entry(*link, hash, key, length))
        link = &(*link)->next;
    struct hashtable_entry *entry = *link;
    if (entry == NULL)
        return false;
    *link = entry->next;
    *value = entry->value;
    demo_free(entry, entry_size(length));
    table->count--;
    return true;
}

struct hashtable_entry *hashtable_next(const struct hashtable *table,
                                       struct hashtable_cursor *cursor)
{
    while (cursor->next == NULL && cursor->bucket < table->bucket_count)
        cursor->next = table->buckets[cursor->bucket++];
    struct hashtable_entry *entry = cursor->next;
    if (entry != NULL)
        cursor->next = entry->next;
    return entry;
}
