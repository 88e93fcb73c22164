/* options.c - see options.h. */
#include "tools/demo/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/demo/layer.h"
#include "tools/demo/policies.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

#define SIZE_LEAST       (32 * MIB)
#define SIZE_DEFAULT_MAX (4 * GIB)
#define STAGES_MAX       100
#define REDIS_BYTES      (300 * MIB)

const char *scene_name(enum scene scene)
{
    static const char *const names[SCENE_COUNT] = {"one", "two", "three"};
    return names[scene];
}

void options_help(void)
{
    puts(
        "Usage: sluice demo balloon [OPTION…]\n"
        "\n"
        "Reproduces the report from the field: a program whose memory stays large after it was freed;\n"
        "and its cures, each one a policy. Scene one is that program, ten stages of gigabytes in 16\n"
        "threads. Scene two indexes the text files of /usr/include and /usr/share/doc in batches. Both\n"
        "run on plain glibc and under each policy, in a process of its own, and are measured from\n"
        "outside. Scene three is redis-server, unchanged: filled with 300 MiB, half of the keys\n"
        "deleted; under glibc, under the jemalloc that it is linked to, and with Sluice preloaded.\n"
        "Prints a table; writes the memory curves as CSV and, with gnuplot, as a chart.\n"
        "\n"
        "  --size SIZE      memory of a stage of scene one, such as 512MiB; default: a quarter of the\n"
        "                   memory there is, 4GiB at most\n"
        "  --stages N       stages of scene one and batches of scene two (default 10 and 2)\n"
        "  --threads N      threads (default 16 in scene one, 4 in scene two)\n"
        "  --seed N         start of the random numbers (default 1)\n"
        "  --scene WHICH    one, two, three or all (default all)\n"
        "  --only NAME      only this policy, beside plain glibc\n"
        "  --policy FILE    one more policy, measured beside the others\n"
        "  --output DIR     where the chart and the CSV files go (default ./sluice-demo)\n"
        "  --quick          small and short, for a first look and for tests\n"
        "  --no-warm-up     measure without touching the memory of a run once before it\n"
        "  --json           results as JSON on standard output, instead of the table\n"
        "  --strict         exit 1 unless the recommended policy meets the bar\n"
        "  --show-policies  print the policies and exit\n"
        "  --help           this text\n"
        "\n"
        "Exit status: 0; 1 when something failed to run or answers differ; 2 for wrong usage.");
}

static enum options_verdict wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("sluice: demo balloon: ", stderr);
    vfprintf(stderr, format, args);
    fputs(" (see --help)\n", stderr);
    va_end(args);
    return OPTIONS_WRONG;
}

static bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *out >= least && *out <= most;
}

/* As in a policy: a whole number and a unit, or bytes without one. */
static bool parse_size(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        uint64_t factor;
    } units[] = {{"", 1},      {"KiB", KIB},    {"MiB", MIB},      {"GiB", GIB},
                 {"KB", 1000}, {"MB", 1000000}, {"GB", 1000000000}};
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    for (size_t i = 0; errno == 0 && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name) == 0)
            return !__builtin_mul_overflow(number, units[i].factor, out);
    }
    return false;
}

static uint64_t default_size(uint64_t room)
{
    uint64_t size = room / 4;
    if (size > SIZE_DEFAULT_MAX)
        size = SIZE_DEFAULT_MAX;
    size -= size % (32 * MIB);
    return size < SIZE_LEAST ? SIZE_LEAST : size;
}

static void set_defaults(struct options *options, uint64_t room)
{
    *options = (struct options){
        .size = default_size(room),
        .stages = {10, 2, 1},
        .threads = {16, 4, 1},
        .text_max = 128 * MIB,
        .redis_bytes = room / 8 < REDIS_BYTES ? room / 8 : REDIS_BYTES,
        .seed = 1,
        .scenes = {true, true, true},
        .output = "sluice-demo",
        .settle_ms = 1000,
        .final_ms = 10000,
    };
}

static void set_quick(struct options *options)
{
    options->is_quick = true;
    options->size = 96 * MIB;
    options->stages[SCENE_ONE] = 3;
    options->stages[SCENE_TWO] = 2;
    options->threads[SCENE_ONE] = 4;
    options->threads[SCENE_TWO] = 2;
    options->text_max = 8 * MIB;
    options->redis_bytes = 16 * MIB;
    options->settle_ms = 250;
    options->final_ms = 1000;
}

