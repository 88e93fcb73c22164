/* quickstart.c - two modules under one policy: who serves them, what they hold, and a change. */
#include <inttypes.h>
#include <stdio.h>

#include <sluice/sluice.h>

static void show(const char *what, const void *object)
{
    struct sluice_owner owner = {.struct_size = sizeof owner};
    if (sluice_owner(object, &owner) == SLUICE_OK)
        printf("%s: module %s, backend %s (%s)\n", what, sluice_module_name(owner.module),
               owner.backend, owner.kind);
}

int main(void)
{
    if (sluice_init("policy.yaml") != SLUICE_OK) {
        fprintf(stderr, "%s\n", sluice_error_message());
        return 1;
    }
    sluice_module perception = sluice_module_register("perception");
    sluice_module planner = sluice_module_register("planner");

    char *point = sluice_malloc(perception, 48);
    char *frame = sluice_malloc(perception, (size_t)4 << 20);
    char *plan = sluice_strdup(planner, "turn left");
    if (point == NULL || frame == NULL || plan == NULL)
        return 1;
    show("point", point);
    show("frame", frame);
    show("plan", plan);

    struct sluice_module_stats held = {.struct_size = sizeof held};
    sluice_stats_module(perception, &held);
    printf("perception: %" PRIu64 " objects, %" PRIu64 " bytes\n", held.live_objects,
           held.live_bytes);

    /* From here on perception is served by the C library. What it has stays where it is. */
    if (sluice_module_override("perception", "glibc") != SLUICE_OK)
        fprintf(stderr, "%s\n", sluice_error_message());
    char *later = sluice_malloc(perception, 48);
    show("later", later);
    show("point", point);

    sluice_free(later);
    sluice_free(plan);
    sluice_free(frame);
    sluice_free(point);
    return 0;
}
