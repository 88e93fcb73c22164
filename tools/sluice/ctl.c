/* ctl.c - `sluice ctl`: tells a running process what to do. */
#include <stdio.h>
#include <string.h>

#include "tools/sluice/arguments.h"
#include "tools/sluice/commands.h"
#include "tools/sluice/peer.h"

#define NAME     "sluice ctl"
#define PATIENCE 30000 /* ms: a reload reads files, a trim walks memory */

static const char help[] =
    "Usage: sluice ctl PID COMMAND\n"
    "Tells a running process that has Sluice what to do, and prints what came of it.\n"
    "\n"
    "Commands:\n"
    "  reload                read the policy again; with a mistake the old one stays\n"
    "  trim [MODULE]         give back what a module, or all, keep for reuse\n"
    "  set MODULE=BACKEND    this backend serves new allocations of the module, whatever the\n"
    "                        policy says, also after reloads\n"
    "  unset MODULE          the policy decides again\n"
    "\n"
    "Exit status: 0; 1 the process refuses, or cannot be reached; 2 wrong usage.\n";

static const struct option_spec specs[] = {{NULL, false}};

static int ask(pid_t pid, const char *request)
{
    static char answer[PEER_TEXT];
    struct peer peer;
    bool ok = peer_visit(&peer, pid) && peer_ask(&peer, request, PATIENCE, answer);
    peer_leave(&peer);
    if (ok)
        printf("%s\n", answer);
    else
        fprintf(stderr, NAME ": process %d: %s\n", (int)pid, peer.why);
    return ok ? EXIT_GOOD : EXIT_FAILED;
}

/* A field of a request: such names exist nowhere else. */
static bool is_name(const char *text, size_t length)
{
    return length > 0 && length <= 255 && memchr(text, '\n', length) == NULL;
}

static int set(pid_t pid, const char *item)
{
    char request[600];
    const char *equals = strrchr(item, '='); /* a module's name may have one */
    if (equals == NULL || !is_name(item, (size_t)(equals - item)) ||
        !is_name(equals + 1, strlen(equals + 1)))
        return arguments_wrong(NAME, "set \"%s\": expected MODULE=BACKEND", item);
    snprintf(request, sizeof request, "set\n%.*s\n%s", (int)(equals - item), item, equals + 1);
    return ask(pid, request);
}

static int with_module(pid_t pid, const char *verb, const char *module)
{
    char request[600];
    if (!is_name(module, strlen(module)))
        return arguments_wrong(NAME, "%s: a module's name has 1 to 255 bytes", verb);
    snprintf(request, sizeof request, "%s\n%s", verb, module);
    return ask(pid, request);
}

/* PID VERB [OPERAND] */
static int run(int count, const char *const *operands)
{
    static const char *const verbs[] = {"reload", "trim", "set", "unset"};
    static const int least[] = {2, 2, 3, 3}, most[] = {2, 3, 3, 3};
    if (count < 2)
        return arguments_wrong(NAME, count == 0 ? "no process is named" : "no command is given");
    pid_t pid = peer_parse_pid(operands[0]);
    if (pid == 0)
        return arguments_wrong(NAME, "\"%s\" is no process's number", operands[0]);
    size_t verb = 0;
    while (verb < 4 && strcmp(verbs[verb], operands[1]) != 0)
        verb++;
    if (verb == 4)
        return arguments_wrong(NAME, "unknown command \"%s\"; use reload, trim, set or unset",
                               operands[1]);
    if (count < least[verb])
        return arguments_wrong(NAME, "%s needs %s", verbs[verb],
                               verb == 2 ? "MODULE=BACKEND" : "a MODULE");
    if (count > most[verb])
        return arguments_wrong(NAME, "\"%s\" is one argument too many", operands[most[verb]]);
    if (verb == 2)
        return set(pid, operands[2]);
    return count == 3 ? with_module(pid, verbs[verb], operands[2]) : ask(pid, verbs[verb]);
}

int ctl_main(int argc, char **argv)
{
    const char *operands[4], *value;
    int count = 0, index;
    struct arguments arguments;
    arguments_begin(&arguments, NAME, specs, argc, argv);
    for (;;) {
        switch (arguments_next(&arguments, &index, &value)) {
        case ARGUMENTS_OPERAND:
            if (count == 4)
                return arguments_wrong(NAME, "\"%s\" is one argument too many", value);
            operands[count++] = value;
            break;
        case ARGUMENTS_HELP:
            fputs(help, stdout);
            return EXIT_GOOD;
        case ARGUMENTS_VERSION:
            return arguments_print_version();
        case ARGUMENTS_OPTION:
        case ARGUMENTS_WRONG:
            return EXIT_USAGE;
        case ARGUMENTS_END:
            return run(count, operands);
        }
    }
}
