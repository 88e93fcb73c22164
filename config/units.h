/* units.h - sizes and durations as a policy writes them: 64KiB, 1.5GiB, 1MB, 4096; 10ms, 1s, 5m,
 * 0.
 *
 * KiB MiB GiB TiB are powers of 1024; kB KB MB GB TB powers of 1000; no unit or B is bytes.
 * Durations need a unit (ns us ms s m h), except 0, and are nanoseconds inside. A space before
 * the unit is allowed. A fraction is rounded down to whole bytes or nanoseconds. */
#ifndef SLUICE_CONFIG_UNITS_H
#define SLUICE_CONFIG_UNITS_H

#include <stddef.h>
#include <stdint.h>

enum units_result {
    UNITS_OK,
    UNITS_NOT_A_NUMBER,
    UNITS_NEGATIVE,
    UNITS_TOO_LARGE,    /* beyond 64 bits */
    UNITS_UNKNOWN_UNIT, /* *unit is what was written */
    UNITS_NO_UNIT,      /* a duration without one */
    UNITS_LEADING_ZERO, /* 010: eight in YAML 1.1, ten to everybody else */
    UNITS_FRACTION      /* of a byte, or of a count */
};

/* *unit (may be NULL) is set to where the unit starts in text. */
enum units_result units_parse_size(const char *text, uint64_t *bytes, const char **unit);
enum units_result units_parse_duration(const char *text, uint64_t *nanoseconds, const char **unit);
enum units_result units_parse_count(const char *text, uint64_t *count);

/* What a person most likely meant by a unit that does not exist, or NULL. */
const char *units_suggest_size(const char *unit);
const char *units_suggest_duration(const char *unit);

/* In the largest unit that leaves no fraction: reads back as the same number. By value, for use
 * inside one expression: units_size(n).text */
struct units_text {
    char text[32];
};
struct units_text units_size(uint64_t bytes);
struct units_text units_duration(uint64_t nanoseconds);

#endif
