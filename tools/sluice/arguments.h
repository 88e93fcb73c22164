/* arguments.h - the arguments of a subcommand: options anywhere, the rest in order. */
#ifndef SLUICE_TOOLS_SLUICE_ARGUMENTS_H
#define SLUICE_TOOLS_SLUICE_ARGUMENTS_H

#include <stdbool.h>

struct option_spec {
    const char *name; /* "--json" */
    bool has_value;   /* --set VALUE or --set=VALUE */
};

struct arguments {
    const char *command;             /* "sluice check", for messages */
    const struct option_spec *specs; /* ends with a NULL name */
    int argc;
    char **argv;
    int at;
    bool only_operands; /* after -- */
};

enum arguments_kind {
    ARGUMENTS_END,
    ARGUMENTS_OPTION,  /* *index is which of specs, *value its value */
    ARGUMENTS_OPERAND, /* *value */
    ARGUMENTS_HELP,    /* --help or -h */
    ARGUMENTS_VERSION,
    ARGUMENTS_WRONG /* was said on standard error */
};

void arguments_begin(struct arguments *arguments, const char *command,
                     const struct option_spec *specs, int argc, char **argv);
enum arguments_kind arguments_next(struct arguments *arguments, int *index, const char **value);

/* Says on standard error what is wrong with the usage, in one line; returns EXIT_USAGE. */
int arguments_wrong(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints the version of Sluice; returns EXIT_GOOD. */
int arguments_print_version(void);

#endif
