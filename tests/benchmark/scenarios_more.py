# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios of Underpass alone: how it scales with flows and links, and how long an activation takes. What
takes turns here is not configurations but sizes. May touch: the rigs it is given, and rigs of its own."""

import json
import pathlib
import signal
import subprocess

import sample
import service
from host import wait_until
from scenarios import ONE_CPU
from subject import Scenario, Subject

CALLER = pathlib.Path(__file__).resolve().parent / "caller.py"
FLOWS = (1, 100, 10_000, 100_000)
LINKS = (1, 10, 100, 500)


def number(count):
    """10 000 for 10000."""
    return f"{count:,}".replace(",", " ")


def ours(bench):
    """The rig of Underpass in the classic form, or None when it is not part of this run."""
    return next((rig for config, rig in bench.rigs() if config.name == "underpass"), None)


# Flows in the table


def flow_map(host):
    """Path of the pinned table of flows, as the host sees it."""
    return host.output("find", "/sys/fs/bpf/underpass", "-name", "flows").split()[0]


def with_flows(rig, count, seconds):
    """A transfer while the tables of both hosts hold strangers."""
    held = []
    for host in (rig.client, rig.server):
        held.append(int(host.output(sample.HELPER, "fill", flow_map(host), count)))
    try:
        result = sample.transfer(rig, "up", "direct", seconds, cpus=ONE_CPU)
    finally:
        for host in (rig.client, rig.server):
            host.run(sample.HELPER, "clear", flow_map(host))
    return {**result, "flows": min(held), "value": result["gbit_s"]}


def program_cost(_rig, count, _seconds):
    """What the program costs for a packet of one and the same flow; more by name."""
    result = subprocess.run(
        [sample.COST, str(count)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if result.returncode != 0:
        raise sample.MeasureError(result.stderr.strip())
    found = json.loads(result.stdout)
    return {**found, "value": found["same"]}


def by_flows(measure):
    """subjects(): one for each size of the table; measure(rig, count, seconds)."""

    def subjects(bench):
        rig, found = ours(bench), []
        for count in FLOWS if rig else ():
            subject = Subject(f"flows-{count}", f"{number(count)} flows in the table", None)

            def sized(seconds, subject=subject, count=count):
                result = measure(rig, count, seconds)
                # The table forgets the least recently used ones.
                if result["flows"] < count:
                    subject.notes["flows_that_the_table_held"] = result["flows"]
                return result

            subject.measure = sized
            found.append(subject)
        return found

    return subjects


# Links


def add_links(rig, count):
    """Gives the client that many more links, each with a tunnel; milliseconds until all had it."""
    lines = []
    for index in range(count):
        lines.append(f"link add n{index} type veth peer name p{index}")
        lines += [f"link set n{index} up", f"link set p{index} up"]
    rig.client.run("ip", "-batch", "-", text="\n".join(lines) + "\n", timeout=120)
    # The kernel has told the service by now, or will: all it has to do is what follows.
    text = "[Match]\nName=n*\n\n[X-Underpass]\nTunnel=yes\nRemotePorts=443\n"
    rig.client.write("/etc/underpass/many.conf", text)
    caller = Caller(rig.client)
    try:
        milliseconds = caller.call("Reload")
    finally:
        caller.stop()

    def attached():
        links = service.manager_call(rig.client, "ListLinks")["data"][0]
        return sum(state == service.ACTIVE and name[0] == "n" for _, name, state, _ in links) == count

    wait_until(attached, f"{count} links have a tunnel", 120)
    return milliseconds


def links_subjects(bench):
    """One rig for each number of links; they are made when this scenario begins."""
    found = []
    for count in LINKS if ours(bench) else ():
        subject = Subject(f"links-{count}", f"{number(count)} links with a tunnel", None)

        def prepare(subject=subject, count=count):
            rig = bench.extra_rig(subject.name)
            milliseconds = add_links(rig, count - 1) if count > 1 else 0.0
            subject.rig = rig
            subject.notes.update(
                reload_ms=round(milliseconds, 1),
                reload_ms_per_link=round(milliseconds / max(1, count - 1), 3),
                service_memory_kb=service.resident_kilobytes(rig.client),
            )

        def measure(seconds, subject=subject):
            result = sample.transfer(subject.rig, "up", "direct", seconds, cpus=ONE_CPU)
            return {**result, "value": result["gbit_s"]}

        subject.prepare, subject.measure = prepare, measure
        subject.finish = lambda subject=subject: bench.drop_rig(subject.name)
        found.append(subject)
    return found


# Activation


class Caller:
    """caller.py in a host."""

    def __init__(self, host):
        self._process = host.spawn(
            ["/usr/bin/python3", str(CALLER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        if self._process.stdout.readline() != "ready\n":
            raise sample.MeasureError("caller.py did not start; the package python3-gi is needed")

    def call(self, method, interface=""):
        """Milliseconds from the call to its answer."""
        self._process.stdin.write(f"{method} {interface}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline().strip()
        if not line or line.startswith("error"):
            raise sample.MeasureError(f"{method} {interface}: {line or 'no answer'}")
        return float(line)

    def stop(self):
        """Ends it."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=10)


class Activation:
    """The host whose links come and go."""

    def __init__(self, bench):
        self._bench = bench
        self._rig = self._caller = None
        self._users = 0

    def prepare(self):
        """Makes the rig, once for both subjects."""
        self._users += 1
        if self._users == 1:
            self._rig = self._bench.extra_rig("activation")
            self._caller = Caller(self._rig.client)

    def finish(self):
        """The last one takes it down."""
        self._users -= 1
        if self._users == 0:
            self._caller.stop()
            self._bench.drop_rig("activation")

    def warm(self, _):
        """The service runs and another link has a tunnel."""
        self._caller.call("Activate", "c1")
        self._caller.call("Deactivate", "c0")
        return {"value": self._caller.call("Activate", "c0")}

    def cold(self, _):
        """Nothing is loaded, and the bus has to start the service."""
        host = self._rig.client
        host.run("underpassctl", "deactivate", "--all")
        service.kill(host, signal.SIGTERM)
        return {"value": self._caller.call("Activate", "c0")}


def activation_subjects(bench):
    """Warm and cold."""
    if not ours(bench):
        return []
    one = Activation(bench)
    return [
        Subject("warm", "service running, another tunnel", one.warm, one.prepare, one.finish),
        Subject("cold", "service started, programs loaded", one.cold, one.prepare, one.finish),
    ]


MORE = [
    Scenario(
        "flows",
        "One stream of Underpass beside other flows in the table",
        "Gbit/s",
        True,
        by_flows(with_flows),
    ),
    Scenario(
        "program",
        "The sending program of Underpass, one packet",
        "ns",
        False,
        by_flows(program_cost),
    ),
    Scenario(
        "links",
        "One stream of Underpass beside other links with a tunnel",
        "Gbit/s",
        True,
        links_subjects,
        quick=False,
    ),
    Scenario(
        "activation", "Activation of a link, from the call to the answer", "ms", False, activation_subjects
    ),
]
