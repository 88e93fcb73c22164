/* main.c - `sluice`: one program, its subcommands in a table. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

#include "config/words.h"
#include "tools/demo/demo.h"
#include "tools/sluice/arguments.h"
#include "tools/sluice/commands.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"check", check_main, "read policies and name every mistake by file, line and column"},
    {"explain", explain_main, "which rule and line of a policy decides for a module and a size"},
    {"run", run_main, "run an unmodified program with Sluice as its malloc"},
    {"stat", stat_main, "what each module of a running process holds"},
    {"top", top_main, "the same, live"},
    {"ctl", ctl_main, "tell a running process to reload, trim, or serve a module otherwise"},
    {"demo", demo_main, "the field report, reproduced and cured, with a chart"},
    {NULL, NULL, NULL},
};

static void print_help(FILE *to)
{
    fprintf(to, "Usage: sluice COMMAND [ARGUMENTS]\n"
                "Decides, from a policy, which allocator serves each module of a program.\n"
                "\n"
                "Commands:\n");
    for (const struct command *command = commands; command->name; command++)
        fprintf(to, "  %-10s%s\n", command->name, command->help);
    fprintf(to, "\n"
                "  sluice COMMAND --help    more about one of them\n"
                "  sluice --version         the version of Sluice\n"
                "\n"
                "Exit status: 0; 1 when what was asked failed; 2 for wrong usage.\n");
}

static int unknown(const char *name)
{
    struct words search;
    words_begin(&search, name);
    for (const struct command *command = commands; command->name; command++)
        words_offer(&search, command->name);
    const char *nearest = words_nearest(&search);
    if (nearest)
        return arguments_wrong("sluice", "unknown command \"%s\"; did you mean \"%s\"?", name,
                               nearest);
    return arguments_wrong("sluice", "unknown command \"%s\"", name);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2)
        return arguments_wrong("sluice", "no command is given");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return EXIT_GOOD;
    }
    if (strcmp(argv[1], "--version") == 0)
        return arguments_print_version();
    for (const struct command *command = commands; command->name; command++) {
        if (strcmp(command->name, argv[1]) == 0)
            return command->run(argc - 1, argv + 1);
    }
    return unknown(argv[1]);
}

int main(int argc, char **argv)
{
    int status = dispatch(argc, argv);
    /* A full disk must not look like success. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_GOOD) {
        fprintf(stderr, "sluice: standard output: %s\n", strerror(errno));
        status = EXIT_FAILED;
    }
    return status;
}
