/* emergency.c - see emergency.h. */
#include "core/emergency.h"

#include <stdatomic.h>

#include "core/lock.h"
#include "core/os.h"
#include "core/pagemap.h"

static _Atomic(void *) deferred;
static _Atomic uint64_t bytes_out;

void *emergency_alloc(size_t size, size_t alignment)
{
    size_t chunk = (size_t)1 << CHUNK_SHIFT;
    if (size > (size_t)PTRDIFF_MAX / 2)
        return NULL;
    while (atomic_load_explicit(&pagemap.count, memory_order_acquire) == 0)
        cpu_relax(); /* another thread starts the library: this is the first thing that it makes */
    /* Whole chunks of address space: nobody else's mapping may share a pagemap entry with the object. */
    size = (size + chunk - 1) & ~(chunk - 1);
    size = size == 0 ? chunk : size;
    alignment = alignment < chunk ? chunk : alignment;
    void *p = NULL;
    if (pagemap_is_window()) {
        uintptr_t low, high;
        pagemap_window(&low, &high);
        p = os_map_within(size, alignment, low, high);
    } else {
        p = os_map(size, alignment);
    }
    if (p != NULL && !pagemap_open(p, size)) {
        os_unmap(p, size);
        p = NULL;
    }
    if (p == NULL)
        return NULL;
    pagemap_set(p, size, (uintptr_t)(size / OS_PAGE_SIZE) << 3 | PAGEMAP_EMERGENCY);
    atomic_fetch_add_explicit(&bytes_out, size, memory_order_relaxed);
    return p;
}

size_t emergency_usable(uintptr_t entry)
{
    return (size_t)(entry >> 3) * OS_PAGE_SIZE;
}

void emergency_free(void *p, uintptr_t entry)
{
    size_t size = emergency_usable(entry);
    pagemap_set(p, size, 0);
    if (!os_unmap(p, size))
        os_purge(p, size);
    atomic_fetch_sub_explicit(&bytes_out, size, memory_order_relaxed);
}

void emergency_defer_free(void *p)
{
    void *head = atomic_load_explicit(&deferred, memory_order_relaxed);
    do {
        *(void **)p = head;
    } while (!atomic_compare_exchange_weak_explicit(&deferred, &head, p, memory_order_release,
                                                    memory_order_relaxed));
}

bool emergency_has_deferred(void)
{
    return atomic_load_explicit(&deferred, memory_order_relaxed) != NULL;
}

void *emergency_take_deferred(void)
{
    return atomic_exchange_explicit(&deferred, NULL, memory_order_acquire);
}

uint64_t emergency_bytes(void)
{
    return atomic_load_explicit(&bytes_out, memory_order_relaxed);
}
