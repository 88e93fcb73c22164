#include "config/check.h"

#include "config/print.h"
#include "config/read.h"
#include "config/text.h"
#include "core/meta.h"

static void count(struct text *out, size_t number, const char *one, const char *many)
{
    text_add(out, "%zu %s", number, number == 1 ? one : many);
}

/* "policy.yaml: ok: 3 backends, 1 module" */
static void add_summary(const char *path, const struct policy *policy, size_t warnings,
                        struct text *out)
{
    size_t backends = 0;
    for (size_t i = 0; i < policy->backend_count; i++)
        backends += policy->backends[i].mark.line > 0;
    text_add(out, "%s: ok: ", path);
    count(out, backends, "backend", "backends");
    text_add(out, ", ");
    count(out, policy->module_count, "module", "modules");
    if (policy->phase_count > 0) {
        text_add(out, ", ");
        count(out, policy->phase_count, "phase", "phases");
    }
    if (policy->file_count > 1) {
        text_add(out, ", ");
        count(out, policy->file_count, "file", "files");
    }
    if (warnings > 0) {
        text_add(out, ", ");
        count(out, warnings, "warning", "warnings");
    }
    text_add(out, "\n");
}

bool check_text(const char *path, unsigned flags, struct text *out, struct text *problems)
{
    struct read read;
    read_begin(&read, &(struct read_source){.path = path}, &reader_default_limits);
    if (read.report) {
        size_t before = problems->used;
        report_write(read.report, REPORT_ALL, problems);
        if (problems->used > before)
            text_add(problems, "\n");
    } else {
        text_add(problems, "%s: error: no memory to read it\n", path);
    }
    if (read.policy && (flags & CHECK_PRINT) != 0)
        print_policy(read.policy, out);
    else if (read.policy)
        add_summary(path, read.policy, read.report ? read.report->warnings : 0, out);
    bool valid = read.policy;
    policy_destroy(read.policy);
    read_end(&read);
    return valid;
}

static void add_problem(const struct report_entry *entry, struct text *out)
{
    text_add(out, "{\"file\": ");
    text_add_json(out, entry->mark.file);
    if (entry->mark.line > 0)
        text_add(out, ", \"line\": %u, \"column\": %u", entry->mark.line, entry->mark.column);
    else
        text_add(out, ", \"line\": null, \"column\": null");
    text_add(out, ", \"severity\": \"%s\", \"message\": ", entry->warning ? "warning" : "error");
    text_add_json(out, entry->text);
    text_add(out, "}");
}

/* The policy as it takes effect, as one string of YAML. */
static void add_effective(const struct policy *policy, struct text *out)
{
    struct meta_region *region = meta_region_create(0);
    char *yaml = region ? meta_region_alloc(region, CHECK_TEXT_SIZE) : NULL;
    struct text text;
    text_init(&text, yaml, yaml ? CHECK_TEXT_SIZE : 0);
    print_policy(policy, &text);
    text_add(out, ", \"effective\": ");
    text_add_json(out, yaml);
    out->cut |= text.cut;
    meta_region_destroy(region);
}

bool check_json(const char *path, unsigned flags, struct text *out)
{
    struct read read;
    read_begin(&read, &(struct read_source){.path = path}, &reader_default_limits);
    bool valid = read.policy;
    const struct report *report = read.report;
    text_add(out, "{\"policy\": ");
    text_add_json(out, path);
    text_add(out, ", \"valid\": %s, \"errors\": %zu, \"warnings\": %zu, \"problems\": [",
             valid ? "true" : "false", report ? report->errors : 1, report ? report->warnings : 0);
    for (size_t i = 0; report && i < report->kept_errors + report->kept_warnings; i++) {
        text_add(out, "%s", i > 0 ? ", " : "");
        add_problem(&report->entries[i], out);
    }
    text_add(out, "]");
    if (valid && (flags & CHECK_PRINT) != 0)
        add_effective(read.policy, out);
    text_add(out, "}");
    policy_destroy(read.policy);
    read_end(&read);
    return valid;
}
