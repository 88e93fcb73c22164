/* bootstrap.h - the start of the library, by sluice_init() or by the first call of anything. */
#ifndef SLUICE_CORE_BOOTSTRAP_H
#define SLUICE_CORE_BOOTSTRAP_H

#include <stdatomic.h>
#include <stdbool.h>

extern _Atomic int bootstrap_state; /* 0: not begun, 1: under way, 2: done */

static inline bool bootstrap_done(void)
{
    return __builtin_expect(atomic_load_explicit(&bootstrap_state, memory_order_acquire) == 2, 1);
}

/* Starts the library. false: it is being started just now, by this thread (an allocation from within) or another. */
bool bootstrap(void);

/* The same for calls that cannot do without: waits for another thread that is starting the library. */
void bootstrap_wait(void);

#endif
