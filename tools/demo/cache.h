/* cache.h - results of queries, kept for whoever asks the same again: a hash table that forgets the
 * oldest result.
 *
 * Results are numbers of files. All memory is taken for the module `cache`. No locks: one thread at
 * a time.
 */
#ifndef SLUICE_TOOLS_DEMO_CACHE_H
#define SLUICE_TOOLS_DEMO_CACHE_H

#include <stdint.h>

#include "tools/demo/hashtable.h"

#define CACHE_RESULTS   512
#define CACHE_QUERY_MAX 64

struct result {
    char query[CACHE_QUERY_MAX];
    uint32_t length; /* of query */
    uint32_t count;
    uint32_t files[];
};

struct cache {
    struct hashtable by_query;
    struct result *ring[CACHE_RESULTS]; /* oldest at `next`; NULL: not used yet */
    unsigned next;
};

void cache_init(struct cache *cache);
void cache_clear(struct cache *cache);

/* The result of a query, or NULL. Valid until the next cache_put. */
const struct result *cache_find(const struct cache *cache, const char *query, size_t length);

/* Keeps a copy of a result. length is at most CACHE_QUERY_MAX, and the query is not in the
 * cache. */
const struct result *cache_put(struct cache *cache, const char *query, size_t length,
                               const uint32_t *files, uint32_t count);

#endif
