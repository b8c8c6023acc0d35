# SPDX-License-Identifier: GPL-2.0-or-later
"""The monitor: what it shows on a screen and tells programs, and that it leaves the terminal as it was."""

import contextlib
import errno
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import path
import runner
import service
import traffic
from host import wait_until
from lab import PORT, address

SOON = 15.0
RATE = 1_000_000
AT_ONCE = 1.0  # seconds from what happens to its line
FLOOD = 200  # connections, which come faster than they may be told
NOBODY = "65534"
UNPRIVILEGED = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def end(host, number):
    """Sends a signal to the monitors of a host: what the test has started is only what entered the host."""
    for pid in host.pids("underpassctl"):
        os.kill(pid, number)


class Screen:
    """`underpassctl monitor` on a terminal of its own; text() is all that it has written of late, without what steers
    the terminal: the screen is drawn anew after each change of its size."""

    def __init__(self, host, *arguments, columns=100, rows=24, **variables):
        self._host = host
        self._main, self._terminal = pty.openpty()
        self._rows, self._written, self._seen = rows, b"", 0
        self.size(columns)
        self.before = termios.tcgetattr(self._terminal)
        words = [f"{name}={value}" for name, value in variables.items()]
        self.process = host.spawn(
            ["/usr/bin/env", "TERM=xterm-256color", "LC_ALL=C.UTF-8", *words, "/usr/bin/python3", "-c",
             "import os,fcntl,termios,sys\nos.setsid()\nfcntl.ioctl(0,termios.TIOCSCTTY,0)\nos.execv(sys.argv[1],sys.argv[1:])",
             *arguments, "/usr/bin/underpassctl", "monitor"],
            stdin=self._terminal, stdout=self._terminal, stderr=self._terminal,
        )

    def size(self, columns):
        """Another size of the window."""
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", self._rows, columns, 0, 0))

    def read(self):
        """Takes in what has been written since."""
        while select.select([self._main], [], [], 0)[0]:
            self._written += os.read(self._main, 65536)
        return self._written

    def forget(self):
        """Only what is written from now on counts."""
        self._seen = len(self.read())

    def text(self):
        """What can be read."""
        text = self.read()[self._seen :].decode(errors="replace")
        return re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|\(B|[=>])", " ", text)

    def wait(self, pattern):
        """Until it shows that."""
        wait_until(lambda: re.search(pattern, self.text()), f"the screen shows {pattern}: {self.text()[-2000:]}", SOON)

    def end(self, key=None, number=None):
        """Ends it; the terminal has to be as before, and the other screen left."""
        if key:
            os.write(self._main, key)
        else:
            end(self._host, number)
        wait_until(lambda: (self.read(), self.process.poll())[1] is not None, "it ends", SOON)
        written = self.read()
        assert written.count(b"\x1b[?1049h") == written.count(b"\x1b[?1049l") == 1, written[-300:]
        assert b"\x1b[?25h" in written[written.rfind(b"\x1b[?25l") :], "the cursor is back"
        assert termios.tcgetattr(self._terminal) == self.before, "modes of the terminal"
        os.close(self._main)
        os.close(self._terminal)
        return self.process.returncode


@contextlib.contextmanager
def two_links(*more):
    """The tunnel on one of two uplinks; the other one carries a plain subflow."""
    with runner.TestLab() as lab:
        lab.strip_mptcp(False)
        service.set_keys(lab.client, "second", f"remote-ports={PORT}", "tunnel=yes", *more)
        service.set_keys(lab.server, "server", f"local-ports={PORT}", "tunnel=yes")
        service.bring_up(lab)
        service.wait_state(lab.client, "c1", service.ACTIVE)
        yield lab


def test_screen():
    """Both forms with their rates, on screens of several widths; events; keys and signals end it."""
    with two_links() as lab:
        _, client = traffic.pair(lab)
        screen = Screen(lab.client)
        screen.wait("FORM")
        traffic.connect_both(lab, client, "a")
        with client.uploading("a", RATE):
            screen.wait(r"c1: connection with 10\.77\.9\.2:8443 over UDP")
            screen.wait(r"plain")
            screen.wait(r"UDP")
            screen.wait(r"\d+\.\d ms")
            screen.wait("█")
            for columns in (40, 200):
                screen.forget()
                screen.size(columns)
                end(lab.client, signal.SIGWINCH)
                screen.wait(r"UDP")
        client.close("a")
        screen.wait(r"connection with 10\.77\.9\.2:8443 ended")
        assert screen.end(key=b"q") == 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            screen = Screen(lab.client)
            screen.wait("FORM")
            assert screen.end(number=number) == 0
        screen = Screen(lab.client, LC_ALL="C", NO_COLOR="1")
        screen.wait("in Mb/s")
        assert "█" not in screen.text() and b"\x1b[32m" not in screen.read()
        assert screen.end(key=b"\x03") == 0  # Ctrl-C


