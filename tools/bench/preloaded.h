/* preloaded.h - contenders that are a program's malloc: this program again, each with another library in LD_PRELOAD, as users
 * have them. A child waits idle until it is asked for its turn. */
#ifndef SLUICE_TOOLS_BENCH_PRELOADED_H
#define SLUICE_TOOLS_BENCH_PRELOADED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct preloaded {
    pid_t pid; /* 0: there is none */
    FILE *ask, *answer;
};

/* The path of Sluice's library, beside this program in the build tree. */
const char *preloaded_sluice(void);

/* Starts `bench turns WORK` with that library, a name that the dynamic linker finds or a path, and with the environment as it is.
 * false: it is not installed, or the child cannot be started or does not have it; said on standard error. */
bool preloaded_start(struct preloaded *p, const char *library, const char *work);

/* The same with Sluice's library and that policy, a text; NULL: the built-in one. */
bool preloaded_start_sluice(struct preloaded *p, const char *policy, const char *work);

/* Asks the child: 't', for the ns of one operation out of n, or 's', for its instructions. Below 0: it has died, which is said
 * on standard error. */
double preloaded_ask(struct preloaded *p, char what, size_t n);

/* The two halves of it, for a child that answers in its own time, while others are asked: as many answers are received as
 * questions were sent, in their order. */
void preloaded_send(struct preloaded *p, char what, size_t n);
double preloaded_receive(struct preloaded *p);

void preloaded_end(struct preloaded *p);

/* The child's side: answers until standard input ends. Returns the exit status. */
int preloaded_serve(double (*answer)(char what, size_t n));

#endif
