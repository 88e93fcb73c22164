/* hash.h - a hash of bytes: FNV-1a, with a final mix so that low bits serve as a table index. */
#ifndef SLUICE_TOOLS_DEMO_HASH_H
#define SLUICE_TOOLS_DEMO_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START 0xCBF29CE484222325u

/* Goes on from an earlier hash: start with HASH_START. */
static inline uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length)
{
    const unsigned char *b = bytes;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ b[i]) * 0x100000001B3u;
    return hash;
}

static inline uint64_t hash_finish(uint64_t hash)
{
    hash ^= hash >> 32;
    hash *= 0xD6E8FEB86659FD93u;
    return hash ^ (hash >> 32);
}

#endif
