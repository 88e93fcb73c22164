/* options.h - what `sluice demo balloon` was asked to do. */
#ifndef SLUICE_TOOLS_DEMO_OPTIONS_H
#define SLUICE_TOOLS_DEMO_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum scene { SCENE_ONE, SCENE_TWO, SCENE_THREE, SCENE_COUNT };

struct options {
    uint64_t size; /* of a stage of scene one, bytes */
    unsigned stages[SCENE_COUNT], threads[SCENE_COUNT];
    uint64_t text_max;    /* bytes of files for scene two */
    uint64_t redis_bytes; /* of keys and values for scene three */
    uint64_t seed;
    bool scenes[SCENE_COUNT];
    bool is_one_scene;       /* one was asked for by name */
    const char *only;        /* a policy's name; NULL: all */
    const char *policy_file; /* one more policy; NULL: none */
    const char *output;      /* folder */
    bool is_quick, is_json, is_strict;
    bool is_cold;       /* no warm-up before each run */
    unsigned settle_ms; /* from a release to its measurement */
    unsigned final_ms;  /* from the last release to its second one */
};

enum options_verdict { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_SHOW_POLICIES, OPTIONS_WRONG };

/* Reads the arguments behind `demo balloon`. With OPTIONS_WRONG one line is on standard error.
 * `room` is the memory that there is (measure.h). */
enum options_verdict options_parse(struct options *options, int argc, char **argv, uint64_t room);

void options_help(void);

/* "one", "two" or "three". */
const char *scene_name(enum scene scene);

#endif
