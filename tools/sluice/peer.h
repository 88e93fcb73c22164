/* peer.h - another process that has Sluice: found, recognized, asked (core/guests.h).
 *
 * Every function that fails says why in peer->why: a sentence without the process's number, which the caller knows.
 */
#ifndef SLUICE_TOOLS_SLUICE_PEER_H
#define SLUICE_TOOLS_SLUICE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tools/sluice/page.h"

#define PEER_TEXT     (4 * 8192 + 64)
#define PEER_PATIENCE 5000 /* ms for an answer; a reload may take longer */

struct peer {
    pid_t pid;
    int fd;
    int page_fd; /* -1: none yet */
    char why[2048];
};

/* A number that can be a process's, or 0. */
pid_t peer_parse_pid(const char *text);

/* Comes to the door of a process. Ended with peer_leave(), also when it failed. */
bool peer_visit(struct peer *peer, pid_t pid);
void peer_leave(struct peer *peer);

/* Sends a request and waits for the answer, `ms` at most. The answer's text (PEER_TEXT bytes) is for a person: also when the
 * process refuses, which is false with a copy of its words in peer->why. With a page, peer->page_fd is renewed. */
bool peer_ask(struct peer *peer, const char *request, int ms, char *answer);

/* A whole copy of the page, for free(). After `read` or `watch`. NULL: failed. */
struct page *peer_page(struct peer *peer);

/* Asks for a page (period_ms 0: a single reading) and reads it. */
struct page *peer_read(struct peer *peer, unsigned period_ms);

/* The process has ended: peer->why says so. */
bool peer_has_ended(struct peer *peer);

/* Processes that have a door, at most `size` of them, in rising order; their number. Of all users. */
size_t peer_list(pid_t *pids, size_t size);

#endif
