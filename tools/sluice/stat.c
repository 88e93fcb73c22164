/* stat.c - `sluice stat`: one reading of a running process. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/sluice/arguments.h"
#include "tools/sluice/commands.h"
#include "tools/sluice/figures.h"
#include "tools/sluice/peer.h"

#define NAME "sluice stat"

static const char help[] =
    "Usage: sluice stat [--json|--prometheus] PID\n"
    "One reading of a running process that has Sluice: what each module holds, and how its last\n"
    "reload went. The process is neither stopped nor slowed. It must be one's own, or one must\n"
    "be root.\n"
    "\n"
    "Options:\n"
    "  --json         one JSON object: format (1), pid, command, time (seconds since 1970);\n"
    "                 process: {modules, threads, arenas, draining_arenas, live_bytes,\n"
    "                  cached_bytes, metadata_bytes, chunk_bytes, reserved_bytes, lazy_bytes};\n"
    "                 reload: {generation, attempts, successes, failures, last_attempt,\n"
    "                  last_success (seconds since 1970 or null), policy (path or null),\n"
    "                  error (text or null), report (list of lines)};\n"
    "                 modules: [{module, backends (list, in the order of the route),\n"
    "                  overridden, live_objects, live_bytes, peak_live_bytes,\n"
    "                  allocated_objects, freed_objects, failed_allocations, resident_bytes,\n"
    "                  cached_bytes, metadata_bytes, limit_bytes (or null), draining_bytes}]\n"
    "                 Members may be added; those named here stay while format is 1.\n"
    "  --prometheus   OpenMetrics text, version 1.0.0\n"
    "\n"
    "Exit status: 0; 1 the process cannot be read: it has ended, hangs, has no Sluice, or is\n"
    "another user's; 2 wrong usage.\n";

enum { OPTION_JSON, OPTION_PROMETHEUS };
static const struct option_spec specs[] = {
    {"--json", false}, {"--prometheus", false}, {NULL, false}};

static int print(pid_t pid, bool json, bool prometheus)
{
    struct peer peer;
    struct page *page = peer_visit(&peer, pid) ? peer_read(&peer, 0) : NULL;
    peer_leave(&peer);
    if (page == NULL) {
        fprintf(stderr, NAME ": process %d: %s\n", (int)pid, peer.why);
        return EXIT_FAILED;
    }
    if (json)
        figures_json(page, pid, stdout);
    else if (prometheus)
        figures_openmetrics(page, stdout);
    else
        figures_text(page, pid, stdout);
    free(page);
    return EXIT_GOOD;
}

int stat_main(int argc, char **argv)
{
    bool given[2] = {false, false};
    const char *value, *text = NULL;
    int index;
    struct arguments arguments;
    arguments_begin(&arguments, NAME, specs, argc, argv);
    for (;;) {
        switch (arguments_next(&arguments, &index, &value)) {
        case ARGUMENTS_OPTION:
            given[index] = true;
            break;
        case ARGUMENTS_OPERAND:
            if (text != NULL)
                return arguments_wrong(NAME, "\"%s\" is one argument too many", value);
            text = value;
            break;
        case ARGUMENTS_HELP:
            fputs(help, stdout);
            return EXIT_GOOD;
        case ARGUMENTS_VERSION:
            return arguments_print_version();
        case ARGUMENTS_WRONG:
            return EXIT_USAGE;
        case ARGUMENTS_END:
            if (given[OPTION_JSON] && given[OPTION_PROMETHEUS])
                return arguments_wrong(NAME, "either --json or --prometheus");
            if (text == NULL)
                return arguments_wrong(NAME, "no process is named");
            if (peer_parse_pid(text) == 0)
                return arguments_wrong(NAME, "\"%s\" is no process's number", text);
            return print(peer_parse_pid(text), given[OPTION_JSON], given[OPTION_PROMETHEUS]);
        }
    }
}
