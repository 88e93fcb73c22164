/* check.c - `sluice check`: the policy reader, alone. */
#include "config/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/text.h"
#include "core/meta.h"
#include "tools/sluice/arguments.h"
#include "tools/sluice/commands.h"

#define NAME "sluice check"

static const char help[] =
    "Usage: sluice check [--json] [--print] POLICY...\n"
    "Reads each policy as a program would, and names everything that is wrong with it.\n"
    "\n"
    "Problems go to standard error, one a line: FILE:LINE:COLUMN: error|warning: TEXT.\n"
    "Standard output has one line for each policy that is valid. Warnings do not make a\n"
    "policy invalid.\n"
    "\n"
    "Options:\n"
    "  --print   print each valid policy as it takes effect: included files merged, anchors\n"
    "            resolved, defaults filled in. The output is a policy again.\n"
    "  --json    print one JSON object to standard output instead, and nothing else:\n"
    "              {\"valid\": BOOL, \"policies\": [{\"policy\": PATH, \"valid\": BOOL,\n"
    "               \"errors\": COUNT, \"warnings\": COUNT, \"problems\": [{\"file\": PATH,\n"
    "               \"line\": N, \"column\": N, \"severity\": \"error\"|\"warning\",\n"
    "               \"message\": TEXT}], \"effective\": YAML}]}\n"
    "            At most 20 errors and 20 warnings are listed; the counts are of all. line\n"
    "            and column are null for a file as a whole. effective is there with --print.\n"
    "\n"
    "Exit status: 0 all policies are valid, 1 one is not, 2 wrong usage.\n";

enum { OPTION_JSON, OPTION_PRINT };
static const struct option_spec specs[] = {{"--json", false}, {"--print", false}, {NULL, false}};

/* The two outputs of a check, big enough for any policy. */
struct buffers {
    struct meta_region *region;
    char *out, *problems;
};

static bool check_one(const struct buffers *buffers, const char *path, unsigned flags, bool json,
                      bool first)
{
    struct text out, problems;
    text_init(&out, buffers->out, CHECK_TEXT_SIZE);
    text_init(&problems, buffers->problems, CHECK_TEXT_SIZE);
    bool valid = json ? check_json(path, flags, &out) : check_text(path, flags, &out, &problems);
    if (!first && (json || ((flags & CHECK_PRINT) != 0 && valid)))
        fputs(json ? ", " : "---\n", stdout);
    fwrite(out.data, 1, out.used, stdout);
    fflush(stdout);
    fwrite(problems.data, 1, problems.used, stderr);
    return valid;
}

static int check_all(int count, const char *const *paths, unsigned flags, bool json)
{
    struct buffers buffers = {.region = meta_region_create(0)};
    if (buffers.region) {
        buffers.out = meta_region_alloc(buffers.region, CHECK_TEXT_SIZE);
        buffers.problems = meta_region_alloc(buffers.region, CHECK_TEXT_SIZE);
    }
    if (!buffers.out || !buffers.problems) {
        fprintf(stderr, NAME ": no memory\n");
        meta_region_destroy(buffers.region);
        return EXIT_FAILED;
    }
    bool valid = true;
    if (json)
        fputs("{\"policies\": [", stdout);
    for (int i = 0; i < count; i++)
        valid &= check_one(&buffers, paths[i], flags, json, i == 0);
    if (json)
        printf("], \"valid\": %s}\n", valid ? "true" : "false");
    meta_region_destroy(buffers.region);
    return valid ? EXIT_GOOD : EXIT_FAILED;
}

/* Reads the arguments, and checks. paths has room for as many as there are arguments. */
static int run(const char **paths, int argc, char **argv)
{
    int count = 0, index;
    unsigned flags = 0;
    bool json = false;
    const char *value;
    struct arguments arguments;
    arguments_begin(&arguments, NAME, specs, argc, argv);
    for (;;) {
        switch (arguments_next(&arguments, &index, &value)) {
        case ARGUMENTS_OPTION:
            json |= index == OPTION_JSON;
            flags |= index == OPTION_PRINT ? CHECK_PRINT : 0;
            break;
        case ARGUMENTS_OPERAND:
            paths[count++] = value;
            break;
        case ARGUMENTS_HELP:
            fputs(help, stdout);
            return EXIT_GOOD;
        case ARGUMENTS_VERSION:
            return arguments_print_version();
        case ARGUMENTS_WRONG:
            return EXIT_USAGE;
        case ARGUMENTS_END:
            if (count == 0)
                return arguments_wrong(NAME, "no policy is named");
            return check_all(count, paths, flags, json);
        }
    }
}

int check_main(int argc, char **argv)
{
    const char **paths = calloc((size_t)argc + 1, sizeof(*paths));
    if (!paths) {
        fprintf(stderr, NAME ": no memory\n");
        return EXIT_FAILED;
    }
    int status = run(paths, argc, argv);
    free(paths);
    return status;
}
