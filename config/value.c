#include "config/value.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/node.h"
#include "config/report.h"
#include "config/text.h"
#include "config/units.h"
#include "config/words.h"

enum number { NUMBER_SIZE, NUMBER_DURATION, NUMBER_COUNT };

static const char *const expected[] = {
    "a size such as 4096, 64KiB or 2MiB",
    "a duration such as 10ms, 1s or 5m",
    "a whole number",
};

static struct units_text show(enum number number, uint64_t value)
{
    if (number == NUMBER_SIZE)
        return units_size(value);
    if (number == NUMBER_DURATION)
        return units_duration(value);
    struct units_text out;
    snprintf(out.text, sizeof(out.text), "%llu", (unsigned long long)value);
    return out;
}

static void report_unit(struct report *report, const struct node *node, const char *key,
                        enum number number, const char *unit)
{
    const char *meant =
        number == NUMBER_SIZE ? units_suggest_size(unit) : units_suggest_duration(unit);
    int digits = unit - node->text > 40 ? 40 : (int)(unit - node->text);
    if (meant)
        report_error(report, node->mark, "%s: unknown unit \"%s\"; did you mean \"%.*s%s\"?", key,
                     quoted(unit).text, digits, node->text, meant);
    else if (number == NUMBER_SIZE)
        report_error(report, node->mark,
                     "%s: unknown unit \"%s\"; sizes are written with B, KiB, MiB, GiB, TiB, "
                     "kB, MB, GB or TB",
                     key, quoted(unit).text);
    else
        report_error(report, node->mark,
                     "%s: unknown unit \"%s\"; durations are written with ns, us, ms, s, m or h",
                     key, quoted(unit).text);
}

/* What is wrong with a number that could not be read. */
static void report_number(struct report *report, const struct node *node, const char *key,
                          enum number number, enum units_result result, const char *unit)
{
    struct quoted text = quoted(node->text);
    switch (result) {
    case UNITS_UNKNOWN_UNIT:
        report_unit(report, node, key, number, unit);
        break;
    case UNITS_NO_UNIT:
        report_error(report, node->mark,
                     "%s: \"%s\" has no unit; did you mean \"%ss\"? Durations are written with "
                     "ns, us, ms, s, m or h",
                     key, text.text, text.text);
        break;
    case UNITS_NEGATIVE:
        report_error(report, node->mark, "%s: expected %s, found the negative \"%s\"", key,
                     expected[number], text.text);
        break;
    case UNITS_TOO_LARGE:
        report_error(report, node->mark, "%s: \"%s\" is too large: it does not fit in 64 bits", key,
                     text.text);
        break;
    case UNITS_LEADING_ZERO:
        report_error(report, node->mark,
                     "%s: \"%s\" could be read as octal; write it without the leading zero", key,
                     text.text);
        break;
    case UNITS_FRACTION:
        report_error(report, node->mark, "%s: expected %s, found the fraction \"%s\"", key,
                     number == NUMBER_SIZE ? "whole bytes" : expected[number], text.text);
        break;
    default:
        report_error(report, node->mark, "%s: expected %s, found \"%s\"", key, expected[number],
                     text.text);
    }
}

static bool value_number(struct report *report, const struct node *node, const char *key,
                         enum number number, uint64_t minimum, uint64_t maximum, uint64_t *out)
{
    if (node->type != NODE_SCALAR) {
        report_error(report, node->mark, "%s: expected %s, found %s", key, expected[number],
                     node_found(node).text);
        return false;
    }
    const char *unit = "";
    uint64_t value = 0;
    enum units_result result = number == NUMBER_SIZE ? units_parse_size(node->text, &value, &unit)
                               : number == NUMBER_DURATION
                                   ? units_parse_duration(node->text, &value, &unit)
                                   : units_parse_count(node->text, &value);
    if (result != UNITS_OK) {
        report_number(report, node, key, number, result, unit);
        return false;
    }
    if (value < minimum && maximum >= INT64_MAX) /* no bound that a person would know */ {
        report_error(report, node->mark, "%s: %s is too small; the least is %s", key,
                     quoted(node->text).text, show(number, minimum).text);
        return false;
    }
    if (value < minimum || value > maximum) {
        report_error(report, node->mark, "%s: %s is out of range, which is %s to %s", key,
                     quoted(node->text).text, show(number, minimum).text,
                     show(number, maximum).text);
        return false;
    }
    *out = value;
    return true;
}

bool value_size(struct report *report, const struct node *node, const char *key, uint64_t minimum,
                uint64_t maximum, uint64_t *out)
{
    return value_number(report, node, key, NUMBER_SIZE, minimum, maximum, out);
}

bool value_duration(struct report *report, const struct node *node, const char *key,
                    uint64_t minimum, uint64_t maximum, uint64_t *out)
{
    return value_number(report, node, key, NUMBER_DURATION, minimum, maximum, out);
}

