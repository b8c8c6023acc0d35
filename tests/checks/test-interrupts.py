#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who interrupts tests is obeyed at once, and nothing is left of them. Each case starts a program as the tests do, and sends it
signals. May touch: a scratch folder, processes that it has started."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position
from host import running, wait_until  # noqa: E402  pylint: disable=wrong-import-position

PATIENCE = 20.0
SKIPPED = 77
# Files that make something which must not stay, and how they make sure of that.
MAKER = re.compile(r"\b(tempfile|scratch)\b|\bBus\(|subprocess\.Popen")
MAIN = re.compile(r"^ +(interrupts|harness|mocked|nm_host)\.main\(|^harness\.main\(", re.M)
END_ONCE = re.compile(r"^ +interrupts\.end_once\(\)$", re.M)

# A build with a compiler that takes its time. A shell would go on if Ctrl-C came while it waits for a command that ends well.
PREPARE = """#!/bin/bash
/usr/bin/python3 -c '
import os
import pathlib
import time

pathlib.Path("{folder}/new").write_text(str(os.getpid()))
os.rename("{folder}/new", "{folder}/begun")
time.sleep(60)'
"""
RUN = """
source "{tests}/lib/prepare.sh"
prepare "{folder}"
"""
# tests/prepare in a world where all packages are missing: whether root runs it, where it finds commands, and its policy.
WORLD = {"((EUID != 0))": "false", " PATH=/usr/sbin": " PATH={folder}/bin:/usr/sbin", "policy=/usr": "policy={folder}"}
# Finds no package, and leaves something in the process group that hears signals.
DPKG_QUERY = """#!/usr/bin/python3
import pathlib
import signal
import subprocess

def hear():
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)

witness = pathlib.Path("{folder}/witness")
if not witness.exists():
    witness.write_text(str(subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, preexec_fn=hear).pid))
"""
# Hears signals whatever its parent does, as apt has dpkg do, and takes its time to install.
APT_GET = """#!/usr/bin/python3
import pathlib
import signal
import sys
import time

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
if "install" in sys.argv:
    pathlib.Path("{folder}/begun").touch()
    while not pathlib.Path("{folder}/go-on").exists():
        time.sleep(0.01)
    if pathlib.Path("{folder}/sbin/policy-rc.d").exists():
        pathlib.Path("{folder}/installed").touch()
"""
# What tests/release-check and tests/package run, which take their time to clean up.
READY = "#!/bin/sh\n"
ROW = """
import sys
sys.path.insert(0, "{tests}/lib")
import interrupts
sys.argv[1:] = ["{folder}/test_slow.py"]
import run_file
run_file.main()
"""
RELEASE = """#!/usr/bin/python3
import pathlib
import sys
import time
sys.path.insert(0, "{tests}/lib")
import interrupts

interrupts.end_once()
begun = pathlib.Path("{folder}/begun")
(pathlib.Path("{folder}/next") if begun.exists() else begun).touch()
try:
    time.sleep(60)
finally:
    time.sleep(0.5)
    pathlib.Path("{folder}/cleaned").touch()
"""
# A run of such tests.
RUNGS = """
import os
import pathlib
import sys
sys.path.insert(0, "{tests}/lib")
import rungs

rungs.meson_tests = lambda: []
rungs.install_stage = lambda folder: folder
rungs.LAB, rungs.SYSTEMS = pathlib.Path("{folder}/lab"), pathlib.Path("{folder}/none")
os.geteuid = lambda: 0
rungs.main()
"""
# A test that takes its time to clean up.
SLOW = """
import pathlib
import time

def test_one():
    try:
        pathlib.Path("{folder}/begun").touch()
        time.sleep(60)
    finally:
        pathlib.Path("{folder}/cleaning").touch()
        time.sleep(0.5)
        pathlib.Path("{folder}/cleaned").touch()

def test_two():
    pathlib.Path("{folder}/next").touch()
"""
SERVICE = """
import pathlib
import sys

sys.path.insert(0, "{tests}/service")
import harness

class Test(harness.ServiceTest):
    def test_one(self):
        (self.folder / "profiles/some").touch()
        pathlib.Path("{folder}/begun").touch()
        harness.wait_until(lambda: False, "nothing", 60)

    def test_two(self):
        pathlib.Path("{folder}/next").touch()

harness.main()
"""

