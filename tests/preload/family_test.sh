#!/bin/sh
# The malloc family under the preload library, with each backend as the one that serves everything; and plainly, where
# glibc tells whether the cases are right.
# Usage: family_test.sh SLUICE PROGRAM
set -u
. tests/support/expect.sh
sluice=$1
program=$2
unset SLUICE_OVERRIDE SLUICE_POLICY SLUICE_LOG
SLUICE_PLUGIN_PATH=$PWD/backends/plugins
export SLUICE_PLUGIN_PATH

attempt 'plain glibc' "$program"
attempt 'the built-in policy' "$sluice" run -- "$program"
for kind in pool mmap glibc jemalloc tcmalloc mimalloc; do
    echo "{sluice: 1, default: all, backends: {all: {kind: $kind}}}" >policy.yaml
    attempt "$kind" "$sluice" run -p policy.yaml -- "$program"
done

report
