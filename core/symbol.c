/* symbol.c - see symbol.h.
 *
 * The loaded object is found by _dl_find_object(), which takes no lock and may be called from a signal handler, other than
 * dladdr(); its exported functions by its own dynamic section, which is mapped for as long as it is loaded. */
#include "core/symbol.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What <link.h> calls ElfW(Addr) and so on. */
#if UINTPTR_MAX == UINT64_MAX
typedef Elf64_Addr elf_address;
typedef Elf64_Dyn elf_dynamic;
typedef Elf64_Sym elf_symbol;
#else
typedef Elf32_Addr elf_address;
typedef Elf32_Dyn elf_dynamic;
typedef Elf32_Sym elf_symbol;
#endif

/* What of an object's dynamic section is needed. */
struct symbols {
    const elf_symbol *table;
    const char *names;
    size_t count;
};

/* The table of symbols does not say how long it is; the table of hashes does. */
static size_t count_by_gnu_hash(const uint32_t *hash)
{
    uint32_t buckets = hash[0], first = hash[1], bloom_words = hash[2];
    const uint32_t *bucket = &hash[4 + bloom_words * (sizeof(elf_address) / sizeof *hash)];
    const uint32_t *chain = &bucket[buckets];
    uint32_t last = 0;
    for (uint32_t b = 0; b < buckets; b++)
        last = bucket[b] > last ? bucket[b] : last;
    if (last < first)
        return first;
    while ((chain[last - first] & 1) == 0) /* the last of its chain is marked */
        last++;
    return last + 1;
}

/* Where the loader left an address relative to the object (it does for some), it is made absolute. */
static const void *in_object(const struct link_map *map, elf_address address)
{
    return (const void *)(address < map->l_addr ? map->l_addr + address : address);
}

static struct symbols symbols_of(const struct link_map *map)
{
    struct symbols s = {0};
    const uint32_t *old_hash = NULL, *gnu_hash = NULL;
    for (const elf_dynamic *d = map->l_ld; d != NULL && d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_SYMTAB)
            s.table = in_object(map, d->d_un.d_ptr);
        else if (d->d_tag == DT_STRTAB)
            s.names = in_object(map, d->d_un.d_ptr);
        else if (d->d_tag == DT_HASH)
            old_hash = in_object(map, d->d_un.d_ptr);
        else if (d->d_tag == DT_GNU_HASH)
            gnu_hash = in_object(map, d->d_un.d_ptr);
    }
    if (s.table != NULL && s.names != NULL)
        s.count = gnu_hash != NULL   ? count_by_gnu_hash(gnu_hash)
                  : old_hash != NULL ? old_hash[1]
                                     : 0;
    return s;
}

/* The function that the address lies in, or NULL. */
static const elf_symbol *find_function(const struct symbols *s, elf_address offset)
{
    for (size_t i = 0; i < s->count; i++) {
        const elf_symbol *sym = &s->table[i];
        if (ELF64_ST_TYPE(sym->st_info) == STT_FUNC && sym->st_shndx != SHN_UNDEF &&
            offset - sym->st_value < sym->st_size)
            return sym;
    }
    return NULL;
}

/* The program itself has no name in the loader's list. */
static const char *name_of(const struct link_map *map, char *buffer, size_t size)
{
    if (map->l_name != NULL && map->l_name[0] != '\0')
        return map->l_name;
    long n = syscall(SYS_readlinkat, -100 /* AT_FDCWD */, "/proc/self/exe", buffer, size - 1);
    if (n <= 0)
        return "the program";
    buffer[n] = '\0';
    return buffer;
}

void symbol_describe(const void *address, char *out, size_t size)
{
    struct dl_find_object object;
    if (_dl_find_object((void *)(uintptr_t)address, &object) != 0) {
        snprintf(out, size, "%p", address);
        return;
    }
    char buffer[256];
    const struct link_map *map = object.dlfo_link_map;
    const char *name = name_of(map, buffer, sizeof buffer);
    elf_address offset = (elf_address)address - map->l_addr;
    struct symbols s = symbols_of(map);
    const elf_symbol *function = find_function(&s, offset);
    if (function == NULL)
        snprintf(out, size, "%s+0x%lx", name, (unsigned long)offset);
    else
        snprintf(out, size, "%s+0x%lx (%s+0x%lx)", &s.names[function->st_name],
                 (unsigned long)(offset - function->st_value), name, (unsigned long)offset);
}
