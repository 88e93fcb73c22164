/* locate.h - where libsluice-preload.so lies, for the programs that start others with it. */
#ifndef SLUICE_TOOLS_PRELOAD_LOCATE_H
#define SLUICE_TOOLS_PRELOAD_LOCATE_H

#include <stdbool.h>
#include <stddef.h>

#define PRELOAD_LIBRARY "libsluice-preload.so"

/* Its path, without links: beside this program's folder as it is installed, or as it is built. false: it is not there. */
bool preload_locate(char *path, size_t size);

#endif
