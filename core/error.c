/* error.c - see error.h. The text is a thread-local buffer, mapped at the first failure: static thread
 * storage is scarce in a library that may be loaded late. */
#include "core/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <sluice/backend.h>

#include "core/os.h"
#include "core/thread.h"

#define TEXT_SIZE 4096

static __thread char *text;
static __thread const char *without_text; /* what is said when there is no memory for one */

enum sluice_result error_set(enum sluice_result result, const char *format, ...)
{
    int saved = errno;
    if (text == NULL) {
        text = os_map(TEXT_SIZE, OS_PAGE_SIZE); /* no lock: also outside of sections */
        thread_wants_exit();                    /* so that error_thread_exit() gives it back */
    }
    without_text = text == NULL ? sluice_result_name(result) : NULL;
    if (text != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(text, TEXT_SIZE, format, args);
        va_end(args);
    }
    errno = saved;
    return result;
}

void error_thread_exit(void)
{
    if (text != NULL)
        os_unmap(text, TEXT_SIZE);
    text = NULL;
}

enum sluice_result sluice_backend_error(enum sluice_result result, const char *message)
{
    return error_set(result, "%s", message);
}

const char *sluice_error_message(void)
{
    return text != NULL ? text : without_text != NULL ? without_text : "";
}

const char *sluice_result_name(enum sluice_result result)
{
    switch (result) {
    case SLUICE_OK:
        return "success";
    case SLUICE_ERROR_INVALID:
        return "invalid argument";
    case SLUICE_ERROR_NO_MEMORY:
        return "out of memory";
    case SLUICE_ERROR_POLICY:
        return "mistake in the policy";
    case SLUICE_ERROR_IO:
        return "input or output error";
    case SLUICE_ERROR_UNKNOWN:
        return "unknown name";
    case SLUICE_ERROR_LIMIT:
        return "capacity used up";
    case SLUICE_ERROR_STATE:
        return "wrong state for this call";
    case SLUICE_ERROR_UNSUPPORTED:
        return "not supported";
    case SLUICE_ERROR_NOT_OWNED:
        return "pointer not owned";
    }
    return "unknown result";
}
