/* caller.h - on whose behalf is an interposed function called: the module of the code that called it. */
#ifndef SLUICE_TOOLS_PRELOAD_CALLER_H
#define SLUICE_TOOLS_PRELOAD_CALLER_H

#include "tools/preload/attribution.h"

/* Within a function that others call by the dynamic linker, in its own body only (not in an inlined one): the return
 * address, and the stack as it was before the call. */
#define CALLER_MODULE() attribution_module(__builtin_return_address(0), __builtin_dwarf_cfa())

/* The same in parts, for functions that end in a jump where nobody is told apart. */
#define CALLER_PLACE __builtin_return_address(0), __builtin_dwarf_cfa()

#define EXPORT __attribute__((visibility("default"), used))

#endif
