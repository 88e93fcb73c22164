#!/bin/sh
# `sluice demo balloon --quick`: every policy in the table, equal answers, sane files; wrong usage; interruption.
# Usage: sluice_demo_test.sh SLUICE
set -u
. tests/support/expect.sh
sluice=$PWD/$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# run ARGUMENTS…: sets status, and the files out and err.
run() {
    "$sluice" demo "$@" >out 2>err
    status=$?
}

policies='plain-glibc mallopt-pins direct-mmap pool jemalloc recommended'
# `phases` is for scene one alone.
all="$policies phases"

# All scenes.
command -v redis-server >/dev/null || echo 'no redis-server: on Debian, apt-get install redis-server'
run balloon --quick --output both
expect 'a quick run: exit status' 0 "$status"
[ "$status" = 0 ] || cat err
for policy in $policies; do
    expect "a row of each scene for $policy" "$([ "$policy" = plain-glibc ] && echo 3 || echo 2)" \
        "$(grep -c "^$policy  *[0-9]" out)"
    for scene in one two; do
        expect "one summary of scene $scene for $policy" 1 "$(grep -c "^$scene,$policy," both/summary.csv)"
    done
done
expect 'one row for phases' 1 "$(grep -c "^phases  *[0-9]" out)"
expect 'one summary for phases' 1 "$(grep -c "^one,phases," both/summary.csv)"
for policy in plain-glibc own-jemalloc preload preload-jemalloc; do
    expect "one summary of scene three for $policy" 1 "$(grep -c "^three,$policy," both/summary.csv)"
done
expect 'equal answers are said' 3 "$(grep -c 'every policy gave the same' out)"
expect 'one digest in scene three' 1 "$(grep '^three,' both/summary.csv | sed 's/.*,//' | sort -u | wc -l)"
expect 'half of the keys are left' yes "$(awk -F, '$1 == "three" { n++; good += $5 > 0.4 * $4 && $5 < 0.6 * $4 }
    END { print n == 4 && n == good ? "yes" : "no" }' both/stages.csv)"
for scene in one two; do
    expect "one digest in scene $scene" 1 \
        "$(grep "^$scene," both/summary.csv | sed 's/.*,//' | sort -u | wc -l)"
    expect "the bar for scene $scene is not judged" 1 \
        "$(grep -c "^The bar for .* in scene $scene was not judged: waits are shorter under --quick" out)"
done
expect 'nothing is said to be missed' 0 "$(grep -c 'NOT MET' out)"
expect 'modules are shown' 1 "$(grep -c 'Who held the memory .* scene one' out)"

# The files. Resident lies between live and peak, as far as 8 MiB of program and leftovers go.
expect 'stages.csv: 3 stages and 2 batches for each policy, 3 for phases, one for each of scene three, and a head' 38 "$(wc -l <both/stages.csv)"
expect 'stages.csv: sane rows' '' "$(awk -F, 'NR > 1 && !($4 > $5 && $5 > 0 && $6 > $5 &&
    $6 < 2 * $4 + 64 * 1048576 && $7 >= 0)' both/stages.csv)"
expect 'curves.csv: sane rows' '' "$(awk -F, 'NR > 1 && !(NF == 5 && $3 >= 0 && $4 > 0)' both/curves.csv)"
for policy in $all; do
    expect "curves.csv: a curve of scene one for $policy" yes \
        "$([ "$(grep -c "^one,$policy," both/curves.csv)" -ge 10 ] && echo yes)"
done
if command -v gnuplot >/dev/null; then
    expect 'a chart' yes "$([ -s both/memory.svg ] && echo yes)"
    python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' both/memory.svg
    expect 'the chart is well-formed' 0 $?
    for policy in $all; do
        expect "the chart names $policy" yes "$(grep -q "$policy" both/memory.svg && echo yes)"
    done
fi

expect 'no socket is left' '' "$(find both -type s)"

# Without gnuplot.
mkdir bin
PATH=$work/bin run balloon --quick --scene two --only pool --output none
expect 'without gnuplot: exit status' 0 "$status"
expect 'without gnuplot: says so' yes "$(grep -q 'gnuplot is not installed.*apt-get install' err && echo yes)"
expect 'without gnuplot: CSV' yes "$([ -s none/curves.csv ] && echo yes)"
expect 'only one policy, beside plain glibc' 2 "$(grep -c '^two,' none/summary.csv)"

# Without a warm-up.
expect 'with a warm-up: says so' 1 "$(grep -c 'As much memory was touched once before' out)"
run balloon --quick --scene two --only plain-glibc --no-warm-up --output cold
expect 'without a warm-up: exit status' 0 "$status"
expect 'without a warm-up: says so' 1 "$(grep -c 'Memory was not touched before the runs' out)"

# Without redis.
PATH=$work/bin run balloon --quick --scene three --output noredis
expect 'without redis: exit status' 1 "$status"
expect 'without redis: one line that names the package' 1 "$(grep -c 'apt-get install redis-server' err)"
run balloon --quick --scene three --only pool --output nopool
expect 'a policy that is not for scene three' '1 1' "$status $(grep -c 'pool has no part in scene three' err)"

# JSON.
run balloon --quick --scene one --only recommended --json --output json
expect 'JSON: exit status' 0 "$status"
expect 'JSON: what is in it' '2 one True recommended 3' "$(python3 -c "
import json
d = json.load(open('out'))
r = d['runs'][1]
print(len(d['runs']), r['scene'], r['ok'], r['policy'], len(r['stages']))")"

# A policy of one's own; one that is refused is told, and fails the whole.
echo 'sluice: 1' >own.yaml
run balloon --quick --scene two --only plain-glibc --policy own.yaml --output own
expect 'a policy of one'\''s own: exit status' 0 "$status"
expect 'a policy of one'\''s own: in the table' 1 "$(grep -c '^yours ' out)"
echo 'sluice: 1
defautl: pool' >bad.yaml
run balloon --quick --scene two --only plain-glibc --policy bad.yaml --output bad
expect 'a bad policy: exit status' 1 "$status"
expect 'a bad policy: where' yes "$(grep -q '<string>:2:1' err && echo yes)"
expect 'a bad policy: in the table' yes "$(grep -q '^yours *FAILED' out && echo yes)"

# The embedded policies are good ones.
run balloon --show-policies
expect 'policies: exit status' 0 "$status"
for policy in $all; do
    sed -n "/^# ==== $policy:/,/^# ==== /p" out | grep -v '^# ====' >one.yaml
    [ "$policy" = plain-glibc ] || {
        "$sluice" check one.yaml >checked 2>&1
        expect "sluice check of $policy" 0 $?
    }
done

# Wrong usage: one line, exit status 2.
for wrong in '--size 3parsecs' '--stages 1' '--only nobody' '--scene four' '--bogus' 'stray'; do
    # shellcheck disable=SC2086 # words
    run balloon $wrong
    expect "wrong usage: $wrong" '2 1' "$status $(wc -l <err)"
done
run
expect 'no demo named' 2 "$status"
run balloon --help
expect '--help' '0 yes' "$status $(grep -q -- --show-policies out && echo yes)"

# Ctrl-C ends the workers too.
"$sluice" demo balloon --quick --scene one --output int >out 2>err &
pid=$!
sleep 1
children=$(cat "/proc/$pid/task/$pid/children")
kill -INT "$pid"
wait "$pid"
expect 'interrupted: exit status' 130 $?
for child in $children; do
    expect 'no worker is left' gone "$([ -e "/proc/$child/fd" ] && echo there || echo gone)"
done

report