# A command that does not end as long as somebody waits for it.
COMMAND = """#!/usr/bin/python3
import os
import pathlib
import time

parent = os.getppid()
pathlib.Path("{folder}/begun").touch()
while os.getppid() == parent:
    time.sleep(0.05)
"""
# Tests whose class is told to end while it is set up, and in a part of a test.
CLASSES = """
import pathlib
import sys
import time
import unittest

sys.path.insert(0, "{tests}/lib")
import interrupts

class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(pathlib.Path("{folder}/cleaned").touch)
        if sys.argv[1] == "class":
            cls.wait()

    @staticmethod
    def wait():
        pathlib.Path("{folder}/begun").touch()
        time.sleep(60)

    def test_one(self):
        for part in ("begun", "next"):
            with self.subTest(part):
                pathlib.Path("{folder}", part).touch()
                time.sleep(60 if part == "begun" else 0)

    def test_two(self):
        pathlib.Path("{folder}/next").touch()

interrupts.main(argv=sys.argv[:1])
"""

# Two releases, each made by a thread.
ROOTS = """
import pathlib
import sys
sys.path.insert(0, "{tests}/systems")
import roots

def prepare(release, folder):
    script = "echo $$ >$0.new; mv $0.new $0; exec sleep 60"
    roots.run_quietly(["/bin/bash", "-c", script, folder / release], release, folder / f"{release}.log")

roots.prepare = prepare
sys.argv[1:] = ["{folder}", "trixie", "sid"]
roots.main()
"""


def hears_signals():
    """What runs beside a shell may ignore them, and so would what it starts."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def members(group):
    """The processes of a group."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().rpartition(b")")[2].split()
            if int(words[2]) == group:
                yield int(path.parent.name)


