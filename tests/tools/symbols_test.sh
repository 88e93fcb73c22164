#!/bin/sh
# symbols_test.sh SHARED STATIC PROGRAM HEADER…: what the built files define and need.
#
# A name too many in a library collides with a user's; a malloc too many takes over the process.
set -u
. tests/support/expect.sh
shared=$1
static=$2
program=$3
shift 3
work=${TEST_TMPDIR:-$(mktemp -d)}

# Upper case letters are global symbols. A version's own name is absolute.
nm -D --defined-only "$shared" | awk '$2 ~ /^[B-Z]$/ { sub(/@.*/, "", $3); print $3 }' | sort -u >"$work/shared"
nm -g --defined-only "$static" | awk 'NF == 3 { print $3 }' | sort -u >"$work/static"

# The public functions, as the headers declare them.
cat "$@" | sed 's@/\*.*\*/@@' | tr '\n' ' ' | tr ';' '\n' |
    sed -n 's/.*SLUICE_API[^(]*[ *]\(sluice_[a-z0-9_]*\) *(.*/\1/p' | sort -u >"$work/declared"

expect_nothing "the headers declare functions" "$(test -s "$work/declared" || echo none found)"
expect_nothing "libsluice.so exports sluice_* only" "$(grep -v '^sluice_' "$work/shared")"
expect_nothing "libsluice.a defines sluice_* only" "$(grep -v '^sluice_' "$work/static")"
expect_nothing "both libraries offer the same" "$(comm -3 "$work/shared" "$work/static")"
expect_nothing "every declared function is exported" "$(comm -23 "$work/declared" "$work/shared")"
expect_nothing "every exported function is declared" "$(comm -13 "$work/declared" "$work/shared")"
expect_nothing "every exported name carries its version" \
    "$(nm -D --defined-only "$shared" | awk '$2 ~ /^[B-Z]$/' | grep -v '@@SLUICE_[0-9]*$')"

dynamic=$(readelf -dW "$shared")
expect_nothing "the soname has a version" "$(echo "$dynamic" | grep -q 'SONAME.*\[libsluice\.so\.[0-9]*\]' || echo "$dynamic")"
expect_nothing "no relocation writes to code" "$(echo "$dynamic" | grep TEXTREL)"
expect_nothing "only libc's own libraries are needed, and not libm" \
    "$(echo "$dynamic" | grep NEEDED | grep -vE '\[(libc|libpthread|libdl|libgcc_s|ld-linux-[a-z0-9-]*)\.so\.[0-9]\]')"
expect_nothing "the stack is not executable" "$(readelf -lW "$shared" | grep 'GNU_STACK.*RWE')"

# The renaming worked: jemalloc is inside under its prefix, and malloc stays libc's everywhere.
claims='malloc|calloc|realloc|free|memalign|aligned_alloc|posix_memalign|valloc|pvalloc|malloc_usable_size|mallocx|mallctl|_Zn[wa].*|_Zd[la].*'
nm "$program" | awk 'NF == 3 { print $3 }' | sed 's/@.*//' | sort -u >"$work/program"
expect_nothing "jemalloc is in the program, prefixed" "$(grep -qx je_mallocx "$work/program" || echo no je_mallocx)"
expect_nothing "the program defines no allocator of libc's names" "$(grep -xE "$claims" "$work/program")"
expect_nothing "the static library hides jemalloc and libyaml" \
    "$(nm "$static" | awk 'NF == 3 && $2 ~ /^[A-Z]$/ { print $3 }' | grep -E '^(je_|yaml_)')"
expect_nothing "nothing is left undefined but libc's" \
    "$(nm -u "$static" | awk '{ print $2 }' | grep -E '^(je_|yaml_|sluice_)')"

report
