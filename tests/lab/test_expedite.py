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
OURS = 0x756E6470  # "on", as the service writes it
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
        """What the kernel would say. A write does not shorten this file."""
        return int(self.host.path(path).read_text().split()[0])

    def is_active(self):
        """Whether the service has attached the link."""
        return ACTIVE in self.log.read_text()

    def start(self, *strace, until=None):
        """Starts the service under strace, by hand, and returns when it has attached the link, or ended; the calls."""
        until = until or self.is_active
        self.log.write_bytes(b"")
        self.host.write(PROFILE, TEXT)
        with open(self.log, "ab") as log:
            command = ["strace", "-o", str(self.trace), "-e", f"trace={CALLS}", *strace, "/usr/libexec/underpassd"]
            traced = self.host.spawn(command, stdout=log, stderr=log)
        self.traced = traced
        wait_until(lambda: traced.poll() is not None or until(), f"attached, or ended: {strace}", 30)
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
    """What happens to the switch, and between: "1" (on), "0", "+" for a program that is attached at tcx, "-" for one that is
    taken off."""
    told, ours = [], set()
    for line in lines:
        opened = re.search(rf'openat\(.*"{EXPEDITED}", O_WRONLY.* = (\d+)', line)
        written = re.search(rf'write\((\d+), "({OURS}|0)\\n"', line)
        if opened:
            ours.add(opened[1])
        elif written and written[1] in ours:
            ours.discard(written[1])
            told.append("0" if written[2] == "0" else "1")
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
        assert switches.value() == 0
        seen = len(switches.trace.read_text().splitlines())
        service.manager_call(switches.host, "Reload")
        assert story(switches.trace.read_text().splitlines()[seen:]) == ""
        told = story(switches.detach())
        assert re.match("1-01-0", told), told
        assert switches.value() == 0
        switches.end()


def test_killed_meanwhile():
    """Before it writes 1, or before it writes 0 again. The next service sets the switch back before anything else; also
    when nobody wants a tunnel any more, and when what was pinned is gone, as with a container."""
    with runner.TestLab(manager=False) as lab:
        switches = Switches(lab)
        writes = len(story(switches.start()).replace("+", ""))
        switches.detach()
        switches.end()
        cases = ((1, 0, True, False), (2, OURS, True, False), (2, OURS, True, True))
        for number, value, wanted, gone in (*cases, (writes, OURS, True, False), (writes, OURS, False, False)):
            switches.start("-P", EXPEDITED, "-e", f"inject=write:signal=KILL:when={number}")
            assert switches.traced.wait(timeout=10) != 0, "the service was not killed"
            assert switches.value() == value, number
            if not wanted:
                switches.host.path(PROFILE).unlink()
            if gone:
                switches.host.run("rm", "-r", state.PINS)
            service.manager_call(switches.host, "Reload")
            assert switches.value() == 0, number
            if wanted:
                service.wait_state(switches.host, "c0", service.ACTIVE)
                switches.host.path(PROFILE).unlink()
                service.manager_call(switches.host, "Reload")
            wait_until(lambda: state.pins(switches.host) == [], "no pin is left")
            service.kill(switches.host, signal.SIGTERM)


def test_killed_elsewhere():
    """A service that runs on puts right what another one has left, such as that of a container which is gone."""
    with runner.TestLab(manager=False) as lab:
        switches = Switches(lab)
        switches.start()
        switches.set(EXPEDITED, OURS)
        assert re.match("1-01-0", story(switches.detach()))
        assert switches.value() == 0
        switches.end()


def test_set_meanwhile():
    """What a person writes while it is on stays, be it 1 or 0."""
    with runner.TestLab(manager=False) as lab:
        switches = Switches(lab)
        for value in (1, 0):
            switches.set(EXPEDITED, 0)
            strace = ("-P", EXPEDITED, "-e", "inject=write:delay_exit=1s:when=1")
            switches.start(*strace, until=lambda: switches.value() == OURS)
            assert not switches.is_active()
            switches.set(EXPEDITED, value)
            wait_until(switches.is_active, "attached", 30)
            assert switches.value() == value
            switches.detach()
            assert switches.value() == value
            switches.end()


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
