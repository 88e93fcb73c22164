/* cache.c - see cache.h. */
#include "tools/demo/cache.h"

#include <string.h>

static size_t result_size(uint32_t count)
{
    return sizeof(struct result) + count * sizeof(uint32_t);
}

static void forget(struct cache *cache, unsigned i)
{
    struct result *result = cache->ring[i];
    void *value;
    if (result == NULL)
        return;
    hashtable_remove(&cache->by_query, result->query, result->length, &value);
    demo_free(result, result_size(result->count));
    cache->ring[i] = NULL;
}

void cache_init(struct cache *cache)
{
    *cache = (struct cache){0};
    hashtable_init(&cache->by_query, DEMO_CACHE);
}

void cache_clear(struct cache *cache)
{
    for (unsigned i = 0; i < CACHE_RESULTS; i++)
        forget(cache, i);
    hashtable_clear(&cache->by_query);
}

const struct result *cache_find(const struct cache *cache, const char *query, size_t length)
{
    const struct hashtable_entry *entry = hashtable_find(&cache->by_query, query, length);
    return entry == NULL ? NULL : entry->value;
}

const struct result *cache_put(struct cache *cache, const char *query, size_t length,
                               const uint32_t *files, uint32_t count)
{
    forget(cache, cache->next);
    struct result *result = demo_alloc(DEMO_CACHE, result_size(count));
    memcpy(result->query, query, length);
    result->length = (uint32_t)length;
    result->count = count;
    memcpy(result->files, files, count * sizeof(uint32_t));
    hashtable_add(&cache->by_query, result->query, length)->value = result;
    cache->ring[cache->next] = result;
    cache->next = (cache->next + 1) % CACHE_RESULTS;
    return result;
}
