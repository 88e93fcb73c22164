#!/bin/sh
# The totals that tools/dev test and continuous integration print.
set -u
. tests/support/expect.sh
work=${TEST_TMPDIR:-$(mktemp -d)}

# event LABEL STATUS LOG-TEXT: a test that was to run, and did unless STATUS is empty.
event() {
    printf '{"id":{"targetConfigured":{"label":"%s"}},"configured":{"targetKind":"cc_test rule","testSize":"SMALL"}}\n' "$1"
    [ -n "$2" ] || return 0
    log=$work/$(echo "$1" | tr -c 'a-z\n' _).log
    printf '%s\n' "$3" >"$log"
    printf '{"id":{"testResult":{"label":"%s","run":1,"shard":1}},' "$1"
    printf '"testResult":{"status":"%s","testActionOutput":[{"name":"test.log","uri":"file://%s"}]}}\n' "$2" "$log"
}
finish() { printf '{"id":{"buildFinished":{}},"finished":{"exitCode":{"name":"X","code":%d}}}\n' "$1"; }

# expect_total WHAT TOTAL: of the events written so far.
expect_total() { expect "$1" "$2" "$(tools/build/count_tests.py "$work/events")"; }

{ event //a PASSED '100%: Checks: 12, Failures: 0, Errors: 0'; event //b PASSED fine; finish 0; } >"$work/events"
expect_total "cases where they are named, else one for the target" "13 passed, 0 failed"

{ event //a FAILED '75%: Checks: 4, Failures: 0, Errors: 1'; finish 3; } >"$work/events"
expect_total "failed cases" "3 passed, 1 failed"

{ event //a FAILED '100%: Checks: 4, Failures: 0, Errors: 0'; finish 3; } >"$work/events"
expect_total "all cases passed and the program failed" "4 passed, 1 failed"

{ event //a TIMEOUT ''; finish 3; } >"$work/events"
expect_total "a test without output" "0 passed, 1 failed"

{ event //a PASSED '3 passed, 0 failed'; event //b '' ''; finish 1; } >"$work/events"
expect_total "a test that could not be built" "3 passed, 1 failed"

finish 1 >"$work/events"
expect_total "a build that broke before any test" "0 passed, 1 failed"

: >"$work/events"
expect_total "no events: Bazel did not start" "0 passed, 1 failed"

finish 4 >"$work/events"
expect_total "no tests" "0 passed, 0 failed"

report
