#!/usr/bin/env bash
# A real program under the preload library, as it is and under several policies: what it answers is the same as without,
# every process of it had the library, and Sluice complained of nothing. From the root of the source tree:
#
#   programs_test.sh PROGRAM LIBRARY PLUGINS POLICY…
#
#   PROGRAM   a script of this folder, without .sh
#   LIBRARY   libsluice-preload.so
#   PLUGINS   the folder of the plugins
#   POLICY    default: none is given; auto: a module for each library; else the backend that serves everything
set -euo pipefail
. tests/support/expect.sh
[ $# -ge 4 ] || { echo "usage: programs_test.sh PROGRAM LIBRARY PLUGINS POLICY…" >&2; exit 2; }
script=$(dirname "$0")/$1.sh
# A short path, for the sake of sockets, which other users may read: some servers refuse to be root.
work=$(mktemp -d "${TMPDIR:-/tmp}/sluice-$1.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir "$work/plugins"
cp "$2" "$work/"
cp "$3"/*.so "$work/plugins/"
library=$work/$(basename "$2")
program=$1
shift 3
unset SLUICE_POLICY SLUICE_OVERRIDE SLUICE_LOG LD_PRELOAD

# write_policy POLICY: to $policy_file; nothing for the default.
write_policy() {
    policy_file=$work/$1.yaml
    case $1 in
    default) policy_file= ;;
    auto) echo '{sluice: 1, attribution: auto}' >"$policy_file" ;;
    *) echo "{sluice: 1, default: all, backends: {all: {kind: $1}}}" >"$policy_file" ;;
    esac
}

# is_in_force POLICY: the library accepts it.
is_in_force() {
    local said
    said=$("${prefix[@]}" SLUICE_LOG=info /bin/true 2>&1)
    case $said in
    *error* | *warning* | *'cannot be preloaded'*) ;;
    *) [ -z "$policy_file" ] || case $said in *"$policy_file in force"*) ;; *) false ;; esac && return ;;
    esac
    echo "the policy was not accepted: $said"
    return 1
}

# run_in FOLDER [PREFIX…]: the program's script; its output is shown when it fails.
run_in() {
    local folder=$1
    shift
    mkdir "$folder"
    "$script" "$folder" 1 "$@" >"$folder.log" 2>&1 && return
    tail -n 30 "$folder.log"
    return 1
}

# was_everywhere FOLDER: what the dynamic linker wrote down of each process that was started.
was_everywhere() {
    local without
    without=$(grep -L "calling init: $library\$" "$1"/* || true)
    [ -z "$without" ] || {
        echo "a process ran without the library:"
        # shellcheck disable=SC2086 # words
        tail -n 3 $without
        return 1
    }
    grep -q 'calling init' "$1"/*
}

# said_nothing FOLDER: no complaint of Sluice's in what the program wrote.
said_nothing() {
    ! grep -rhE '(^|[^[:alnum:]])sluice: (error|warning|fatal)' "$1.log" "$1" --include='*.log' --include='*.err' --include=errors
}

has_same_answer() { diff "$work/plain/answer" "$1/answer" | head -n 20; cmp -s "$work/plain/answer" "$1/answer"; }

check_policy() {
    local folder=$work/$1 seen=$work/$1.seen
    mkdir "$seen"
    chmod 1777 "$seen"
    write_policy "$1"
    prefix=(env LD_PRELOAD="$library" SLUICE_PLUGIN_PATH="$work/plugins")
    [ -z "$policy_file" ] || prefix+=(SLUICE_POLICY="$policy_file")
    is_in_force &&
        run_in "$folder" "${prefix[@]}" LD_DEBUG=libs LD_DEBUG_OUTPUT="$seen/process" &&
        was_everywhere "$seen" && said_nothing "$folder" && has_same_answer "$folder"
}

seconds() { awk '{ sum += $1 } END { printf "%.2f s", sum }' "$1/wall"; }

run_in "$work/plain" || { fail "$program as it is"; report; exit 1; }
echo "$program as it is: $(seconds "$work/plain")"
for policy; do
    if check_policy "$policy"; then
        pass
        echo "$program, $policy: $(seconds "$work/$policy")"
    else
        fail "$program, $policy"
    fi
    rm -rf "${work:?}/$policy"
done
report
