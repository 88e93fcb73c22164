/* explain.c - `sluice explain`: which rule and line decides, and why. */
#include "config/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/text.h"
#include "config/units.h"
#include "tools/sluice/arguments.h"
#include "tools/sluice/commands.h"

#define NAME              "sluice explain"
#define OVERRIDE_VARIABLE "SLUICE_OVERRIDE"

static const char help[] =
    "Usage: sluice explain [--json] [--set MODULE=BACKEND]... POLICY MODULE SIZE\n"
    "Says which backend serves an allocation of SIZE bytes by MODULE, which rule and line of\n"
    "the policy decides that, and what limit holds. SIZE is written as in a policy: 4096,\n"
    "64KiB, 2MiB.\n"
    "\n"
    "Options:\n"
    "  --set MODULE=BACKEND   as with sluice_module_override(), which wins over the policy.\n"
    "                         Those of $SLUICE_OVERRIDE count too.\n"
    "  --json                 print one JSON object instead:\n"
    "              {\"module\": NAME, \"size\": BYTES, \"backend\": NAME, \"kind\": KIND,\n"
    "               \"because\": \"override\"|\"exact\"|\"pattern\"|\"default\",\n"
    "               \"override\": {\"backend\": NAME, \"from\": TEXT}|null,\n"
    "               \"entry\": {\"pattern\": TEXT, MARK}|null,\n"
    "               \"rules\": [{\"rule\": N, \"backend\": NAME, \"kind\": KIND,\n"
    "                          \"takes_up_to\": BYTES|null, \"decides\": BOOL, \"added\": BOOL,\n"
    "                          MARK}],\n"
    "               \"limit\": {\"soft\": BYTES|null, \"on_soft\": ACTION,\n"
    "                         \"on_soft_backend\": NAME|null, \"hard\": BYTES|null,\n"
    "                         \"on_hard\": ACTION, \"on_hard_backend\": NAME|null, MARK}|null,\n"
    "               \"phases\": [{\"phase\": NAME, \"backend\": NAME, \"kind\": KIND, MARK}]}\n"
    "            where MARK is \"file\": PATH, \"line\": N, \"column\": N, all null for what no\n"
    "            line of the policy says.\n"
    "\n"
    "Exit status: 0, 1 the policy is not valid, 2 wrong usage.\n";

enum { OPTION_JSON, OPTION_SET };
static const struct option_spec specs[] = {{"--json", false}, {"--set", true}, {NULL, false}};

struct request {
    const char *operands[3]; /* POLICY MODULE SIZE */
    int operand_count;
    bool json;
    const char *const *sets; /* MODULE=BACKEND, in the order of the command line */
    int set_count;
    uint64_t size;
};

/* The backend when `item`, of that length, is an override of the module. A module's name may
 * have an =, a backend's may not. */
static const char *override_for(const char *module, const char *item, size_t length,
                                size_t *backend_length)
{
    const char *equals = memrchr(item, '=', length);
    if (!equals || strlen(module) != (size_t)(equals - item) ||
        memcmp(item, module, (size_t)(equals - item)) != 0)
        return NULL;
    *backend_length = length - (size_t)(equals + 1 - item);
    return equals + 1;
}

/* Later ones win, and --set over the environment. */
static void find_override(const struct request *request, struct explain_question *question,
                          char *backend, size_t size)
{
    const char *item = getenv(OVERRIDE_VARIABLE), *found;
    size_t length;
    while (item && *item) {
        size_t item_length = strcspn(item, ",");
        found = override_for(question->module, item, item_length, &length);
        if (found) {
            snprintf(backend, size, "%.*s", (int)length, found);
            question->override_backend = backend;
            question->override_from = "$" OVERRIDE_VARIABLE;
        }
        item += item_length + (item[item_length] == ',');
    }
    for (int i = 0; i < request->set_count; i++) {
        found = override_for(question->module, request->sets[i], strlen(request->sets[i]), &length);
        if (found) {
            snprintf(backend, size, "%s", found);
            question->override_backend = backend;
            question->override_from = "--set";
        }
    }
}

static int explain_policy(const struct request *request)
{
    static char buffer[1 << 20];
    char backend[256];
    struct policy *policy;
    struct explain_question question = {.module = request->operands[1], .size = request->size};
    if (policy_read_file(request->operands[0], &policy, buffer, sizeof(buffer)) != SLUICE_OK) {
        fprintf(stderr, "%s\n", buffer);
        return EXIT_FAILED;
    }
    find_override(request, &question, backend, sizeof(backend));
    struct text out;
    text_init(&out, buffer, sizeof(buffer));
    if (request->json)
        explain_json(policy, &question, &out);
    else
        explain_text(policy, &question, &out);
    policy_destroy(policy);
    fwrite(out.data, 1, out.used, stdout);
    return EXIT_GOOD;
}

/* false: was said on standard error. */
static bool check_request(struct request *request)
{
    static const char *const names[] = {"POLICY", "MODULE", "SIZE"};
    if (request->operand_count < 3) {
        arguments_wrong(NAME, "%s is missing", names[request->operand_count]);
        return false;
    }
    const char *module = request->operands[1];
    if (module[0] == '\0' || strlen(module) > 255) {
        arguments_wrong(NAME, "a module's name has 1 to 255 bytes");
        return false;
    }
    for (int i = 0; i < request->set_count; i++) {
        const char *equals = strrchr(request->sets[i], '=');
        if (!equals || equals == request->sets[i] || equals[1] == '\0') {
            arguments_wrong(NAME, "--set \"%s\": expected MODULE=BACKEND", request->sets[i]);
            return false;
        }
    }
    const char *size = request->operands[2], *unit = "";
    enum units_result result = units_parse_size(size, &request->size, &unit);
    const char *meant = result == UNITS_UNKNOWN_UNIT ? units_suggest_size(unit) : NULL;
    if (meant)
        arguments_wrong(NAME, "unknown unit in SIZE \"%s\"; did you mean \"%.*s%s\"?", size,
                        (int)(unit - size), size, meant);
    else if (result != UNITS_OK)
        arguments_wrong(NAME, "SIZE \"%s\" is no size such as 4096, 64KiB or 2MiB", size);
    return result == UNITS_OK;
}

/* Reads the arguments, and answers. sets has room for as many as there are arguments. */
static int run(struct request *request, const char **sets, int argc, char **argv)
{
    struct arguments arguments;
    const char *value;
    int index;
    arguments_begin(&arguments, NAME, specs, argc, argv);
    for (;;) {
        switch (arguments_next(&arguments, &index, &value)) {
        case ARGUMENTS_OPTION:
            if (index == OPTION_SET)
                sets[request->set_count++] = value;
            else
                request->json = true;
            break;
        case ARGUMENTS_OPERAND:
            if (request->operand_count == 3)
                return arguments_wrong(NAME, "\"%s\" is one argument too many", value);
            request->operands[request->operand_count++] = value;
            break;
        case ARGUMENTS_HELP:
            fputs(help, stdout);
            return EXIT_GOOD;
        case ARGUMENTS_VERSION:
            return arguments_print_version();
        case ARGUMENTS_WRONG:
            return EXIT_USAGE;
        case ARGUMENTS_END:
            return check_request(request) ? explain_policy(request) : EXIT_USAGE;
        }
    }
}

int explain_main(int argc, char **argv)
{
    const char **sets = calloc((size_t)argc + 1, sizeof(*sets));
    struct request request = {.sets = sets};
    if (!sets) {
        fprintf(stderr, NAME ": no memory\n");
        return EXIT_FAILED;
    }
    int status = run(&request, sets, argc, argv);
    free(sets);
    return status;
}
