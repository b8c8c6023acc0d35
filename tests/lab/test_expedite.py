# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs are attached and taken off within expedited grace periods of the kernel, and the switch of the host for these
is as before then, whatever happens meanwhile. The switches are files of the test here: the machine has only one."""

import re
import signal

import runner
import service
import state
from host import wait_until

FOLDER = "/sys/kernel"
EXPEDITED, NORMAL = f"{FOLDER}/rcu_expedited", f"{FOLDER}/rcu_normal"
MARK = "*/expedited"  # below the folder of the pins
PROFILE = "/etc/underpass/expedite.conf"
TEXT = "[Match]\nName=c0\n\n[X-Underpass]\nTunnel=yes\nRemotePorts=443\n"
CALLS = "bpf,openat,write"
ACTIVE = "c0: Now active"


class Switches:
    """A host with one link, and with switches of its own."""

    def __init__(self, lab):
        self.host = lab.client
        self.log, self.trace = (self.host.folder / "log" / name for name in ("expedite.log", "trace"))
        for path in (EXPEDITED, NORMAL):
            copy = f"/run/{path.rpartition('/')[2]}"
            self.host.write(copy, "0\n")
            self.host.run("mount", "--bind", copy, path)
        self.host.start_bus()
        self.host.run("ip", "link", "set", "c0", "up")
        self.traced = None

    def set(self, path, value):
        """As a person does."""
        self.host.path(path).write_text(f"{value}\n")

    def value(self, path=EXPEDITED):
        """0 or 1."""
        return int(self.host.path(path).read_text())

    def marks(self):
        """What tells the next service to set it back."""
        return list(self.host.path(state.PINS).glob(MARK))

    def start(self, *strace, done=ACTIVE):
        """Starts the service under strace, by hand, and returns when it has attached the link, or ended; the calls."""
        self.log.write_bytes(b"")
        self.host.write(PROFILE, TEXT)
        with open(self.log, "ab") as log:
            command = ["strace", "-o", str(self.trace), "-e", f"trace={CALLS}", *strace, "/usr/libexec/underpassd"]
            traced = self.host.spawn(command, stdout=log, stderr=log)
        self.traced = traced
        wait_until(lambda: traced.poll() is not None or done in self.log.read_text(), f"attached, or ended: {strace}", 30)
        return self.trace.read_text().splitlines()

    def detach(self):
        """Takes the tunnel off; the calls."""
        seen = len(self.trace.read_text().splitlines())
        self.host.path(PROFILE).unlink()
        service.manager_call(self.host, "Reload")
        assert service.link(self.host, "c0")["State"] == "off"
        return self.trace.read_text().splitlines()[seen:]

    def end(self):
        """Ends the service."""
        if self.traced.poll() is None:
            service.kill(self.host, signal.SIGTERM)
        self.traced.wait(timeout=10)


def attaches(line):
    """Whether a program was attached to a link or a helper device by this call. Others ask what the kernel can do."""
    return "BPF_LINK_CREATE" in line and "SOCK_OPS" not in line and " = -1 " not in line


def story(lines):
    """What happens to the switch, and between: "1", "0", "+" for a program that is attached at tcx, "-" for one that is
    taken off."""
    told, ours = [], set()
    for line in lines:
        opened = re.search(rf'openat\(.*"{EXPEDITED}", O_WRONLY.* = (\d+)', line)
        written = re.search(r'write\((\d+), "([01])"', line)
        if opened:
            ours.add(opened[1])
        elif written and written[1] in ours:
            ours.discard(written[1])
            told.append(written[2])
        elif attaches(line):
            told.append("+")
        elif "BPF_LINK_DETACH" in line:
            told.append("-")
    return "".join(told)


def test_while_programs_are_attached():
    """Not a moment longer. A link that is attached already is no reason."""
    with runner.TestLab(manager=False) as lab:
        switches = Switches(lab)
        told = story(switches.start())
        assert re.fullmatch("(1[+]0){4,}", told), told
        assert switches.value() == 0 and switches.marks() == []
        seen = len(switches.trace.read_text().splitlines())
        service.manager_call(switches.host, "Reload")
        assert story(switches.trace.read_text().splitlines()[seen:]) == ""
        told = story(switches.detach())
        assert re.match("1-01-0", told), told
        assert switches.value() == 0 and switches.marks() == []
        switches.end()


def test_killed_meanwhile():
    """Before it writes 1, or before it writes 0 again. The next service sets the switch back before anything else; also
    when nobody wants a tunnel any more."""
    with runner.TestLab(manager=False) as lab:
        switches = Switches(lab)
        writes = len(story(switches.start()).replace("+", ""))
        switches.detach()
        switches.end()
        for number, value, wanted in ((1, 0, True), (2, 1, True), (writes, 1, True), (writes, 1, False)):
            switches.start("-P", EXPEDITED, "-e", f"inject=write:signal=KILL:when={number}")
            assert switches.traced.wait(timeout=10) != 0, "the service was not killed"
            assert switches.value() == value and len(switches.marks()) == 1, number
            if not wanted:
                switches.host.path(PROFILE).unlink()
            service.manager_call(switches.host, "Reload")
            assert switches.value() == 0 and switches.marks() == [], number
            if wanted:
                service.wait_state(switches.host, "c0", service.ACTIVE)
                switches.host.path(PROFILE).unlink()
                service.manager_call(switches.host, "Reload")
            wait_until(lambda: state.pins(switches.host) == [], "no pin is left")
            service.kill(switches.host, signal.SIGTERM)


def test_what_the_host_says():
    """1 stays 1. Where the host wants ordinary grace periods, or lets nobody write, the link is attached all the same."""
    with runner.TestLab(manager=False) as lab:
        switches = Switches(lab)
        for path in (EXPEDITED, NORMAL):
            switches.set(path, 1)
            told = story([*switches.start(), *switches.detach()])
            assert set(told) == {"+", "-"}, (path, told)
            assert switches.value(path) == 1
            switches.end()
            switches.set(path, 0)
        switches.host.run("mount", "-o", "remount,ro,bind", EXPEDITED)
        told = story([*switches.start(), *switches.detach()])
        assert set(told) == {"+", "-"}, told
        assert switches.value() == 0 and state.pins(switches.host) == []
        switches.end()
