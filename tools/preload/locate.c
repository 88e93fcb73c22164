/* locate.c - see locate.h. */
#include "tools/preload/locate.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool preload_locate(char *path, size_t size)
{
    static const char *const places[] = {"/../lib/" PRELOAD_LIBRARY,
                                         "/../preload/" PRELOAD_LIBRARY};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return false;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char candidate[2 * PATH_MAX], resolved[PATH_MAX];
        snprintf(candidate, sizeof candidate, "%s%s", self, places[i]);
        if (realpath(candidate, resolved) != NULL)
            return (size_t)snprintf(path, size, "%s", resolved) < size;
    }
    return false;
}
