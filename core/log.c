/* log.c - see log.h. */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic int level = LOG_LEVEL_WARN;

static const char *const names[] = {"error", "warning", "info", "debug"};

int log_set_level(const char *name)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, words[i]) == 0) {
            atomic_store_explicit(&level, i, memory_order_relaxed);
            return 1;
        }
    return 0;
}

static void write_all(const char *s, size_t n)
{
    while (n > 0) {
        ssize_t done = syscall(SYS_write, STDERR_FILENO, s, n); /* no cancellation point */
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        s += done;
        n -= (size_t)done;
    }
}

/* One write for each line, so that lines of several threads do not mix. */
static void write_lines(const char *prefix, const char *text)
{
    for (const char *at = text; *at != '\0';) {
        char line[1200];
        size_t n = strcspn(at, "\n");
        int m = snprintf(line, sizeof line, "sluice: %s: %.*s\n", prefix,
                         (int)(n > 1024 ? 1024 : n), at);
        write_all(line, (size_t)m);
        at += n + (at[n] == '\n');
    }
}

void log_text(const char *text)
{
    int saved = errno;
    write_lines(names[LOG_LEVEL_ERROR], text);
    errno = saved;
}

void log_line(enum log_level at, const char *format, ...)
{
    if ((int)at > atomic_load_explicit(&level, memory_order_relaxed))
        return;
    int saved = errno;
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    write_lines(names[at], text);
    errno = saved;
}

void log_fatal(const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    write_lines("fatal", text);
    abort();
}