bool value_count(struct report *report, const struct node *node, const char *key, uint64_t minimum,
                 uint64_t maximum, uint64_t *out)
{
    return value_number(report, node, key, NUMBER_COUNT, minimum, maximum, out);
}

bool value_bool(struct report *report, const struct node *node, const char *key, bool *out)
{
    /* YAML 1.1 has these for a plain scalar; a quoted one is a text. */
    static const char *const yes[] = {"true", "yes", "on", NULL};
    static const char *const no[] = {"false", "no", "off", NULL};
    for (size_t i = 0; node->type == NODE_SCALAR && node->plain && yes[i]; i++) {
        if (strcasecmp(node->text, yes[i]) == 0 || strcasecmp(node->text, no[i]) == 0) {
            *out = strcasecmp(node->text, yes[i]) == 0;
            return true;
        }
    }
    report_error(report, node->mark, "%s: expected true or false, found %s", key,
                 node_found(node).text);
    return false;
}

/* "a, b or c" */
struct choices {
    char text[240];
};

static struct choices list_words(const char *const *words, const char *last)
{
    struct choices out;
    struct text text;
    text_init(&text, out.text, sizeof(out.text));
    for (size_t i = 0; words[i]; i++)
        text_add(&text, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : last, words[i]);
    return out;
}

bool value_choice(struct report *report, const struct node *node, const char *key,
                  const char *const *words, uint64_t *out)
{
    const char *nearest = NULL;
    if (node->type == NODE_SCALAR) {
        struct words search;
        words_begin(&search, node->text);
        for (size_t i = 0; words[i]; i++) {
            if (strcmp(words[i], node->text) == 0) {
                *out = i;
                return true;
            }
            words_offer(&search, words[i]);
        }
        nearest = words_nearest(&search);
    }
    report_error(report, node->mark, "%s: expected %s, found %s%s%s%s", key,
                 list_words(words, " or ").text, node_found(node).text,
                 nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    return false;
}

bool value_name(struct report *report, const struct node *node, const char *key, const char *what)
{
    if (node->type != NODE_SCALAR) {
        report_error(report, node->mark, "%s: expected %s, found %s", key, what,
                     node_found(node).text);
        return false;
    }
    size_t length = strlen(node->text);
    if (length == 0 || length > 255) {
        report_error(report, node->mark, "%s: expected %s of 1 to 255 bytes, found %zu bytes", key,
                     what, length);
        return false;
    }
    for (const char *c = node->text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            report_error(report, node->mark, "%s: a control character in %s", key, what);
            return false;
        }
    }
    return true;
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (size_t i = 0; words && words[i]; i++) {
        if (strcmp(word, words[i]) == 0)
            return true;
    }
    return false;
}

static void offer_all(struct words *search, const char *const *words)
{
    for (size_t i = 0; words && words[i]; i++)
        words_offer(search, words[i]);
}

bool value_knows_keys(const struct node *map, const char *const *keys, const char *const *more)
{
    for (size_t i = 0; i < map->count; i++) {
        const char *key = map->pairs[i].key->text;
        if (!is_one_of(key, keys) && !is_one_of(key, more))
            return false;
    }
    return true;
}

bool value_check_keys(struct report *report, const struct node *map, const char *where,
                      const char *const *keys, const char *const *more)
{
    bool good = true;
    for (size_t i = 0; i < map->count; i++) {
        const struct node *key = map->pairs[i].key;
        if (is_one_of(key->text, keys) || is_one_of(key->text, more))
            continue;
        good = false;
        struct words search;
        words_begin(&search, key->text);
        offer_all(&search, keys);
        offer_all(&search, more);
        const char *nearest = words_nearest(&search);
        if (nearest)
            report_error(report, key->mark, "unknown key \"%s\" %s; did you mean \"%s\"?",
                         quoted(key->text).text, where, nearest);
        else
            report_error(report, key->mark, "unknown key \"%s\" %s; known keys: %s%s%s",
                         quoted(key->text).text, where,
                         list_words(keys, more && more[0] ? ", " : " and ").text,
                         more && more[0] ? (more[1] ? ", " : " and ") : "",
                         more ? list_words(more, " and ").text : "");
    }
    return good;
}

bool value_is_map(struct report *report, const struct node *node, const char *key,
                  const char *example)
{
    if (node->type == NODE_MAP)
        return true;
    report_error(report, node->mark, "%s: expected a map such as %s, found %s", key, example,
                 node_found(node).text);
    return false;
}

bool value_is_list(struct report *report, const struct node *node, const char *key,
                   const char *example)
{
    if (node->type == NODE_LIST)
        return true;
    report_error(report, node->mark, "%s: expected a list such as %s, found %s", key, example,
                 node_found(node).text);
    return false;
}
