#!/bin/bash
# man_test.sh HEADER…: the manual pages are well formed, and there is one for each public function.
set -uo pipefail
. tests/support/expect.sh

man=docs/man
for page in "$man"/*.[135]; do
    name=${page##*/}
    if [ "$(head -c 4 "$page")" = ".so " ]; then
        target=$(sed -n 's@^\.so man[135]/@@p' "$page")
        expect_nothing "$name leads to a page" "$(test -f "$man/$target" || echo "$target is not there")"
        expect_nothing "$name stands in that page's NAME" \
            "$(grep -q "^\.Nm ${name%.*}\$\|^\.Nm ${name%.*} ,\$" "$man/$target" || echo "not in $target")"
        continue
    fi
    # What the formatter warns of: unknown macros, unbalanced blocks, lines that it cannot break.
    if command -v groff >/dev/null; then
        expect_nothing "$name: groff" "$(groff -mandoc -ww -Tutf8 -z "$page" 2>&1)"
    fi
    if command -v mandoc >/dev/null; then
        expect_nothing "$name: mandoc" "$(mandoc -Tlint -Wwarning "$page")"
    fi
    expect_nothing "$name has a title, a name and a description" "$(
        for part in '.Dt ' '.Sh NAME' '.Sh DESCRIPTION'; do
            grep -qF -- "$part" "$page" || echo "no $part"
        done)"
    expect_nothing "$name: no line is over 100 columns" "$(awk 'length > 100' "$page")"
done

functions=$(cat "$@" | sed 's@/\*.*\*/@@' | tr '\n' ' ' | tr ';' '\n' |
    sed -n 's/.*SLUICE_API[^(]*[ *]\(sluice_[a-z0-9_]*\) *(.*/\1/p' | sort -u)
expect_nothing "the headers declare functions" "$([ -n "$functions" ] || echo none)"
for function in $functions; do
    expect_nothing "$function has a manual page" "$(test -f "$man/$function.3" || echo "no $function.3")"
done

report
