/* jemalloc_ctl.c - jemalloc's controls by name, and how it is set up.
 *
 * A control is found by its path once and called through the numbers that jemalloc gives for it
 * (a MIB, as in sysctl); the index of the slot stands in the middle.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "backends/jemalloc.h"
#include "core/error.h"
#include "core/os.h"

/* Read by jemalloc when it starts.
 *   narenas:1              one automatic arena, for its own things only
 *   tcache:false           automatic thread caches would mix the objects of arenas
 *   retain:true            an extent per slab would cost a chunk each; see jemalloc_extent.c
 *   oversize_threshold:0   large extents follow the decay times like all others
 * These must hold, so they stand in the string that jemalloc reads last: a MALLOC_CONF that is
 * meant for another jemalloc of the program cannot undo them. */
const char *je_malloc_conf = "dirty_decay_ms:1000,muzzy_decay_ms:0";
const char *je_malloc_conf_2_conf_harder =
    "narenas:1,percpu_arena:disabled,tcache:false,retain:true,background_thread:false,"
    "oversize_threshold:0,metadata_thp:disabled,thp:default,hpa:false,dss:disabled,zero:false,"
    "junk:false,abort:false,abort_conf:false,confirm_conf:false,stats_print:false,prof:false";

#define SLOTS_MAX 4094 /* jemalloc's own limit, less its arena 0 */
#define TCACHES_MAX \
    4000 /* of jemalloc's 4,094: leaves some for threads that come while others go */

/* The longest pause between two readings, and what each slot adds to it. */
#define READING_NS_PER_SLOT UINT64_C(50000)
#define READING_NS_MAX      UINT64_C(200000000)

/* See jemalloc_overhead_per_slot(). */
#define PAGE_TABLE_LEAF ((size_t)2 << 20)

static _Atomic unsigned slot_count, tcache_count;
static _Atomic uint64_t read_at;

#define CTL_DEPTH 6

struct ctl {
    const char *name; /* with 0 for the index */
    _Atomic size_t depth;
    size_t mib[CTL_DEPTH];
};

static struct lock ctl_lock;

/* The numbers of a control, with the slot in place. False: jemalloc does not know it. */
static bool ctl_path(struct ctl *ctl, size_t index_at, unsigned slot, size_t mib[CTL_DEPTH],
                     size_t *depth)
{
    *depth = atomic_load_explicit(&ctl->depth, memory_order_acquire);
    if (*depth == 0) {
        size_t found[CTL_DEPTH], n = CTL_DEPTH;
        if (je_mallctlnametomib(ctl->name, found, &n) != 0)
            return false;
        lock_acquire(&ctl_lock);
        if (ctl->depth == 0) {
            memcpy(ctl->mib, found, n * sizeof *found);
            atomic_store_explicit(&ctl->depth, n, memory_order_release);
        }
        lock_release(&ctl_lock);
        *depth = n;
    }
    memcpy(mib, ctl->mib, *depth * sizeof *mib);
    mib[index_at] = slot;
    return true;
}

static int slot_call(struct ctl *ctl, unsigned slot, void *value, size_t size)
{
    size_t mib[CTL_DEPTH], depth;
    if (!ctl_path(ctl, 1, slot, mib, &depth))
        return ENOENT;
    return je_mallctlbymib(mib, depth, NULL, NULL, value, size);
}

static size_t slot_read(struct ctl *ctl, unsigned slot)
{
    size_t mib[CTL_DEPTH], depth, value = 0, size = sizeof value;
    if (!ctl_path(ctl, 2, slot, mib, &depth) ||
        je_mallctlbymib(mib, depth, &value, &size, NULL, 0) != 0)
        return 0;
    return value;
}

/* ---- Start ----------------------------------------------------------------------------------- */

/* When jemalloc starts it maps a page, to see how the system behaves, and crashes without. So it has one in reserve. */
static _Atomic(void *) spare_page;

static void set_spare_page(void *page)
{
    void *old = atomic_exchange(&spare_page, page);
    if (old != NULL)
        os_unmap(old, OS_PAGE_SIZE);
}

/* jemalloc's mmap: see tools/build/rename_jemalloc.sh. */
void *sluice_jemalloc_mmap(void *at, size_t size, int protection, int flags, int file,
                           off_t offset);
void *sluice_jemalloc_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    void *p = mmap(at, size, protection, flags, file, offset);
    if (p != MAP_FAILED || size != OS_PAGE_SIZE)
        return p;
    void *spare = atomic_exchange(&spare_page, NULL);
    return spare != NULL ? spare : MAP_FAILED;
}

bool jemalloc_start(void)
{
    static _Atomic bool has_started;
    if (atomic_load(&has_started))
        return true;
    void *page = os_map(OS_PAGE_SIZE, OS_PAGE_SIZE);
    if (page == NULL)
        return false;
    set_spare_page(page);
    const char *version;
    size_t size = sizeof version;
    if (je_mallctl("version", &version, &size, NULL, 0) != 0)
        return false;
    atomic_store(&has_started, true);
    set_spare_page(NULL);
    return true;
}

