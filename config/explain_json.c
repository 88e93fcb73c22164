#include <string.h>

#include "config/explain.h"
#include "config/keys.h"
#include "config/text.h"

/* "file": .., "line": .., "column": ..; nulls for what no line of the policy says. */
static void add_mark(struct text *out, struct policy_mark mark)
{
    if (mark.line == 0) {
        text_add(out, "\"file\": null, \"line\": null, \"column\": null");
        return;
    }
    text_add(out, "\"file\": ");
    text_add_json(out, mark.file);
    text_add(out, ", \"line\": %u, \"column\": %u", mark.line, mark.column);
}

/* "backend": .., "kind": .. */
static void add_backend(struct text *out, const struct policy *policy, uint32_t index)
{
    text_add(out, "\"backend\": ");
    text_add_json(out, policy->backends[index].name);
    text_add(out, ", \"kind\": ");
    text_add_json(out, policy->backends[index].ops->name);
}

static void add_bytes(struct text *out, const char *key, uint64_t bytes, bool none)
{
    if (none)
        text_add(out, "\"%s\": null", key);
    else
        text_add(out, "\"%s\": %llu", key, (unsigned long long)bytes);
}

static void add_rules(struct text *out, const struct policy *policy,
                      const struct explain_answer *answer)
{
    text_add(out, "\"rules\": [");
    for (size_t i = 0; i < answer->rule_count; i++) {
        const struct policy_rule *rule = &answer->rules[i];
        size_t takes = explain_takes(policy, rule);
        text_add(out, "%s{\"rule\": %zu, ", i > 0 ? ", " : "", i + 1);
        add_backend(out, policy, rule->backend);
        text_add(out, ", ");
        add_bytes(out, "takes_up_to", takes, takes == POLICY_ANY_SIZE);
        text_add(out, ", \"decides\": %s, \"added\": %s, ",
                 i == answer->deciding ? "true" : "false",
                 explain_is_added(answer, i) ? "true" : "false");
        add_mark(out, rule->mark);
        text_add(out, "}");
    }
    text_add(out, "]");
}

static void add_action(struct text *out, const struct policy *policy, const char *key,
                       enum policy_action action, uint32_t fallback)
{
    text_add(out, ", \"%s\": \"%s\", \"%s_backend\": ", key, words_action[action], key);
    text_add_json(out, action == POLICY_ACTION_FALLBACK ? policy->backends[fallback].name : NULL);
}

static void add_limit(struct text *out, const struct policy *policy,
                      const struct policy_module *entry)
{
    const struct policy_limit *limit = entry ? &entry->limit : NULL;
    if (!limit || (limit->soft == 0 && limit->hard == 0)) {
        text_add(out, "\"limit\": null");
        return;
    }
    text_add(out, "\"limit\": {");
    add_bytes(out, "soft", limit->soft, limit->soft == 0);
    add_action(out, policy, "on_soft", limit->on_soft, limit->soft_fallback);
    text_add(out, ", ");
    add_bytes(out, "hard", limit->hard, limit->hard == 0);
    add_action(out, policy, "on_hard", limit->on_hard, limit->hard_fallback);
    text_add(out, ", ");
    add_mark(out, limit->mark);
    text_add(out, "}");
}

static void add_phases(struct text *out, const struct policy *policy, const char *module)
{
    bool first = true;
    text_add(out, "\"phases\": [");
    for (size_t i = 0; i < policy->phase_count; i++) {
        const struct policy_phase *phase = &policy->phases[i];
        if (!explain_in_phase(phase, module))
            continue;
        text_add(out, "%s{\"phase\": ", first ? "" : ", ");
        text_add_json(out, phase->name);
        text_add(out, ", ");
        add_backend(out, policy, phase->backend);
        text_add(out, ", ");
        add_mark(out, phase->mark);
        text_add(out, "}");
        first = false;
    }
    text_add(out, "]");
}

void explain_json(const struct policy *policy, const struct explain_question *question,
                  struct text *out)
{
    static const char *const causes[] = {"override", "exact", "pattern", "default"};
    struct explain_answer answer;
    explain(policy, question, &answer);
    text_add(out, "{\"module\": ");
    text_add_json(out, question->module);
    text_add(out, ", \"size\": %llu, ", (unsigned long long)question->size);
    add_backend(out, policy, answer.rules[answer.deciding].backend);
    text_add(out, ", \"because\": \"%s\", \"override\": ", causes[answer.cause]);
    if (question->override_backend) {
        text_add(out, "{\"backend\": ");
        text_add_json(out, question->override_backend);
        text_add(out, ", \"from\": ");
        text_add_json(out, question->override_from);
        text_add(out, "}");
    } else {
        text_add(out, "null");
    }
    text_add(out, ", \"entry\": ");
    if (answer.entry) {
        text_add(out, "{\"pattern\": ");
        text_add_json(out, answer.entry->pattern);
        text_add(out, ", ");
        add_mark(out, answer.entry->mark);
        text_add(out, "}, ");
    } else {
        text_add(out, "null, ");
    }
    add_rules(out, policy, &answer);
    text_add(out, ", ");
    add_limit(out, policy, answer.entry);
    text_add(out, ", ");
    add_phases(out, policy, question->module);
    text_add(out, "}\n");
}
