/* log.c - see log.h. */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/lock.h"

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

/* ---- Lines of threads without standard error -------------------------------------------------- */

#define KEPT_SIZE 16384

static __thread bool deferred;
static struct lock kept_lock; /* a leaf */
static char kept[KEPT_SIZE];
static _Atomic size_t kept_used;
static unsigned kept_lost; /* lines that found no room */

void log_defer(void)
{
    deferred = true;
}

static void keep(const char *line, size_t n)
{
    lock_acquire(&kept_lock);
    size_t used = atomic_load_explicit(&kept_used, memory_order_relaxed);
    if (n <= sizeof kept - used) {
        memcpy(kept + used, line, n);
        atomic_store_explicit(&kept_used, used + n, memory_order_relaxed);
    } else {
        kept_lost++;
    }
    lock_release(&kept_lock);
    log_wanted();
}

void log_fork_child(void)
{
    kept_lock = (struct lock){0}; /* the one who may have held it is not here */
    atomic_store(&kept_used, 0);
    kept_lost = 0;
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
        if (deferred)
            keep(line, (size_t)m);
        else
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

void log_flush(void)
{
    char some[1024];
    unsigned lost = 0;
    for (size_t n = 1; n > 0;) {
        lock_acquire(&kept_lock);
        size_t used = atomic_load_explicit(&kept_used, memory_order_relaxed);
        n = used < sizeof some ? used : sizeof some;
        memcpy(some, kept, n);
        memmove(kept, kept + n, used - n);
        atomic_store_explicit(&kept_used, used - n, memory_order_relaxed);
        if (n == used) {
            lost = kept_lost;
            kept_lost = 0;
        }
        lock_release(&kept_lock);
        write_all(some, n);
    }
    if (lost > 0)
        log_line(LOG_LEVEL_ERROR, "%u more lines were lost", lost);
}

/* Before the end: whoever can write has a while for it. */
static void wait_until_written(void)
{
    for (int i = 0; i < 200 && atomic_load_explicit(&kept_used, memory_order_relaxed) > 0; i++)
        syscall(SYS_nanosleep, &(struct timespec){.tv_nsec = 1000000}, NULL);
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
    if (deferred)
        wait_until_written();
    abort();
}
