#!/bin/sh
# The benchmarks run, each in a few rounds, and say what is wrong where they can't. Their times are nobody's business here.
# Usage: bench_test.sh BENCH
set -u
. tests/support/expect.sh
bench=$1
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

"$bench" nonsense >out 2>err
expect "an unknown benchmark is refused" 2 $?
expect "and named" 'bench: no benchmark "nonsense"' "$(head -n 1 err)"

report
