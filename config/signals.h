/* signals.h - signals by name, as far as a program can spare them for a reload. */
#ifndef SLUICE_CONFIG_SIGNALS_H
#define SLUICE_CONFIG_SIGNALS_H

enum signals_result {
    SIGNALS_GOOD,
    SIGNALS_TAKEN, /* exists, but cannot be caught or means something that programs rely on */
    SIGNALS_UNKNOWN
};

/* HUP or SIGHUP, SIGRTMIN+3; upper and lower case are the same. "none" is 0. */
enum signals_result signals_find(const char *name, int *number);

/* "SIGHUP" or "none"; NULL for a number that signals_find() never gives. SIGRTMIN and above are
 * told apart by number: see signals_name(). */
const char *signals_nearest(const char *name);

struct signals_text {
    char text[24];
};
struct signals_text signals_name(int number);

#endif
