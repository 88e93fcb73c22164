/* builtin.h - the policy of a program that was given none: config/policies/default.yaml, as a
 * text. A test compares. */
#ifndef SLUICE_CONFIG_BUILTIN_H
#define SLUICE_CONFIG_BUILTIN_H

extern const char builtin_policy[];

#endif
