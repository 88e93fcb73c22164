/* test_plugin.c - the smallest plugin: libc's malloc, and one option. It is built again with a mistake at a time. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/backend.h>

#ifndef TEST_PLUGIN_ABI_VERSION
#define TEST_PLUGIN_ABI_VERSION SLUICE_BACKEND_ABI_VERSION
#endif
#ifndef TEST_PLUGIN_NAME
#define TEST_PLUGIN_NAME "test-plugin"
#endif
#ifndef TEST_PLUGIN_ALLOC
#define TEST_PLUGIN_ALLOC alloc
#endif

static enum sluice_result create(const struct sluice_arena_config *config, void **arena)
{
    for (size_t i = 0; i < config->option_count; i++)
        if (strcmp(config->options[i].key, "refuse") == 0)
            return SLUICE_ERROR_UNSUPPORTED;
    *arena = NULL;
    return SLUICE_OK;
}

static void destroy(void *arena)
{
    (void)arena;
}

static void *alloc(void *arena, void **thread_state, size_t size, size_t alignment, unsigned flags,
                   size_t *usable)
{
    (void)arena;
    (void)thread_state;
    void *p = NULL;
    if (posix_memalign(&p, alignment, size) != 0)
        return NULL;
    *usable = malloc_usable_size(p);
    return (flags & SLUICE_ALLOC_ZERO) != 0 ? memset(p, 0, size) : p;
}

static size_t usable_size(void *arena, const void *p)
{
    (void)arena;
    return malloc_usable_size((void *)(size_t)p);
}

static size_t release(void *arena, void **thread_state, void *p)
{
    (void)thread_state;
    size_t usable = usable_size(arena, p);
    free(p);
    return usable;
}

static void stats(void *arena, struct sluice_backend_stats *out)
{
    (void)arena;
    (void)out;
}

__attribute__((visibility("default"))) const struct sluice_backend_ops sluice_backend_plugin = {
    .abi_version = TEST_PLUGIN_ABI_VERSION,
    .struct_size = sizeof(struct sluice_backend_ops),
    .name = TEST_PLUGIN_NAME,
    .arena_create = create,
    .arena_destroy = destroy,
    .alloc = TEST_PLUGIN_ALLOC,
    .free = release,
    .usable_size = usable_size,
    .stats = stats,
};
