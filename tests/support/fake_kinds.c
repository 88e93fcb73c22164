#include "tests/support/fake_kinds.h"

#include <stdio.h>
#include <stdlib.h>

#include <sluice/backend.h>

static enum sluice_result fake_create(const struct sluice_arena_config *config, void **arena)
{
    *arena = NULL;
    return SLUICE_ERROR_UNSUPPORTED;
}

static void fake_destroy(void *arena) {}

static void *fake_alloc(void *arena, void **thread_state, size_t size, size_t alignment,
                        unsigned flags, size_t *usable)
{
    return NULL;
}

static size_t fake_free(void *arena, void **thread_state, void *p)
{
    return 0;
}

static size_t fake_usable_size(void *arena, const void *p)
{
    return 0;
}

static void fake_stats(void *arena, struct sluice_backend_stats *out) {}

static enum sluice_result fake_reset(void *arena)
{
    return SLUICE_OK;
}

static enum sluice_result fake_configure(void *arena, const struct sluice_arena_config *config)
{
    return SLUICE_OK;
}

static const char *const colors[] = {"red", "green", "blue", NULL};

static const struct sluice_param params[] = {
    {.name = "size",
     .type = SLUICE_PARAM_SIZE,
     .default_value = 64 << 10,
     .minimum = 1 << 10,
     .maximum = 1 << 30,
     .help = "a size"},
    {.name = "time",
     .type = SLUICE_PARAM_DURATION,
     .default_value = 1000000000,
     .maximum = UINT64_C(3600000000000),
     .help = "a duration"},
    {.name = "number",
     .type = SLUICE_PARAM_COUNT,
     .default_value = 4,
     .minimum = 1,
     .maximum = 16,
     .help = "a count"},
    {.name = "flag", .type = SLUICE_PARAM_BOOL, .maximum = 1, .help = "on or off"},
    {.name = "choice",
     .type = SLUICE_PARAM_CHOICE,
     .default_value = 1,
     .choices = colors,
     .help = "a color"},
};

#define FAKE_OPS                                                                                 \
    .abi_version = SLUICE_BACKEND_ABI_VERSION, .struct_size = sizeof(struct sluice_backend_ops), \
    .params = params, .param_count = sizeof(params) / sizeof(params[0]),                         \
    .arena_create = fake_create, .arena_destroy = fake_destroy, .alloc = fake_alloc,             \
    .free = fake_free, .usable_size = fake_usable_size, .stats = fake_stats

static const struct sluice_backend_ops fake_drop = {
    .name = "fake-drop",
    .capabilities = SLUICE_BACKEND_BULK_RESET,
    .reset = fake_reset,
    .configure = fake_configure,
    FAKE_OPS,
};

static const struct sluice_backend_ops fake_small = {
    .name = "fake-small",
    .max_size = 64 << 10,
    FAKE_OPS,
};

static void add(const struct sluice_backend_ops *ops)
{
    enum sluice_result result = sluice_backend_register(ops);
    if (result != SLUICE_OK && result != SLUICE_ERROR_STATE) {
        fprintf(stderr, "fake_kinds: %s: %s\n", ops->name, sluice_error_message());
        abort();
    }
}

void fake_kinds_register(void)
{
    add(&fake_drop);
    add(&fake_small);
}
