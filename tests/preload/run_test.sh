#!/bin/sh
# `sluice run`: exit status and signals are the program's, what children get, and what is said before a start that fails.
# Usage: run_test.sh SLUICE
# shellcheck disable=SC2016 # what stands in single quotes is for the shells that it starts
set -u
. tests/support/expect.sh
sluice=$PWD/$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
unset SLUICE_OVERRIDE SLUICE_POLICY SLUICE_LOG LD_PRELOAD

# run ARGUMENTS…: sets status, and the files out and err.
run() {
    "$sluice" run "$@" >out 2>err
    status=$?
}

has='grep -q libsluice-preload /proc/$$/maps && echo yes || echo no'

run -- sh -c "$has; exit 7"
expect 'the library is in the program' yes "$(cat out)"
expect 'its exit status' 7 "$status"
expect 'nothing is said' '' "$(cat err)"
run sh -c 'kill -TERM $$'
expect 'its signal' 143 "$status"
run -- sh -c "sh -c '$has' && true"
expect 'children get it too' yes "$(cat out)"
run --no-children -- sh -c "$has; sh -c '$has' && env | grep -cE '^(LD_PRELOAD|SLUICE)'"
expect 'children stay without, when asked' 'yes no 0' "$(xargs <out)"
LD_PRELOAD=libm.so.6 run --no-children -- sh -c 'echo "$LD_PRELOAD" >&2; sh -c "echo \$LD_PRELOAD"'
expect 'what else was preloaded stays' libm.so.6 "$(cat out)"
expect 'a program may take options of its own' '-n -p' "$("$sluice" run printf '%s %s' -n -p)"

# What jemalloc and libm would take is not there, as nothing uses them.
resident() { awk '/^Rss:/ { print $2 }'; }
# shellcheck disable=SC2002 # it is about cat
plain=$(cat /proc/self/smaps_rollup | resident)
run cat /proc/self/smaps_rollup
with=$(resident <out)
expect 'a small program takes little more memory' yes \
    "$(test $((with - plain)) -le 1400 && echo yes || echo "$with KiB instead of $plain KiB")"

# The policy: relative names hold after the program changed its folder.
echo '{sluice: 1, default: jemalloc}' >policy.yaml
run -p policy.yaml -- sh -c 'cd /; echo "$SLUICE_POLICY"'
expect 'an absolute path' "$PWD/policy.yaml" "$(cat out)"
SLUICE_OVERRIDE=a=pool run --set b=mmap --set 'c=d=glibc' -- sh -c 'echo "$SLUICE_OVERRIDE"'
expect 'overrides' 'a=pool,b=mmap,c=d=glibc' "$(cat out)"
SLUICE_LOG=info run -p policy.yaml --set default=pool -- true
expect 'the policy is in force' 1 "$(grep -c "policy $PWD/policy.yaml in force" err)"

# Before the start.
echo '{sluice: 1, defautl: jemalloc}' >bad.yaml
run -p bad.yaml -- touch started
expect 'a bad policy: exit status' 1 "$status"
expect 'a bad policy: where' 1 "$(grep -c '^bad.yaml:1:13: error: ' err)"
run -p missing.yaml -- touch started
expect 'no policy: exit status' '1 1' "$status $(grep -c 'missing.yaml' err)"
run --set default=nobody -- touch started
expect 'an unknown backend' '1 1' "$status $(grep -c 'has no backend "nobody"; it has: ' err)"
expect 'nothing was started' no "$([ -e started ] && echo yes || echo no)"
for wrong in '' '--set x true' '--set =pool true' '--set x= true' '--bogus true' '-p'; do
    # shellcheck disable=SC2086 # words
    run $wrong
    expect "wrong usage: $wrong" '2 1' "$status $(wc -l <err)"
done
run -- ./nowhere
expect 'no program' '127 1' "$status $(grep -c 'nowhere: No such file' err)"
: >plain && chmod 644 plain
run -- ./plain
expect 'not executable' 126 "$status"
printf '\177ELF\002\001\001' >static && head -c 57 /dev/zero >>static && chmod 755 static
run -- ./static
expect 'statically linked' '1 1' "$status $(grep -c 'it is statically linked' err)"
run --help
expect 'help' '0 1' "$status $(grep -c '^Usage: sluice run' out)"

# In a folder whose name the dynamic linker would cut in two.
mkdir -p 'a b/bin' 'a b/lib'
cp "$sluice" 'a b/bin/sluice'
cp "$(dirname "$sluice")/../preload/libsluice-preload.so" 'a b/lib/'
"a b/bin/sluice" run -- true 2>err
expect 'a space in the path' '1 1' "$? $(grep -c 'cannot preload from a path with a space' err)"
mkdir -p alone/bin
cp "$sluice" alone/bin/sluice
alone/bin/sluice run -- true 2>err
expect 'no library' '1 1' "$? $(grep -c 'there is no libsluice-preload.so in' err)"

# A program that takes other rights gets nothing preloaded: Debian's chage belongs to the group shadow.
run -- /usr/bin/chage --help
expect 'set-group-id' '1 1' "$status $(grep -c 'it takes other rights' err)"

report
