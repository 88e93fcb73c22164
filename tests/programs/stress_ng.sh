#!/usr/bin/env bash
# stress-ng: its stressors of malloc and of what moves memory, which check what they wrote.
# shellcheck source=tests/programs/head.sh
. "$(dirname "$0")/head.sh"
need stress-ng stress-ng

work() {
    "${run[@]}" stress-ng --temp-path . --seed 1 --verify --timeout 120 "$@" >>stress.log 2>&1 || {
        cat stress.log
        fail "stress-ng $*"
    }
}

timed work --malloc 2 --malloc-ops $((40000 * scale)) --malloc-pthreads 2
timed work --malloc 1 --malloc-ops $((4000 * scale)) --malloc-bytes 1M --malloc-pthreads 2 --malloc-touch
timed work --tree 1 --tree-ops $((2 * scale)) --tree-size 20000
timed work --list 1 --list-ops $((20 * scale))
grep -oE 'dispatching hogs: .*|successful run completed' stress.log >answer
