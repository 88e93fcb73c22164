/* request.c - see request.h. */
#include "core/request.h"

#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

#include "core/module.h"

bool request_parse(char *text, struct request *out)
{
    out->count = 0;
    while (out->count < REQUEST_FIELDS) {
        char *end = strchr(text, '\n');
        out->field[out->count++] = text;
        if (*text == '\0' || end == text)
            return false;
        if (end == NULL)
            return true;
        *end = '\0';
        text = end + 1;
    }
    return false;
}

/* SLUICE_MODULE_INVALID: there is none of that name. Makes none. */
static sluice_module find_module(const char *name)
{
    for (uint32_t i = 0; i < module_count(); i++)
        if (strcmp(module_get((sluice_module)i)->name, name) == 0)
            return (sluice_module)i;
    return SLUICE_MODULE_INVALID;
}

static bool failed(const char *what, char *answer, size_t size)
{
    snprintf(answer, size, "%s%s", what, sluice_error_message());
    return false;
}

static bool reload(char *answer, size_t size)
{
    if (sluice_policy_reload() != SLUICE_OK)
        return failed("", answer, size);
    struct sluice_reload_status s = {.struct_size = sizeof s};
    sluice_reload_status(&s);
    snprintf(answer, size, "generation %llu%s%s", (unsigned long long)s.generation,
             s.last_report[0] == '\0' ? "" : "\n", s.last_report);
    return true;
}

static bool trim(const char *module, char *answer, size_t size)
{
    sluice_module m = module == NULL ? SLUICE_MODULE_ALL : find_module(module);
    if (m == SLUICE_MODULE_INVALID) {
        snprintf(answer, size, "the process has no module \"%s\"", module);
        return false;
    }
    snprintf(answer, size, "%zu bytes given back", sluice_trim(m));
    return true;
}

static bool override(const char *module, const char *backend, char *answer, size_t size)
{
    if (sluice_module_override(module, backend) != SLUICE_OK)
        return failed("", answer, size);
    const char *note = find_module(module) == SLUICE_MODULE_INVALID
                           ? "; no module of that name has allocated yet"
                           : "";
    if (backend == NULL)
        snprintf(answer, size, "module \"%s\": as the policy says%s", module, note);
    else
        snprintf(answer, size, "module \"%s\": backend \"%s\" for new allocations%s", module,
                 backend, note);
    return true;
}

bool request_carry_out(const struct request *request, char *answer, size_t size)
{
    const char *verb = request->field[0];
    unsigned n = request->count - 1; /* arguments */
    if (strcmp(verb, "reload") == 0 && n == 0)
        return reload(answer, size);
    if (strcmp(verb, "trim") == 0 && n <= 1)
        return trim(n == 1 ? request->field[1] : NULL, answer, size);
    if (strcmp(verb, "set") == 0 && n == 2)
        return override(request->field[1], request->field[2], answer, size);
    if (strcmp(verb, "unset") == 0 && n == 1)
        return override(request->field[1], NULL, answer, size);
    snprintf(answer, size, "Sluice %s knows no request \"%.40s\" with %u arguments", SLUICE_VERSION,
             verb, n);
    return false;
}
