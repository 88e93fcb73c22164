"""Real programs under the preload library: one test for each program and each set of policies."""

# Region is missing: it gives nothing back before the end of a phase, so it can't serve a whole program.
POLICY_SETS = {
    "as_is": ["default", "auto"],
    "backends": ["pool", "mmap", "glibc", "jemalloc", "tcmalloc", "mimalloc"],
}

def program_tests(program, data = [], tags = []):
    """Tests of one program, PROGRAM_SET_test for each set of policies.

    Args:
      program: its script here, without .sh.
      data: what the script reads of the source tree.
      tags: `manual` for what `bazel test //...` leaves to `tools/dev programs`.
    """
    for name, policies in POLICY_SETS.items():
        native.sh_test(
            name = program + "_" + name + "_test",
            size = "medium",
            srcs = ["programs_test.sh"],
            args = [
                program,
                "$(location //tools/preload:libsluice-preload.so)",
                "backends/plugins",
            ] + policies,
            data = data + [
                program + ".sh",
                "head.sh",
                "//backends/plugins",
                "//tests/support:expect.sh",
                "//tools/preload:libsluice-preload.so",
            ],
            # No sanitizer: each is a preloaded allocator itself, and a program has one malloc.
            tags = tags + [
                "no-asan",
                "no-tsan",
                "no-ubsan",
                "programs",
            ],
        )
