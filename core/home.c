/* home.c - see home.h. */
#include "core/home.h"

#include "core/os.h"
#include "core/wide.h"

struct home_map home_map;
static struct wide table;

#define PIECE ((uintptr_t)1 << HOME_PIECE_SHIFT)

#define SIZE ((size_t)1 << 28) /* bytes: the homes of 2 TiB */

/* Where address space is limited, the map takes this part of it. */
#define PARTS_OF_LIMIT 256

static void set(const void *base, size_t pieces, uintptr_t value)
{
    uintptr_t i = ((uintptr_t)base - home_map.low) >> HOME_PIECE_SHIFT;
    uintptr_t count = atomic_load_explicit(&home_map.count, memory_order_relaxed);
    for (; pieces > 0 && i < count; i++, pieces--) {
        _Atomic uintptr_t *entry = &home_map.entry[i];
        if (atomic_load_explicit(entry, memory_order_relaxed) == value)
            continue;
        if (wide_is_open(&table, entry) || wide_open(&table, entry, sizeof *entry))
            atomic_store_explicit(entry, value, memory_order_relaxed);
    }
}

void home_set(const void *base, size_t pieces, const struct magazine *m, uintptr_t mark)
{
    set(base, pieces, (uintptr_t)m ^ mark);
}

void home_forget(const void *base, size_t pieces)
{
    set(base, pieces, 0);
}

void home_init(void)
{
    size_t size = SIZE, most = os_address_space_limit() / PARTS_OF_LIMIT;
    while (size > most && size > WIDE_BLOCK)
        size /= 2;
    if (!wide_map(&table, size))
        return;
    /* Half of what it covers lies to each side of where the system has put it, as it goes on from there, upward or downward;
     * or at the bottom, if chunks do. */
    uintptr_t count = size / sizeof(uintptr_t), reach = count / 2 * PIECE;
    uintptr_t at = (uintptr_t)table.base & ~(PIECE - 1), low, high;
    pagemap_window(&low, &high);
    if (!pagemap_is_window())
        low = at > reach ? at - reach : 0;
    home_map.entry = (_Atomic uintptr_t *)(void *)table.base;
    home_map.low = low;
    home_map.zero = (uintptr_t)table.base - low / PIECE * sizeof(uintptr_t);
    atomic_store_explicit(&home_map.count, count, memory_order_release);
}
