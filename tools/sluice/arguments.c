#include "tools/sluice/arguments.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

#include "config/words.h"
#include "tools/sluice/commands.h"

void arguments_begin(struct arguments *arguments, const char *command,
                     const struct option_spec *specs, int argc, char **argv)
{
    *arguments = (struct arguments){command, specs, argc, argv, 1, false};
}

static enum arguments_kind unknown(const struct arguments *arguments, const char *argument)
{
    struct words search;
    words_begin(&search, argument);
    words_offer(&search, "--help");
    words_offer(&search, "--version");
    for (const struct option_spec *spec = arguments->specs; spec->name; spec++)
        words_offer(&search, spec->name);
    const char *nearest = words_nearest(&search);
    if (nearest)
        arguments_wrong(arguments->command, "unknown option \"%s\"; did you mean \"%s\"?", argument,
                        nearest);
    else
        arguments_wrong(arguments->command, "unknown option \"%s\"", argument);
    return ARGUMENTS_WRONG;
}

static enum arguments_kind option(struct arguments *arguments, const char *argument, int *index,
                                  const char **value)
{
    size_t length = strcspn(argument, "=");
    for (int i = 0; arguments->specs[i].name; i++) {
        const struct option_spec *spec = &arguments->specs[i];
        if (strlen(spec->name) != length || strncmp(spec->name, argument, length) != 0)
            continue;
        *index = i;
        *value = argument[length] == '=' ? argument + length + 1 : NULL;
        if (!spec->has_value && *value) {
            arguments_wrong(arguments->command, "%s takes no value", spec->name);
            return ARGUMENTS_WRONG;
        }
        if (spec->has_value && !*value && arguments->at < arguments->argc)
            *value = arguments->argv[arguments->at++];
        if (spec->has_value && !*value) {
            arguments_wrong(arguments->command, "%s needs a value", spec->name);
            return ARGUMENTS_WRONG;
        }
        return ARGUMENTS_OPTION;
    }
    return unknown(arguments, argument);
}

enum arguments_kind arguments_next(struct arguments *arguments, int *index, const char **value)
{
    if (arguments->at >= arguments->argc)
        return ARGUMENTS_END;
    const char *argument = arguments->argv[arguments->at++];
    if (!arguments->only_operands && strcmp(argument, "--") == 0) {
        arguments->only_operands = true;
        return arguments_next(arguments, index, value);
    }
    if (arguments->only_operands || argument[0] != '-' || argument[1] == '\0') {
        *value = argument;
        return ARGUMENTS_OPERAND;
    }
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
        return ARGUMENTS_HELP;
    if (strcmp(argument, "--version") == 0)
        return ARGUMENTS_VERSION;
    return option(arguments, argument, index, value);
}

int arguments_wrong(const char *command, const char *format, ...)
{
    char message[512];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof(message), format, list);
    va_end(list);
    bool asks = message[0] != '\0' && message[strlen(message) - 1] == '?';
    fprintf(stderr, "%s: %s%s %s --help\n", command, message, asks ? " See" : "; see", command);
    return EXIT_USAGE;
}

int arguments_print_version(void)
{
    printf("sluice %s\n", SLUICE_VERSION);
    return EXIT_GOOD;
}
