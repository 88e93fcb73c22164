/* fork.c - see fork.h, and thread.h for the idea: before the copy is made, every thread is held outside of sections, so no
 * lock of the allocator is held and nothing is half changed. The child finds everything in order, with the other threads'
 * records marked as gone. */
#include "core/fork.h"

#include <pthread.h>

#include "core/arena.h"
#include "core/control.h"
#include "core/module.h"
#include "core/registry.h"
#include "core/reload.h"
#include "core/signal.h"
#include "core/thread.h"

static void tell_one(const struct sluice_backend_ops *ops, void *stage)
{
    if (ops->fork != NULL)
        ops->fork(*(enum sluice_fork_stage *)stage);
}

static void tell_backends(enum sluice_fork_stage stage)
{
    registry_each(tell_one, &stage);
}

/* Handlers of a library that is opened later run before ours, with that library's locks taken: a thread that waits for
 * one of them in a section would never leave it. So ours are registered again after a plugin was opened, and of all
 * registrations the newest acts: it is the first to prepare and the last to finish. Counted for each thread: two may fork
 * at once. */
static __thread int depth;

void fork_prepare(void)
{
    if (depth++ > 0)
        return;
    reload_fork_prepare();
    arenas_fork_prepare();
    threads_fork_prepare();
    registry_fork_prepare();
    modules_fork_prepare();
    tell_backends(SLUICE_FORK_PREPARE);
}

static void finish(enum sluice_fork_stage stage)
{
    if (--depth > 0)
        return;
    tell_backends(stage);
    modules_fork_end();
    registry_fork_end();
    if (stage == SLUICE_FORK_CHILD) {
        control_fork_child();
        signal_fork_child();
        threads_fork_child();
    } else {
        threads_fork_parent();
    }
    arenas_fork_end();
    reload_fork_end();
}

void fork_parent(void)
{
    finish(SLUICE_FORK_PARENT);
}

void fork_child(void)
{
    finish(SLUICE_FORK_CHILD);
}

void fork_register(void)
{
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}
