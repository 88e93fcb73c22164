/* environment.h - what `sluice run` tells the preload library, beside the variables that users set. */
#ifndef SLUICE_TOOLS_PRELOAD_ENVIRONMENT_H
#define SLUICE_TOOLS_PRELOAD_ENVIRONMENT_H

/* The path of the library, as it stands in LD_PRELOAD: the programs that this one starts are to run without it. */
#define PRELOAD_ALONE_VARIABLE "SLUICE_RUN_ALONE"

#endif
