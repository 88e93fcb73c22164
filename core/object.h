/* object.h - the loaded objects, as the dynamic linker knows them, asked without its lock: a thread that allocates may
 * hold a lock that somebody inside dlopen() waits for, and a signal handler may have interrupted the linker. Everything
 * here is async-signal-safe and takes no memory. */
#ifndef SLUICE_CORE_OBJECT_H
#define SLUICE_CORE_OBJECT_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object {
    const struct link_map *map;
    const char *path; /* of its file; lives as long as the object is loaded */
};

/* false: no object's code is there (it was made at run time), or libc is older than 2.35. */
bool object_at(uintptr_t pc, struct object *out);

/* The file's name, without its folder. */
const char *object_name(const struct object *object);

/* Is `name` a function that the object exports, and does the call return to it that returns to pc? */
bool object_function_has(const struct object *object, const char *name, uintptr_t pc);

/* The name of the exported function that pc lies in, and *start of it; NULL: none is known. Looks at every symbol. */
const char *object_function_at(const struct object *object, uintptr_t pc, uintptr_t *start);

/* Where the object's table of exported symbols has the value of that one (relative to the object); NULL: it has none. */
ElfW(Addr) * object_symbol_value(const struct object *object, const char *name);

/* For the program itself, whose path the linker does not know. Once, at the start. */
void object_init(void);

#endif
