/* text.h - writing into a buffer of fixed size: what does not fit is cut, never allocated.
 *
 * Invariant: data[0 .. used] always ends in NUL, and cut tells whether something was left out.
 */
#ifndef SLUICE_CONFIG_TEXT_H
#define SLUICE_CONFIG_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct text {
    char *data;
    size_t size, used;
    bool cut;
};

/* size 0 is allowed: then nothing is ever written. */
void text_init(struct text *text, char *buffer, size_t size);
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_list(struct text *text, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/* Goes back to an earlier value of `used`: for what shall appear whole or not at all. */
void text_rewind(struct text *text, size_t used);

/* s as a JSON string, quotes included; NULL is null. */
void text_add_json(struct text *text, const char *s);

/* s as a YAML scalar that reads back as the same string; quoted where it must be. */
void text_add_yaml(struct text *text, const char *s);

/* A string of the policy as messages show it: cut to a readable length at the border of a
 * character. Returned by value, to be used inside one expression: quoted(name).text */
struct quoted {
    char text[72];
};
struct quoted quoted(const char *s);

#endif
