#include "config/utf8.h"

#include <stdbool.h>

/* Bytes of the character at s, or 0 when it is none: too long a form, a surrogate, or beyond
 * U+10FFFF. */
static size_t read_character(const unsigned char *s, size_t left, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    *code = s[0];
    if (s[0] < 0x80)
        return 1;
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || length > left)
        return 0;
    *code = s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (s[i] & 0x3fu);
    }
    if (*code < least[length] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
        return 0;
    return length;
}

/* What YAML leaves out of its character set. */
static bool is_control(uint32_t code)
{
    return (code < 0x20 && code != '\t' && code != '\n' && code != '\r') ||
           (code >= 0x7f && code < 0xa0 && code != 0x85) || code == 0xfffe || code == 0xffff;
}

const char *utf8_find_mistake(const char *text, size_t length, uint32_t *line, uint32_t *column)
{
    const unsigned char *s = (const unsigned char *)text;
    *line = *column = 1;
    if (length >= 2 && ((s[0] == 0xff && s[1] == 0xfe) || (s[0] == 0xfe && s[1] == 0xff)))
        return "this is UTF-16: a policy is UTF-8 text";
    for (size_t i = 0; i < length;) {
        uint32_t code;
        size_t bytes = read_character(s + i, length - i, &code);
        if (bytes == 0)
            return "not UTF-8 text";
        if (code == 0)
            return "a NUL byte: a policy is text";
        if (is_control(code))
            return "a control character: a policy is text";
        if (s[i] == '\n') {
            (*line)++;
            *column = 1;
        } else {
            (*column)++;
        }
        i += bytes;
    }
    return NULL;
}
