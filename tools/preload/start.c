/* start.c - the preload library's start in a program. */
#include <stdlib.h>
#include <string.h>

#include "core/bootstrap.h"
#include "core/os.h"
#include "tools/preload/environment.h"
#include "tools/preload/libc.h"

/* Takes one entry out of a list that is parted by colons or spaces, in place. */
static void remove_entry(char *list, const char *entry)
{
    size_t length = strlen(entry);
    for (char *at = list; *at != '\0';) {
        size_t n = strcspn(at, ": ");
        if (n == length && memcmp(at, entry, n) == 0) {
            size_t gone = n + (at[n] != '\0');
            memmove(at, at + gone, strlen(at + gone) + 1);
        } else {
            at += n + (at[n] != '\0');
        }
    }
}

/* `sluice run --no-children`: what this program's children would inherit goes. */
static void stay_alone(void)
{
    const char *library = getenv(PRELOAD_ALONE_VARIABLE);
    char *preload = getenv("LD_PRELOAD");
    if (library == NULL || os_is_privileged())
        return;
    if (preload != NULL)
        remove_entry(preload, library);
    if (preload != NULL && *preload == '\0')
        unsetenv("LD_PRELOAD");
    unsetenv("SLUICE_POLICY");
    unsetenv("SLUICE_OVERRIDE");
    unsetenv(PRELOAD_ALONE_VARIABLE);
}

/* Before the program's own constructors and its first thread: later, what is looked up here would need locks that a
 * thread may hold while it allocates. The first allocation may have started the rest already. */
static __attribute__((constructor)) void start(void)
{
    libc_find_all();
    follow_find_all();
    signals_find_all();
    deepbind_find_all();
    clone_find_all();
    (void)bootstrap();
    stay_alone();
}
