/* policies.c - see policies.h. */
#include "tools/demo/policies.h"

#include <stdio.h>
#include <string.h>

#define ONE   (1u << SCENE_ONE)
#define TWO   (1u << SCENE_TWO)
#define THREE (1u << SCENE_THREE)

const struct demo_policy policies_all[] = {
    {POLICY_PLAIN, "none: malloc and free of glibc, without Sluice", NULL, ONE | TWO | THREE},
    {"mallopt-pins", "glibc with its thresholds pinned by mallopt", policy_text_mallopt_pins,
     ONE | TWO},
    {"direct-mmap", "long-lived pools and large blocks mapped directly", policy_text_direct_mmap,
     ONE | TWO},
    {"pool", "Sluice's pool: free lists, preallocation, thread caches", policy_text_pool,
     ONE | TWO},
    {"jemalloc", "jemalloc, whose memory curve was the steadiest", policy_text_jemalloc, ONE | TWO},
    {"phases", "each stage a phase, freed as a whole", policy_text_phases, ONE},
    {POLICY_RECOMMENDED, "what we recommend", policy_text_recommended, ONE | TWO},
    {"own-jemalloc", "scene three: redis as Debian links it, to jemalloc 5.3", NULL, THREE},
    {POLICY_PRELOAD, "scene three: Sluice preloaded, with its built-in policy", NULL, THREE},
    {POLICY_PRELOAD "-jemalloc", "scene three: Sluice preloaded, with one backend for all",
     policy_text_preload_jemalloc, THREE},
};

const size_t policies_count = sizeof(policies_all) / sizeof(policies_all[0]);

const struct demo_policy *policies_find(const char *name)
{
    for (size_t i = 0; i < policies_count; i++) {
        if (strcmp(policies_all[i].name, name) == 0)
            return &policies_all[i];
    }
    return NULL;
}

const char *policies_names(void)
{
    static char names[256];
    size_t length = 0;
    for (size_t i = 0; i < policies_count; i++)
        length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s",
                                   i == 0 ? "" : ", ", policies_all[i].name);
    return names;
}
