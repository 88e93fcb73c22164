/* object.h - the loaded objects, as the dynamic linker knows them, asked without its lock: a thread that allocates may
 * hold a lock that somebody inside dlopen() waits for. */
#ifndef SLUICE_TOOLS_PRELOAD_OBJECT_H
#define SLUICE_TOOLS_PRELOAD_OBJECT_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object {
    const struct link_map *map;
    const char *path; /* of its file; lives as long as the object is loaded */
};

/* false: no object's code is there (it was made at run time), or libc is older than 2.35. Async-signal-safe. */
bool object_at(uintptr_t pc, struct object *out);

/* The file's name, without its folder. */
const char *object_name(const struct object *object);

/* Is `name` a function that the object exports, and does pc lie in it? Async-signal-safe. */
bool object_function_has(const struct object *object, const char *name, uintptr_t pc);

/* Where the object's table of exported symbols has the value of that one (relative to the object); NULL: it has none. */
ElfW(Addr) * object_symbol_value(const struct object *object, const char *name);

/* For the program itself, whose path the linker does not know. Before the others; one at a time. */
void object_init(void);

#endif
