/* policies.c - see policies.h. */
#include "tools/demo/policies.h"

#include <stdio.h>
#include <string.h>

const struct demo_policy policies_all[] = {
    {POLICY_PLAIN, "none: malloc and free of glibc, without Sluice", NULL, false},
    {"mallopt-pins", "glibc with its thresholds pinned by mallopt", policy_text_mallopt_pins,
     false},
    {"direct-mmap", "long-lived pools and large blocks mapped directly", policy_text_direct_mmap,
     false},
    {"pool", "Sluice's pool: free lists, preallocation, thread caches", policy_text_pool, false},
    {"jemalloc", "jemalloc, whose memory curve was the steadiest", policy_text_jemalloc, false},
    {"phases", "each stage a phase, freed as a whole", policy_text_phases, true},
    {POLICY_RECOMMENDED, "what we recommend", policy_text_recommended, false},
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
