/* attribution.h - which module an allocation of an unmodified program counts for. */
#ifndef SLUICE_TOOLS_PRELOAD_ATTRIBUTION_H
#define SLUICE_TOOLS_PRELOAD_ATTRIBUTION_H

#include <sluice/sluice.h>

static inline sluice_module attribution_module(void *return_address, void *cfa)
{
    (void)return_address;
    (void)cfa;
    return SLUICE_MODULE_DEFAULT;
}

#endif
