/* random.h - a small generator of repeatable random numbers: splitmix64 (Steele, Lea and Flood,
 * 2014). Not for secrets. */
#ifndef SLUICE_TOOLS_DEMO_RANDOM_H
#define SLUICE_TOOLS_DEMO_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t z = (random->state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* A stream of its own for each (seed, part), such as the parts of a program's work. */
static inline struct random random_stream(uint64_t seed, uint64_t part)
{
    struct random random = {seed};
    random.state = random_next(&random) ^ (part * 0xD1342543DE82EF95u);
    random_next(&random);
    return random;
}

/* 0 to limit - 1. The bias of a 64-bit remainder does not matter here. */
static inline uint64_t random_below(struct random *random, uint64_t limit)
{
    return random_next(random) % limit;
}

#endif
