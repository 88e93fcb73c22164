/* yaml_memory.h - where libyaml's memory comes from: a region of Sluice's own, never malloc.
 *
 * The build renames malloc, realloc, free and strdup inside libyaml to the four functions below.
 * They serve from the yaml_memory that the calling thread has in use; while it has none, they
 * fail. Freed blocks are reused (libyaml makes and frees several for each word), and everything
 * ends with the region.
 * */
#ifndef SLUICE_CONFIG_YAML_MEMORY_H
#define SLUICE_CONFIG_YAML_MEMORY_H

#include <stddef.h>

struct meta_region;

#define YAML_MEMORY_CLASSES 27 /* blocks of 16 bytes to 1 GiB */

struct yaml_memory {
    struct meta_region *region;
    void *free[YAML_MEMORY_CLASSES]; /* lists of freed blocks, by power of two */
};

/* Makes it the one in use by this thread (NULL: none) and returns the one before. */
struct yaml_memory *yaml_memory_use(struct yaml_memory *memory);

void *sluice_yaml_malloc(size_t size);
void *sluice_yaml_realloc(void *p, size_t size);
void sluice_yaml_free(void *p);
char *sluice_yaml_strdup(const char *s);

#endif
