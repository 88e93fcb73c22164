#!/usr/bin/python3
"""observe_test.py SLUICE OBSERVED: `sluice stat`, `top` and `ctl` of a running program."""
import ctypes
import errno
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

# Of the distribution, as is the interpreter above.
from prometheus_client.openmetrics.parser import text_string_to_metric_families

SLUICE, OBSERVED = (os.path.abspath(path) for path in sys.argv[1:3])
passed = failed = 0

GOOD = """sluice: 1
backends: {blocks: {kind: pool}}
modules:
  parts: {route: [{max_size: 64KiB, to: blocks}, {to: mmap}], limit: {hard: 1GiB}}
  big blocks: mmap
reload: {signal: SIGHUP}
"""
BAD = GOOD.replace("kind: pool", "kind: poll")


def expect(what, wanted, got):
    global passed, failed
    if wanted == got:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {what}\nexpected: {wanted!r}\ngot:      {got!r}")


def expect_in(what, part, text):
    expect(what, True, part in text or text)


def sluice(*arguments, **options):
    return subprocess.run([SLUICE, *map(str, arguments)], capture_output=True, text=True,
                          check=False, timeout=60, **options)


def wait_for(what, question):
    """The answer as soon as it is true; a minute is more than anything here takes."""
    end = time.monotonic() + 60
    while True:
        answer = question()
        if answer or time.monotonic() > end:
            expect(what, True, bool(answer))
            return answer
        time.sleep(0.01)


def write(text):
    with open("policy.yaml", "w", encoding="utf-8") as file:
        file.write(text)


