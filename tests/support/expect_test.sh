#!/bin/sh
# What the shell tests count with: a failure is counted, shown, and makes the exit status; so does a script that checked nothing.
set -u
. tests/support/expect.sh

# script SHELL TEXT: what a test with that text prints, and its exit status.
script() {
    "$1" -euc ". tests/support/expect.sh
$2
report" 2>&1
    echo "status $?"
}

for shell in sh bash; do
    expect "$shell: all pass" '4 passed, 0 failed
status 0' "$(script $shell "expect a b b; expect_nothing a ''; attempt a echo unseen; pass")"
    expect "$shell: texts that differ" 'FAILED: what
expected: wanted
got:      got
1 passed, 1 failed
status 1' "$(script $shell 'expect what wanted got; pass')"
    expect "$shell: a text that should not be" 'FAILED: what
found
0 passed, 1 failed
status 1' "$(script $shell 'expect_nothing what found')"
    expect "$shell: a command that fails" 'FAILED: what: exit status 7 of: sh -c echo heard >&2; exit 7
heard
0 passed, 1 failed
status 1' "$(script $shell "attempt what sh -c 'echo heard >&2; exit 7'")"
    expect "$shell: a failure without a text" 'FAILED: what
0 passed, 1 failed
status 1' "$(script $shell 'fail what')"
    expect "$shell: nothing was checked" '0 passed, 0 failed
status 1' "$(script $shell :)"
done

report
