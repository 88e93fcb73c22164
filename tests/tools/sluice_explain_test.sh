#!/bin/sh
# `sluice explain`: words, JSON, overrides, wrong usage.
# Usage: sluice_explain_test.sh SLUICE
set -u
. tests/support/expect.sh
sluice=$PWD/$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
unset SLUICE_OVERRIDE SLUICE_POLICY SLUICE_LOG

# run ARGUMENTS…: sets status, and the files out and err.
run() {
    "$sluice" explain "$@" >out 2>err
    status=$?
}

# json EXPRESSION: of the object d in the file out.
json() { python3 -c "import json; d = json.load(open('out')); print($1)"; }

cat >p.yaml <<'YAML'
sluice: 1
default: general
backends:
  general: {kind: glibc}
  direct: {kind: mmap}
modules:
  perception:
    route:
      - {max_size: 64KiB, to: general}
      - {to: direct}
    limit: {hard: 4GiB}
  "ros.*": direct
YAML

run p.yaml perception 100KiB
expect "exits 0" 0 $status
expect "tells rule, line and reason" 'perception, 100KiB (102400 bytes): backend "direct" (mmap)
  module    "perception" has an entry of its own, p.yaml:7:3
  rule 1    to "general" (glibc), up to 64KiB, p.yaml:9:9: 100KiB is larger
  rule 2    to "direct" (mmap), every size, p.yaml:10:9: decides
  limit     beyond 4GiB, p.yaml:11:12: the allocation fails with ENOMEM' "$(cat out)"
run p.yaml ros.nav 1
expect "a pattern" '  module    "ros.*" is the first pattern that fits "ros.nav", p.yaml:12:3' "$(sed -n 2p out)"
run p.yaml nobody 1
expect "the default" '  module    nothing names "nobody": default: "general" (glibc), p.yaml:2:10' "$(sed -n 2p out)"

run --set perception=direct p.yaml perception 1
expect "--set wins" 'perception, 1 byte: backend "direct" (mmap)' "$(sed -n 1p out)"
run p.yaml perception 1 --set=other=direct --set=perception=mmap
expect "the last --set for the module counts" '  override  --set sends "perception" to "mmap", which wins over the policy' "$(sed -n 2p out)"
SLUICE_OVERRIDE=other=general,perception=direct run p.yaml perception 1
expect "so does the environment" "  override  \$SLUICE_OVERRIDE sends \"perception\" to \"direct\" (mmap), which wins over the policy" "$(sed -n 2p out)"
SLUICE_OVERRIDE=perception=direct run --set perception=general p.yaml perception 1
expect "--set before the environment" 'perception, 1 byte: backend "general" (glibc)' "$(sed -n 1p out)"

run --json p.yaml perception 64KiB
expect "--json exits 0" 0 $status
expect "decision" "('general', 'glibc', 'exact', 65536)" "$(json '(d["backend"], d["kind"], d["because"], d["size"])')"
expect "rules" "[(9, True), (10, False)]" "$(json '[(r["line"], r["decides"]) for r in d["rules"]]')"
expect "limit" "4294967296" "$(json 'd["limit"]["hard"]')"

echo 'sluice: 2' >bad.yaml
run bad.yaml m 1
expect "an invalid policy exits 1" 1 $status
expect "and says why" "bad.yaml:1:9: error: sluice: version" "$(cut -c1-36 err)"
run p.yaml m
expect "a missing argument exits 2" "2 sluice explain: SIZE is missing; see sluice explain --help" "$status $(cat err)"
run p.yaml m 1 2
expect "one too many exits 2" "2 sluice explain: \"2\" is one argument too many; see sluice explain --help" "$status $(cat err)"
run p.yaml m 64K
expect "a wrong unit exits 2" "2 sluice explain: unknown unit in SIZE \"64K\"; did you mean \"64KiB\"? See sluice explain --help" "$status $(cat err)"
run p.yaml m many
expect "no size exits 2" "2 sluice explain: SIZE \"many\" is no size such as 4096, 64KiB or 2MiB; see sluice explain --help" "$status $(cat err)"
run p.yaml m 1 --set nonsense
expect "a wrong --set exits 2" "2 sluice explain: --set \"nonsense\": expected MODULE=BACKEND; see sluice explain --help" "$status $(cat err)"
run p.yaml m 1 --set
expect "--set without a value exits 2" "2 sluice explain: --set needs a value; see sluice explain --help" "$status $(cat err)"
run p.yaml '' 1
expect "an empty module exits 2" 2 $status
run --help
expect "--help exits 0" "0 Usage: sluice explain" "$status $(head -1 out | cut -c1-21)"
run --version
expect "--version exits 0" 0 $status

report
