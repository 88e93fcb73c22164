#!/bin/sh
# Attribution: which module an allocation of an unmodified program counts for.
# Usage: attribution_test.sh SLUICE PROGRAM FOLDER-OF-A-LIBRARY
set -u
. tests/support/expect.sh
sluice=$1
program=$2
folder=$(dirname "$3")
unset SLUICE_OVERRIDE SLUICE_POLICY SLUICE_LOG

# run CASE: with the policy on standard input (no pipe: the counters would be a subshell's).
run() {
    cat >policy.yaml
    attempt "$1" "$sluice" run -p policy.yaml -- "$program" "$1" "$folder"
}

run each_object <<'POLICY'
{sluice: 1, attribution: auto}
POLICY
run each_object <<'POLICY'
{sluice: 1, attribution: auto, default: pool, modules: {"*": {route: [{max_size: 64KiB, to: pool}, {to: mmap}]}}}
POLICY
run each_object <<'POLICY'
{sluice: 1, attribution: auto, default: glibc}
POLICY
run reopened <<'POLICY'
{sluice: 1, attribution: auto}
POLICY
run made_code <<'POLICY'
{sluice: 1, attribution: auto}
POLICY
run wrappers <<'POLICY'
sluice: 1
attribution: [auto, {wrappers: [one_inner, one_outer, nobody_has_this]}]
POLICY
run entries <<'POLICY'
sluice: 1
attribution:
  - {object: "tw?.so", module: first}
  - {thread: "work-*", module: by-thread}
  - {object: "*/one.so", module: by-object}
  - {object: "*.so", module: never}
POLICY
run changes <<'POLICY'
{sluice: 1}
POLICY

report
