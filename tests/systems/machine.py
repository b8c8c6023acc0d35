# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole system: one of the roots of roots.py with its own systemd as PID 1, in namespaces of its own.

It is a Host of the lab, so all that asks hosts works on it as well. Before boot() commands run in its disk as
in a chroot; what is written stays over reboots and is gone with the machine. May touch: processes, cgroups and
folders it made itself; when this program is killed, empty cgroups are left, which the next machine removes, and its folder.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

import cgroups
import host as host_module
from host import children, running, wait_until

HERE = pathlib.Path(__file__).resolve().parent
BOOT_SECONDS = 60
POWEROFF = signal.SIGRTMIN + 4  # what systemd takes as "poweroff"

# Of the programs that are no part of the tests, nothing asks the Internet and nothing configures what it is not told to.
CONFIGURATION = {
    "/etc/NetworkManager/conf.d/tests.conf": (
        "[main]\nno-auto-default=*\ndns=none\nsystemd-resolved=false\nhostname-mode=none\nfirewall-backend=none\n"
        "[connectivity]\nenabled=false\n"
    ),
}
MANAGERS = {"NetworkManager": "NetworkManager.service", "networkd": "systemd-networkd.service"}


class Machine(host_module.Host):
    """A machine; prepare it, boot() it, and stop() it in the end. lower: folders of its disk, the topmost first.
    managers: which network managers it has. project: whether the project is in one of the layers."""

    tools = pathlib.Path("/opt/tests/lib")

    def __init__(self, name, folder, lower, managers=("NetworkManager",), project=True):
        super().__init__(name, folder)
        self.managers = managers
        self._project = project
        self.booted = False
        self._lower = lower
        self._cgroup = None
        self._nspawn = None

    # Life

    def start(self):
        """Makes the namespaces and the disk; the machine is off."""
        (self.folder / "log").mkdir(parents=True, exist_ok=True)
        self._power()
        for path, text in CONFIGURATION.items():
            self.write(path, text)
        for manager, unit in MANAGERS.items():
            self.run("systemctl", "enable" if manager in self.managers else "disable", unit)
        if self._project:
            self.run("systemctl", "enable", "underpass.service")
        # When networkd 262 is killed, its next start waits for the end of this unit, which waits for networkd.
        self.run("systemctl", "mask", "systemd-networkd-persistent-storage.service")

    def _power(self):
        self._cgroup = cgroups.create(self.name)
        lower = ":".join(str(each) for each in self._lower)
        command = ["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        command += [str(HERE / "machine-init"), self.name, str(self.folder), lower, str(HERE.parent)]
        self._start_init([*command, str(self._cgroup)])

    def boot(self):
        """Boots, and returns as soon as systemd answers: much may still be starting then."""
        self._unshare.stdin.write(b"boot\n")
        self._unshare.stdin.flush()
        self._unshare.stdout.readline()
        power = self.init

        def first_process():
            if not running(power) or not children(power):
                raise RuntimeError(f"machine {self.name} did not boot: {self._console()}")
            self._nspawn = children(power)[0]
            found = [pid for pid in children(self._nspawn) if is_first_process(pid)]
            return found[0] if found else None

        self.init = wait_until(first_process, f"{self.name} boots: {self._console()}", BOOT_SECONDS)
        self.booted = True
        wait_until(self.path("/run/systemd/private").exists, f"{self.name}: systemd answers", BOOT_SECONDS)

    def _console(self):
        with contextlib.suppress(OSError):
            return (self.folder / "log" / "console.log").read_text(errors="backslashreplace")[-2000:]
        return ""

    def wait_running(self):
        """Waits until everything that boots with the system has been started."""
        answer = []

        def settled():
            answer[:] = [self.run("systemctl", "is-system-running", check=False).stdout.strip()]
            return answer[0] in ("running", "degraded")

        wait_until(settled, f"{self.name} has booted", BOOT_SECONDS)
        failed = (
            self.output("systemctl", "--failed", "--no-legend", "--plain") if answer != ["running"] else ""
        )
        assert not failed, f"{self.name} is degraded: {failed}"

    def power_off(self):
        """Shuts the machine down in an orderly way; it can be started again."""
        os.kill(self.init, POWEROFF)
        wait_until(lambda: not running(self._nspawn), f"{self.name} powers off", BOOT_SECONDS)
        self._cut()

    def power_on(self):
        """Gives a machine that was shut down its namespaces again; boot() is next."""
        self._power()

    def stop(self):
        """Cuts the power. Safe to call at any time, also twice."""
        self._cut()
        for name in ("upper", "work", "root", "bpf"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _cut(self):
        self.booted = False
        self._nspawn = None
        unshare, self._unshare = self._unshare, None
        if unshare is not None:
            self._end(unshare)
        self.init = None
        if self._cgroup is not None:
            wait_until(lambda: cgroups.remove(self._cgroup), f"{self._cgroup} is empty", 20)

    def _end(self, unshare):
        with contextlib.suppress(BrokenPipeError):
            unshare.stdin.close()
        try:
            unshare.wait(timeout=10)
        except subprocess.TimeoutExpired:
            unshare.kill()
            unshare.wait()
        unshare.stdout.close()
        for process in self._daemons.values():
            process.wait()
        self._daemons.clear()

    # Commands

    def enter(self):
        """The command line that enters the machine, for people and for subprocess."""
        if not self.booted:
            spaces = ["nsenter", "--target", str(self.init), "--mount", "--net", "--pid", "--ipc", "--"]
            return [*spaces, "chroot", str(self.folder / "root")]
        # Sockets belong to a cgroup, and the service sees to those of its own machine.
        place = self._cgroup / "payload" / "tests"
        place.mkdir(exist_ok=True)
        spaces = ["--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--root", "--wd", "--"]
        script = 'echo $$ >"$0" && exec nsenter "$@"'
        return ["/bin/sh", "-c", script, str(place / "cgroup.procs"), "--target", str(self.init), *spaces]

    def path(self, inside):
        """Path by which this program reaches a file of the machine."""
        if not self.booted:
            inside = str(self.folder / "root") + "/" + str(inside).lstrip("/")
        return super().path(inside)

    def journal(self, *options):
        """What the journal of this boot says."""
        return self.output(
            "journalctl", "--boot", "--no-pager", "--output=short-precise", *options, check=False
        )

    def processes(self, unit):
        """Processes of a service, as seen from outside; systemd is not asked."""
        try:
            folder = self._cgroup / "payload/system.slice" / unit
            return {int(line) for line in (folder / "cgroup.procs").read_text().split()}
        except OSError:
            return set()

    def unit(self, name, *properties):
        """Properties of a unit, by name."""
        names = ",".join(properties)
        text = self.output("systemctl", "show", f"--property={names}", name)
        return dict(line.partition("=")[::2] for line in text.splitlines())


def is_first_process(pid):
    """Whether the process is the systemd of a machine, and runs already."""
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text() == "systemd\n"
    except OSError:
        return False
