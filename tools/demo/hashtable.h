/* hashtable.h - a chained hash table from byte strings to pointers.
 *
 * Each entry is one allocation that holds a copy of its key; the bucket array doubles when there
 * are as many entries as buckets. All memory is taken for one module through layer.h. No locks: one
 * thread at a time.
 */
#ifndef SLUICE_TOOLS_DEMO_HASHTABLE_H
#define SLUICE_TOOLS_DEMO_HASHTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/demo/layer.h"

struct hashtable_entry {
    struct hashtable_entry *next;
    void *value; /* NULL until the caller sets it */
    uint64_t hash;
    uint32_t length;
    char key[]; /* length bytes, not terminated */
};

struct hashtable {
    enum demo_module module;
    size_t count;        /* entries */
    size_t bucket_count; /* 0 or a power of two */
    struct hashtable_entry **buckets;
};

/* An empty table holds no memory. */
void hashtable_init(struct hashtable *table, enum demo_module module);

/* Frees all entries; not what their values point to. The table is empty and can be used again. */
void hashtable_clear(struct hashtable *table);

/* The entry of a key, or NULL. */
struct hashtable_entry *hashtable_find(const struct hashtable *table, const void *key,
                                       size_t length);

/* The entry of a key; a new one, whose value is NULL, when there was none. */
struct hashtable_entry *hashtable_add(struct hashtable *table, const void *key, size_t length);

/* Removes a key. true when it was there; its value is then in *value (which may be NULL). */
bool hashtable_remove(struct hashtable *table, const void *key, size_t length, void **value);

/* Goes through all entries, in no useful order. The cursor starts zeroed; NULL at the end. The
 * table must not change meanwhile. */
struct hashtable_cursor {
    size_t bucket;
    struct hashtable_entry *next;
};
struct hashtable_entry *hashtable_next(const struct hashtable *table,
                                       struct hashtable_cursor *cursor);

#endif
