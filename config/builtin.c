#include "config/builtin.h"

/* Small objects from the pool, where whole chunks can be huge pages; everything larger straight
 * from the system, kept for a second in case that it is wanted again. Nothing here is bound to
 * one program. */
const char builtin_policy[] = "sluice: 1\n"
                              "default: direct\n"
                              "backends:\n"
                              "  blocks: {kind: pool, huge_pages: auto}\n"
                              "  direct: {kind: mmap, reuse: 1s, huge_pages: auto}\n"
                              "modules:\n"
                              "  \"*\":\n"
                              "    route:\n"
                              "      - {max_size: 64KiB, to: blocks}\n"
                              "      - {to: direct}\n";
