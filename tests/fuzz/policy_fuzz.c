/* policy_fuzz.c - any bytes as a policy.
 *
 * Reading must return, whatever the budget; a policy is complete or there is an error; what is
 * printed of a policy reads back as the same policy. Inputs that would open other files are left
 * out: what lies on the machine must not decide, and a plugin would run. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/explain.h"
#include "config/print.h"
#include "config/read.h"
#include "config/text.h"
#include "core/log.h"

static char error[8192], printed[1 << 20], difference[4096];

#define HOLD(condition, what)                           \
    do {                                                \
        if (!(condition)) {                             \
            fprintf(stderr, "policy_fuzz: %s\n", what); \
            abort();                                    \
        }                                               \
    } while (0)

static void check_policy(const struct policy *policy)
{
    struct text text;
    struct policy *again;
    for (size_t i = 0; i < policy->module_count; i++) {
        const struct policy_module *module = &policy->modules[i];
        HOLD(module->rule_count > 0, "a module without a rule");
        HOLD(module->rules[module->rule_count - 1].max_size == POLICY_ANY_SIZE, "a last condition");
        for (size_t j = 0; j < module->rule_count; j++)
            HOLD(module->rules[j].backend < policy->backend_count, "an index out of range");
    }
    struct explain_question question = {"module", 100000, "mmap", "fuzz"};
    text_init(&text, printed, sizeof(printed));
    explain_text(policy, &question, &text);
    explain_json(policy, &question, &text);
    question.override_backend = NULL;
    explain_text(policy, &question, &text);

    text_init(&text, printed, sizeof(printed));
    print_policy(policy, &text);
    if (text.cut)
        return;
    enum sluice_result result =
        policy_read_string(printed, text.used, &again, error, sizeof(error));
    if (result == SLUICE_ERROR_POLICY && strstr(error, "too large"))
        return;
    HOLD(result == SLUICE_OK, error);
    policy_diff(policy, again, NULL, difference, sizeof(difference));
    HOLD(difference[0] == '\0', difference);
    policy_destroy(again);
}

/* Again with little memory: it may fail, but must say so and leave nothing. */
static void read_within(const uint8_t *data, size_t size, size_t budget)
{
    struct reader_limits limits = reader_default_limits;
    struct read read;
    struct read_source source = {.label = "<string>", .text = (const char *)data, .length = size};
    limits.file_bytes = 64 << 10;
    limits.scratch_bytes = (160 << 10) + budget;
    limits.policy_bytes = (64 << 10) + budget;
    read_begin(&read, &source, &limits);
    HOLD(read.policy || !read.report || read.report->errors > 0, "a failure without a reason");
    policy_destroy(read.policy);
    read_end(&read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy *policy;
    log_set_level("error");
    if (memmem(data, size, "include", 7) || memmem(data, size, "library", 7))
        return 0;
    enum sluice_result result =
        policy_read_string((const char *)data, size, &policy, error, sizeof(error));
    HOLD((result == SLUICE_OK) == (policy != NULL), "a result that does not fit");
    HOLD((result == SLUICE_OK) == (error[0] == '\0'), "an error that does not fit");
    if (policy)
        check_policy(policy);
    policy_destroy(policy);
    read_within(data, size, size % 61 * (4 << 10));
    return 0;
}
