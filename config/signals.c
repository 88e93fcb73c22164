#include "config/signals.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/units.h"
#include "config/words.h"

static const struct {
    const char *name;
    int number;
    bool usable;
} signals[] = {
    {"none", 0, true},
    {"SIGHUP", SIGHUP, true},
    {"SIGUSR1", SIGUSR1, true},
    {"SIGUSR2", SIGUSR2, true},
    {"SIGWINCH", SIGWINCH, true},
    {"SIGURG", SIGURG, true},
    {"SIGPWR", SIGPWR, true},
    {"SIGIO", SIGIO, true},
    {"SIGINT", SIGINT, false},
    {"SIGQUIT", SIGQUIT, false},
    {"SIGILL", SIGILL, false},
    {"SIGTRAP", SIGTRAP, false},
    {"SIGABRT", SIGABRT, false},
    {"SIGBUS", SIGBUS, false},
    {"SIGFPE", SIGFPE, false},
    {"SIGKILL", SIGKILL, false},
    {"SIGSEGV", SIGSEGV, false},
    {"SIGPIPE", SIGPIPE, false},
    {"SIGALRM", SIGALRM, false},
    {"SIGTERM", SIGTERM, false},
    {"SIGCHLD", SIGCHLD, false},
    {"SIGCONT", SIGCONT, false},
    {"SIGSTOP", SIGSTOP, false},
    {"SIGTSTP", SIGTSTP, false},
    {"SIGTTIN", SIGTTIN, false},
    {"SIGTTOU", SIGTTOU, false},
    {"SIGXCPU", SIGXCPU, false},
    {"SIGXFSZ", SIGXFSZ, false},
    {"SIGPROF", SIGPROF, false},
    {"SIGSYS", SIGSYS, false},
    {"SIGVTALRM", SIGVTALRM, false},
};

#define SIGNAL_COUNT (sizeof(signals) / sizeof(signals[0]))

static const char *without_prefix(const char *name)
{
    return strncasecmp(name, "SIG", 3) == 0 ? name + 3 : name;
}

/* RTMIN, RTMIN+1 and so on: glibc keeps the first few for itself, so the number is known at run
 * time only. */
static bool find_realtime(const char *name, int *number)
{
    uint64_t offset = 0;
    if (strncasecmp(name, "RTMIN", 5) != 0)
        return false;
    if (name[5] != '\0' && (name[5] != '+' || units_parse_count(name + 6, &offset) != UNITS_OK))
        return false;
    if (offset > (uint64_t)(SIGRTMAX - SIGRTMIN))
        return false;
    *number = SIGRTMIN + (int)offset;
    return true;
}

enum signals_result signals_find(const char *name, int *number)
{
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        if (strcasecmp(signals[i].name, name) != 0 &&
            (i == 0 || strcasecmp(without_prefix(signals[i].name), without_prefix(name)) != 0))
            continue;
        *number = signals[i].number;
        return signals[i].usable ? SIGNALS_GOOD : SIGNALS_TAKEN;
    }
    return find_realtime(without_prefix(name), number) ? SIGNALS_GOOD : SIGNALS_UNKNOWN;
}

const char *signals_nearest(const char *name)
{
    struct words search;
    words_begin(&search, name);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        if (signals[i].usable)
            words_offer(&search, signals[i].name);
    }
    return words_nearest(&search);
}

struct signals_text signals_name(int number)
{
    struct signals_text out;
    snprintf(out.text, sizeof(out.text), "SIGRTMIN+%d", number - SIGRTMIN);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        if (signals[i].number == number)
            snprintf(out.text, sizeof(out.text), "%s", signals[i].name);
    }
    return out;
}
