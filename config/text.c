#include "config/text.h"

#include <stdio.h>
#include <string.h>

void text_init(struct text *text, char *buffer, size_t size)
{
    *text = (struct text){.data = buffer, .size = size};
    if (size > 0)
        buffer[0] = '\0';
}

void text_add_list(struct text *text, const char *format, va_list arguments)
{
    size_t room = text->size - text->used;
    if (room == 0) {
        text->cut = true;
        return;
    }
    int length = vsnprintf(text->data + text->used, room, format, arguments);
    if (length < 0)
        text->data[text->used] = '\0';
    if (length < 0 || (size_t)length >= room) {
        text->cut = true;
        text->used += strlen(text->data + text->used);
    } else {
        text->used += (size_t)length;
    }
}

void text_add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_add_list(text, format, arguments);
    va_end(arguments);
}

void text_rewind(struct text *text, size_t used)
{
    if (used >= text->size)
        return;
    text->used = used;
    text->data[used] = '\0';
}

void text_add_json(struct text *text, const char *s)
{
    if (!s) {
        text_add(text, "null");
        return;
    }
    text_add(text, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            text_add(text, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            text_add(text, "\\u%04x", c);
        else
            text_add(text, "%c", c);
    }
    text_add(text, "\"");
}

/* Plain is kept for what no reader of YAML could take for something else. */
static bool is_plain(const char *s)
{
    static const char *const special[] = {"true", "false", "yes", "no", "on",
                                          "off",  "null",  "y",   "n",  NULL};
    size_t length = strlen(s);
    if (length == 0 || length != strspn(s, "abcdefghijklmnopqrstuvwxyz"
                                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-"))
        return false;
    if (strchr("-.0123456789", s[0]))
        return false;
    for (size_t i = 0; special[i]; i++) {
        if (strcasecmp(s, special[i]) == 0)
            return false;
    }
    return true;
}

/* Characters beyond ASCII that break lines or are not allowed to stand as they are. */
static const struct {
    const char *bytes, *escape;
} yaml_escapes[] = {
    {"\xc2\x85", "\\N"},         {"\xe2\x80\xa8", "\\L"},     {"\xe2\x80\xa9", "\\P"},
    {"\xef\xbb\xbf", "\\uFEFF"}, {"\xef\xbf\xbe", "\\uFFFE"}, {"\xef\xbf\xbf", "\\uFFFF"},
};

/* Writes the escape for what s begins with; returns how many bytes that stood for, or 0. */
static size_t add_yaml_escape(struct text *text, const char *s)
{
    unsigned char c = (unsigned char)s[0], next = (unsigned char)s[1];
    for (size_t i = 0; i < sizeof(yaml_escapes) / sizeof(yaml_escapes[0]); i++) {
        size_t length = strlen(yaml_escapes[i].bytes);
        if (strncmp(s, yaml_escapes[i].bytes, length) == 0) {
            text_add(text, "%s", yaml_escapes[i].escape);
            return length;
        }
    }
    if (c == '"' || c == '\\') {
        text_add(text, "\\%c", c);
        return 1;
    }
    if (c < 0x20 || c == 0x7f) {
        text_add(text, "\\x%02x", c);
        return 1;
    }
    if (c == 0xc2 && next < 0xa0) {
        text_add(text, "\\x%02x", next);
        return 2;
    }
    return 0;
}

void text_add_yaml(struct text *text, const char *s)
{
    if (is_plain(s)) {
        text_add(text, "%s", s);
        return;
    }
    text_add(text, "\"");
    while (*s) {
        size_t length = add_yaml_escape(text, s);
        if (length == 0)
            text_add(text, "%c", *s);
        s += length > 0 ? length : 1;
    }
    text_add(text, "\"");
}

struct quoted quoted(const char *s)
{
    struct quoted q;
    size_t length = strlen(s), most = sizeof(q.text) - sizeof("...");
    if (length <= most) {
        memcpy(q.text, s, length + 1);
        return q;
    }
    length = most;
    while (length > 0 && ((unsigned char)s[length] & 0xc0) == 0x80)
        length--;
    memcpy(q.text, s, length);
    memcpy(q.text + length, "...", sizeof("..."));
    return q;
}
