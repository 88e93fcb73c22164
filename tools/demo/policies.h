/* policies.h - the policies of the demo: the texts of the files in policies/, embedded when the
 * demo is built. */
#ifndef SLUICE_TOOLS_DEMO_POLICIES_H
#define SLUICE_TOOLS_DEMO_POLICIES_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/demo/options.h"

struct demo_policy {
    const char *name;
    const char *cure; /* what the field report calls it */
    const char *yaml; /* NULL: plain malloc, without Sluice */
    unsigned scenes;  /* in which it is run: a bit for each, 1 << SCENE_ONE and so on */
};

#define POLICY_PLAIN       "plain-glibc"
#define POLICY_RECOMMENDED "recommended"
#define POLICY_PRELOAD     "preload" /* and what begins so */

/* In the order in which they are run; plain glibc first. */
extern const struct demo_policy policies_all[];
extern const size_t policies_count;

static inline bool policy_is_for(const struct demo_policy *policy, enum scene scene)
{
    return (policy->scenes & 1u << scene) != 0;
}

/* NULL: there is none of that name. */
const struct demo_policy *policies_find(const char *name);

/* All names, in one line. */
const char *policies_names(void);

/* The embedded texts (generated: embed_policies.sh). */
extern const char policy_text_mallopt_pins[], policy_text_direct_mmap[], policy_text_pool[],
    policy_text_jemalloc[], policy_text_phases[], policy_text_preload_jemalloc[],
    policy_text_recommended[];

#endif
