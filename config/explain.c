#include "config/explain.h"

#include <string.h>

#include "config/text.h"
#include "config/units.h"
#include "core/glob.h"

/* ---- The decision: what core/route.c does when a module allocates ---------------------------- */

size_t explain_takes(const struct policy *policy, const struct policy_rule *rule)
{
    size_t largest = policy->backends[rule->backend].ops->max_size;
    return largest > 0 && largest < rule->max_size ? largest : rule->max_size;
}

static void one_backend(const struct policy *policy, uint32_t backend, struct policy_mark mark,
                        struct explain_answer *answer)
{
    answer->rules = answer->own_rules;
    answer->rule_count = 1;
    answer->own_rules[0] = (struct policy_rule){POLICY_ANY_SIZE, backend, mark};
    if (policy->backends[backend].ops->max_size == 0)
        return;
    answer->own_rules[1] =
        (struct policy_rule){POLICY_ANY_SIZE, policy_unbounded_backend(policy), mark};
    answer->rule_count = 2;
}

void explain(const struct policy *policy, const struct explain_question *question,
             struct explain_answer *answer)
{
    *answer = (struct explain_answer){.entry = policy_find_module(policy, question->module)};
    uint32_t override = question->override_backend
                            ? policy_find_backend(policy, question->override_backend)
                            : UINT32_MAX;
    if (override != UINT32_MAX) {
        answer->cause = EXPLAIN_OVERRIDE;
        one_backend(policy, override, (struct policy_mark){0}, answer);
    } else if (answer->entry) {
        answer->cause = answer->entry->is_glob ? EXPLAIN_PATTERN : EXPLAIN_EXACT;
        answer->rules = answer->entry->rules;
        answer->rule_count = answer->entry->rule_count;
    } else {
        answer->cause = EXPLAIN_DEFAULT;
        one_backend(policy, policy->default_backend, policy->default_mark, answer);
    }
    while (answer->deciding + 1 < answer->rule_count &&
           question->size > explain_takes(policy, &answer->rules[answer->deciding]))
        answer->deciding++;
}

bool explain_is_added(const struct explain_answer *answer, size_t rule)
{
    /* It has the mark of the rule before it. */
    return rule > 0 && answer->rules[rule].mark.line == answer->rules[rule - 1].mark.line &&
           answer->rules[rule].mark.column == answer->rules[rule - 1].mark.column;
}

bool explain_in_phase(const struct policy_phase *phase, const char *module)
{
    for (size_t i = 0; i < phase->module_count; i++) {
        if (glob_match(phase->modules[i], module))
            return true;
    }
    return false;
}

/* ---- In words -------------------------------------------------------------------------------- */

static void add_mark(struct text *out, struct policy_mark mark)
{
    text_add(out, "%s:%u:%u", mark.file, mark.line, mark.column);
}

/* "general" (jemalloc); the kind only where it says more than the name. */
static void add_backend(struct text *out, const struct policy *policy, uint32_t index)
{
    const struct policy_backend *backend = &policy->backends[index];
    if (strcmp(backend->name, backend->ops->name) == 0)
        text_add(out, "\"%s\"", backend->name);
    else
        text_add(out, "\"%s\" (%s)", backend->name, backend->ops->name);
}

static void add_size(struct text *out, uint64_t size)
{
    struct units_text short_form = units_size(size);
    text_add(out, "%s", short_form.text);
    if (short_form.text[strlen(short_form.text) - 1] == 'B')
        text_add(out, " (%llu bytes)", (unsigned long long)size);
    else
        text_add(out, " byte%s", size == 1 ? "" : "s");
}

static void add_cause(struct text *out, const struct policy *policy,
                      const struct explain_question *question, const struct explain_answer *answer)
{
    if (answer->cause == EXPLAIN_OVERRIDE) {
        text_add(out, "  override  %s sends \"%s\" to ", question->override_from, question->module);
        add_backend(out, policy, answer->rules[0].backend);
        text_add(out, ", which wins over the policy\n");
    } else if (question->override_backend) {
        text_add(out,
                 "  override  %s names backend \"%s\", which the policy does not have: its own "
                 "route serves\n",
                 question->override_from, question->override_backend);
    }
    if (!answer->entry) {
        text_add(out, "  module    nothing names \"%s\": default: ", question->module);
        add_backend(out, policy, policy->default_backend);
        text_add(out, policy->default_mark.line > 0 ? ", " : ", since the policy names none");
        if (policy->default_mark.line > 0)
            add_mark(out, policy->default_mark);
    } else if (answer->entry->is_glob) {
        text_add(out, "  module    \"%s\" is the first pattern that fits \"%s\", ",
                 answer->entry->pattern, question->module);
        add_mark(out, answer->entry->mark);
    } else {
        text_add(out, "  module    \"%s\" has an entry of its own, ", question->module);
        add_mark(out, answer->entry->mark);
    }
    text_add(out, "\n");
}

