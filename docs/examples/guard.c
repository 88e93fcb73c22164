/* guard.c - a backend plugin that finds overruns: behind each object lies a page that faults.
 *
 *     ┌────────┬──────────┬────────────────────┬───────────┐
 *     │ record │ (unused) │       object       │   guard   │
 *     └────────┴──────────┴────────────────────┴───────────┘
 *      one page            ends at a page's end  no access
 *
 * An object costs at least two pages and two mappings, so this is for a module under suspicion, not
 * for production. A freed object is unmapped: using it faults, too, until the address is used again.
 */
#define _DEFAULT_SOURCE

#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#include <sluice/backend.h>

#define PAGE ((size_t)4096)

enum { PARAM_GUARD };

static const struct sluice_param params[] = {
    [PARAM_GUARD] = {.name = "guard",
                     .type = SLUICE_PARAM_SIZE,
                     .default_value = PAGE,
                     .minimum = PAGE,
                     .maximum = (uint64_t)1 << 30,
                     .help = "bytes behind each object that nobody may touch"},
};

struct arena {
    size_t guard;
    _Atomic uint64_t overhead; /* bytes of records and unused room */
};

/* At the start of each mapping. */
struct record {
    char *base;
    size_t length;
    size_t usable;
};

static size_t round_up(size_t n, size_t step)
{
    return (n + step - 1) & ~(step - 1);
}

static uint64_t overhead_of(size_t usable)
{
    return PAGE + round_up(usable, PAGE) - usable;
}

static enum sluice_result arena_create(const struct sluice_arena_config *config, void **arena)
{
    /* Not from malloc: the program's malloc may be Sluice. */
    struct arena *a =
        mmap(NULL, sizeof *a, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (a == MAP_FAILED)
        return SLUICE_ERROR_NO_MEMORY;
    a->guard = round_up((size_t)config->values[PARAM_GUARD], PAGE);
    *arena = a;
    return SLUICE_OK;
}

static void arena_destroy(void *arena)
{
    munmap(arena, sizeof(struct arena));
}

static void *alloc(void *arena, void **thread_state, size_t size, size_t alignment, unsigned flags,
                   size_t *usable)
{
    struct arena *a = arena;
    (void)thread_state;
    (void)flags; /* a mapping is zero */
    size_t room = round_up(size, alignment), pages = round_up(room, PAGE);
    size_t step = alignment > PAGE ? alignment : PAGE;
    size_t length = PAGE + pages + a->guard + (step - PAGE);
    char *base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    char *first = base + (round_up((uintptr_t)base + PAGE, step) - (uintptr_t)base);
    if (mprotect(first + pages, a->guard, PROT_NONE) != 0) {
        munmap(base, length); /* the kernel's table of mappings is full */
        return NULL;
    }
    *(struct record *)(void *)(first - PAGE) = (struct record){base, length, room};
    atomic_fetch_add(&a->overhead, overhead_of(room));
    *usable = room;
    return first + pages - room;
}

/* The object starts in the first of its pages; the record is in the page before. */
static struct record *record_of(const void *p)
{
    uintptr_t page = (uintptr_t)p & ~(uintptr_t)(PAGE - 1);
    return (struct record *)(page - PAGE);
}

static size_t free_object(void *arena, void **thread_state, void *p)
{
    struct arena *a = arena;
    (void)thread_state;
    struct record r = *record_of(p);
    atomic_fetch_sub(&a->overhead, overhead_of(r.usable));
    munmap(r.base, r.length);
    return r.usable;
}

static size_t usable_size(void *arena, const void *p)
{
    (void)arena;
    return record_of(p)->usable;
}

/* Objects and bytes are counted by Sluice: SLUICE_BACKEND_COUNTS is not among the capabilities. */
static void stats(void *arena, struct sluice_backend_stats *out)
{
    struct arena *a = arena;
    out->metadata_bytes = sizeof *a + atomic_load(&a->overhead);
}

SLUICE_API const struct sluice_backend_ops sluice_backend_plugin = {
    .abi_version = SLUICE_BACKEND_ABI_VERSION,
    .struct_size = sizeof(struct sluice_backend_ops),
    .name = "guard",
    .params = params,
    .param_count = sizeof params / sizeof *params,
    .arena_create = arena_create,
    .arena_destroy = arena_destroy,
    .alloc = alloc,
    .free = free_object,
    .usable_size = usable_size,
    .stats = stats,
};
