/* frames.c - a pipeline of frames: what belongs to a frame goes with it, one result survives. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

static void done(void *number)
{
    printf("frame %d goes\n", *(int *)number);
}

/* What is allocated here is of the instance that this thread has entered. */
static char *work(sluice_module tracking, int frame)
{
    for (int i = 0; i < 10000; i++)
        if (sluice_malloc(tracking, (size_t)(i % 100 + 1)) == NULL) /* nobody frees it */
            return NULL;
    char *result = sluice_malloc(tracking, 32);
    if (result != NULL)
        snprintf(result, 32, "result of frame %d", frame);
    return result;
}

int main(void)
{
    if (sluice_init("frames.yaml") != SLUICE_OK) {
        fprintf(stderr, "%s\n", sluice_error_message());
        return 1;
    }
    sluice_module tracking = sluice_module_register("tracking");
    struct sluice_module_stats held = {.struct_size = sizeof held};
    sluice_phase *frame[3];
    char *best = NULL;
    int number[3];

    for (int i = 0; i < 3; i++) {
        number[i] = i;
        if (sluice_phase_begin("frame", &frame[i]) != SLUICE_OK)
            return 1;
        sluice_phase_on_end(frame[i], done, &number[i]);
        sluice_phase_enter(frame[i]);
        char *result = work(tracking, i);
        if (result == NULL)
            return 1;
        if (i == 1)
            best = sluice_phase_promote(result); /* a copy that outlives the frame */
        sluice_phase_leave(frame[i]);
        if (i > 0)
            sluice_phase_end(frame[i - 1]); /* the frame before ends when this one is done */
        sluice_stats_module(tracking, &held);
        printf("after frame %d: %" PRIu64 " objects\n", i, held.live_objects);
    }
    sluice_phase_end(frame[2]);
    sluice_stats_module(tracking, &held);
    printf("at the end: %" PRIu64 " object: %s\n", held.live_objects, best);
    sluice_free(best);

    if (sluice_phase_end(frame[2]) != SLUICE_OK)
        printf("%s\n", sluice_error_message());
    return 0;
}
