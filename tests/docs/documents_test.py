#!/usr/bin/env python3
"""documents_test.py SLUICE [--update]: what the documents say is so.

 - A block that begins with "```LANGUAGE file=PATH" is that file, byte for byte.
 - In a block of "```console", each line "$ sluice check|explain|--version|--help …" is run from the
   top of the tree, and what stands under it, up to the next "$" line, is its output.
 - A block of "```yaml" is a valid policy; one without the key `sluice` is a part of a policy, and
   is valid with that key added.
 - A relative link leads to a file that is there, and to a heading when it names one.
 - docs/policy.md and sluice-policy.5 name every key of the policy's schema.

With --update, in the source tree, blocks are rewritten to what they should be instead.
"""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

DOCUMENTS = sorted(["README.md", "CHANGELOG.md"] + glob.glob("docs/**/*.md", recursive=True))
RUN = ("check", "explain", "--version", "--help")
BLOCK = re.compile(r"^```(\w*)[ \t]*([^\n]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")

passed = failed = 0


def expect(holds, what):
    global passed, failed
    if holds:
        passed += 1
    else:
        failed += 1
        print("FAILED:", what)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def run_console(sluice, text):
    """A console block with its commands' real output."""
    parts = re.split(r"^(?=\$ )", text, flags=re.MULTILINE)
    for i, part in enumerate(parts):
        command = part.split("\n", 1)[0]
        words = command.split()
        if words[:2] != ["$", "sluice"] or words[2] not in RUN:
            continue
        done = subprocess.run([sluice] + words[2:], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        parts[i] = command + "\n" + done.stdout.decode()
    return "".join(parts)


def block_should_be(sluice, language, info, text):
    if info.startswith("file="):
        return read(info[len("file="):])
    if language == "console":
        return run_console(sluice, text)
    return text


def update(sluice, path):
    text = read(path)
    new = BLOCK.sub(lambda match: f"```{match[1]}{' ' if match[2] else ''}{match[2]}\n"
                    + block_should_be(sluice, *match.groups()) + "```", text)
    if new != text:
        with open(path, "w", encoding="utf-8") as file:
            file.write(new)


def check_policy(sluice, where, info, text):
    if info.startswith("file="):
        done = subprocess.run([sluice, "check", info[len("file="):]], stdout=subprocess.DEVNULL,
                              check=False)
        expect(done.returncode == 0, f"{where}: not a valid policy")
        return
    if not re.search(r"^sluice:", text, re.MULTILINE):
        text = "sluice: 1\n" + text
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([sluice, "check", file.name], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, check=False)
    expect(done.returncode == 0, f"{where}: not a valid policy:\n{done.stderr.decode()}\n{text}")


def anchors_of(text):
    """The anchors that a reader of Markdown makes of headings."""
    text = BLOCK.sub("", text)
    for heading in re.findall(r"^#+ +(.*)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def check_links(path, text):
    text = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", text))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
        expect(os.path.exists(file), f"{path}: a link to {target}, which is not there")
        if anchor and file.endswith(".md") and os.path.exists(file):
            expect(anchor in set(anchors_of(read(file))), f"{path}: no heading for {target}")


def keys_of(schema):
    """Every name of a property in a JSON schema."""
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "properties" and isinstance(value, dict):
                yield from value
            yield from keys_of(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from keys_of(value)


def main():
    sluice = os.path.abspath(sys.argv[1])
    os.environ.pop("SLUICE_OVERRIDE", None)
    if sys.argv[2:] == ["--update"]:
        for path in DOCUMENTS:
            update(sluice, path)
        return 0
    for path in DOCUMENTS:
        text = read(path)
        for match in BLOCK.finditer(text):
            language, info, block = match.groups()
            where = f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
            right = block_should_be(sluice, language, info, block)
            expect(block == right, f"{where}: should be:\n{right}")
            if language == "yaml":
                check_policy(sluice, where, info, block)
        check_links(path, text)
        prose = BLOCK.sub(lambda match: "\n" * match.group().count("\n"), text).split("\n")
        long = [number for number, line in enumerate(prose, 1)
                if len(line) > 100 and not line.startswith("|")]
        expect(not long, f"{path}: longer than 100 columns: lines {long}")
    keys = sorted(set(keys_of(json.loads(read("config/policy.schema.json")))))
    for path, mark in ("docs/policy.md", "`{}`"), ("docs/man/sluice-policy.5", " {}"):
        text = read(path)
        for key in keys:
            expect(mark.format(key) in text, f"{path} does not name the key {key}")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
