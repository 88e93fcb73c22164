/* header.h - objects of backends that take memory where they please carry 16 bytes in front of them.
 *
 *     base                      p - 16                 p
 *     │ padding (alignment>16)  │ owner: size, arena   │ object
 *     │                         │ check: hash, padding │
 *
 * The check word is a hash of the address, the owner word and a secret of the process, so that a pointer which
 * is not ours is told from one that is, without following anything in it.
 */
#ifndef SLUICE_CORE_HEADER_H
#define SLUICE_CORE_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEADER_SIZE     ((size_t)16)
#define HEADER_SIZE_MAX (((uint64_t)1 << 48) - 1)

struct header {
    uint64_t owner; /* arena id << 48 | usable bytes */
    uint64_t check; /* hash without its low 6 bits | log2(p - base) */
};

extern uint64_t header_secret;

static inline struct header *header_at(const void *p)
{
    return (struct header *)((uintptr_t)p - HEADER_SIZE);
}

static inline uint64_t header_hash(const void *p, uint64_t owner)
{
    uint64_t h = ((uintptr_t)p ^ header_secret) * 0x9E3779B97F4A7C15u ^ owner;
    h *= 0xBF58476D1CE4E5B9u;
    return (h ^ h >> 32) << 6;
}

/* Bytes in front of an object of that alignment. */
static inline size_t header_padding(size_t alignment)
{
    return alignment > HEADER_SIZE ? alignment : HEADER_SIZE;
}

static inline void header_write(void *p, uint32_t arena_id, size_t usable, size_t padding)
{
    struct header *h = header_at(p);
    h->owner = (uint64_t)arena_id << 48 | usable;
    h->check = header_hash(p, h->owner) | (unsigned)__builtin_ctzll(padding);
}

/* Is p an object with a header of this process? Reads the 16 bytes before p, whatever they are. */
__attribute__((no_sanitize("address"))) static inline bool header_is_valid(const void *p)
{
    const struct header *h = header_at(p);
    return (h->check & ~(uint64_t)63) == header_hash(p, h->owner);
}

static inline uint32_t header_arena(const void *p)
{
    return (uint32_t)(header_at(p)->owner >> 48);
}

static inline size_t header_usable(const void *p)
{
    return (size_t)(header_at(p)->owner & HEADER_SIZE_MAX);
}

static inline void *header_base(const void *p)
{
    return (void *)((uintptr_t)p - ((uintptr_t)1 << (header_at(p)->check & 63)));
}

/* Nothing but the header lies between the start of the backend's object and p. */
static inline bool header_is_next_to(const void *p)
{
    return (header_at(p)->check & 63) == 4;
}

/* Before the memory goes: a second free must not find a valid header. */
static inline void header_erase(void *p)
{
    header_at(p)->check = 0;
}

#endif
