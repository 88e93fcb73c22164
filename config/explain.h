/* explain.h - which backend serves a module at a size, by which rule, and why. */
#ifndef SLUICE_CONFIG_EXPLAIN_H
#define SLUICE_CONFIG_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/policy.h"

struct text;

struct explain_question {
    const char *module;
    uint64_t size;
    const char *override_backend; /* NULL: the module has no override */
    const char *override_from;    /* who says so: "--set" */
};

enum explain_cause {
    EXPLAIN_OVERRIDE, /* an override, which wins over the policy */
    EXPLAIN_EXACT,    /* an entry of the module's own name */
    EXPLAIN_PATTERN,  /* the first pattern that fits */
    EXPLAIN_DEFAULT   /* nothing names the module */
};

struct explain_answer {
    enum explain_cause cause;
    const struct policy_module *entry; /* whose limit holds; NULL: nothing names the module */
    const struct policy_rule *rules;   /* that are asked, in this order */
    size_t rule_count;
    size_t deciding;                 /* index into rules[] */
    struct policy_rule own_rules[2]; /* of an override or the default */
};

/* answer->rules may point into *answer: do not copy it. */
void explain(const struct policy *policy, const struct explain_question *question,
             struct explain_answer *answer);

/* Was the rule added for sizes that the one before it does not serve? No line of the policy has
 * it. */
bool explain_is_added(const struct explain_answer *answer, size_t rule);

/* The largest size that a rule takes, or POLICY_ANY_SIZE. */
size_t explain_takes(const struct policy *policy, const struct policy_rule *rule);

/* Does the phase take this module's objects while it is open? */
bool explain_in_phase(const struct policy_phase *phase, const char *module);

/* In words, several lines. */
void explain_text(const struct policy *policy, const struct explain_question *question,
                  struct text *out);

/* One JSON object on one line; the command's --help lists its fields. */
void explain_json(const struct policy *policy, const struct explain_question *question,
                  struct text *out);

#endif
