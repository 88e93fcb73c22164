#!/bin/sh
# merge_static.sh OUT ARCHIVE…: one archive OUT of one object, in which only sluice_* is global.
#
# The archives call each other through hidden names, and two of them are third parties' under names
# that a user's program may have too. Linking all of them into one object first lets every other
# name become local.
set -eu
out=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ld -r --whole-archive -o "$work/all.o" "$@"
objcopy --localize-hidden --wildcard --keep-global-symbol='sluice_*' "$work/all.o" "$work/sluice.o"
rm -f "$out"
ar rcsD "$out" "$work/sluice.o"
