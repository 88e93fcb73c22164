/* symbol.c - see symbol.h. */
#include "core/symbol.h"

#include <stdint.h>
#include <stdio.h>

#include "core/object.h"

void symbol_describe(const void *address, char *out, size_t size)
{
    struct object object;
    uintptr_t at = (uintptr_t)address, start;
    if (!object_at(at, &object)) {
        snprintf(out, size, "%p", address);
        return;
    }
    unsigned long offset = (unsigned long)(at - object.map->l_addr);
    const char *function = object_function_at(&object, at, &start);
    if (function == NULL)
        snprintf(out, size, "%s+0x%lx", object.path, offset);
    else
        snprintf(out, size, "%s+0x%lx (%s+0x%lx)", function, (unsigned long)(at - start),
                 object.path, offset);
}