class Observed:
    """The program, from where it holds its objects until the end of the block."""

    def __init__(self, *words, policy="policy.yaml"):
        self.words, self.policy = words, policy

    def __enter__(self):
        self.process = subprocess.Popen([OBSERVED, self.policy, *self.words], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.pid = int(self.process.stdout.readline())
        wait_for("its door opens", lambda: self.stat().returncode == 0)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.process.stderr.close()

    def stat(self, *options):
        return sluice("stat", *options, self.pid)

    def json(self):
        return json.loads(self.stat("--json").stdout)

    def modules(self):
        return {module["module"]: module for module in self.json()["modules"]}

    def again(self):
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        expect("it holds more", "held\n", self.process.stdout.readline())


def the_figures():
    with Observed() as program:
        modules = program.modules()
        expect("modules", {"default", "parts", "big blocks"}, set(modules))
        parts = modules["parts"]
        expect("live objects", 1000, parts["live_objects"])
        expect("live bytes", 112000, parts["live_bytes"])
        expect("backends in order", ["blocks", "mmap"], parts["backends"])
        expect("limit", 1 << 30, parts["limit_bytes"])
        expect("no limit", None, modules["big blocks"]["limit_bytes"])
        expect("a large object", 1, modules["big blocks"]["live_objects"])
        expect("resident holds live", True, parts["resident_bytes"] >= parts["live_bytes"])
        program.again()
        expect("each reading is fresh", 2000, program.modules()["parts"]["live_objects"])
        stat = program.json()
        expect("format", 1, stat["format"])
        expect("pid", program.pid, stat["pid"])
        expect("command", "observed", stat["command"])
        expect("the reload", [1, 0, None, os.path.abspath("policy.yaml")],
               [stat["reload"][key] for key in ("attempts", "failures", "error", "policy")])
        text = program.stat().stdout
        expect_in("text names the policy", "policy    " + os.path.abspath("policy.yaml"), text)
        line = [line for line in text.splitlines() if line.startswith("parts ")][0].split()
        expect("text of a module", ["parts", "219KiB", "219KiB"], line[:3])


def the_exporter():
    with Observed() as program:
        text = program.stat("--prometheus").stdout
        families = {family.name: family for family in text_string_to_metric_families(text)}
        expect("ends", True, text.endswith("# EOF\n"))
        live = families["sluice_module_live_bytes"]
        expect("type and unit", ("gauge", "bytes"), (live.type, live.unit))
        values = {sample.labels["module"]: sample for sample in live.samples}
        expect("value", 112000, values["parts"].value)
        expect("labels", {"module": "parts", "backend": "blocks,mmap"}, values["parts"].labels)
        expect("modules", {"default", "parts", "big blocks"}, set(values))
        allocated = families["sluice_module_allocated_objects"]
        expect("a counter", "counter", allocated.type)
        expect("limits where they are", ["parts"],
               [s.labels["module"] for s in families["sluice_module_limit_bytes"].samples])
        expect("the last load", 1,
               families["sluice_policy_last_load_successful"].samples[0].value)


def reloads():
    with Observed() as program:
        before = program.json()["reload"]
        write(BAD)
        os.kill(program.pid, signal.SIGHUP)
        wait_for("the signal reloads", lambda: program.json()["reload"]["failures"] == 1)
        bad = program.json()["reload"]
        expect("a mistake changes nothing", before["generation"], bad["generation"])
        expect_in("where the mistake is", "policy.yaml:2:27: error: ", bad["error"])
        expect_in("text tells it", "reload    FAILED", program.stat().stdout)
        done = sluice("ctl", program.pid, "reload")
        expect("ctl reload of it: status", 1, done.returncode)
        expect_in("ctl reload of it: where", "policy.yaml:2:27: error: ", done.stderr)
        write(GOOD.replace("big blocks: mmap", "big blocks: glibc"))
        done = sluice("ctl", program.pid, "reload")
        expect("ctl reload", [0, ""], [done.returncode, done.stderr])
        expect_in("what changed", "modules.big blocks.route: applies to new", done.stdout)
        good = program.json()["reload"]
        expect("a new generation", before["generation"] + 1, good["generation"])
        expect("the mistake is gone", None, good["error"])
        wait_for("old objects drain",
                 lambda: program.modules()["big blocks"]["draining_bytes"] >= 1 << 20)
        write(GOOD)


def control():
    with Observed() as program:
        done = sluice("ctl", program.pid, "set", "parts=glibc")
        expect("set", 0, done.returncode)
        parts = program.modules()["parts"]
        expect("set: backend", [["glibc"], True], [parts["backends"], parts["overridden"]])
        done = sluice("ctl", program.pid, "set", "parts=nobody")
        expect("set an unknown backend", 1, done.returncode)
        expect_in("set an unknown backend", 'no backend "nobody"', done.stderr)
        done = sluice("ctl", program.pid, "unset", "parts")
        expect("unset", 0, done.returncode)
        parts = program.modules()["parts"]
        expect("unset: backend", [["blocks", "mmap"], False],
               [parts["backends"], parts["overridden"]])
        done = sluice("ctl", program.pid, "set", "not there=mmap")
        expect_in("an override of nobody yet", "no module of that name", done.stdout)
        expect("trim", 0, sluice("ctl", program.pid, "trim").returncode)
        expect_in("trim one", "bytes given back",
                  sluice("ctl", program.pid, "trim", "big blocks").stdout)
        done = sluice("ctl", program.pid, "trim", "big")
        expect("trim nobody", 1, done.returncode)
        expect_in("trim nobody", 'no module "big"', done.stderr)


def whom_it_cannot_ask():
    with Observed() as program:
        os.kill(program.pid, signal.SIGSTOP)
        done = program.stat()
        expect("stopped: status", 1, done.returncode)
        expect_in("stopped", "it is stopped", done.stderr)
        os.kill(program.pid, signal.SIGCONT)
        expect("and goes on", 0, program.stat().returncode)
        program.process.kill()
        wait_for("killed", lambda: "it has ended" in program.stat().stderr)
    expect_in("gone", "there is no such process", program.stat().stderr)
    expect("gone: status", 1, program.stat().returncode)
    expect_in("without Sluice", "it has no Sluice", sluice("stat", os.getpid()).stderr)
    write(GOOD + "observe: off\n")
    process = subprocess.Popen([OBSERVED, "policy.yaml"], stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE)
    process.stdout.readline()
    expect_in("observe: off", "it has no Sluice", sluice("stat", process.pid).stderr)
    process.communicate("")
    write(GOOD)


def imitators():
    """Somebody else's socket under the program's name is not taken for it."""
    name = f"\0sluice/{os.getpid()}/0000"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as imitator:
        with Observed() as program:
            imitator.bind(f"\0sluice/{program.pid}/0000000000000000")
            imitator.listen(1)
            expect("the program answers", 1000, program.modules()["parts"]["live_objects"])
        expect_in("the imitator does not", "there is no such process", program.stat().stderr)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.bind(name)
        silent.listen(1)
        done = sluice("stat", os.getpid())
        expect("a door that is silent", 1, done.returncode)
        expect_in("a door that is silent", "it does not answer", done.stderr)


def other_users():
    if os.geteuid() != 0:
        print("skipped: other users, as this is not root")
        return
    to_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", SLUICE]
    try:
        subprocess.run(to_nobody + ["--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print("skipped: other users, as nobody cannot run the tool here")
        return
    with Observed() as program:
        for command in (["stat", program.pid], ["ctl", program.pid, "trim"]):
            done = subprocess.run(to_nobody + [str(word) for word in command],
                                  capture_output=True, text=True, check=False)
            expect("nobody may not: status", 1, done.returncode)
            expect_in("nobody may not", "belongs to user 0", done.stderr)
    with Observed("nobody") as program:
        expect("root may", 0, program.stat().returncode)
        done = subprocess.run(to_nobody + ["stat", str(program.pid)], capture_output=True,
                              text=True, check=False)
        expect("the program's new user may", [0, ""], [done.returncode, done.stderr])


def lives():
    with Observed("closed") as program:
        expect("all descriptors closed", 1000, program.modules()["parts"]["live_objects"])
        expect("none of ours", {"0", "1", "2"}, set(os.listdir(f"/proc/{program.pid}/fd")))
        program.again()
    with Observed("fork") as child:
        expect("the child of a fork", 1000, child.modules()["parts"]["live_objects"])
        expect("it is not its parent", True, child.pid != child.process.pid)
        expect("the parent answers too", 0, sluice("stat", child.process.pid).returncode)
    write(BAD)
    with Observed() as program:
        reload = program.json()["reload"]
        expect("a policy that was broken at the start", [0, 1],
               [reload["successes"], reload["failures"]])
        expect_in("what was wrong", "policy.yaml:2:27: error: ", reload["error"])
    write(GOOD)


def threads_of(pid):
    """Of each thread of Sluice's, how often it has slept and been made to wait."""
    counts = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="utf-8") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        if status["Name"].startswith("sluice-"):
            counts[status["Name"]] = (status["voluntary_ctxt_switches"],
                                      status["nonvoluntary_ctxt_switches"])
    return counts


def has_page(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        return "sluice-observe" in file.read()


def unwatched():
    """While nobody looks, no thread of Sluice's wakes and no page exists."""
    with Observed() as program:
        wait_for("the page goes with its reader", lambda: not has_page(program.pid))
        before = wait_for("its threads come to rest", lambda: at_rest(program.pid))
        expect("both threads are there", {"sluice-control", "sluice-porter"}, set(before))
        program.again()
        expect("nobody woke", before, threads_of(program.pid))


def at_rest(pid):
    before = threads_of(pid)
    time.sleep(0.5)
    return before if threads_of(pid) == before else None


class Terminal:
    """`sluice top` on a terminal of 40 lines of 140 columns."""

    def __init__(self, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", LC_ALL="C.UTF-8", LINES="40", COLUMNS="140")
            os.execv(SLUICE, [SLUICE, "top", *map(str, arguments)])
        self.shown = b""

    def read(self):
        if select.select([self.fd], [], [], 0.02)[0]:
            try:
                self.shown += os.read(self.fd, 65536)
            except OSError:  # it has ended
                pass

    def wait_for(self, what, *parts, without="?"):
        """All of these are on the screen, and that is not."""
        def has():
            self.shown = b""
            self.press("\f")  # only differences are drawn else
            for _ in range(10):
                self.read()
            return (all(part.encode() in self.shown for part in parts)
                    and without.encode() not in self.shown)
        wait_for(what, has)

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def status(self):
        def ended():
            self.read()
            return os.waitpid(self.pid, os.WNOHANG)
        done = (0, 0)
        end = time.monotonic() + 60
        while done[0] == 0 and time.monotonic() < end:
            done = ended()
        self.read()
        os.close(self.fd)
        return os.waitstatus_to_exitcode(done[1])


def the_live_table():
    with Observed("busy") as program:
        screen = Terminal("--interval", "100ms", program.pid)
        screen.wait_for("the table", "observed", "HISTORY", "parts", "big blocks", "blocks,mmap",
                        "▁", "3 of 3 modules")
        screen.press("/BIG\n")
        screen.wait_for("the filter", '1 of 3 modules with "BIG"')
        screen.press("/\n>>r<\033[B\033[A")
        screen.wait_for("no filter", "3 of 3 modules")
        screen.press("q")
        expect("q quits", 0, screen.status())
        screen = Terminal("--interval", "100ms", program.pid)
        screen.wait_for("the table again", "big blocks")
        os.kill(program.pid, signal.SIGSTOP)
        screen.wait_for("a process that does not run", "IT does not run")
        os.kill(program.pid, signal.SIGCONT)
        screen.wait_for("and runs again", "generation 2", without="IT does not run")
        program.process.kill()
        expect("it ends with the process: status", 1, screen.status())
        expect_in("it ends with the process", "it has ended", screen.shown.decode())
        expect("no terminal", 1, sluice("top", program.pid).returncode)


def the_list():
    with Observed() as one, Observed() as other:
        lines = {line.split()[0]: line for line in sluice("top").stdout.splitlines()}
        for program in (one, other):
            expect_in("both are there", os.path.abspath("policy.yaml"),
                      lines.get(str(program.pid), ""))


def hand_over(door, page):
    """One guest gets this for an answer."""
    guest, _ = door.accept()
    with guest:
        guest.recv(1024)
        socket.send_fds(guest, [b"ok\n"], [page])


def hostile_pages():
    """Whatever a process says of itself, the tool says that it cannot be read."""
    with Observed() as program, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as guest:
        with open("/proc/net/unix", encoding="utf-8") as file:
            names = [line.split("@")[1].strip() for line in file if f"@sluice/{program.pid}/" in line]
        guest.connect("\0" + names[0])
        guest.send(b"read")
        _, fds, _, _ = socket.recv_fds(guest, 1024, 1)
        good = os.pread(fds[0], 1 << 20, 0)
        expect("it is sealed", 0x17, fcntl.fcntl(fds[0], 1034))  # F_GET_SEALS
        expect("nobody else writes it", errno.EPERM, write_error(fds[0]))
        os.close(fds[0])
    number = struct.Struct("<I").pack
    header, entry, _, count = struct.unpack_from("<4I", good, 12)
    pages = {"empty": b"", "short": good[:100], "cut": good[:header + count * entry - 1], "zero": bytes(len(good)),
             "ones": b"\xff" * len(good), "torn": good[:40] + b"\1" + good[41:],
             "many modules": good[:20] + number(0xFFFFFFFF) * 3 + good[32:]}
    for name, page in pages.items():
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            door.bind(f"\0sluice/{os.getpid()}/{name}")
            door.listen(1)
            fd = os.memfd_create("page", os.MFD_ALLOW_SEALING)
            os.write(fd, page)
            fcntl.fcntl(fd, 1033, 2)  # F_ADD_SEALS: F_SEAL_SHRINK
            thread = threading.Thread(target=hand_over, args=(door, fd))
            thread.start()
            done = sluice("stat", os.getpid())
            thread.join()
            os.close(fd)
            expect(f"a page that is {name}", [1, 1], [done.returncode, done.stderr.count("\n")])


def write_error(fd):
    try:
        os.pwrite(fd, b"x", 0)
    except OSError as error:
        return error.errno
    return 0


def usage():
    for wrong in ([], ["x"], ["0"], ["-5"], ["1", "2"], ["--json", "--prometheus", "1"],
                  ["--jsn", "1"]):
        done = sluice("stat", *wrong)
        expect(f"stat {wrong}", [2, 1], [done.returncode, done.stderr.count("\n")])
    for wrong in ([], ["1"], ["x", "reload"], ["1", "relaod"], ["1", "set"], ["1", "set", "a"],
                  ["1", "set", "=b"], ["1", "set", "a="], ["1", "unset"], ["1", "reload", "a"],
                  ["1", "trim", "a", "b"], ["1", "set", "a\nb=c"]):
        done = sluice("ctl", *wrong)
        expect(f"ctl {wrong}", 2, done.returncode)
    for wrong in (["x"], ["1", "2"], ["--interval", "1", "1"], ["--interval", "99ms", "1"],
                  ["--interval"]):
        expect(f"top {wrong}", 2, sluice("top", *wrong).returncode)
    for command in ("stat", "ctl", "top"):
        done = sluice(command, "--help")
        expect(f"{command} --help", [0, True],
               [done.returncode, done.stdout.startswith(f"Usage: sluice {command} ")])


def main():
    # Whoever is left behind by a failure ends with this test.
    ctypes.CDLL(None).prctl(36, 1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.chmod(folder, 0o755)
        write(GOOD)
        for case in (the_figures, the_exporter, reloads, control, whom_it_cannot_ask, imitators,
                     other_users, lives, unwatched, the_live_table, the_list, hostile_pages, usage):
            case()
        os.chdir("/")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 or passed == 0)


main()