class Lines:
    """`underpassctl monitor --json`."""

    def __init__(self, host, *prefix):
        self._host, self._path = host, host.folder / "monitor.json"
        with open(self._path, "wb") as out:
            self.process = host.spawn([*prefix, "/usr/bin/underpassctl", "monitor", "--json"], stdout=out,
                                      stdin=subprocess.DEVNULL)

    def objects(self):
        """All complete ones."""
        return [json.loads(line) for line in self._path.read_text().splitlines(True) if line.endswith("\n")]

    def looks(self):
        """Those that are no events."""
        return [each for each in self.objects() if "links" in each]

    def events(self):
        """Sentences."""
        return [each["sentence"] for each in self.objects() if "event" in each]

    def wait(self, condition, what):
        """Until the last look is so."""
        wait_until(lambda: self.looks() and condition(self.looks()[-1]), f"{what}: {self.objects()[-2:]}", SOON)

    def end(self):
        """Ends it."""
        end(self._host, signal.SIGTERM)
        assert self.process.wait(timeout=10) == 0


def forms(look):
    """Form of each subflow by its link."""
    return {row["interface"]: row["form"] for row in look["subflows"]}


def test_json():
    """An unprivileged user sees both forms, rates and measures; and waits for a service that is away."""
    with two_links() as lab:
        _, client = traffic.pair(lab)
        lines = Lines(lab.client, *UNPRIVILEGED)
        traffic.connect_both(lab, client, "a")
        with client.uploading("a", RATE):
            lines.wait(lambda look: forms(look) == {"c0": "plain", "c1": "UDP"}, "both forms")
            lines.wait(lambda look: sum(row["bytes_per_second_sent"] for row in look["subflows"]) > RATE / 4, "rates")
            lines.wait(lambda look: all(row.get("rtt_us", 0) > 0 for row in look["subflows"]), "measures")
            lines.wait(lambda look: sum(row["bytes_per_second_sent"] for row in look["links"]) > RATE / 4, "links")
            lines.wait(lambda look: {row["interface"]: row["flows"] for row in look["links"]}.get("c1") == 1, "flows")
        lab.client.run("underpassctl", "deactivate", "c1")
        wait_until(lambda: any("c1: off, was active" in each for each in lines.events()), "the event", SOON)
        service.kill(lab.client)
        lines.wait(lambda look: not look["service"], "it is away")
        lab.client.run("underpassctl", "status")  # starts it
        lines.wait(lambda look: look["service"], "it is back")
        lines.end()


