/* observe.h - the page that observers read: what Sluice knows of its process, laid out for other processes.
 *
 * The page is a memory file. It is made when the first observer comes and goes with the last; the porter alone writes it, and
 * only while somebody watches. An observer gets the file through the door (guests.h), and reads it whenever it likes.
 *
 *     struct observe_header      sizes, a sequence number, figures of the process, the last reload
 *     struct observe_module[]    header.count of them, room for header.capacity
 *
 * All numbers are the machine's own. A reader copies the header and the entries, and knows that the copy is whole when
 * `sequence` was even and the same before and after. It grows by 2 with each refresh: one that stands still is of a process
 * that does not run. A reader trusts nothing in it: see tools/sluice/page.c.
 *
 * When modules outgrow the page, header.modules is larger than header.capacity, and it is not written any more: who asks
 * again gets a larger one.
 */
#ifndef SLUICE_CORE_OBSERVE_H
#define SLUICE_CORE_OBSERVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define OBSERVE_MAGIC    UINT64_C(0x656369756c730a01) /* "\1\nsluice" */
#define OBSERVE_VERSION  1
#define OBSERVE_NAME     256
#define OBSERVE_BACKENDS 128

/* The abstract address of a door: "sluice/PID/" and random digits, so that nobody can take it first. */
#define OBSERVE_DOOR "sluice/"

/* As in <sluice/sluice.h>. */
struct observe_process {
    uint64_t modules, threads, arenas, draining_arenas;
    uint64_t live_bytes, cached_bytes, metadata_bytes, chunk_bytes, reserved_bytes, lazy_bytes;
};

struct observe_reload {
    uint64_t generation, attempts, successes, failures;
    int64_t last_attempt_time, last_success_time; /* seconds since 1970; 0: never */
    char path[256], last_error[1024], last_report[4096];
};

struct observe_header {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size, entry_size; /* bytes */
    uint32_t capacity, count;         /* entries */
    uint32_t modules;                 /* of the process */
    int32_t pid;                      /* as the process itself knows it */
    uint32_t period_ms;               /* between refreshes; 0: when asked */
    _Atomic uint64_t sequence;
    uint64_t time; /* of the refresh: CLOCK_MONOTONIC, ns */
    int64_t wall_time;
    struct observe_process process;
    struct observe_reload reload;
};

enum { OBSERVE_OVERRIDDEN = 1 }; /* sluice_module_override() decides, not the policy */

struct observe_module {
    char name[OBSERVE_NAME];
    char backends
        [OBSERVE_BACKENDS]; /* in the order of the route, parted by commas; "..." at the end: cut */
    uint64_t flags;
    uint64_t live_objects, live_bytes, peak_live_bytes, allocated_objects, freed_objects,
        failed_allocations, resident_bytes, cached_bytes, metadata_bytes, limit_bytes,
        draining_bytes;
    uint64_t reserved[4];
};

/* The file, refreshed: made or enlarged when need be. -1: *why says so. The porter alone. */
int observe_open(const char **why);

/* Refreshes the page, if there is one. The porter alone. */
void observe_refresh(uint32_t period_ms);

void observe_close(void);
void observe_fork_child(void);

#endif
