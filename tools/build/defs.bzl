"""The project's C rules: one place for the language standard, warnings and link options."""

# What every C file is compiled with. -O2 -g stand in .bazelrc, where --config=debug can change them.
#
# Hidden visibility and the initial-exec TLS model are what make the fast path one thread-local load
# and direct calls, also inside a shared object.
_COMMON_COPTS = [
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-semantic-interposition",
    "-ftls-model=initial-exec",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wpointer-arith",
    "-Wcast-qual",
    "-Wwrite-strings",
    "-Wundef",
    "-Wvla",
    "-Wno-unused-parameter",
    "-Werror",
    "-D_GNU_SOURCE",
]

C_COPTS = ["-std=gnu11"] + _COMMON_COPTS + [
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
]

CXX_COPTS = ["-std=gnu++17"] + _COMMON_COPTS

# Bazel links the C++ runtime into everything; --as-needed drops it where no C++ is.
LINKOPTS = [
    "-Wl,--as-needed",
    "-pthread",
    "-ldl",
]

# The order of functions and variables in the shared libraries, where the compiler gives each a section
# (--config=release). Gold, which Bazel prefers, has no INSERT.
LAYOUT = "//tools/build:used.ld"

LAYOUT_LINKOPTS = [
    "-fuse-ld=bfd",
    "-Wl,-T,$(location //tools/build:used.ld)",
    # The dynamic linker reads these at each start: a bit for each word of a table of addresses, not 24 bytes.
    "-Wl,-z,pack-relative-relocs",
]

def sluice_library(name, copts = [], linkopts = [], **kwargs):
    """A cc_library of the project, always a static archive.

    Hidden symbols can't be reached across shared objects, so no shared variant is built.
    """
    native.cc_library(
        name = name,
        copts = C_COPTS + copts,
        linkopts = LINKOPTS + linkopts,
        linkstatic = True,
        **kwargs
    )

def sluice_binary(name, copts = [], linkopts = [], **kwargs):
    """A program of the project."""
    native.cc_binary(
        name = name,
        copts = C_COPTS + copts,
        linkopts = LINKOPTS + linkopts,
        **kwargs
    )

def sluice_plugin(name, srcs, copts = [], linkopts = [], deps = [], **kwargs):
    """A backend plugin: a shared object `name`.so that exports the one symbol of the interface."""
    native.cc_binary(
        name = name + ".so",
        srcs = srcs,
        copts = C_COPTS + copts,
        linkopts = LINKOPTS + [
            "-Wl,--version-script=$(location //tools/build:plugin.map)",
            "-Wl,-z,defs",
        ] + linkopts,
        linkshared = True,
        additional_linker_inputs = ["//tools/build:plugin.map"],
        deps = deps + ["//core:headers"],
        **kwargs
    )

def c_test(
        name,
        srcs,
        deps = [],
        size = "small",
        tags = [],
        sanitize = True,
        copts = [],
        linkopts = [],
        **kwargs):
    """A test program on libcheck that sees internal functions.

    Args:
      name: name of the target.
      srcs: sources; one of them has main().
      deps: libraries under test. Linked statically, so hidden functions can be called.
      size: Bazel's test size, which sets the time limit.
      tags: further tags. `no-asan`, `no-ubsan` and `no-tsan` leave out one sanitizer.
      sanitize: whether `tools/dev check` runs it under the sanitizers too.
      copts: further compiler options.
      linkopts: further linker options.
      **kwargs: passed to cc_test.
    """
    native.cc_test(
        name = name,
        srcs = srcs,
        size = size,
        copts = C_COPTS + copts,
        linkopts = LINKOPTS + linkopts,
        linkstatic = True,
        tags = tags + (["sanitize"] if sanitize else []),
        deps = deps + ["//tools/build:check"],
        **kwargs
    )

def c_tests(srcs, deps, size = "small", overrides = {}):
    """One c_test per source file, named after it.

    Args:
      srcs: the files, each a whole test program.
      deps: libraries that all of them link.
      size: Bazel's test size.
      overrides: target -> further arguments of c_test, where one needs other than the usual.
    """
    names = [src[:-len(".c")] for src in srcs]
    for unknown in [name for name in overrides if name not in names]:
        fail("overrides for a test that does not exist: " + unknown)
    for name in names:
        c_test(
            name = name,
            srcs = [name + ".c"],
            **dict({"deps": deps, "size": size}, **overrides.get(name, {}))
        )

def cxx_test(name, srcs, deps = [], size = "small", tags = [], sanitize = True, **kwargs):
    """A test program in C++17, for the C++ header."""
    native.cc_test(
        name = name,
        srcs = srcs,
        size = size,
        copts = CXX_COPTS,
        linkopts = LINKOPTS,
        linkstatic = True,
        tags = tags + (["sanitize"] if sanitize else []),
        deps = deps,
        **kwargs
    )

def fuzz_replay_test(target, corpus, deps):
    """Replays a fuzz target's kept corpus as the test `target`_fuzz_test.

    Args:
      target: name of the fuzz target; its source is `target`_fuzz.c and its corpus corpus/`target`/.
      corpus: the files of the corpus.
      deps: libraries that the target calls.
    """
    native.cc_test(
        name = target + "_fuzz_test",
        srcs = [target + "_fuzz.c"],
        size = "small",
        args = [native.package_name() + "/corpus/" + target],
        # No header declares the entry point: the fuzzer calls it by name.
        copts = C_COPTS + ["-Wno-missing-prototypes"],
        data = corpus,
        linkopts = LINKOPTS,
        linkstatic = True,
        tags = ["sanitize"],
        deps = deps + [":replay_main"],
    )

def tree_test(name, script, data, size = "small", args = [], tags = []):
    """A shell test over built files: objects, or an installed tree.

    It asks about the files as they are shipped, so no sanitizer runs it.

    Args:
      name: name of the target.
      script: the script. A shell script counts and reports with tests/support/expect.sh.
      data: the files.
      size: Bazel's test size.
      args: arguments.
      tags: further tags.
    """
    native.sh_test(
        name = name,
        srcs = [script],
        size = size,
        args = args,
        data = data + ["//tests/support:expect.sh"],
        tags = tags + [
            "no-asan",
            "no-tsan",
            "no-ubsan",
        ],
    )

def backend_conformance_test(name, backend, suite, tags = [], env = {}, **kwargs):
    """The conformance suite against one backend.

    Args:
      name: name of the target.
      backend: the backend as a policy writes it: a kind's name, or a mapping. The suite reads it from
        SLUICE_TEST_BACKEND.
      suite: the library that holds the suite and its main(), alwayslink: compiled once for all.
      tags: further tags.
      env: further environment.
      **kwargs: passed to c_test.
    """
    c_test(
        name = name,
        srcs = [],
        env = dict(env, SLUICE_TEST_BACKEND = backend),
        tags = tags + ["conformance"],
        deps = [suite],
        **kwargs
    )
