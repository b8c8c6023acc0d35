# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest: QEMU with a Debian kernel, a small root image and the built project in it. Commands run in it
one after the other; what they print streams out, and their exit status comes back.

Without KVM, whatever the machine: the test is about kernels, and nested or partly emulated KVM is not
the same everywhere. May touch: the cache, a scratch folder, the QEMU that it started.
"""

import base64
import os
import pathlib
import platform
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import time

import guest_root
import kernels

TESTS = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("UNDERPASS_BUILD", TESTS.parent / "build"))
PROGRAMS = (
    "tests/bpf/bpf-programs",
    "tests/bpf/bpf-capabilities",
    "plugin/underpassd",
    "plugin/underpassctl",
)
BOOT_SECONDS = 180
MEGABYTES = 640

# cmpxchg16b as QEMU 7.2 emulates it makes kernels crash now and then.
CPU = "max,-cx16"
APPEND = (
    "console=ttyS0 quiet loglevel=3 panic=-1 random.trust_cpu=1 tsc=reliable no_timer_check"
    " raid=noautodetect net.ifnames=0"
)


class GuestError(RuntimeError):
    """The guest does not start, or has died."""


def obstacle():
    """Why no guest can run here, or None."""
    if platform.machine() != "x86_64":
        return f"the kernels are for x86_64, this is {platform.machine()}"
    if not shutil.which("qemu-system-x86_64"):
        return "qemu-system-x86_64 is not installed"
    return None


def stage(folder, programs=PROGRAMS, prepare=None):
    """What a guest sees as /project: the installed project, the tests, and programs of the build;
    prepare(folder) adds to it."""
    (folder / "programs").mkdir()
    for name in programs:
        shutil.copy2(BUILD / name, folder / "programs")
    installed = os.environ.get("UNDERPASS_STAGE")
    if installed:
        shutil.copytree(installed, folder / "stage", symlinks=True)
    else:
        environment = dict(os.environ, DESTDIR=str(folder / "stage"))
        command = ["/usr/bin/meson", "install", "-C", BUILD, "--no-rebuild", "--quiet"]
        subprocess.run(
            command, check=True, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
    for name in ("lib", "systems"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(TESTS / name, folder / "tests" / name, ignore=ignore)
    if prepare:
        prepare(folder)
    # Modules are compiled here, not at each start in a slow machine. The guest sees them under another path,
    # and says itself when it needs one that cannot be compiled.
    command = ["/usr/bin/python3", "-m", "compileall", "-qq", "-s", folder, "-p", "/project"]
    subprocess.run([*command, folder / "tests"], check=False, stdin=subprocess.DEVNULL)


class Guest:
    """A guest with the kernel of a suite; a context manager. programs: more programs of the build;
    packages: more of this system's; prepare: as for stage(); words: more options of QEMU."""

    def __init__(self, suite, say=print, programs=(), packages=(), prepare=None, words=()):
        self.suite = suite
        self.release = None
        self._say = say
        self._programs = (*PROGRAMS, *programs)
        self._packages = packages
        self._prepare = prepare
        self._words = words
        self._folder = None
        self._process = None
        self._agent = None
        self._pending = b""

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        kernel = kernels.kernel(self.suite)
        root = guest_root.image([BUILD / name for name in self._programs], self._packages)
        self.release = (kernel / "release").read_text().strip()
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="underpass-guest-"))
        (self._folder / "project").mkdir(mode=0o755)
        stage(self._folder / "project", self._programs, self._prepare)
        kernels.make_image(self._folder / "project", self._folder / "project.ext4")
        shutil.rmtree(self._folder / "project")
        begin = time.monotonic()
        self._launch(kernel, root)
        self._connect(begin + BOOT_SECONDS)
        self._say(f"{self.release}: up after {time.monotonic() - begin:.1f} s")

    def _launch(self, kernel, root):
        disks = []
        # Writes go nowhere: the images stay as they are.
        for path in (root, kernel / "modules.ext4", self._folder / "project.ext4"):
            disks += ["-drive", f"if=virtio,format=raw,snapshot=on,cache=unsafe,file={path}"]
        # It must not outlive this program, however that ends.
        command = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"]
        command += ["-accel", "tcg", "-cpu", CPU, "-smp", "1", "-m", str(MEGABYTES)]
        command += [
            "-machine",
            "q35,hpet=off",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]
        command += ["-kernel", kernel / "vmlinuz", "-initrd", kernel / "initrd", "-append", APPEND]
        command += ["-serial", f"file:{self._folder}/console"]
        command += ["-chardev", f"socket,id=agent,path={self._folder}/agent,server=on,wait=off"]
        command += ["-serial", "chardev:agent", *disks, *self._words]
        with open(self._folder / "qemu.log", "wb") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(os.environ, TMPDIR=str(self._folder)),
                start_new_session=True,
            )

    def _connect(self, end):
        self._agent = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self._agent.connect(str(self._folder / "agent"))
                break
            except OSError:
                self._check(end)
                time.sleep(0.01)
        while self._line(end) != "ready":
            pass

    def _check(self, end):
        """Whether there is still something to wait for."""
        if self._process.poll() is not None:
            raise GuestError(
                f"{self.suite}: QEMU ended with {self._process.returncode}\n{self.last_words()}"
            )
        if time.monotonic() > end:
            raise GuestError(f"{self.suite}: no answer in time\n{self.last_words()}")

    def last_words(self):
        """The end of what the kernel and QEMU have said."""
        lines = []
        for name in ("console", "qemu.log"):
            path = self._folder / name
            if path.exists():
                lines += path.read_text(errors="backslashreplace").splitlines()[-30:]
        return "\n".join(lines)

    def _line(self, end):
        """The next line that the agent sends."""
        while b"\n" not in self._pending:
            self._agent.settimeout(0.5)
            try:
                block = self._agent.recv(1 << 16)
                if not block:
                    self._process.wait(10)
                    self._check(end)
                self._pending += block
            except TimeoutError:
                self._check(end)
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode(errors="backslashreplace").rstrip("\r")

    def run(self, *command, seconds=300, say=None):
        """Runs a command in the guest, with each line of its output given to say; (exit status, output). It may be
        silent for so many seconds: how long a guest takes for all of it depends on what else the machine does."""
        word = secrets.token_hex(8)
        self._agent.settimeout(10)
        line = base64.b64encode(shlex.join(str(part) for part in command).encode()).decode()
        self._agent.sendall(f"{word} {line}\n".encode())
        lines = []
        while not (line := self._line(time.monotonic() + seconds)).startswith(word + " "):
            if line:
                lines.append(line)
                (say or (lambda _: None))(line)
        return int(line.split()[1]), "\n".join(lines)

    def output(self, *command, seconds=300, say=None):
        """What a command prints, which must succeed."""
        status, text = self.run(*command, seconds=seconds, say=say)
        if status != 0:
            # What has been said needs no repetition.
            tail = "\n".join(text.splitlines()[-1 if say else -60 :])
            words = shlex.join(str(part) for part in command)
            raise GuestError(f"{self.suite}: {words}: exit status {status}\n{tail}")
        return text

    def close(self):
        """Switches the guest off."""
        if self._agent is not None:
            self._agent.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
