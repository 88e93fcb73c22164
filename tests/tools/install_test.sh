#!/bin/bash
# install_test.sh: an installed tree is what a user needs, and all that a user needs.
#
# Installs into a scratch folder, moves that (nothing may remember the first place), and builds
# programs against it: C11 and C++17, through pkg-config and through CMake, shared and static, with
# warnings as errors. Each is run.
set -uo pipefail
. tests/support/expect.sh

work=${TEST_TMPDIR:-$(mktemp -d)}
top=$PWD

for tool in cc c++ pkg-config cmake make; do
    command -v "$tool" >/dev/null || {
        echo "this test needs $tool: apt-get install g++ pkg-config cmake make"
        exit 1
    }
done

attempt "install" tools/build/install_tree.sh "$top" "$top" "$work/first"
mv "$work/first" "$work/moved"
prefix=$work/moved
attempt "install again, over itself" tools/build/install_tree.sh "$top" "$top" "$prefix"

for path in bin/sluice lib/libsluice.so lib/libsluice.so.0 lib/libsluice.a include/sluice/sluice.h \
    include/sluice/backend.h lib/pkgconfig/sluice.pc lib/cmake/sluice/sluice-config.cmake; do
    attempt "$path is installed" test -s "$prefix/$path"
done
attempt "the loader's name leads to the library" test -L "$prefix/lib/libsluice.so.0"
attempt "no template is left unfilled" bash -c "! grep -rE '@[A-Z]+@' '$prefix/lib/pkgconfig' '$prefix/lib/cmake'"

mkdir "$work/user" && cd "$work/user" || exit 1
cat >common.inc <<'C'
int main(void)
{
    void *p = sluice_malloc(SLUICE_MODULE_DEFAULT, 100);
    if (p == NULL)
        return 1;
    sluice_free(p);
    return 0;
}
C
{ echo '#include <sluice/backend.h>'; echo '#include <sluice/sluice.h>'; cat common.inc; } >user.c
{
    for header in "$prefix"/include/sluice/*.h "$prefix"/include/sluice/*.hpp; do
        [ ! -e "$header" ] || echo "#include <sluice/${header##*/}>"
    done
    cat common.inc
} >user.cpp

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
strict='-Wall -Wextra -Wshadow -Wpedantic -Wconversion -Werror'
# shellcheck disable=SC2046,SC2086 # lists of words
{
    # Each header on its own: none may lean on what another includes.
    for header in "$prefix"/include/sluice/*.h; do
        echo "#include <sluice/${header##*/}>" >alone.c
        cp alone.c alone.cpp
        attempt "C11: ${header##*/}" cc -std=c11 $strict -fsyntax-only $(pkg-config --cflags sluice) alone.c
        attempt "C++17: ${header##*/}" c++ -std=c++17 $strict -fsyntax-only $(pkg-config --cflags sluice) alone.cpp
    done

    attempt "C11, pkg-config, shared" \
        cc -std=c11 $strict $(pkg-config --cflags sluice) user.c -o c_shared $(pkg-config --libs sluice)
    attempt "C++17, pkg-config, shared" \
        c++ -std=c++17 $strict $(pkg-config --cflags sluice) user.cpp -o cxx_shared $(pkg-config --libs sluice)
    static="$prefix/lib/libsluice.a $(pkg-config --static --libs-only-l --libs-only-other sluice | sed 's/-lsluice//')"
    attempt "C11, static" cc -std=c11 $strict $(pkg-config --cflags sluice) user.c -o c_static $static
    attempt "C++17, static" c++ -std=c++17 $strict $(pkg-config --cflags sluice) user.cpp -o cxx_static $static
}
attempt "the version is the header's" pkg-config --exact-version="$(
    sed -n 's/^#define SLUICE_VERSION  *"\(.*\)"$/\1/p' "$prefix/include/sluice/sluice.h")" sluice

cat >CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.16)
project(user C CXX)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_EXTENSIONS OFF)
add_compile_options(-Wall -Wextra -Wpedantic -Werror)
find_package(sluice 0.1 REQUIRED)
find_package(sluice 99 QUIET)
if(sluice_FOUND)
  message(FATAL_ERROR "version 99 was found")
endif()
foreach(language c cpp)
  add_executable(${language}_cmake_shared user.${language})
  target_link_libraries(${language}_cmake_shared sluice::sluice)
  add_executable(${language}_cmake_static user.${language})
  target_link_libraries(${language}_cmake_static sluice::sluice_static)
endforeach()
CMAKE
attempt "CMake finds it" cmake -S . -B build -DCMAKE_PREFIX_PATH="$prefix"
attempt "CMake builds with it" cmake --build build

for program in c_shared cxx_shared c_static cxx_static \
    build/c_cmake_shared build/cpp_cmake_shared build/c_cmake_static build/cpp_cmake_static; do
    case $program in
    c*_shared) attempt "$program runs" env LD_LIBRARY_PATH="$prefix/lib" "./$program" ;;
    *) attempt "$program runs" "./$program" ;;
    esac
done
attempt "bin/sluice --version" "$prefix/bin/sluice" --version

for policy in "$prefix"/share/sluice/policies/*.yaml; do
    [ ! -e "$policy" ] || attempt "bin/sluice check ${policy##*/}" "$prefix/bin/sluice" check "$policy"
done

report