/* ---- Slots ----------------------------------------------------------------------------------- */

enum sluice_result jemalloc_slot_create(const extent_hooks_t *hooks, unsigned *slot)
{
    size_t size = sizeof *slot;
    if (atomic_fetch_add(&slot_count, 1) >= SLOTS_MAX) {
        atomic_fetch_sub(&slot_count, 1);
        return error_set(SLUICE_ERROR_LIMIT,
                         "jemalloc has %d arenas at most, and all are in use: let modules share a "
                         "backend of another kind, or set `arenas: 1`",
                         SLOTS_MAX);
    }
    if (!jemalloc_start() ||
        je_mallctl("arenas.create", slot, &size, (void *)&hooks, sizeof hooks) != 0) {
        atomic_fetch_sub(&slot_count, 1);
        return SLUICE_ERROR_NO_MEMORY;
    }
    return SLUICE_OK;
}

void jemalloc_slot_destroy(unsigned slot)
{
    static struct ctl ctl = {.name = "arena.0.destroy"};
    slot_call(&ctl, slot, NULL, 0);
    atomic_fetch_sub(&slot_count, 1);
}

void jemalloc_slot_reset(unsigned slot)
{
    static struct ctl ctl = {.name = "arena.0.reset"};
    slot_call(&ctl, slot, NULL, 0);
}

void jemalloc_slot_decay(unsigned slot)
{
    static struct ctl ctl = {.name = "arena.0.decay"};
    slot_call(&ctl, slot, NULL, 0);
}

void jemalloc_slot_purge(unsigned slot)
{
    static struct ctl ctl = {.name = "arena.0.purge"};
    slot_call(&ctl, slot, NULL, 0);
}

void jemalloc_slot_set_decay(unsigned slot, int64_t dirty_ms, int64_t muzzy_ms)
{
    static struct ctl dirty = {.name = "arena.0.dirty_decay_ms"};
    static struct ctl muzzy = {.name = "arena.0.muzzy_decay_ms"};
    slot_call(&dirty, slot, &dirty_ms, sizeof dirty_ms);
    slot_call(&muzzy, slot, &muzzy_ms, sizeof muzzy_ms);
}

/* ---- Readings -------------------------------------------------------------------------------- */

void jemalloc_usage_refresh(bool now)
{
    uint64_t pause = (1 + atomic_load(&slot_count)) * READING_NS_PER_SLOT;
    uint64_t time = os_now(), last = atomic_load(&read_at);
    if (pause > READING_NS_MAX)
        pause = READING_NS_MAX;
    if (!now && time - last < pause)
        return;
    uint64_t epoch = 1;
    je_mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
    atomic_store(&read_at, os_now());
}

static struct ctl active_pages = {.name = "stats.arenas.0.pactive"};
static struct ctl dirty_pages = {.name = "stats.arenas.0.pdirty"};
static struct ctl muzzy_pages = {.name = "stats.arenas.0.pmuzzy"};
static struct ctl base_bytes = {.name = "stats.arenas.0.base"};

void jemalloc_slot_usage(unsigned slot, struct jemalloc_usage *out)
{
    out->active = slot_read(&active_pages, slot) * OS_PAGE_SIZE;
    out->dirty = slot_read(&dirty_pages, slot) * OS_PAGE_SIZE;
    out->muzzy = slot_read(&muzzy_pages, slot) * OS_PAGE_SIZE;
    /* The page table has 8 bytes for each page that is in use. */
    out->metadata = slot_read(&base_bytes, slot) + (out->active + out->dirty) / 512;
}

size_t jemalloc_overhead_per_slot(void)
{
    unsigned slots = atomic_load(&slot_count);
    size_t pages = slot_read(&active_pages, 0) + slot_read(&dirty_pages, 0);
    /* The leaves of the page table are counted whole, 2 MiB for each GiB of address space, though few
     * of their pages are ever touched: those are counted with the slots. */
    size_t rest = slot_read(&base_bytes, 0) % PAGE_TABLE_LEAF;
    return slots == 0 ? 0 : (pages * OS_PAGE_SIZE + rest) / slots;
}

/* ---- Thread caches --------------------------------------------------------------------------- */

bool jemalloc_tcache_create(unsigned *tcache)
{
    size_t size = sizeof *tcache;
    if (atomic_fetch_add(&tcache_count, 1) < TCACHES_MAX &&
        je_mallctl("tcache.create", tcache, &size, NULL, 0) == 0)
        return true;
    atomic_fetch_sub(&tcache_count, 1);
    return false;
}

void jemalloc_tcache_flush(unsigned tcache)
{
    je_mallctl("tcache.flush", NULL, NULL, &tcache, sizeof tcache);
}

void jemalloc_tcache_destroy(unsigned tcache)
{
    je_mallctl("tcache.destroy", NULL, NULL, &tcache, sizeof tcache);
    atomic_fetch_sub(&tcache_count, 1);
}
