# SPDX-License-Identifier: GPL-2.0-or-later
"""Two hundred connections of one user, each with a hundred calls at a time that are refused: links come first, and other users are
answered."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time

import runner
import service
import test_many
from host import wait_until

PROCESSES = 4
CONNECTIONS = 50  # of each process
ROUNDS = 3
SETTLED = 40.0  # seconds until the bus, whose lists get long, has passed on the calls of the first moment
EVENT = 0.5  # seconds from a link's event to its tunnel
ANSWER = 1.0  # seconds that "status" of another user takes
FLOODER = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
HONEST = ["setpriv", "--reuid=1", "--regid=1", "--clear-groups"]
TICKS = os.sysconf("SC_CLK_TCK")
REFUSED = re.compile(r"org\.freedesktop\.DBus\.Error\.|ok")  # in the answers of the service


def used(pid):
    """Seconds of processor time of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def flood(host, calls):
    """Calls of one user without end, each by a process; what the first thousand of each were told. They go
    on as long as the block does."""
    command = [*FLOODER, "/usr/bin/python3", str(host.tools / "bus_flood.py"), str(CONNECTIONS)]
    processes = [host.spawn([*command, *words], stdout=subprocess.PIPE, encoding="utf-8") for words in calls]
    try:
        told = [process.stdout.readline().strip() for process in processes]
        for words, line in zip(calls, told):
            assert REFUSED.search(line), f"{words}: {line!r}"
        yield told
        ended = [words for words, process in zip(calls, processes) if process.poll() is not None]
        assert not ended, f"these callers have ended: {ended}"
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()


def status(host):
    """How long another user waits for an answer; also one that tells that there is none in time."""
    return timed(lambda: host.run(*HONEST, "underpassctl", "status", check=False))


def timed(function, *arguments):
    """How long it takes, in seconds."""
    begin = time.monotonic()
    function(*arguments)
    return time.monotonic() - begin


def served_during(*calls):
    """Link events and another user's "status" during a flood of these calls."""
    with runner.TestLab(manager=False) as lab:
        client = test_many.start(lab)
        client.write(test_many.PROFILE, test_many.TEXT)
        test_many.add_links(client, 1)
        service.wait_state(client, "many0", service.ACTIVE)
        quiet = status(client)
        with flood(client, calls) as told:
            wait_until(lambda: status(client) < ANSWER, "another user is answered in time", SETTLED)
            pid, bus = service.pid(client), client.pids("dbus-daemon")[0]
            begin, before = time.monotonic(), (used(pid), used(bus))
            events, answers = [], []
            for number in range(1, ROUNDS + 1):
                test_many.add_links(client, 1, number)
                events.append(timed(test_many.reach_one, client, number + 1))
                answers.append(status(client))
                assert service.link(client, "many0")["State"] == service.ACTIVE
            took = time.monotonic() - begin
            shares = [100 * (now - was) / took for now, was in zip((used(pid), used(bus)), before)]
        runner.note(
            f"tunnel after {max(events):.2f} s, status after {max(answers):.2f} s (otherwise {quiet:.2f} s);"
            f" service {shares[0]:.0f} %, bus {shares[1]:.0f} % of a processor; {told[0]}"
        )
        assert max(events) < EVENT, events
        assert max(answers) < ANSWER, answers


def test_refused_by_polkit():
    """What takes permission."""
    served_during(*PROCESSES * [("Deactivate", "many0")])


def test_everything_else():
    """Wrong arguments, methods that do not exist, properties, and the description as XML."""
    served_during(
        ("ListFlows", "a"),
        ("org.freedesktop.DBus.Introspectable.Nonsense",),
        ("org.freedesktop.DBus.Properties.GetAll", "org.underpass1.Manager"),
        ("org.freedesktop.DBus.Introspectable.Introspect",),
    )
