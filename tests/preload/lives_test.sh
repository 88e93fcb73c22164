#!/bin/sh
# What happens in the life of a process, under the preload library: lives.c has the cases.
# Usage: lives_test.sh SLUICE PROGRAM
set -u
. tests/support/expect.sh
sluice=$1
program=$2
unset SLUICE_OVERRIDE SLUICE_POLICY SLUICE_LOG

# run POLICY CASE…
run() {
    echo "$1" >policy.yaml
    policy=$1
    shift
    for case; do
        "$sluice" run -p policy.yaml -- "$program" "$case" >out 2>&1
        status=$?
        if [ "$status" = 0 ] && [ ! -s out ]; then
            pass
        else
            fail "$case with $policy: exit status $status" "$(cat out)"
        fi
    done
}

few='small_stacks forks exits main_thread_ends closed fewer_rights'
blocks='default: pool, modules: {"*": {route: [{max_size: 64KiB, to: pool}, {to: mmap}]}}'
# shellcheck disable=SC2086 # a list of words
{
    # Not with glibc behind us: its own locks are copied as they are.
    run "{sluice: 1, $blocks}" $few clones churn forks_and_streams little_address_space
    run "{sluice: 1, $blocks, attribution: auto}" $few churn little_address_space
    run '{sluice: 1, default: jemalloc}' $few clones forks_and_streams little_address_space
    # Not little_address_space: with little left of it, libc cannot add to its heap, which the others have in reserve.
    run '{sluice: 1, default: glibc}' $few
}

report