def test_blocked():
    """UDP is dropped: the connection falls back, and its destination is blocked."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        _, client = traffic.pair(lab)
        lines = Lines(lab.client)
        lines.wait(lambda look: look["service"], "it answers")
        path.rules(lab, "meta l4proto udp drop")
        for name in ("a", "b"):
            client.connect(name)
            client.transfer("echo", name, size=1000)
        lines.wait(lambda look: look["destinations"], "a destination is blocked")
        (row,) = lines.looks()[-1]["destinations"]
        assert row["interface"] == "c0" and "plain TCP" in row["sentence"] and row["destination"], row
        wait_until(lambda: any("fell back" in each for each in lines.events()), f"{lines.events()}", SOON)
        runner.note("; ".join(lines.events()))
        lines.end()
        text = lab.client.run("timeout", "2", "underpassctl", "monitor", check=False).stdout
        assert re.search(r"^  10\.77\.9\.2:8443 .*UDP gets no answer, plain TCP for", text, re.M), text


def subflow_events(lines, interface, change):
    """Events of subflows by a link, without their sentences."""
    return [
        each for each in lines.objects()
        if each.get("event") == "subflow" and each.get("interface") == interface and each.get("change") == change
    ]


def kill_subflow(host, local):
    """The kernel of a host ends what leaves by an address; from now on it is waited for."""
    host.run("ss", "-K", "src", f"[{local}]" if ":" in local else local, "and", f"( sport = :{PORT} or dport = :{PORT} )")


def subflows_come_and_go(family):
    """Both ends tell of the subflow by the second uplink when it comes, and when it is killed."""
    with two_links() as lab:
        _, client = traffic.pair(lab)
        service.wait_state(lab.server, "s0", service.ACTIVE)
        here = Lines(lab.client, *UNPRIVILEGED)
        there = Lines(lab.server, *UNPRIVILEGED)
        for lines in (here, there):
            lines.wait(lambda look: look["service"], "it answers")
        client.connect("a", address("s0", family))
        client.transfer("echo", "a", size=1000)
        traffic.wait_subflows(lab.client, sorted(address(each, family) for each in ("c0", "c1")))
        begin = time.monotonic()
        local, remote = address("c1", family), address("s0", family)
        wait_until(lambda: subflow_events(here, "c1", "established"), "it is told here", AT_ONCE)
        wait_until(lambda: len(subflow_events(there, "s0", "established")) == 2, "and there, with the first one", AT_ONCE)
        (event,) = subflow_events(here, "c1", "established")
        assert (event["local_address"], event["remote_address"]) == (local, remote), event
        assert event["remote_port"] == PORT and event["errno"] == 0 and "established" in event["sentence"], event
        told = [each["remote_address"] for each in subflow_events(there, "s0", "established")]
        assert sorted(told) == sorted([address("c0", family), local]), told
        came = time.monotonic() - begin
        kill_subflow(lab.client, local)
        begin = time.monotonic()
        wait_until(lambda: subflow_events(here, "c1", "closed"), "it is told here", AT_ONCE)
        wait_until(lambda: subflow_events(there, "s0", "closed"), "and there", AT_ONCE)
        (event,) = subflow_events(here, "c1", "closed")
        assert (event["local_address"], event["local_port"]) == (local, subflow_events(here, "c1", "established")[0]["local_port"])
        assert event["errno"] == errno.ECONNABORTED, event
        (event,) = subflow_events(there, "s0", "closed")
        assert event["remote_address"] == local and event["errno"] == errno.ECONNRESET, event
        assert not subflow_events(here, "c0", "closed"), "a link without tunnel"
        runner.note(f"told after {came:.2f} and {time.monotonic() - begin:.2f} s: {event['sentence']}")
        for lines in (here, there):
            lines.end()


def test_subflows_ipv4():
    """Subflows that come and go are told at once, on both ends."""
    subflows_come_and_go(4)


def test_subflows_ipv6():
    """The same over IPv6."""
    subflows_come_and_go(6)


def test_subflows_on_screen():
    """The screen and plain lines have them, too; a flood of connections is cut short, and the links are served."""
    with two_links() as lab:
        _, client = traffic.pair(lab)
        lines = Lines(lab.server)
        lines.wait(lambda look: look["service"], "it answers")
        screen = Screen(lab.client)
        screen.wait("FORM")
        plain = lab.client.folder / "monitor.txt"
        with open(plain, "wb") as out:
            process = lab.client.spawn(["/usr/bin/underpassctl", "monitor"], stdout=out)
        wait_until(plain.read_bytes, "the first lines", SOON)
        traffic.connect_both(lab, client, "a")
        screen.wait(r"c1: subflow with 10\.77\.9\.2:8443 established")
        came, went = b"subflow with 10.77.9.2:8443 established", b"closed: Software caused connection abort"
        wait_until(lambda: came in plain.read_bytes(), "it is in a line", SOON)
        kill_subflow(lab.client, address("c1"))
        screen.wait(r"c1: subflow with 10\.77\.9\.2:8443 closed: Software caused connection abort")
        assert screen.end(key=b"q") == 0
        wait_until(lambda: went in plain.read_bytes(), "so is its end", SOON)
        end(lab.client, signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        for number in range(FLOOD):
            client.connect(f"b{number}")
        left_out = [each["left_out"] for each in lines.objects() if "left_out" in each]
        wait_until(lambda: left_out or [each for each in lines.objects() if "left_out" in each], "some are left out", SOON)
        told = len(subflow_events(lines, "s0", "established"))
        assert told < FLOOD, told
        lines.end()
        text = lab.client.run("timeout", "2", "underpassctl", "monitor", check=False).stdout
        assert "subflow" not in text, text
