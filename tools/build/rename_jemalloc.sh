#!/bin/sh
# rename_jemalloc.sh IN OUT: jemalloc's archive IN without a claim on the process.
#
# The distribution's library defines malloc, free and the rest, so linking it as it is would make
# it the allocator of the whole program, libc's own backend included. Here
#   - every public name without a prefix gets one: malloc -> je_malloc, mallocx -> je_mallocx, …
#   - the C++ operators new and delete are dropped,
#   - its registration of fork handlers goes to sluice_jemalloc_atfork(), because the order in which
#     locks are taken at fork must be one order for everything in the library,
#   - its constructor does not run: jemalloc starts when a policy leads to it, and in many processes none does,
#   - its mmap is sluice_jemalloc_mmap(), since it cannot start without,
#   - the three functions of libm that its heap profile calls go to sluice_jemalloc_log() and so on,
#     because libm would be a third of what the library takes in an idle process,
#   - its seldom used code stays with it: by its usual name the linker would put it, 56 KiB, at the
#     front, between the symbols and the code that every process comes to.
set -eu
in=$1
out=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp "$in" "$work/in.a"
chmod u+w "$work/in.a"
ar d "$work/in.a" jemalloc_cpp.pic.o

# Private names carry the prefix already.
nm -g --defined-only "$work/in.a" |
    awk 'NF == 3 && $3 !~ /^je_/ { print $3, "je_" $3 }' | sort -u >"$work/names"
grep -q '^malloc je_malloc$' "$work/names" || {
    echo "rename_jemalloc.sh: $in defines no malloc: not the archive that this script knows" >&2
    exit 1
}
echo 'pthread_atfork sluice_jemalloc_atfork' >>"$work/names"
echo 'mmap sluice_jemalloc_mmap' >>"$work/names"
for function in log exp round; do
    echo "$function sluice_jemalloc_$function" >>"$work/names"
done
objcopy --redefine-syms="$work/names" --remove-section=.init_array --remove-section=.rela.init_array \
    --rename-section .text.unlikely=.text.jemalloc_unlikely "$work/in.a" "$out"

if readelf -SW "$out" | grep -q '\.init_array\|\.ctors'; then
    echo "rename_jemalloc.sh: a constructor is left" >&2
    exit 1
fi

# A name that two members define, or a plain one that is left, would break far from here.
left=$(nm -g --defined-only "$out" | awk 'NF == 3 && $3 !~ /^je_/ { print $3 }')
twice=$(nm -g --defined-only "$out" | awk 'NF == 3 { print $3 }' | sort | uniq -d)
if [ -n "$left$twice" ]; then
    echo "rename_jemalloc.sh: unexpected names: $left $twice" >&2
    exit 1
fi
