#include "core/glob.h"

#include <stddef.h>
#include <string.h>

static bool in_class(const char *name, size_t length, unsigned char c)
{
    bool is_lower = c >= 'a' && c <= 'z', is_upper = c >= 'A' && c <= 'Z';
    bool is_digit = c >= '0' && c <= '9', is_graph = c > 0x20 && c < 0x7f;
    const struct {
        const char *name;
        bool holds;
    } classes[] = {
        {"alpha", is_lower || is_upper},
        {"digit", is_digit},
        {"alnum", is_lower || is_upper || is_digit},
        {"lower", is_lower},
        {"upper", is_upper},
        {"punct", is_graph && !is_lower && !is_upper && !is_digit},
        {"graph", is_graph},
        {"print", is_graph || c == ' '},
        {"space", c == ' ' || (c >= '\t' && c <= '\r')},
        {"blank", c == ' ' || c == '\t'},
        {"cntrl", c < 0x20 || c == 0x7f},
        {"xdigit", is_digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')},
    };
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (strlen(classes[i].name) == length && memcmp(classes[i].name, name, length) == 0)
            return classes[i].holds;
    }
    return false;
}

/* One element of a set at *at: a byte, escaped or not. Moves on; false at the end of the
 * pattern. */
static bool set_byte(const char **at, unsigned char *out)
{
    if (**at == '\\' && (*at)[1] != '\0')
        (*at)++;
    if (**at == '\0')
        return false;
    *out = (unsigned char)*(*at)++;
    return true;
}

/* The set that starts after '[' against c: where the set ends, or NULL when it has no end (then the
 * bracket stands for itself). */
static const char *match_set(const char *set, unsigned char c, bool *fits)
{
    bool negated = *set == '!' || *set == '^', found = false;
    if (negated)
        set++;
    for (bool first = true; first || *set != ']'; first = false) {
        const char *end = set[0] == '[' && set[1] == ':' ? strstr(set + 2, ":]") : NULL;
        if (end) {
            found |= in_class(set + 2, (size_t)(end - set - 2), c);
            set = end + 2;
            continue;
        }
        unsigned char low, high;
        if (!set_byte(&set, &low))
            return NULL;
        high = low;
        if (set[0] == '-' && set[1] != ']' && set[1] != '\0') {
            set++;
            if (!set_byte(&set, &high))
                return NULL;
        }
        found |= low <= c && c <= high;
    }
    *fits = found != negated;
    return set + 1;
}

/* One element of the pattern that is not '*' against c: where the pattern goes on, or NULL. */
static const char *match_one(const char *pattern, unsigned char c)
{
    if (*pattern == '?')
        return pattern + 1;
    if (*pattern == '[') {
        bool fits = false;
        const char *next = match_set(pattern + 1, c, &fits);
        if (next)
            return fits ? next : NULL;
    }
    if (*pattern == '\\' && pattern[1] != '\0')
        pattern++;
    return (unsigned char)*pattern == c ? pattern + 1 : NULL;
}

bool glob_match(const char *pattern, const char *name)
{
    /* Only the last '*' need ever be tried again: an earlier one that takes more could not fit
     * better. */
    const char *star = NULL, *star_name = NULL;
    for (;;) {
        if (*pattern == '*') {
            star = ++pattern;
            star_name = name;
            continue;
        }
        if (*name == '\0')
            return *pattern == '\0';
        const char *next = *pattern ? match_one(pattern, (unsigned char)*name) : NULL;
        if (next) {
            pattern = next;
            name++;
        } else if (star) {
            pattern = star;
            name = ++star_name;
        } else {
            return false;
        }
    }
}

bool glob_is_pattern(const char *text)
{
    return text[strcspn(text, "*?[\\")] != '\0';
}
