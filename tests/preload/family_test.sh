#!/bin/sh
# The malloc family under the preload library, with each backend as the one that serves everything; and plainly, where
# glibc tells whether the cases are right.
# Usage: family_test.sh SLUICE PROGRAM
set -u
sluice=$1
program=$2
passed=0
failed=0
unset SLUICE_OVERRIDE SLUICE_POLICY SLUICE_LOG
SLUICE_PLUGIN_PATH=$PWD/backends/plugins
export SLUICE_PLUGIN_PATH

# result WHAT STATUS
result() {
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $1"
    fi
}

"$program" >out 2>&1
result "plain glibc: $(cat out)" $?
"$sluice" run -- "$program" >out 2>&1
result "the built-in policy: $(cat out)" $?
for kind in pool mmap glibc jemalloc tcmalloc mimalloc; do
    echo "{sluice: 1, default: all, backends: {all: {kind: $kind}}}" >policy.yaml
    "$sluice" run -p policy.yaml -- "$program" >out 2>&1
    result "$kind: $(cat out)" $?
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
