/* log.h - one line on standard error, by write(2): no stdio, no allocation. */
#ifndef SLUICE_CORE_LOG_H
#define SLUICE_CORE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above the level that $SLUICE_LOG names (default: warn) are dropped. Written as "sluice: warning: TEXT\n"; a text of
 * several lines gets the prefix on each. Any thread, also inside allocation. */
void log_line(enum log_level at, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a text that is ready, at the level of errors: takes little stack, for signal handlers. */
void log_text(const char *text);

/* Parses error|warn|info|debug; anything else keeps the level and returns 0. */
int log_set_level(const char *name);

/* This thread has no standard error of its own (core/porter.c). What it logs is kept, a few lines of it, until another
 * thread calls log_flush(). */
void log_defer(void);

/* Writes what was kept. A thread that has the program's standard error. */
void log_flush(void);

/* A seam: something was kept. core/control.c defines it. Any thread. */
void log_wanted(void);

void log_fork_child(void);

/* Says what is wrong and aborts: for misuse that cannot be survived, such as a free of a pointer that nobody owns. */
void log_fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
