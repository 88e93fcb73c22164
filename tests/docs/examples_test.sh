#!/bin/bash
# examples_test.sh: the examples of the documents, built against an installed tree with the commands
# that the documents give, and run. NAME.out is what the program NAME prints.
set -uo pipefail
. tests/support/expect.sh

work=${TEST_TMPDIR:-$(mktemp -d)}
top=$PWD

for tool in cc c++ pkg-config; do
    command -v "$tool" >/dev/null || {
        echo "this test needs $tool: apt-get install g++ pkg-config"
        exit 1
    }
done

attempt "install" tools/build/install_tree.sh "$top" "$top" "$work/prefix"
cp -L docs/examples/* "$work/" 2>/dev/null
rm -f "$work/guard.so"
cd "$work" || exit 1
export PKG_CONFIG_PATH=$work/prefix/lib/pkgconfig LD_LIBRARY_PATH=$work/prefix/lib

strict='-Wall -Wextra -Wpedantic -Werror'
# shellcheck disable=SC2046,SC2086 # lists of words
{
    for source in quickstart overrun frames; do
        attempt "$source.c" cc -std=c11 $strict "$source.c" $(pkg-config --cflags --libs sluice) -o "$source"
    done
    for source in containers frames_raii; do
        attempt "$source.cc" \
            c++ -std=c++17 $strict "$source.cc" $(pkg-config --cflags --libs sluice) -o "$source"
    done
    attempt "guard.c" cc -std=c11 -O2 $strict -fPIC -shared guard.c $(pkg-config --cflags sluice) -o guard.so
}
exports=$(nm -D --defined-only guard.so | awk '$3 !~ /^_/ { print $3 }' | tr '\n' ' ')
attempt "the plugin exports its table" test "$exports" = "sluice_backend_plugin "

prints() { diff "$1.out" <("./$1"); }
attempt "quickstart prints what the documents say" prints quickstart
attempt "containers prints what the documents say" prints containers
attempt "frames prints what the documents say" prints frames
attempt "frames_raii prints what it should" prints frames_raii

# The plugin's page behind the object stops the program.
./overrun >overrun.printed 2>overrun.errors
attempt "the overrun is a fault" test $? -eq $((128 + 11))
attempt "overrun prints what the documents say" diff overrun.out overrun.printed
attempt "nothing else is reported" test ! -s overrun.errors

attempt "sluice check knows the plugin's parameter" prefix/bin/sluice check guard.yaml
sed 's/64KiB/64/' guard.yaml >small.yaml
attempt "and its range" bash -c "prefix/bin/sluice check small.yaml 2>&1 | grep -q 'guard: 64 is '"

# Who holds the memory of a program that was never changed.
prefix/bin/sluice run -p auto.yaml -- python3 app.py &
app=$!
sqlite_holds() {
    for _ in $(seq 300); do
        prefix/bin/sluice stat "$app" >stat.txt 2>&1
        grep -q '^libsqlite3[^ ]*  *[5-9]\.[0-9]*MiB ' stat.txt && return
        kill -0 "$app" || return
        sleep 0.2
    done
    return 1
}
attempt "app.py: sqlite holds what it made" sqlite_holds
attempt "a module by object is given another backend" prefix/bin/sluice ctl "$app" set libsqlite3.so.0=jemalloc
kill "$app"
wait "$app"
attempt "app.py ends by the signal" test $? -eq $((128 + 15))

report