/* Takes the value of option `name` at argv[*i]: "--name VALUE" or "--name=VALUE". */
static bool is_option(const char *name, int argc, char **argv, int *i, const char **value)
{
    size_t length = strlen(name);
    if (strncmp(argv[*i], name, length) != 0)
        return false;
    if (argv[*i][length] == '=') {
        *value = argv[*i] + length + 1;
        return true;
    }
    if (argv[*i][length] != '\0')
        return false;
    *value = *i + 1 < argc ? argv[++*i] : NULL;
    return true;
}

static bool parse_both(const char *text, uint64_t least, uint64_t most, unsigned out[SCENE_COUNT])
{
    uint64_t number;
    if (!parse_number(text, least, most, &number))
        return false;
    out[SCENE_ONE] = out[SCENE_TWO] = (unsigned)number;
    return true;
}

/* One option with a value. */
static enum options_verdict parse_valued(struct options *options, const char *name,
                                         const char *value, uint64_t room)
{
    if (value == NULL || *value == '\0')
        return wrong("%s needs a value", name);
    if (strcmp(name, "--size") == 0) {
        if (!parse_size(value, &options->size))
            return wrong("--size takes a size such as 512MiB or 2GiB, not '%s'", value);
        if (options->size < SIZE_LEAST)
            return wrong("--size is 32MiB at least, not %s", value);
        if (options->size > room / 2)
            return wrong("--size %s is more than half of the memory there is (%llu MiB)", value,
                         (unsigned long long)(room / MIB));
    } else if (strcmp(name, "--stages") == 0) {
        if (!parse_both(value, 2, STAGES_MAX, options->stages))
            return wrong("--stages takes a number from 2 to %d, not '%s'", STAGES_MAX, value);
    } else if (strcmp(name, "--threads") == 0) {
        if (!parse_both(value, 1, LAYER_MAX_THREADS - 1, options->threads))
            return wrong("--threads takes a number from 1 to %d, not '%s'", LAYER_MAX_THREADS - 1,
                         value);
    } else if (strcmp(name, "--seed") == 0) {
        if (!parse_number(value, 0, UINT64_MAX, &options->seed))
            return wrong("--seed takes a number, not '%s'", value);
    } else if (strcmp(name, "--scene") == 0) {
        bool is_all = strcmp(value, "all") == 0;
        bool is_known = is_all;
        for (enum scene scene = SCENE_ONE; scene < SCENE_COUNT; scene++) {
            options->scenes[scene] = is_all || strcmp(value, scene_name(scene)) == 0;
            is_known = is_known || options->scenes[scene];
        }
        options->is_one_scene = !is_all;
        if (!is_known)
            return wrong("--scene takes one, two, three or all, not '%s'", value);
    } else if (strcmp(name, "--only") == 0) {
        options->only = value;
        if (policies_find(value) == NULL)
            return wrong("there is no policy '%s'; there are: %s", value, policies_names());
    } else if (strcmp(name, "--policy") == 0) {
        options->policy_file = value;
    } else {
        options->output = value;
    }
    return OPTIONS_RUN;
}

enum options_verdict options_parse(struct options *options, int argc, char **argv, uint64_t room)
{
    static const char *const valued[] = {"--size",  "--stages", "--threads", "--seed",
                                         "--scene", "--only",   "--policy",  "--output"};
    bool shows_policies = false;
    set_defaults(options, room);
    /* First, so that other options change what it sets, wherever they stand. */
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            set_quick(options);
    }
    for (int i = 0; i < argc; i++) {
        const char *name = NULL, *value = NULL;
        for (size_t v = 0; name == NULL && v < sizeof(valued) / sizeof(valued[0]); v++) {
            if (is_option(valued[v], argc, argv, &i, &value))
                name = valued[v];
        }
        if (name != NULL) {
            if (parse_valued(options, name, value, room) == OPTIONS_WRONG)
                return OPTIONS_WRONG;
        } else if (strcmp(argv[i], "--json") == 0) {
            options->is_json = true;
        } else if (strcmp(argv[i], "--strict") == 0) {
            options->is_strict = true;
        } else if (strcmp(argv[i], "--no-warm-up") == 0) {
            options->is_cold = true;
        } else if (strcmp(argv[i], "--show-policies") == 0) {
            shows_policies = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return OPTIONS_HELP;
        } else if (strcmp(argv[i], "--quick") != 0) {
            return wrong("unknown option '%s'", argv[i]);
        }
    }
    return shows_policies ? OPTIONS_SHOW_POLICIES : OPTIONS_RUN;
}
