#include "config/units.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first within each family: what units_size() and units_duration() go through. */
static const struct unit size_units[] = {
    {"TiB", UINT64_C(1) << 40},
    {"GiB", UINT64_C(1) << 30},
    {"MiB", UINT64_C(1) << 20},
    {"KiB", UINT64_C(1) << 10},
    {"B", 1},
    {"TB", 1000000000000},
    {"GB", 1000000000},
    {"MB", 1000000},
    {"KB", 1000},
    {"kB", 1000},
    {NULL, 0},
};

static const struct unit duration_units[] = {
    {"h", 3600000000000}, {"m", 60000000000}, {"s", 1000000000}, {"ms", 1000000},
    {"us", 1000},         {"ns", 1},          {NULL, 0},
};

/* What people write elsewhere. */
static const struct {
    const char *written, *meant;
} size_habits[] = {{"K", "KiB"},  {"M", "MiB"},   {"G", "GiB"},  {"T", "TiB"},
                   {"KI", "KiB"}, {"MI", "MiB"},  {"GI", "GiB"}, {"TI", "TiB"},
                   {"byte", "B"}, {"bytes", "B"}, {NULL, NULL}},
  duration_habits[] = {{"sec", "s"},   {"secs", "s"},  {"second", "s"},  {"seconds", "s"},
                       {"min", "m"},   {"mins", "m"},  {"minute", "m"},  {"minutes", "m"},
                       {"hour", "h"},  {"hours", "h"}, {"hr", "h"},      {"msec", "ms"},
                       {"usec", "us"}, {"nsec", "ns"}, {"millis", "ms"}, {"\xc2\xb5s", "us"},
                       {NULL, NULL}};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A decimal number as whole + fraction / scale. */
struct decimal {
    uint64_t whole, fraction, scale;
};

#define FRACTION_SCALE UINT64_C(1000000000) /* nine digits are kept; more have no effect */

static enum units_result parse_decimal(const char *text, struct decimal *out, const char **end)
{
    const char *c = text;
    *out = (struct decimal){.scale = 1};
    if (*c == '-' && is_digit(c[1]))
        return UNITS_NEGATIVE;
    if (!is_digit(*c))
        return UNITS_NOT_A_NUMBER;
    if (c[0] == '0' && is_digit(c[1]))
        return UNITS_LEADING_ZERO;
    bool overflow = false;
    for (; is_digit(*c); c++) {
        overflow |= __builtin_mul_overflow(out->whole, 10, &out->whole);
        overflow |= __builtin_add_overflow(out->whole, (uint64_t)(*c - '0'), &out->whole);
    }
    if (*c == '.' && is_digit(c[1])) {
        for (c++; is_digit(*c); c++) {
            if (out->scale < FRACTION_SCALE) {
                out->fraction = out->fraction * 10 + (uint64_t)(*c - '0');
                out->scale *= 10;
            }
        }
    }
    *end = c;
    return overflow ? UNITS_TOO_LARGE : UNITS_OK;
}

static enum units_result scale(const struct decimal *number, uint64_t factor, uint64_t *out)
{
    unsigned __int128 total = (unsigned __int128)number->whole * factor +
                              (unsigned __int128)number->fraction * factor / number->scale;
    if (total > UINT64_MAX)
        return UNITS_TOO_LARGE;
    *out = (uint64_t)total;
    return UNITS_OK;
}

static enum units_result parse(const char *text, const struct unit *units, bool unit_needed,
                               uint64_t *out, const char **unit)
{
    struct decimal number;
    const char *rest = "";
    enum units_result result = parse_decimal(text, &number, &rest);
    if (result != UNITS_OK)
        return result;
    if (*rest == ' ')
        rest++;
    if (unit)
        *unit = rest;
    if (*rest == '\0') {
        if (unit_needed && (number.whole != 0 || number.fraction != 0))
            return UNITS_NO_UNIT;
        if (number.fraction != 0)
            return UNITS_FRACTION;
        *out = number.whole;
        return UNITS_OK;
    }
    for (size_t i = 0; units[i].name; i++) {
        if (strcmp(units[i].name, rest) != 0)
            continue;
        if (units[i].factor == 1 && number.fraction != 0)
            return UNITS_FRACTION;
        return scale(&number, units[i].factor, out);
    }
    return UNITS_UNKNOWN_UNIT;
}

enum units_result units_parse_size(const char *text, uint64_t *bytes, const char **unit)
{
    return parse(text, size_units, false, bytes, unit);
}

enum units_result units_parse_duration(const char *text, uint64_t *nanoseconds, const char **unit)
{
    return parse(text, duration_units, true, nanoseconds, unit);
}

enum units_result units_parse_count(const char *text, uint64_t *count)
{
    struct decimal number;
    const char *rest = "";
    enum units_result result = parse_decimal(text, &number, &rest);
    if (result != UNITS_OK)
        return result;
    if (*rest != '\0')
        return UNITS_NOT_A_NUMBER;
    if (number.scale != 1)
        return UNITS_FRACTION;
    *count = number.whole;
    return UNITS_OK;
}

const char *units_suggest_size(const char *unit)
{
    for (size_t i = 0; size_units[i].name; i++) {
        if (strcasecmp(size_units[i].name, unit) == 0)
            return size_units[i].name;
    }
    for (size_t i = 0; size_habits[i].written; i++) {
        if (strcasecmp(size_habits[i].written, unit) == 0)
            return size_habits[i].meant;
    }
    return NULL;
}

const char *units_suggest_duration(const char *unit)
{
    for (size_t i = 0; duration_units[i].name; i++) {
        if (strcasecmp(duration_units[i].name, unit) == 0)
            return duration_units[i].name;
    }
    for (size_t i = 0; duration_habits[i].written; i++) {
        if (strcasecmp(duration_habits[i].written, unit) == 0)
            return duration_habits[i].meant;
    }
    return NULL;
}

static struct units_text format(uint64_t value, const struct unit *units)
{
    struct units_text out;
    for (size_t i = 0; units[i].factor > 1; i++) {
        if (value != 0 && value % units[i].factor == 0) {
            snprintf(out.text, sizeof(out.text), "%llu%s",
                     (unsigned long long)(value / units[i].factor), units[i].name);
            return out;
        }
    }
    snprintf(out.text, sizeof(out.text), "%llu", (unsigned long long)value);
    return out;
}

struct units_text units_size(uint64_t bytes)
{
    return format(bytes, size_units);
}

struct units_text units_duration(uint64_t nanoseconds)
{
    struct units_text out = format(nanoseconds, duration_units);
    if (nanoseconds % 1000 != 0)
        snprintf(out.text, sizeof(out.text), "%lluns", (unsigned long long)nanoseconds);
    else if (nanoseconds == 0)
        snprintf(out.text, sizeof(out.text), "0s");
    return out;
}
