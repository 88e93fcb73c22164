/* keys.h - every key of the policy language that no backend brings along, in one place: what the
 * parser accepts, what messages suggest, and what policy.schema.json must have (a test
 * compares). */
#ifndef SLUICE_CONFIG_KEYS_H
#define SLUICE_CONFIG_KEYS_H

/* Lists end in NULL. */
extern const char *const keys_policy[];  /* top level */
extern const char *const keys_backend[]; /* of every kind; parameters of the kind come on top */
extern const char *const keys_module[];
extern const char *const keys_rule[];
extern const char *const keys_limit[];
extern const char *const keys_fallback[];
extern const char *const keys_phase[];
extern const char *const keys_process[];
extern const char *const keys_mallopt[]; /* in the order of enum policy_mallopt */
extern const char *const keys_reload[];
extern const char *const keys_attribution[];

/* Words that stand for values; in the order of their enums. */
extern const char *const words_action[]; /* enum policy_action */
extern const char *const words_check[];  /* enum policy_check */
extern const char *const words_purge[];  /* later: 0, end: 1 */

/* A top-level key that begins so is for the author alone: a place for anchors. */
#define KEYS_PRIVATE_PREFIX "x-"

#endif
