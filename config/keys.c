#include "config/keys.h"

#include <stddef.h>

const char *const keys_policy[] = {"sluice",      "default", "backends", "modules",
                                   "phases",      "process", "reload",   "observe",
                                   "attribution", "include", NULL};
const char *const keys_backend[] = {"kind", "library", "options", NULL};
const char *const keys_module[] = {"route", "limit", NULL};
const char *const keys_rule[] = {"max_size", "to", NULL};
const char *const keys_limit[] = {"soft", "hard", "on_soft", "on_hard", NULL};
const char *const keys_fallback[] = {"fallback", NULL};
const char *const keys_phase[] = {"modules", "backend", "check", "keep", "purge", "track", NULL};
const char *const keys_process[] = {"mallopt", "lazy_free", NULL};
const char *const keys_mallopt[] = {"mmap_threshold", "trim_threshold", "arena_max",
                                    "top_pad",        "mmap_max",       NULL};
const char *const keys_reload[] = {"signal", "watch", NULL};
const char *const keys_attribution[] = {"object", "thread", "module", "wrappers", NULL};

const char *const words_action[] = {"fail", "trim", "notify", "fallback", "abort", NULL};
const char *const words_purge[] = {"later", "end", NULL};
const char *const words_check[] = {"off", "poison", "protect", NULL};
