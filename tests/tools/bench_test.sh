#!/bin/sh
# The benchmarks run, each in a few rounds, and say what is wrong where they can't. Their times are nobody's business here.
# Usage: bench_test.sh BENCH WORKS.PY LIBRARY
set -u
. tests/support/expect.sh
bench=$1 works=$2 library=$PWD/$3
unset SLUICE_OVERRIDE SLUICE_POLICY SLUICE_LOG

# rows FILE: the names of a table's rows whose second column is a number, a line each.
has_row() { grep -Eq "^ *$1 +[0-9]+\.[0-9]+ " out; }

attempt "pair runs" sh -c "$bench --quick pair >out 2>err"
for row in "sluice, pool" "sluice, 32 modules" "sluice, glibc" "a bare list" "glibc" "sluice preloaded" "jemalloc" \
    "mimalloc" "tcmalloc"; do
    attempt "pair has a row for $row" has_row "$row"
done
expect "nothing is complained of" "" "$(cat err)"

attempt "attribution runs" sh -c "$bench --quick attribution >out 2>err"
for row in "no attribution" "by object" "by thread too"; do
    attempt "attribution has a row for $row" has_row "$row"
done

# Every work runs to its end, also under Sluice.
"$bench" works >list
while IFS='	' read -r work what rests; do
    attempt "work $work runs" sh -c "LD_PRELOAD=$library $bench work '$work' 100 >out 2>err"
    attempt "and says what it took" grep -Eq '^[0-9]+( [0-9]+){5}$' out
    attempt "and is described" test -n "$what" -a -n "$rests"
done <list
attempt "works are compared" sh -c "$works $bench $library --quick --json results.json --svg chart.svg trees '64 KiB' >out 2>err"
attempt "with a ratio for each" grep -Eq '^  trees +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+$' out
attempt "and what is left afterwards" grep -q '^a second later, MiB' out
attempt "as JSON" python3 -c '
import json
results = json.load(open("results.json"))["results"]
assert results["trees"]["sluice"][0]["wall ns"] > 0 and results["64 KiB"]["glibc"][0]["rest MiB"] >= 0'
attempt "and as a chart" grep -q '</svg>' chart.svg
"$works" "$bench" "$library" nonsense >out 2>err
expect "an unknown work is refused" 2 $?
attempt "and named" grep -q 'no work "nonsense"; there are: algebra' err

"$bench" nonsense >out 2>err
expect "an unknown benchmark is refused" 2 $?
expect "and named" 'bench: no benchmark "nonsense"' "$(head -n 1 err)"

report
