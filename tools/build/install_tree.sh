#!/bin/sh
# install_tree.sh BUILT SOURCE PREFIX: puts the installed files under PREFIX.
#
# BUILT is the root of the built files and SOURCE that of the source tree; within a test both are the
# same folder. DESTDIR is prepended to PREFIX, as packagers expect.
set -eu
built=$1
source=$2
prefix=${DESTDIR:-}$3

version_of() { sed -n "s/^#define SLUICE_VERSION_$1  *\([0-9][0-9]*\)\$/\1/p" "$source/core/include/sluice/sluice.h"; }
major=$(version_of MAJOR)
minor=$(version_of MINOR)
patch=$(version_of PATCH)
: "${major:?sluice.h names no version}" "${minor:?}" "${patch:?}"
version=$major.$minor.$patch

# put MODE FILE FOLDER [NAME]: a missing FILE is an error.
put() {
    install -d "$prefix/$3"
    install -m "$1" "$2" "$prefix/$3/${4:-$(basename "$2")}"
}

put 755 "$built/tools/sluice/sluice" bin

# The soname's number is the major version. A program links libsluice.so, and is run with the soname.
put 755 "$built/libsluice.so" lib "libsluice.so.$version"
ln -sf "libsluice.so.$version" "$prefix/lib/libsluice.so.$major"
ln -sf "libsluice.so.$major" "$prefix/lib/libsluice.so"
put 644 "$built/libsluice.a" lib
put 755 "$built/tools/preload/libsluice-preload.so" lib

for plugin in "$built"/backends/plugins/*.so; do
    [ -e "$plugin" ] || continue
    put 755 "$plugin" lib/sluice/backends
done

for header in "$source"/core/include/sluice/*.h "$source"/core/include/sluice/*.hpp; do
    [ -e "$header" ] || continue
    put 644 "$header" include/sluice
done

# fill TEMPLATE FOLDER: the template without its .in, with the version in its places.
fill() {
    name=$(basename "$1" .in)
    install -d "$prefix/$2"
    sed -e "s/@VERSION@/$version/g" -e "s/@SOVERSION@/$major/g" \
        -e "s/@MAJOR@/$major/g" -e "s/@MINOR@/$minor/g" "$1" >"$prefix/$2/$name"
    chmod 644 "$prefix/$2/$name"
}
fill "$source/tools/build/sluice.pc.in" lib/pkgconfig
fill "$source/tools/build/sluice-config.cmake.in" lib/cmake/sluice
fill "$source/tools/build/sluice-config-version.cmake.in" lib/cmake/sluice

for policy in "$source"/config/policies/*.yaml; do
    [ -e "$policy" ] || continue
    put 644 "$policy" share/sluice/policies
done
[ ! -e "$source/config/policy.schema.json" ] || put 644 "$source/config/policy.schema.json" share/sluice

for page in "$source"/docs/man/*.[135]; do
    [ -e "$page" ] || continue
    put 644 "$page" "share/man/man${page##*.}"
done
