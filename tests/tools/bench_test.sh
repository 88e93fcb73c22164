#!/bin/sh
# The benchmarks run, each in a few rounds, and say what is wrong where they can't. Their times are nobody's business here.
# Usage: bench_test.sh BENCH WORKS.PY LIBRARY CHARTS.PY
set -u
. tests/support/expect.sh
bench=$1 works=$2 library=$PWD/$3 charts=$4
unset SLUICE_OVERRIDE SLUICE_POLICY SLUICE_LOG

# rows FILE: the names of a table's rows whose second column is a number, a line each.
has_row() { grep -Eq "^ *$1 +[0-9]+\.[0-9]+ " out; }

attempt "pair runs" sh -c "$bench --quick pair >out 2>err"
for row in "sluice, pool" "sluice, 32 modules" "sluice, glibc" "a bare list" "lists by size" "lists, 32 modules" "glibc" \
    "sluice preloaded" "jemalloc" "mimalloc" "tcmalloc"; do
    attempt "pair has a row for $row" has_row "$row"
done
expect "and two tables" 2 "$(grep -c "^sluice, pool " out)"
expect "nothing is complained of" "" "$(cat err)"

attempt "attribution runs" sh -c "$bench --quick attribution >out 2>err"
for row in "no attribution" "by object" "by thread too"; do
    attempt "attribution has a row for $row" has_row "$row"
done

# The figures, as JSON and as a chart.
attempt "figures are written" sh -c "$charts $bench --quick --json results.json --svg chart.svg pair overhead >out 2>err"
expect "nothing is complained of" "" "$(cat err)"
attempt "as JSON" python3 -c '
import json
file = json.load(open("results.json"))
results = file["results"]
assert file["benchmark"] == "pair overhead" and file["machine"]["processors"] > 0
assert len(results["pair"]["glibc"]) == 5 and results["pair"]["glibc"][4]["ns"] > 0
assert results["pair: four sizes"]["sluice, pool"][0]["ns"] > 0 and "a bare list" not in results["pair: four sizes"]
assert results["overhead: 16 KiB each"]["sluice"][0]["ratio"] > 1'
attempt "and as a chart" grep -q '</svg>' chart.svg
attempt "of pairs" grep -q 'A pair of malloc and free' chart.svg
attempt "and overhead" grep -q 'Resident memory' chart.svg
attempt "all benchmarks are listed" sh -c "$charts $bench --help | grep -q '^  phases '"
"$charts" "$bench" nonsense >out 2>err
expect "an unknown benchmark is refused there too" 2 $?

# Those that take longer, with their figures.
attempt "giveback, fragmentation and growth run" \
    sh -c "$charts $bench --quick --json results.json --svg chart.svg giveback fragmentation growth >out 2>err"
expect "nothing is complained of" "" "$(cat err)"
for row in idle blocked gone "freed by another"; do
    attempt "giveback has a row for $row" grep -Eq "^$row( +[0-9]+\.[0-9]+){6}$" out
done
for row in sluice glibc jemalloc mimalloc tcmalloc; do
    attempt "fragmentation has a row for $row" grep -Eq "^$row( +[1-9]\.[0-9]+){5}$" out
done
for row in 1 64 1024 4096 "16 MiB"; do
    attempt "growth has a row for $row" has_row "$row"
done
attempt "as JSON" python3 -c '
import json
results = json.load(open("results.json"))["results"]
assert {f"giveback: {row}" for row in ("idle", "blocked", "gone", "freed by another")} < set(results)
assert set(results["giveback: gone"]) == {"sluice", "retain: 0", "glibc", "jemalloc", "mimalloc", "tcmalloc"}
assert results["giveback: gone"]["sluice"][0]["MiB"] > 60 and "MiB after 2 s" in results["giveback: idle"]["glibc"][0]
for name in ("sluice", "glibc"):
    assert all(results[f"fragmentation: {minute}"][name][0]["x live"] > 1 for minute in range(1, 61))
assert set(results["growth by threads: 64"]) == {"sluice", "glibc", "walk only"}
for row in ("growth by threads: 64", "growth by modules, 10000 objects: 4096", "growth by live MiB: 16"):
    assert all(figures["cpu ns"] > 0 for figures in results[row]["sluice"])'
attempt "and as a chart" grep -q '</svg>' chart.svg
attempt "of what was given back" grep -q 'After everything was freed' chart.svg
attempt "of fragmentation" grep -q 'An hour of a server' chart.svg
attempt "and of growth" grep -q 'by live MiB' chart.svg

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
