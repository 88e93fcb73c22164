/* error.h - the last failure of each thread, as a result and a text. */
#ifndef SLUICE_CORE_ERROR_H
#define SLUICE_CORE_ERROR_H

#include <sluice/sluice.h>

/* Records the text (printf style, cut at 4,095 bytes) and returns the result, so that a failure is one statement:
 *     return error_set(SLUICE_ERROR_UNKNOWN, "no backend \"%s\" ...", name); */
enum sluice_result error_set(enum sluice_result result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Gives back the calling thread's text; for thread exit. */
void error_thread_exit(void);

#endif
