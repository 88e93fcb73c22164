#!/bin/sh
# Attribution: which module an allocation of an unmodified program counts for.
# Usage: attribution_test.sh SLUICE PROGRAM FOLDER-OF-A-LIBRARY
set -u
sluice=$1
program=$2
folder=$(dirname "$3")
passed=0
failed=0
unset SLUICE_OVERRIDE SLUICE_POLICY SLUICE_LOG

# run CASE: with the policy on standard input (no pipe: the counters would be a subshell's).
run() {
    cat >policy.yaml
    "$sluice" run -p policy.yaml -- "$program" "$1" "$folder" >out 2>&1
    status=$?
    if [ "$status" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s: exit status %s\n%s\n' "$1" "$status" "$(cat out)"
    fi
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

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
