#include "config/yaml_memory.h"

#include <stdint.h>
#include <string.h>

#include "core/meta.h"

/* Before each block:
 *
 *   | class (8) | next free (8) | block, 16 << class bytes ... */
struct block {
    uint64_t class;
    struct block *next; /* while it is free */
};

static __thread struct yaml_memory *in_use;

struct yaml_memory *yaml_memory_use(struct yaml_memory *memory)
{
    struct yaml_memory *before = in_use;
    in_use = memory;
    return before;
}

static struct block *block_of(void *p)
{
    return (struct block *)p - 1;
}

static size_t capacity_of(const struct block *block)
{
    return (size_t)16 << block->class;
}

void *sluice_yaml_malloc(size_t size)
{
    if (!in_use)
        return NULL;
    unsigned class = 0;
    while (class < YAML_MEMORY_CLASSES && (size_t)16 << class < size)
        class ++;
    if (class == YAML_MEMORY_CLASSES)
        return NULL;
    struct block *block = in_use->free[class];
    if (block) {
        in_use->free[class] = block->next;
    } else {
        block = meta_region_alloc(in_use->region, sizeof(*block) + ((size_t)16 << class));
        if (!block)
            return NULL;
        block->class = class;
    }
    return block + 1;
}

void sluice_yaml_free(void *p)
{
    if (!p || !in_use)
        return;
    struct block *block = block_of(p);
    block->next = in_use->free[block->class];
    in_use->free[block->class] = block;
}

void *sluice_yaml_realloc(void *p, size_t size)
{
    if (!p)
        return sluice_yaml_malloc(size);
    size_t capacity = capacity_of(block_of(p));
    if (size <= capacity)
        return p;
    void *moved = sluice_yaml_malloc(size);
    if (!moved)
        return NULL;
    memcpy(moved, p, capacity);
    sluice_yaml_free(p);
    return moved;
}

char *sluice_yaml_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = sluice_yaml_malloc(size);
    return copy ? memcpy(copy, s, size) : NULL;
}
