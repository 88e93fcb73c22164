/* policies.h - the policies of the demo: the texts of the files in policies/, embedded when the
 * demo is built. */
#ifndef SLUICE_TOOLS_DEMO_POLICIES_H
#define SLUICE_TOOLS_DEMO_POLICIES_H

#include <stdbool.h>
#include <stddef.h>

struct demo_policy {
    const char *name;
    const char *cure;      /* what the field report calls it */
    const char *yaml;      /* NULL: plain malloc, without Sluice */
    bool is_for_scene_one; /* alone */
};

#define POLICY_PLAIN       "plain-glibc"
#define POLICY_RECOMMENDED "recommended"

/* In the order in which they are run; plain glibc first. */
extern const struct demo_policy policies_all[];
extern const size_t policies_count;

/* NULL: there is none of that name. */
const struct demo_policy *policies_find(const char *name);

/* All names, in one line. */
const char *policies_names(void);

/* The embedded texts (generated: embed_policies.sh). */
extern const char policy_text_mallopt_pins[], policy_text_direct_mmap[], policy_text_pool[],
    policy_text_jemalloc[], policy_text_phases[], policy_text_recommended[];

#endif
