#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The service started by the bus, leaving when there is nothing to do: no call is lost in between.

Usage: test-idle.py UNDERPASSD-FAKE [TEST…]
"""

import os
import pathlib
import shlex
import signal

import harness
from harness import MANAGER, ROOT, Failure, wait_until

STARTED = "started"
PINGS = 300


class Idle(harness.ServiceTest):
    """The bus starts the service as systemd would; it leaves when there is nothing to do."""

    def setUp(self):
        super().setUp()
        (self.folder / STARTED).touch()
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.environment().items())
        script = self.folder / "start"
        script.write_text(
            "#!/bin/sh\n"
            f"echo $$ >>{self.folder}/{STARTED}\n"
            f"exec env {variables} {shlex.join(self.command('--idle=1'))} >>{self.log} 2>&1\n"
        )
        script.chmod(0o755)
        (self.folder / f"services/{harness.NAME}.service").write_text(
            f"[D-BUS Service]\nName={harness.NAME}\nExec={script}\n"
        )
        self.client.call(ROOT, "org.freedesktop.DBus.Peer", "Ping")  # the bus reads the folder when asked
        self.addCleanup(self.end_all)

    def pids(self):
        """Process ids of all services that the bus has started so far."""
        return [int(line) for line in (self.folder / STARTED).read_text().split()]

    def running(self):
        """Those that are still there. The bus does not always reap those it has started before it ends."""
        found = []
        for pid in self.pids():
            try:
                state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except FileNotFoundError:
                continue
            if state != "Z":
                found.append(pid)
        return found

    def end_all(self):
        """Ends what runs; nothing may have been said by a sanitizer or by valgrind."""
        for pid in self.running():
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not self.running(), "the services end")
        log = self.log.read_text()
        self.assertNotIn("Sanitizer", log)
        self.assertNotIn("runtime error", log)
        self.assertNotRegex(log, "(?m)^==[0-9]+==")

    def test_leaves_and_comes_back(self):
        self.assertEqual(len(self.pids()), 1)
        wait_until(lambda: not self.running(), "the service leaves")
        self.assertIsNone(self.owner())
        self.client.manager("ListLinks")
        self.assertEqual(len(self.pids()), 2)

    def test_stays_while_needed(self):
        """A link with a tunnel, or a profile that a later link may match, keeps it."""
        self.tunnel("up0")
        self.client.manager("Reload")
        self.add_link("up0")
        self.wait_state("up0", "active")
        self.client.signals.clear()
        first = self.running()
        (self.profiles / "up0.conf").unlink()
        self.client.manager("Deactivate", "up0")
        wait_until(lambda: not self.running(), "the service leaves when the profile is gone")
        self.assertEqual(self.pids(), first)

    def test_no_call_is_lost(self):
        """Pings do not keep the service, so it leaves under them, and the bus starts the next one; each is
        answered."""
        answered = 0
        while len(self.pids()) < 4 or answered < PINGS:
            self.client.call(ROOT, "org.freedesktop.DBus.Peer", "Ping")
            answered += 1

    def test_no_change_is_lost(self):
        """The same with calls that do something, and several callers at once."""
        self.add_link("up0")
        waiting = 0

        def done(answer):
            nonlocal waiting
            waiting -= 1
            answers.append(answer)

        for _ in range(2):
            answers, before = [], len(self.pids())
            clients = [harness.Client(self.bus.connect()) for _ in range(8)]
            while len(self.pids()) == before:
                self.client.call(ROOT, "org.freedesktop.DBus.Peer", "Ping")
                if self.owner() is None or len(self.pids()) > before:
                    for client in clients * 16:
                        waiting += 1
                        client.send(ROOT, MANAGER, "Reload", None, done)
            wait_until(lambda: waiting == 0, "all are answered")
            self.assertGreater(len(answers), 100)
            self.assertEqual([str(answer) for answer in answers if isinstance(answer, Failure)], [])

    def test_needed_again(self):
        """A reason to stay that turns up when the name has been given back: there is a next service then,
        though nobody calls it."""
        for _ in range(5):
            before = self.running()
            wait_until(lambda: self.owner() is None, "the name is given back")
            path = self.tunnel("up0")
            wait_until(lambda: not set(before) & set(self.running()), "the first service ends")
            try:
                wait_until(self.owner, "the next service is there", 2.0)
                return
            except AssertionError:
                path.unlink()
                self.client.manager("ListLinks")  # perhaps the file came too late: once more
        self.fail("the service left with work at hand")


if __name__ == "__main__":
    harness.main()
