/* object.c - see object.h. Functions are found as the dynamic linker does: by the hash table of the object's exported
 * symbols (DT_GNU_HASH; U. Drepper, "How To Write Shared Libraries", 2011, has its layout). */
#include "core/object.h"

#include <dlfcn.h>
#include <elf.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static char program_path[PATH_MAX] = "program";

/* Not in every libc. */
extern int _dl_find_object(void *address, struct dl_find_object *result) __attribute__((weak));

void object_init(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return;
    memcpy(program_path, path, (size_t)n);
    program_path[n] = '\0';
}

bool object_at(uintptr_t pc, struct object *out)
{
    struct dl_find_object found;
    if (_dl_find_object == NULL || _dl_find_object((void *)pc, &found) != 0)
        return false;
    out->map = found.dlfo_link_map;
    out->path = out->map->l_name;
    if (out->path == NULL || *out->path == '\0')
        out->path = program_path;
    return true;
}

const char *object_name(const struct object *object)
{
    const char *slash = strrchr(object->path, '/');
    return slash == NULL ? object->path : slash + 1;
}

/* ---- Exported functions --------------------------------------------------------------------- */

struct symbols {
    const ElfW(Sym) * symbols;
    const char *names;
    const uint32_t *hash; /* the section */
};

static bool find_symbols(const struct link_map *map, struct symbols *out)
{
    *out = (struct symbols){NULL, NULL, NULL};
    for (const ElfW(Dyn) *d = map->l_ld; d != NULL && d->d_tag != DT_NULL; d++) {
        /* Most linkers make them absolute; some objects (the kernel's) stay relative. */
        uintptr_t at = d->d_un.d_ptr < map->l_addr ? map->l_addr + d->d_un.d_ptr : d->d_un.d_ptr;
        if (d->d_tag == DT_SYMTAB)
            out->symbols = (const void *)at;
        else if (d->d_tag == DT_STRTAB)
            out->names = (const void *)at;
        else if (d->d_tag == DT_GNU_HASH)
            out->hash = (const void *)at;
    }
    return out->symbols != NULL && out->names != NULL && out->hash != NULL;
}

static uint32_t hash_of(const char *name)
{
    uint32_t h = 5381;
    for (; *name != '\0'; name++)
        h = h * 33 + (unsigned char)*name;
    return h;
}

static const ElfW(Sym) * find_symbol(const struct symbols *in, const char *name)
{
    uint32_t buckets = in->hash[0], first = in->hash[1], words = in->hash[2], shift = in->hash[3];
    const ElfW(Addr) *bloom = (const void *)&in->hash[4];
    const uint32_t *bucket = (const void *)&bloom[words], *chain = &bucket[buckets];
    const unsigned bits = sizeof(ElfW(Addr)) * CHAR_BIT;
    uint32_t h = hash_of(name);
    if (buckets == 0 || words == 0)
        return NULL;
    ElfW(Addr) word = bloom[h / bits % words];
    if ((word >> h % bits & word >> (h >> shift) % bits & 1) == 0)
        return NULL;
    uint32_t i = bucket[h % buckets];
    if (i < first)
        return NULL;
    for (;; i++) {
        if ((chain[i - first] | 1) == (h | 1) &&
            strcmp(in->names + in->symbols[i].st_name, name) == 0)
            return &in->symbols[i];
        if ((chain[i - first] & 1) != 0)
            return NULL;
    }
}

static bool is_function(const ElfW(Sym) * s)
{
    return s->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(s->st_info) == STT_FUNC;
}

bool object_function_has(const struct object *object, const char *name, uintptr_t pc)
{
    struct symbols symbols;
    if (!find_symbols(object->map, &symbols))
        return false;
    const ElfW(Sym) *s = find_symbol(&symbols, name);
    if (s == NULL || !is_function(s))
        return false;
    /* A return address: behind the call, which may be the last instruction. */
    uintptr_t start = object->map->l_addr + s->st_value;
    return pc > start && pc <= start + s->st_size;
}

ElfW(Addr) * object_symbol_value(const struct object *object, const char *name)
{
    struct symbols symbols;
    const ElfW(Sym) *s = find_symbols(object->map, &symbols) ? find_symbol(&symbols, name) : NULL;
    return s == NULL || s->st_shndx == SHN_UNDEF ? NULL : (ElfW(Addr) *)(uintptr_t)&s->st_value;
}

/* The table of symbols does not say how long it is; the table of hashes does. */
static uint32_t count_symbols(const uint32_t *hash)
{
    uint32_t buckets = hash[0], first = hash[1], bloom_words = hash[2], last = 0;
    const uint32_t *bucket = &hash[4 + bloom_words * (sizeof(ElfW(Addr)) / sizeof *hash)];
    const uint32_t *chain = &bucket[buckets];
    for (uint32_t b = 0; b < buckets; b++)
        last = bucket[b] > last ? bucket[b] : last;
    if (last < first)
        return first;
    while ((chain[last - first] & 1) == 0) /* the last of its chain is marked */
        last++;
    return last + 1;
}

const char *object_function_at(const struct object *object, uintptr_t pc, uintptr_t *start)
{
    struct symbols symbols;
    uintptr_t offset = pc - object->map->l_addr;
    if (!find_symbols(object->map, &symbols))
        return NULL;
    uint32_t count = count_symbols(symbols.hash);
    for (uint32_t i = 0; i < count; i++) {
        const ElfW(Sym) *s = &symbols.symbols[i];
        if (is_function(s) && offset - s->st_value < s->st_size) {
            *start = object->map->l_addr + s->st_value;
            return symbols.names + s->st_name;
        }
    }
    return NULL;
}
