#!/bin/sh
# rename_yaml.sh IN OUT: libyaml's archive IN, taking its memory from Sluice instead of from malloc.
#
# Sluice may be the program's malloc, and reads its policy before that works: what it needs for
# itself must come from elsewhere. The policy reader defines the four functions.
set -eu
in=$1
out=$2
objcopy \
    --redefine-sym malloc=sluice_yaml_malloc \
    --redefine-sym realloc=sluice_yaml_realloc \
    --redefine-sym free=sluice_yaml_free \
    --redefine-sym strdup=sluice_yaml_strdup \
    "$in" "$out"

# Functions of libc that allocate behind the caller's back would undo this.
left=$(nm -u "$out" | awk '{ print $2 }' |
    grep -xE 'malloc|calloc|realloc|reallocarray|free|strdup|strndup|fopen|fdopen|asprintf|vasprintf' | sort -u) || true
if [ -n "$left" ]; then
    echo "rename_yaml.sh: still refers to: $left" >&2
    exit 1
fi
