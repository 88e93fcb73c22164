"""The distribution's static archives as inputs of the build."""

def _system_archives_impl(ctx):
    compiler = ctx.os.environ.get("CC") or ctx.which("cc") or ctx.which("gcc")
    if not compiler:
        fail("no C compiler found: install gcc, or name one in CC")
    missing = []
    for archive, package in ctx.attr.archives.items():
        # The compiler knows the folder of its architecture; an archive that it can't find comes
        # back as the bare name.
        found = ctx.execute([compiler, "-print-file-name=" + archive]).stdout.strip()
        if found.startswith("/"):
            ctx.symlink(ctx.path(found).realpath, archive)
        else:
            missing.append(package)
    if missing:
        fail("system libraries are missing: apt-get install " + " ".join(missing))
    ctx.file("BUILD", 'exports_files(glob(["*.a"]))\n')

system_archives = repository_rule(
    implementation = _system_archives_impl,
    attrs = {
        "archives": attr.string_dict(
            mandatory = True,
            doc = "archive's file name -> the Debian package that installs it",
        ),
    },
    # Looked up anew whenever Bazel's server starts: an installed package may have appeared since.
    local = True,
    configure = True,
    environ = ["CC", "PATH"],
)
