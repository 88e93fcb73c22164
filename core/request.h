/* request.h - what a guest (guests.h) may ask to be changed: the public calls, by name. */
#ifndef SLUICE_CORE_REQUEST_H
#define SLUICE_CORE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define REQUEST_SIZE   1024 /* bytes of a request at most */
#define REQUEST_FIELDS 3
#define ANSWER_SIZE    8192

struct request {
    unsigned count;
    const char *field[REQUEST_FIELDS];
};

/* Parts the text, in place. false: it has too many fields, or an empty one. */
bool request_parse(char *text, struct request *out);

/* Carries out any but read and watch. false: it failed. The answer is text for a person. The porter. */
bool request_carry_out(const struct request *request, char *answer, size_t size);

#endif
