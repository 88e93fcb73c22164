#!/bin/sh
# Programs of tests/preload that say by their exit status how it went, under the preload library.
# Usage: programs_test.sh SLUICE FOLDER PROGRAM…
set -u
. tests/support/expect.sh
sluice=$1
folder=$(dirname "$2")
unset SLUICE_OVERRIDE SLUICE_POLICY SLUICE_LOG

# run WHAT POLICY COMMAND…
run() {
    what=$1
    echo "$2" >policy.yaml
    shift 2
    attempt "$what" "$sluice" run -p policy.yaml -- "$@"
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

report
