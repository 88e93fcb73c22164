/* phase.h - phases: named lifetimes whose objects go all at once.
 *
 *   kind       a phase's name, with its figures. Never removed, like a module.
 *   instance   one begin ... end of a kind. Its arenas are made when a module first allocates in it; ending it
 *              resets them (ops->reset, or object by object where they are tracked) and keeps them for the next
 *              instance, chunks, ids and threads' heaps included.
 *
 *     begin ──► OPEN ──end──► CLOSING ──callbacks, sections left, arenas reset──► IDLE ──► the next begin
 *                                                                            └► WATCHED ──►┘
 *
 * An instance with a check is watched for a while before it is idle: core/phase_check.h.
 *
 * Who is served by what: an allocation of a module that the policy binds to a kind goes to the innermost instance of it
 * that the thread has entered, else to the newest open one, else along the module's ordinary route.
 *
 * Threads' caches follow by generation: beginning and ending bump that of the modules which are bound to the kind, and
 * no other's. So nobody walks the caches. An end waits until each thread was seen outside of a section once; after that
 * nobody can be inside the instance's arenas.
 *
 * A handle is no address: it holds the slot of the instance and its number, so that a stale one is recognized.
 *
 * Locks: `phases` is below "routes" and above "arenas" (core/lock.h), so it is taken in sections.
 */
#ifndef SLUICE_CORE_PHASE_H
#define SLUICE_CORE_PHASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/policy.h"
#include "core/thread.h"

struct phase_kind;

struct route_table;

struct phase_arena {
    struct sluice_arena *arena;
    struct phase_arena *next;
};

enum phase_state { PHASE_IDLE, PHASE_OPEN, PHASE_CLOSING, PHASE_WATCHED };

struct phase_callback {
    void (*fn)(void *);
    void *arg;
    struct phase_callback *next; /* older */
};

struct phase_instance {
    struct phase_kind *kind;
    uint32_t slot;                        /* of the handle */
    uint64_t number;                      /* 1, 2, ... over all kinds; of the last one while idle */
    enum phase_state state;               /* this and what follows: in the phases lock */
    _Atomic(struct phase_arena *) arenas; /* grows in front while open; read in sections */
    struct phase_instance *older, *newer; /* open ones of the kind */
    struct phase_instance *next_idle;     /* or the next that is watched: it ended later */
    enum policy_check check;              /* as the policy says at the begin; read in sections */
    uint64_t ended_at;                    /* of a watched one: CLOCK_MONOTONIC, ns */
    struct phase_watch *_Atomic watch;    /* core/phase_check.c's */
    struct phase_instance *parent;        /* the one that the beginner was in */
    uint32_t children, inside; /* open instances below; threads that have entered (each entrance) */
    struct phase_callback *callbacks; /* newest first */
    uint64_t follows;  /* generation of the route table whose policy wants all of its arenas */
    bool purge_at_end; /* what that policy says */
};

/* The kind of that name in a policy, made when need be. NULL without memory. In a section. */
struct phase_kind *phase_kind_get(const char *name);

/* The phase of a policy that a module is bound to: the first that names it, or NULL. */
const struct policy_phase *phase_of_module(const struct policy *policy, const char *module);

/* A module is routed through the kind: its caches follow what begins and ends. In a section. */
bool phase_kind_bind(struct phase_kind *kind, sluice_module module);

const char *phase_kind_name(const struct phase_kind *kind);

/* The instance that serves this thread, or NULL: none is open. In a section of t. */
struct phase_instance *phase_instance_for(const struct thread *t, const struct phase_kind *kind);

/* The instance's arena for a module and a backend, or NULL. In a section. */
struct sluice_arena *phase_arena_find(const struct phase_instance *instance,
                                      const struct module *module,
                                      const struct policy_backend *backend, bool tracked);

/* The instance's arena for a module and a backend, made when need be. NULL: as arena_get(). In a section. */
struct sluice_arena *phase_arena_get(struct phase_instance *instance, struct module *module,
                                     const struct policy_backend *backend, bool tracked);

/* After a new policy is in force, and nobody uses an older table: instances that wait for their next begin give up the
 * arenas that the policy has no use for any more. Outside sections; in the reload lock. */
void phases_follow(const struct route_table *table);

/* The thread ends: it leaves what it had entered. */
void phases_thread_exit(struct thread *t);

void phase_note_promoted(struct phase_instance *instance, size_t bytes);

/* For a message on an object of an arena that belongs to an instance: "phase "frame" (#12, ended)". */
void phase_describe(const struct phase_instance *instance, char *out, size_t size);

#endif
