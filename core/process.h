/* process.h - what a policy says of the whole process: mallopt. */
#ifndef SLUICE_CORE_PROCESS_H
#define SLUICE_CORE_PROCESS_H

#include "core/policy.h"

/* Applies the settings that are written. */
void process_follow(const struct policy_process *process);

#endif
