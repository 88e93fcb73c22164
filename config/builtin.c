#include "config/builtin.h"

/* config/policies/default.yaml says why. */
const char builtin_policy[] = "sluice: 1\n"
                              "default: direct\n"
                              "backends:\n"
                              "  blocks: {kind: pool, huge_pages: auto}\n"
                              "  direct: {kind: mmap, reuse: 100ms, huge_pages: never}\n"
                              "modules:\n"
                              "  \"*\":\n"
                              "    route:\n"
                              "      - {max_size: 64KiB, to: blocks}\n"
                              "      - {to: direct}\n";
