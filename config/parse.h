/* parse.h - the tree of a policy into struct policy: the meaning of every key.
 *
 * Sections are read in an order in which each finds what it refers to: backends, default,
 * modules, phases, the rest. A mistake is reported and reading goes on, so that one run names
 * all of them; what is half-read is never used, since a policy with a mistake is thrown away as
 * a whole. */
#ifndef SLUICE_CONFIG_PARSE_H
#define SLUICE_CONFIG_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/reader.h"

struct node;

struct parse {
    struct reader *reader;
    struct report *report; /* the reader's */
    const struct node *root;
    struct policy *policy;
    struct policy_backend *backends; /* policy->backends while they grow; ops NULL: has a mistake */
    size_t backend_capacity;
};

#define PARSE_NO_BACKEND UINT32_MAX

/* NULL when a mistake was reported, or memory ran out (then that was). */
struct policy *parse_policy(struct reader *reader, const struct node *root);

/* ---- Sections; each takes the value of its key ----------------------------------------------- */

void parse_backends(struct parse *parse,
                    const struct node *map); /* NULL: only the kinds themselves */
void parse_default(struct parse *parse, const struct node *node);
void parse_modules(struct parse *parse, const struct node *map);
void parse_phases(struct parse *parse, const struct node *map);
void parse_process(struct parse *parse, const struct node *map);
void parse_reload(struct parse *parse, const struct node *map);
void parse_observe(struct parse *parse, const struct node *node); /* NULL: not written */
void parse_attribution(struct parse *parse, const struct node *node);

/* ---- Shared by the sections ------------------------------------------------------------------ */

/* Index of the backend that a value names, or PARSE_NO_BACKEND after reporting. */
uint32_t parse_backend_name(struct parse *parse, const struct node *node, const char *key);

/* The same for a backend that serves what is of no phase: warns of one that frees nothing before the end of a phase. */
uint32_t parse_route_backend(struct parse *parse, const struct node *node, const char *key);

/* The largest size that a backend serves, POLICY_ANY_SIZE when there is no bound. */
size_t parse_largest(const struct parse *parse, uint32_t backend);

/* Adds the kinds that are registered and that no backend is named like. */
void parse_add_kinds(struct parse *parse);

/* A route: rules[] has room for one more than count. Warns of rules that no size reaches;
 * completes the route when its last backend does not serve every size. Returns the count of
 * rules then. `route` is where it starts. */
size_t parse_finish_route(struct parse *parse, struct policy_rule *rules, size_t count);

/* {soft: .., hard: ..} */
void parse_limit(struct parse *parse, const struct node *map, struct policy_limit *limit);

#endif
