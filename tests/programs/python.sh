#!/usr/bin/env bash
# python3: test modules of its own, on JSON, regular expressions, the garbage collector, threads and processes. The answer is
# what came of each test.
# shellcheck source=tests/programs/head.sh
. "$(dirname "$0")/head.sh"
# Debian's own: another one may come first in PATH, and may have no tests.
python=/usr/bin/python3
need python3 "$python"
"$python" -c 'import test.test_json' 2>/dev/null ||
    fail "python3's test modules are not installed. On Debian: apt-get install libpython3.11-testsuite"

cat >tests.py <<'PY'
import sys
import unittest


class Outcomes(unittest.TestResult):
    """Remembers what came of each test."""

    def __init__(self):
        super().__init__()
        self.outcomes = []

    def note(self, test, outcome):
        self.outcomes.append(f"{test.id()} {outcome}")

    def addSuccess(self, test):
        self.note(test, "ok")

    def addSkip(self, test, reason):
        self.note(test, "skipped")

    def addExpectedFailure(self, test, err):
        self.note(test, "failed as expected")

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, "ERROR")
        print(self.errors[-1][1], file=sys.stderr)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, "FAILED")
        print(self.failures[-1][1], file=sys.stderr)


# These mostly sleep.
SLOW = ("test_timeout", "test_trashcan_threads", "test_join_nondaemon_on_shutdown")


def quick(suite):
    """The suite without those."""
    parts = (quick(part) if isinstance(part, unittest.TestSuite) else part for part in suite)
    return unittest.TestSuite(
        part for part in parts if isinstance(part, unittest.TestSuite) or not part.id().endswith(SLOW))


if __name__ == "__main__":
    result = Outcomes()
    # One suite of all turns: each run() of its own would end the last class of the one before once more.
    load = unittest.defaultTestLoader.loadTestsFromNames
    unittest.TestSuite(quick(load(sys.argv[2:])) for turn in range(int(sys.argv[1]))).run(result)
    with open("answer", "w", encoding="utf-8") as answer:
        print("\n".join(sorted(set(result.outcomes))), file=answer)
    sys.exit(not result.wasSuccessful())
PY

tests=(
    test.test_json.test_decode test.test_json.test_dump test.test_json.test_encode_basestring_ascii
    test.test_json.test_recursion test.test_json.test_scanstring test.test_json.test_unicode
    test.test_re test.test_dict test.test_bytes.BytesTest test.test_mmap test.test_gc.GCTests test.test_gc.GCCallbackTests
    test.test_thread test.test_threading.LockTests test.test_threading.ConditionTests test.test_threading.ThreadTests
    test.test_multiprocessing_fork.WithProcessesTestProcess.test_process
    test.test_multiprocessing_fork.WithProcessesTestQueue.test_fork
    test.test_multiprocessing_fork.WithProcessesTestConnection.test_sendbytes
    test.test_multiprocessing_fork.WithProcessesTestHeap
    test.test_multiprocessing_fork.WithManagerTestPool.test_map
)
work() { "${run[@]}" "$python" -W ignore tests.py "$scale" "${tests[@]}" >output 2>errors || fail "$(tail -n 40 errors)"; }
timed work
