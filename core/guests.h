/* guests.h - the door: a local socket at which observers ask the process about itself, and those who stand there.
 *
 * Its address is abstract: it needs no file, is there after chroot(), and is gone with the process. In it is a random number,
 * so nobody can take it first; who looks for a process finds it in /proc/net/unix, and believes it only when the kernel
 * names that process as the peer. Only the process's own user, and root, are let in, which the kernel tells as well.
 *
 * A guest sends requests, each one packet of fields that are parted by newlines, and gets one packet for each:
 *
 *     read                      the page (observe.h), as a descriptor, refreshed now
 *     watch, PERIOD             the same, and refreshed every PERIOD ms until the guest goes; 100 to 60,000
 *     reload                    as sluice_policy_reload()
 *     trim [, MODULE]           as sluice_trim(); without MODULE all
 *     set, MODULE, BACKEND      as sluice_module_override()
 *     unset, MODULE
 *
 *     ok, TEXT                  or
 *     error, TEXT               both of several lines, perhaps
 *
 * Nothing here waits for a guest: who does not take an answer, or says nothing for ten seconds and watches nothing, is sent
 * away; when too many are there, the next is told so.
 *
 * All of it is for the porter alone.
 */
#ifndef SLUICE_CORE_GUESTS_H
#define SLUICE_CORE_GUESTS_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define GUESTS_MAX    32
#define GUESTS_POLLED (GUESTS_MAX + 1)

/* Opens the door, or closes it and sends everybody away. */
void guests_admit(bool open);

/* Fills in what to poll for, at most GUESTS_POLLED, and returns their number; *due becomes earlier when something is to be
 * done before (CLOCK_MONOTONIC, ns). */
unsigned guests_poll(struct pollfd *fds, uint64_t *due);

/* After poll(), with the same array. */
void guests_serve(const struct pollfd *fds, unsigned n, uint64_t now);

void guests_fork_child(void);

#endif
