# shellcheck shell=bash
# head.sh - what the scripts of programs share. Each script is called so, from the root of the source tree:
#
#   NAME.sh FOLDER SCALE [PREFIX…]
#
#   FOLDER   an empty folder, which the script works in
#   SCALE    how much work: 1 takes a second or two
#   PREFIX   words that go before the program, and put the allocator into it: env LD_PRELOAD=…
#
# It leaves in FOLDER
#   answer   what must be the same under every allocator
#   wall     seconds of the timed work, one number a line
#   units    how many pieces of work were done in that time, where that is not given by SCALE
#
# and exits with 0, or fails with a message. Sockets are named relative to FOLDER: a socket's path may be no longer than
# 107 bytes, and a test's folder has a longer one.
set -euo pipefail
export LC_ALL=C TZ=UTC
# shellcheck disable=SC2034 # for the scripts
root=$PWD
name=$(basename "$0" .sh)
[ $# -ge 2 ] || { echo "usage: $name.sh FOLDER SCALE [PREFIX…]" >&2; exit 2; }
cd "$1"
# shellcheck disable=SC2034
scale=$2
shift 2
# shellcheck disable=SC2034
run=("$@")
servers=()

fail() {
    echo "$name: $*" >&2
    exit 1
}

# need PACKAGE PROGRAM…: Debian's package has these programs.
need() {
    local package=$1 program
    shift
    for program; do
        command -v "$program" >/dev/null || fail "$program is not installed. On Debian: apt-get install $package"
    done
}

# start COMMAND…: a server, ended with the script at the latest.
start() {
    "$@" &
    servers+=($!)
}

is_up() { kill -0 "$1" 2>/dev/null; }

# await COMMAND…: until it succeeds. Fails when a server is gone, or after a minute.
await() {
    local deadline=$((SECONDS + 60)) pid
    until "$@" >/dev/null 2>&1; do
        for pid in "${servers[@]}"; do
            is_up "$pid" || fail "a server ended while it was to do: $*"
        done
        [ "$SECONDS" -lt "$deadline" ] || fail "waited a minute for: $*"
        sleep 0.02
    done
}

# finish SERVER: it was told to end; fails unless it ends well.
finish() {
    local status=0
    wait "$1" || status=$?
    [ "$status" = 0 ] || fail "the server ended with status $status"
    servers=()
}

# timed COMMAND…: its time counts as work.
timed() {
    local from=${EPOCHREALTIME/./} micros
    "$@"
    micros=$((${EPOCHREALTIME/./} - from))
    printf '%d.%06d\n' $((micros / 1000000)) $((micros % 1000000)) >>wall
}

end_servers() {
    local status=$? pid
    trap - EXIT
    for pid in "${servers[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    exit "$status"
}
trap end_servers EXIT
trap 'exit 143' TERM INT