class Interrupts(unittest.TestCase):
    """One program at a time, in a process group of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="underpass-interrupts-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, text):
        """Writes a program; its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{folder}", str(self.folder)).replace("{tests}", str(TESTS)))
        path.chmod(0o755)
        return path

    def wait_for(self, name, process=None):
        """Waits for a file, or for the end of the process."""
        path = self.folder / name
        wait_until(lambda: path.exists() or process and process.poll() is not None, name, PATIENCE)
        return path.exists()

    def start(self, *command):
        """Starts a program, whose scratch folders are in ours."""
        for name in ("begun", "cleaning", "cleaned", "next"):
            (self.folder / name).unlink(missing_ok=True)
        environment = {**os.environ, "TMPDIR": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        environment["UNDERPASS_BUILD"] = str(self.folder / "build")
        process = subprocess.Popen(
            [str(word) for word in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=hears_signals,
        )
        self.addCleanup(self.end, process)
        return process

    def left(self, process):
        """What a program has started and left: in its session, or in another one with its scratch folder."""
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                session = int((path / "stat").read_bytes().rpartition(b")")[2].split()[3])
                if session == process.pid or str(self.folder).encode() in (path / "environ").read_bytes():
                    yield int(path.name)

    def end(self, process):
        """Ends what a case has left, which may be in other process groups and hold the pipe."""

        def ended():
            pids = list(filter(running, self.left(process)))
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not pids

        wait_until(ended, "what it has started has ended", PATIENCE)
        process.communicate(timeout=PATIENCE)

    def test_cases_that_fail(self):
        """What a case leaves when it fails is ended, too."""
        self.file("tests/prepare", PREPARE)
        process = self.start("/bin/bash", self.file("run", RUN))
        self.assertTrue(self.wait_for("begun", process), "it has ended early")
        pid = int((self.folder / "begun").read_text())
        self.assertNotEqual(os.getpgid(pid), process.pid)
        self.end(process)
        self.assertFalse(running(pid))

    def test_preparation(self):
        """tests/run tells tests/prepare, and what that has started."""
        self.file("tests/prepare", PREPARE)
        run = self.file("run", RUN)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            process = self.start("/bin/bash", run)
            self.wait_for("begun")
            pid = int((self.folder / "begun").read_text())
            process.send_signal(number)
            self.assertEqual(process.wait(PATIENCE), 128 + number)
            wait_until(lambda pid=pid: not running(pid), "its compiler has ended", PATIENCE)

    def copy(self, name):
        """A program of tests/, which finds the others in the scratch folder."""
        path = self.folder / "tests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TESTS / name, path)
        return path

    def test_packages_are_installed(self):
        """A signal, also one from a terminal, does not end what changes the package database of this machine. tests/prepare ends
        behind it, and takes its policy away only then."""
        text = (TESTS / "prepare").read_text()
        for old, new in WORLD.items():
            self.assertEqual(text.count(old), 1, old)
            text = text.replace(old, new)
        prepare, run = self.file("tests/prepare", text), self.file("run", RUN)
        self.file("tests/packages", "some-package\n")
        self.file("bin/dpkg-query", DPKG_QUERY)
        self.file("bin/apt-get", APT_GET)
        (self.folder / "sbin").mkdir()
        numbers = signal.SIGHUP, signal.SIGINT, signal.SIGTERM
        for number, program in ((number, program) for number in numbers for program in (prepare, run)):
            with self.subTest(number=number, program=program.name):
                for name in ("witness", "go-on", "installed"):
                    (self.folder / name).unlink(missing_ok=True)
                process = self.start("/bin/bash", program)
                self.assertTrue(self.wait_for("begun", process), "it has ended early")
                witness = int((self.folder / "witness").read_text())
                os.killpg(process.pid, number)
                wait_until(lambda pid=witness: not running(pid), "all have heard the signal", PATIENCE)
                (self.folder / "go-on").touch()
                self.assertEqual(process.wait(PATIENCE), 128 + number)
                self.assertTrue((self.folder / "installed").exists())
                self.assertEqual([path.name for path in self.folder.glob("sbin/*")], [])
                self.assertFalse((self.folder / "build").exists())

    def told(self, process, number, group=False):
        """Sends a signal to a program that runs a slow test, to it alone or as a terminal does; the program ends when the
        test has cleaned up, and no other test begins."""
        self.assertTrue(self.wait_for("begun", process), "it has ended early")
        (os.killpg if group else os.kill)(process.pid, number)
        self.assertEqual(process.wait(PATIENCE), 128 + number)
        self.assertTrue((self.folder / "cleaned").exists())
        self.assertFalse((self.folder / "next").exists())

    def test_preparation_of_a_release(self):
        """tests/release-check tells tests/prepare, too."""
        self.file("tests/prepare", PREPARE)
        for name in ("lib/interrupts.py", "lib/prepare.sh"):
            self.copy(name)
        program = self.copy("release-check")
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start("/usr/bin/python3", program)
            self.assertTrue(self.wait_for("begun", process), "it has ended early")
            pid = int((self.folder / "begun").read_text())
            process.send_signal(number)
            self.assertEqual(process.wait(PATIENCE), 128 + number)
            wait_until(lambda pid=pid: not running(pid), "its compiler has ended", PATIENCE)

    def test_release(self):
        """tests/release-check lets the tests of a row clean up, and begins no other row."""
        self.file("tests/prepare", READY)
        self.file("test_slow.py", SLOW)
        for name in ("lib/interrupts.py", "lib/prepare.sh"):
            self.copy(name)
        self.file("tests/lib/rungs.py", ROW)
        (self.folder / "build").mkdir()
        program = self.copy("release-check")
        for number in (signal.SIGINT, signal.SIGTERM):
            for group in (False, True):
                self.told(self.start("/usr/bin/python3", program), number, group)

    def test_packages(self):
        """So does tests/package with the releases."""
        self.file("tests/run", RELEASE)
        self.copy("lib/prepare.sh")
        program = self.copy("package")
        for number in (signal.SIGINT, signal.SIGTERM):
            for group in (False, True):
                self.told(self.start("/bin/bash", program, "trixie", "sid"), number, group)

    def test_run(self):
        """What tests/run starts hears of the first signal; a second one does not interrupt what cleans up."""
        self.file("lab/test_slow.py", SLOW)
        path = self.file("run-rungs.py", RUNGS)
        for first, second in ((signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)):
            process = self.start("/usr/bin/python3", path, "-k", "lab/slow")
            self.assertTrue(self.wait_for("begun", process), "it has ended early")
            process.send_signal(first)
            self.wait_for("cleaning")
            process.send_signal(second)
            self.assertEqual(process.wait(PATIENCE), 128 + first)
            self.assertTrue((self.folder / "cleaned").exists())
            self.assertEqual(list(self.folder.glob("underpass-*")), [])

    def test_lab(self):
        """A second signal does not interrupt what cleans up."""
        path = self.file("test_slow.py", SLOW)
        for first, second in ((signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)):
            process = self.start("/usr/bin/python3", TESTS / "lib/run_file.py", path)
            self.wait_for("begun")
            process.send_signal(first)
            self.wait_for("cleaning")
            process.send_signal(second)
            self.assertEqual(process.wait(PATIENCE), 128 + first)
            self.assertTrue((self.folder / "cleaned").exists())
            self.assertFalse((self.folder / "next").exists())

    def test_systems(self):
        """What makes a system ends with the program that has started it, even if nobody tells it."""
        path = self.file("make-roots.py", ROOTS)
        for number in (signal.SIGTERM, signal.SIGKILL):
            process = self.start("/usr/bin/python3", path)
            files = [self.folder / name for name in ("trixie", "sid")]
            wait_until(lambda files=files: all(file.exists() for file in files), "both are being made", PATIENCE)
            pids = [int(file.read_text()) for file in files]
            process.send_signal(number)
            self.assertEqual(process.wait(PATIENCE), 143 if number == signal.SIGTERM else -number)
            wait_until(lambda pids=pids: not any(map(running, pids)), "their commands have ended", PATIENCE)
            for file in files:
                file.unlink()

    def test_service(self):
        """A test of the service takes its folder away, and none begins behind it."""
        path = self.file("test-service.py", SERVICE)
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start("/usr/bin/python3", path, "/bin/true")
            if not self.wait_for("begun", process):
                self.assertEqual(process.wait(), SKIPPED, process.stdout.read())
                self.skipTest("no network namespace")
            os.killpg(process.pid, number)
            process.wait(PATIENCE)
            self.assertEqual(list(self.folder.glob("underpass-*")), [])
            self.assertFalse((self.folder / "next").exists())

    def test_classes(self):
        """What a class has set up is undone even if it was interrupted at that; no part of a test begins behind another."""
        path = self.file("test-classes.py", CLASSES)
        for number in (signal.SIGINT, signal.SIGTERM):
            for place in ("class", "part"):
                process = self.start("/usr/bin/python3", path, place)
                self.assertTrue(self.wait_for("begun", process), "it has ended early")
                process.send_signal(number)
                self.assertNotEqual(process.wait(PATIENCE), 0)
                self.assertTrue((self.folder / "cleaned").exists())
                self.assertFalse((self.folder / "next").exists())

    def test_command(self):
        """Each test of the command takes its folder away, and ends what it has started."""
        command = self.file("underpassctl", COMMAND)
        paths = [path for path in sorted(TESTS.glob("ctl/test-*.py")) if " UNDERPASSCTL" in path.read_text()]
        self.assertGreater(len(paths), 8)
        for path in paths:
            words = (TESTS.parent / "data/org.underpass1.xml",) if "UNDERPASSCTL XML" in path.read_text() else ()
            with self.subTest(path.name):
                process = self.start("/usr/bin/python3", path, command, *words)
                if not self.wait_for("begun", process):
                    self.assertEqual(process.wait(), SKIPPED, process.stdout.read())
                    continue
                process.send_signal(signal.SIGTERM)
                self.assertNotEqual(process.wait(PATIENCE), 0)
                self.assertEqual(list(self.folder.glob("underpass-*")), [])
                wait_until(lambda group=process.pid: not any(map(running, members(group))), "all have ended", PATIENCE)

    def test_all_files(self):
        """Each test and each check that makes a folder, or starts something, does as those above."""
        makers = [path for path in TESTS.glob("*/*.py") if MAKER.search(path.read_text(encoding="utf-8"))]
        tests = [path for path in makers if path.name.startswith("test-") and "unittest" in path.read_text(encoding="utf-8")]
        checks = [path for path in makers if path.name.startswith("check-") or path.name == "samples.py"]
        self.assertGreater(min(len(tests), len(checks)), 3)
        for paths, rule in ((tests, MAIN), (checks, END_ONCE)):
            forgotten = [path.name for path in paths if not rule.search(path.read_text(encoding="utf-8"))]
            self.assertEqual(forgotten, [], f"do not say {rule.pattern}")


if __name__ == "__main__":
    interrupts.main()
