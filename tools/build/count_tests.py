#!/usr/bin/env python3
"""count_tests.py EVENTS: counts the tests of one `bazel test`.

EVENTS is Bazel's build event file (--build_event_json_file). A test program that says how many
cases it has (libcheck: "100%: Checks: 12, Failures: 0, Errors: 0"; others: "12 passed, 0 failed" alone on a line)
counts as that many; any other as one. Prints "N passed, N failed".
"""
import json
import re
import sys
import urllib.parse

CHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)$", re.MULTILINE)
PLAIN = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)


def count_log(text):
    """(passed, failed) as the program itself says, or (0, 0)."""
    passed = failed = 0
    for checks, failures, errors in CHECK.findall(text):
        bad = int(failures) + int(errors)
        passed += int(checks) - bad
        failed += bad
    for good, bad in PLAIN.findall(text):
        passed += int(good)
        failed += int(bad)
    return passed, failed


def log_of(result):
    for output in result.get("testActionOutput", []):
        if output.get("name") == "test.log" and output.get("uri", "").startswith("file://"):
            path = urllib.parse.unquote(output["uri"][len("file://"):])
            try:
                with open(path, encoding="utf-8", errors="replace") as log:
                    return log.read()
            except OSError:
                return ""
    return ""


def main():
    expected = set()  # labels of tests that were to run
    results = {}  # (label, run, shard) -> (passed, failed), the last attempt's
    aborted = True  # until Bazel says that it came to an end
    with open(sys.argv[1], encoding="utf-8") as events:
        for line in events:
            event = json.loads(line)
            kind = event["id"]
            if "targetConfigured" in kind and event.get("configured", {}).get("testSize"):
                expected.add(kind["targetConfigured"]["label"])
            elif "testResult" in kind:
                key = kind["testResult"]
                result = event.get("testResult")
                if result is None:  # never ran: counted below
                    continue
                passed, failed = count_log(log_of(result))
                if result.get("status") == "PASSED":
                    if passed + failed == 0:
                        passed = 1
                elif failed == 0:  # a crash or a time limit, whatever the program said before
                    failed = 1
                results[key["label"], key.get("run", 1), key.get("shard", 1)] = passed, failed
            elif "buildFinished" in kind:
                # Exit code 4: no test was selected. 3: some failed, as counted.
                aborted = event.get("finished", {}).get("exitCode", {}).get("code", 0) not in (0, 3, 4)
    ran = {label for label, _, _ in results}
    passed = sum(good for good, _ in results.values())
    failed = sum(bad for _, bad in results.values()) + len(expected - ran)
    if aborted and failed == 0:
        failed = 1
    print(f"{passed} passed, {failed} failed")


if __name__ == "__main__":
    main()