static void add_rule(struct text *out, const struct policy *policy,
                     const struct explain_question *question, const struct explain_answer *answer,
                     size_t i)
{
    const struct policy_rule *rule = &answer->rules[i];
    size_t takes = explain_takes(policy, rule);
    text_add(out, "  rule %-5zuto ", i + 1);
    add_backend(out, policy, rule->backend);
    if (takes != POLICY_ANY_SIZE)
        text_add(out, ", up to %s", units_size(takes).text);
    else
        text_add(out, ", every size");
    if (explain_is_added(answer, i)) {
        text_add(out, ", added because ");
        add_backend(out, policy, answer->rules[i - 1].backend);
        text_add(out, " serves no more than %s",
                 units_size(explain_takes(policy, &answer->rules[i - 1])).text);
    } else if (rule->mark.line > 0) {
        text_add(out, ", ");
        add_mark(out, rule->mark);
    }
    if (i == answer->deciding)
        text_add(out, ": decides\n");
    else if (i < answer->deciding)
        text_add(out, ": %s is larger\n", units_size(question->size).text);
    else
        text_add(out, ": not asked\n");
}

static void add_action(struct text *out, const struct policy *policy, enum policy_action action,
                       uint32_t fallback, bool hard)
{
    switch (action) {
    case POLICY_ACTION_FAIL:
        text_add(out, "the allocation fails with ENOMEM");
        break;
    case POLICY_ACTION_TRIM:
        text_add(out, "the module's caches are given back%s",
                 hard ? ", and if that is not enough the allocation fails with ENOMEM" : "");
        break;
    case POLICY_ACTION_NOTIFY:
        text_add(out, "it is logged and the program is told%s",
                 hard ? ", and the allocation fails with ENOMEM" : "");
        break;
    case POLICY_ACTION_FALLBACK:
        text_add(out, "further allocations come from ");
        add_backend(out, policy, fallback);
        break;
    case POLICY_ACTION_ABORT:
        text_add(out, "the program is aborted");
        break;
    }
}

static void add_limit(struct text *out, const struct policy *policy,
                      const struct policy_limit *limit)
{
    if (limit->soft > 0) {
        text_add(out, "  limit     above %s, ", units_size(limit->soft).text);
        add_mark(out, limit->mark);
        text_add(out, ": ");
        add_action(out, policy, limit->on_soft, limit->soft_fallback, false);
        text_add(out, "\n");
    }
    if (limit->hard > 0) {
        text_add(out, "  limit     beyond %s, ", units_size(limit->hard).text);
        add_mark(out, limit->mark);
        text_add(out, ": ");
        add_action(out, policy, limit->on_hard, limit->hard_fallback, true);
        text_add(out, "\n");
    }
}

void explain_text(const struct policy *policy, const struct explain_question *question,
                  struct text *out)
{
    struct explain_answer answer;
    explain(policy, question, &answer);
    text_add(out, "%s, ", question->module);
    add_size(out, question->size);
    text_add(out, ": backend ");
    add_backend(out, policy, answer.rules[answer.deciding].backend);
    text_add(out, "\n");
    add_cause(out, policy, question, &answer);
    for (size_t i = 0; i < answer.rule_count; i++)
        add_rule(out, policy, question, &answer, i);
    if (answer.entry)
        add_limit(out, policy, &answer.entry->limit);
    for (size_t i = 0; i < policy->phase_count; i++) {
        const struct policy_phase *phase = &policy->phases[i];
        if (!explain_in_phase(phase, question->module))
            continue;
        text_add(out, "  phase     while \"%s\" is open, ", phase->name);
        add_mark(out, phase->mark);
        text_add(out, ": ");
        add_backend(out, policy, phase->backend);
        text_add(out, " serves instead\n");
    }
}
