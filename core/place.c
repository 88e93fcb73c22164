/* place.c - from an address to the object and its owner: see place.h. The public calls that ask for no more than that. */
#include "core/place.h"

#include <string.h>

#include "core/alloc_parts.h"
#include "core/bootstrap.h"
#include "core/emergency.h"
#include "core/error.h"
#include "core/log.h"
#include "core/phase.h"
#include "core/thread.h"

_Atomic uint8_t place_known_pages[PLACE_KNOWN_PAGES / 8];

/* `doubtful`: p may be anything; the backend is asked whether it is an object before anything else. */
static struct place_of find(const void *p, bool doubtful)
{
    struct place_of at = {.entry = pagemap_lookup(p)};
    if ((at.entry & PAGEMAP_SLABS) != 0) {
        at.slab = slab_near(at.entry, p);
        at.arena = ((struct chunk *)(at.entry - PAGEMAP_SLABS))->arena;
        if (slab_owner(at.slab) == SLAB_UNUSED)
            return (struct place_of){0};
        at.place = PLACE_SLAB;
        at.usable = at.slab->object_size;
    } else if ((at.entry & PAGEMAP_CHUNK) != 0) {
        at.place = PLACE_CHUNK;
        at.arena = ((struct chunk *)(at.entry - PAGEMAP_CHUNK))->arena;
        if (doubtful && at.arena->ops->check != NULL &&
            !at.arena->ops->check(at.arena->instance, p))
            return (struct place_of){0};
        at.usable = at.arena->ops->usable_size(at.arena->instance, p);
    } else if ((at.entry & PAGEMAP_EMERGENCY) != 0) {
        at.place = PLACE_EMERGENCY;
        at.usable = emergency_usable(at.entry);
    } else if (place_may_have_header(p, at.entry, doubtful) && header_is_valid(p) &&
               (at.arena = arena_by_id(header_arena(p))) != NULL) {
        at.place = PLACE_HEADER;
        at.usable = header_usable(p);
    }
    return at;
}

struct place_of place_find(const void *p)
{
    return find(p, false);
}

void place_misuse(const char *call, const void *p)
{
    uintptr_t entry = pagemap_lookup(p);
    if ((entry & (PAGEMAP_TAGS | PAGEMAP_ENDED)) == PAGEMAP_ENDED) {
        char phase[320];
        phase_describe(((struct chunk *)(entry - PAGEMAP_ENDED))->arena->phase, phase,
                       sizeof phase);
        log_fatal("%s(%p): the object went with its phase: %s", call, p, phase);
    }
    log_fatal("%s(%p): the pointer is not an object of Sluice, or was freed before", call, p);
}

void magazine_refuse(const void *p)
{
    place_misuse("sluice_free", p);
}

static bool is_slab_object(const struct slab *s, const void *p)
{
    uint32_t size = s->object_size;
    size_t offset = (size_t)((const char *)p - s->base);
    return size != 0 && offset % size == 0 && offset / size < s->carved;
}

bool place_starts_object(const struct place_of *at, const void *p)
{
    if (at->place == PLACE_SLAB)
        return is_slab_object(at->slab, p);
    if (at->place != PLACE_CHUNK || at->arena->ops->check == NULL)
        return at->place != PLACE_NOWHERE;
    struct thread *t = thread_current(); /* a backend locks: in a section */
    if (t == NULL || !thread_enter(t))
        return true;
    bool starts = at->arena->ops->check(at->arena->instance, p);
    thread_leave(t);
    return starts;
}

size_t sluice_usable_size(const void *p)
{
    if (p == NULL)
        return 0;
    struct place_of at = place_find(p);
    if (UNLIKELY(!place_starts_object(&at, p)))
        place_misuse("sluice_usable_size", p);
    return at.usable;
}

enum sluice_result sluice_owner(const void *p, struct sluice_owner *out)
{
    if (out == NULL || out->struct_size < offsetof(struct sluice_owner, backend))
        return error_set(SLUICE_ERROR_INVALID, "sluice_owner: struct_size is not set");
    /* In a section, as backends lock here, and so that no arena ends meanwhile. */
    struct thread *t = bootstrap_done() ? thread_current() : NULL;
    bool entered = t != NULL && thread_enter(t);
    struct place_of at = find(p, true);
    if (at.place == PLACE_SLAB && !is_slab_object(at.slab, p))
        at.place = PLACE_NOWHERE;
    if (entered)
        thread_leave(t);
    if (at.place == PLACE_NOWHERE)
        return error_set(SLUICE_ERROR_NOT_OWNED, "%p is not an object of Sluice", p);
    struct sluice_owner found = {
        .struct_size = out->struct_size,
        .module = at.arena == NULL ? SLUICE_MODULE_DEFAULT : at.arena->module->id,
        .backend = at.arena == NULL ? "emergency" : at.arena->name,
        .kind = at.arena == NULL ? "emergency" : at.arena->ops->name,
        .phase = at.arena == NULL || at.arena->phase == NULL
                     ? NULL
                     : phase_kind_name(at.arena->phase->kind),
        .object_size = at.usable,
    };
    memcpy(out, &found, out->struct_size < sizeof found ? out->struct_size : sizeof found);
    return SLUICE_OK;
}
