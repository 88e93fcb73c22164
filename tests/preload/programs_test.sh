#!/bin/sh
# Programs of tests/preload that say by their exit status how it went, under the preload library.
# Usage: programs_test.sh SLUICE FOLDER PROGRAM…
set -u
sluice=$1
folder=$(dirname "$2")
passed=0
failed=0
unset SLUICE_OVERRIDE SLUICE_POLICY SLUICE_LOG

# run WHAT POLICY COMMAND…
run() {
    what=$1
    echo "$2" >policy.yaml
    shift 2
    "$sluice" run -p policy.yaml -- "$@" >out 2>&1
    status=$?
    if [ "$status" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s: exit status %s\n%s\n' "$what" "$status" "$(cat out)"
    fi
}

for default in pool glibc jemalloc; do
    run "plug-ins, $default" "{sluice: 1, default: $default}" "$folder/plugins" "$folder"
done
run 'plug-ins, modules by object' '{sluice: 1, attribution: auto}' "$folder/plugins" "$folder"
for default in pool glibc; do
    run "C++, $default" "{sluice: 1, default: $default}" "$folder/operators"
    run "C++ that is opened, $default" "{sluice: 1, default: $default}" "$folder/opens_cxx" "$folder"
done
run signals '{sluice: 1, reload: {signal: SIGHUP}}' "$folder/signals"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
