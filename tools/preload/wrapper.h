/* wrapper.h - functions that allocate in the name of their caller. */
#ifndef SLUICE_TOOLS_PRELOAD_WRAPPER_H
#define SLUICE_TOOLS_PRELOAD_WRAPPER_H

#include <stddef.h>
#include <stdint.h>

#include "core/object.h"

/* Those that every program may meet; NULL-terminated. A policy adds to them. */
extern const char *const wrapper_names[];

/* How far above `cfa`, the stack pointer at the call whose return address is pc, the frame ends that pc stands in: there
 * lies its own return address, one word below. 0: the unwinder does not know. Takes no lock, and no memory. */
size_t wrapper_frame_size(uintptr_t pc, uintptr_t cfa);

#endif
