/* print.h - a policy as YAML again: includes merged, aliases resolved, defaults filled in.
 * Reading the result gives the same policy. */
#ifndef SLUICE_CONFIG_PRINT_H
#define SLUICE_CONFIG_PRINT_H

struct policy;
struct text;

void print_policy(const struct policy *policy, struct text *out);

#endif
