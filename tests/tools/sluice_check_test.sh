#!/bin/sh
# `sluice check`: exit status, what goes to which output, JSON, the effective policy, wrong usage.
# Usage: sluice_check_test.sh SLUICE
set -u
. tests/support/expect.sh
sluice=$PWD/$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# run ARGUMENTS…: sets status, and the files out and err.
run() {
    "$sluice" "$@" >out 2>err
    status=$?
}

# json EXPRESSION: of the object d in the file out.
json() { python3 -c "import json; d = json.load(open('out')); print($1)"; }

cat >good.yaml <<'YAML'
sluice: 1
default: general
backends:
  general: {kind: glibc}
  blocks: {kind: pool, retain: 16MiB}
modules:
  m: {route: [{max_size: 64KiB, to: blocks}, {to: general}], limit: {hard: 1GiB}}
YAML
cat >bad.yaml <<'YAML'
sluice: 1
default: genral
backends:
  general: {kind: glibc}
modules:
  m: {limit: {on_soft: trim}}
YAML
echo 'default: glibc' >site.yaml
printf 'sluice: 1\ninclude: [site.yaml]\n' >two.yaml

run check good.yaml
expect "a valid policy exits 0" 0 $status
expect "says ok on standard output" "good.yaml: ok: 2 backends, 1 module" "$(cat out)"
expect "and nothing on standard error" "" "$(cat err)"

run check bad.yaml
expect "an invalid one exits 1" 1 $status
expect "names each problem on standard error" "bad.yaml:2:10: error: default: unknown backend \"genral\"; did you mean \"general\"?
bad.yaml:6:14: warning: this limit has neither soft nor hard: no effect
bad.yaml:6:24: warning: on_soft has no effect without soft" "$(sort err)"
expect "and nothing on standard output" "" "$(cat out)"

run check good.yaml bad.yaml two.yaml
expect "one invalid of several exits 1" 1 $status
expect "the others are ok" "good.yaml: ok: 2 backends, 1 module
two.yaml: ok: 0 backends, 0 modules, 2 files" "$(cat out)"

run check missing.yaml
expect "a missing file exits 1" 1 $status
expect "and is named" "missing.yaml: error: cannot be read: No such file or directory" "$(cat err)"

sed 's/genral/general/' bad.yaml >odd.yaml
run check odd.yaml
expect "warnings alone exit 0" 0 $status
expect "and are counted" "odd.yaml: ok: 1 backend, 1 module, 2 warnings" "$(cat out)"

run check --print good.yaml
expect "--print exits 0" 0 $status
cp out printed.yaml
run check printed.yaml
expect "what it prints is a policy" 0 $status
run check --print printed.yaml
expect "the same one" "$(cat printed.yaml)" "$(cat out)"
expect "with defaults filled in" 1 "$(grep -c '^    thread_cache: ' printed.yaml)"
run check --print two.yaml
expect "and includes merged" "default: glibc" "$(sed -n 3p out)"

run check --json good.yaml bad.yaml
expect "--json exits 1 for an invalid one" 1 $status
expect "has the result of all" False "$(json 'd["valid"]')"
expect "and of each" "[True, False]" "$(json '[p["valid"] for p in d["policies"]]')"
expect "counts" "[(0, 0), (1, 2)]" "$(json '[(p["errors"], p["warnings"]) for p in d["policies"]]')"
expect "places" "('bad.yaml', 2, 10, 'error')" \
    "$(json 'tuple(d["policies"][1]["problems"][0][k] for k in ("file", "line", "column", "severity"))')"
expect "nothing on standard error" "" "$(cat err)"
run check --json missing.yaml
expect "a whole file has no line" "None" "$(json 'd["policies"][0]["problems"][0]["line"]')"
run check --json --print good.yaml
expect "--json --print has the policy" "$(cat printed.yaml)" "$(json 'd["policies"][0]["effective"].rstrip()')"

run check
expect "no policy exits 2" 2 $status
expect "in one line" "sluice check: no policy is named; see sluice check --help" "$(cat err)"
run check --jsn good.yaml
expect "an unknown option exits 2" 2 $status
expect "with the nearest" "sluice check: unknown option \"--jsn\"; did you mean \"--json\"? See sluice check --help" "$(cat err)"
run check --json=yes good.yaml
expect "a value that is not wanted exits 2" 2 $status
run check -- --json
expect "-- ends options" "--json: error: cannot be read: No such file or directory" "$(cat err)"
run check --help
expect "--help exits 0" 0 $status
expect "on standard output" "Usage: sluice check" "$(head -1 out | cut -c1-19)"
run check --version
expect "--version" 1 "$(grep -c '^sluice [0-9]*\.[0-9]*\.[0-9]*$' out)"
run check good.yaml --json
expect "options may stand behind" True "$(json 'd["valid"]')"

run
expect "no command exits 2" 2 $status
run chek good.yaml
expect "an unknown command exits 2" 2 $status
expect "with the nearest" "sluice: unknown command \"chek\"; did you mean \"check\"? See sluice --help" "$(cat err)"
run --help
expect "sluice --help exits 0" 0 $status
expect "and lists check" 1 "$(grep -c '^  check ' out)"
run --version
expect "sluice --version exits 0" 0 $status

if [ -c /dev/full ]; then
    "$sluice" check good.yaml >/dev/full 2>err
    expect "a full disk is no success" 1 $?
fi

report
