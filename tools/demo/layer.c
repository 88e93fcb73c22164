/* layer.c - see layer.h. */
#include "tools/demo/layer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const module_names[DEMO_MODULE_COUNT] = {
    "blockpool", "frames", "tables", "longlived", "reader", "index", "cache",
};

static struct layer_counter counters[LAYER_MAX_THREADS];

bool layer_uses_sluice, layer_drops;
static bool has_stages;
static sluice_phase *stage;
sluice_module layer_ids[DEMO_MODULE_COUNT];
__thread struct layer_counter *layer_counter = &counters[0];

bool layer_start(const char *policy)
{
    if (policy == NULL)
        return true;
    if (sluice_policy_load_string(policy, strlen(policy)) != SLUICE_OK) {
        fprintf(stderr, "demo: the policy was refused: %s\n", sluice_error_message());
        return false;
    }
    for (int i = 0; i < DEMO_MODULE_COUNT; i++) {
        layer_ids[i] = sluice_module_register(module_names[i]);
        if (layer_ids[i] == SLUICE_MODULE_INVALID) {
            fprintf(stderr, "demo: module %s: %s\n", module_names[i], sluice_error_message());
            return false;
        }
    }
    layer_uses_sluice = true;
    has_stages = sluice_phase_begin("stage", &stage) == SLUICE_OK;
    if (has_stages)
        sluice_phase_end(stage);
    return true;
}

static void must(enum sluice_result result)
{
    if (result == SLUICE_OK)
        return;
    fprintf(stderr, "demo: %s\n", sluice_error_message());
    exit(1);
}

void layer_stage_begin(void)
{
    if (has_stages)
        must(sluice_phase_begin("stage", &stage));
}

void layer_stage_over(void)
{
    layer_drops = has_stages;
}

void layer_stage_end(void)
{
    layer_drops = false;
    if (has_stages)
        must(sluice_phase_end(stage));
}

void layer_thread(unsigned index)
{
    layer_counter = &counters[index];
}

uint64_t layer_live_bytes(void)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < LAYER_MAX_THREADS; i++)
        sum += counters[i].live;
    return (uint64_t)sum;
}

const char *layer_module_name(enum demo_module module)
{
    return module_names[module];
}

bool layer_holding(enum demo_module module, struct layer_holding *out)
{
    struct sluice_module_stats stats = {.struct_size = sizeof(stats)};
    if (!layer_uses_sluice || sluice_stats_module(layer_ids[module], &stats) != SLUICE_OK)
        return false;
    *out = (struct layer_holding){stats.live_bytes, stats.cached_bytes, stats.resident_bytes};
    return true;
}

void layer_out_of_memory(enum demo_module module, size_t size)
{
    dprintf(STDERR_FILENO, "demo: no memory for %zu bytes of module %s\n", size,
            module_names[module]);
    _exit(3);
}
