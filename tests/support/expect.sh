# shellcheck shell=sh
# expect.sh - what the shell tests share: they count what passed and what failed, and say it at the end in the words that
# tools/build/count_tests.py reads. For POSIX sh and bash, with and without `set -e`. A script takes it in from where it is started,
# which is the root of the source tree or Bazel's copy of it:
#
#   . tests/support/expect.sh
#
#   expect WHAT WANTED GOT          passes when the two texts are the same; else shows both
#   expect_nothing WHAT UNEXPECTED  passes when the text is empty; else shows it
#   attempt WHAT COMMAND…           passes when the command exits with 0; else shows its exit status and what it wrote
#   pass                            passes
#   fail WHAT [TEXT]                fails, and shows the text
#   report                          the closing line. Its status is the script's, so it stands last: 0 when all passed, and any did
#
# Never behind a pipe: the counters would be a subshell's, and lost with it.
passed=0
failed=0

pass() { passed=$((passed + 1)); }

fail() {
    failed=$((failed + 1))
    echo "FAILED: $1"
    [ -z "${2-}" ] || printf '%s\n' "$2"
}

expect() {
    if [ "$2" = "$3" ]; then pass; else fail "$1" "expected: $2
got:      $3"; fi
}

expect_nothing() {
    if [ -z "$2" ]; then pass; else fail "$1" "$2"; fi
}

attempt() {
    attempt_what=$1
    shift
    # Into a file: what the command leaves running may keep its output open, and reading from it would wait for that.
    attempt_output=$(mktemp)
    attempt_status=0
    "$@" >"$attempt_output" 2>&1 || attempt_status=$?
    if [ "$attempt_status" = 0 ]; then
        pass
    else
        fail "$attempt_what: exit status $attempt_status of: $*" "$(cat "$attempt_output")"
    fi
    rm -f "$attempt_output"
}

report() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
