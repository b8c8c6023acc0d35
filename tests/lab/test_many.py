# SPDX-License-Identifier: GPL-2.0-or-later
"""Many links at once, and one that goes up and down all the time: each costs the same, and nothing leaks."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import runner
import service
import state
from host import wait_until

LINKS = 500
FEW = 40
ROUNDS = 4
GROUP = 77  # of the links: the kernel takes all of a group away at once
DESCRIPTORS = 40  # that the service may have open without a tunnel
FLAPS = 1000
STEP = 100  # links, or flaps, that are looked at together
PROFILE = "/etc/underpass/many.conf"
NORMAL = "/sys/kernel/rcu_normal"  # 1: the service lets no grace period be expedited
TEXT = "[Match]\nName=many*\n\n[X-Underpass]\nTunnel=yes\nRemotePorts=443\n"
BATCH = 20  # links, of which each but the first few makes so many calls of the system at most
CALLS = 500
CALLS_MORE = 1.1  # times what a link of the first batch made, by one of the last
ROOM = 1024  # kilobytes by which the memory of the service may differ between two times when it has the same to do


def batch(host, lines):
    """Runs many commands of ip."""
    host.run("ip", "-batch", "-", text="\n".join(lines) + "\n", timeout=300)


def attached(host):
    """How many links have the tunnel."""
    folders = host.path("/sys/fs/bpf/underpass").glob("*")
    return sum(bool(re.fullmatch(r"\d+-egress", name)) for folder in folders for name in os.listdir(folder))


def reach(host, count):
    """Waits until so many links have the tunnel, or none has; the time of each further STEP of them."""
    times, begin = [], time.monotonic()
    for number in range(STEP, count + 1, STEP) if count else [0]:
        done = (lambda: attached(host) >= number) if count else (lambda: attached(host) == 0)
        wait_until(done, f"{number} links have the tunnel", 120)
        times.append(time.monotonic() - begin)
        begin = time.monotonic()
    return times


def reach_one(host, count):
    """Waits until so many links have the tunnel."""
    wait_until(lambda: attached(host) == count, f"{count} links have the tunnel", 60)


def start(lab):
    """A bus and the service on the client."""
    lab.client.start_bus()
    service.manager_call(lab.client, "ListLinks")
    return lab.client


def add_links(client, count, first=0):
    """Makes so many links."""
    numbers = range(first, first + count)
    batch(client, [f"link add many{i} group {GROUP} type veth peer name end{i}" for i in numbers])


def remove_links(client, cookie):
    """Removes them all, and waits until nothing of their tunnels is left; the memory of the service."""
    client.run("ip", "link", "delete", "group", GROUP)
    wait_until(lambda: state.pins(client) == [], "no pin is left", 60)
    wait_until(lambda: state.bpf_objects(client, cookie)[2] == 0, "no BPF link is left", 20)
    service.manager_call(client, "Reload")
    assert "underpass-" not in client.output("ip", "link"), "helper devices are left"
    return service.resident_kilobytes(client)


def call_between(client):
    """While the links get their tunnels, a list is answered, and a link that is called for comes before those that are
    not: how many had their tunnel by then."""
    wait_until(lambda: attached(client) > 0, "the first link has its tunnel", 20)
    service.manager_call(client, "ListLinks")
    listed = attached(client)
    late = [name for name in (f"many{number}" for number in (0, LINKS - 1)) if service.link(client, name)["State"] == "off"]
    assert late, "the first and the last link have their tunnels before all others"
    service.manager_call(client, "Activate", "s", late[0])
    activated = attached(client)
    assert service.link(client, late[0])["State"] == service.ACTIVE
    assert listed < activated < LINKS / 2, (listed, activated)
    return listed, activated


def test_500_links_at_once():
    """Attached by one profile that is written after them. Then a few come and go, again and again."""
    with runner.TestLab(manager=False) as lab:
        client = start(lab)
        add_links(client, LINKS)
        service.manager_call(client, "Reload")
        before = service.resident_kilobytes(client)
        # The first of them take their time, so that there is a "between".
        client.write("/run/normal", "1\n")
        client.run("mount", "--bind", "/run/normal", NORMAL)
        client.write(PROFILE, TEXT)
        begin = time.monotonic()
        reload = client.spawn(["underpassctl", "reload"], stdout=-1)
        answered = call_between(client)
        client.run("umount", NORMAL)
        times = reach(client, LINKS)
        seconds = time.monotonic() - begin
        assert reload.communicate(timeout=60) and reload.returncode == 0
        assert service.wait_state(client, f"many{LINKS - 1}", service.ACTIVE)
        assert attached(client) == LINKS
        cookie = int(next(client.path("/sys/fs/bpf/underpass").iterdir()).name)
        objects = state.bpf_objects(client, cookie)
        assert objects[2] > 2 * LINKS, objects
        steps = ", ".join(f"{1000 * each / STEP:.1f}" for each in times)
        grown = service.resident_kilobytes(client) - before
        runner.note(f"with {answered[0]} links a list was answered, with {answered[1]} one link attached for its caller")
        runner.note(f"{LINKS} links in {seconds:.2f} s, {grown} kB more; each {STEP}: {steps} ms a link")

        kilobytes = [remove_links(client, cookie)]
        for _ in range(ROUNDS):
            add_links(client, FEW)
            service.manager_call(client, "Reload")
            wait_until(lambda: attached(client) == FEW, f"{FEW} links have the tunnel", 60)
            kilobytes.append(remove_links(client, cookie))
            assert state.bpf_objects(client, cookie)[:2] == objects[:2]
            assert service.descriptors(client) <= DESCRIPTORS
        assert kilobytes[-1] < kilobytes[0] + ROOM, kilobytes
        runner.note(
            f"memory afterwards {kilobytes[0]} kB; {ROUNDS} times {FEW} links later {kilobytes[-1]} kB"
        )


@contextlib.contextmanager
def counted(client, file):
    """Counts calls of the system by the service, by name, as long as it lasts; yields what fills then."""
    calls = {}
    command = ["strace", "-f", "-c", "-p", str(service.pid(client)), "-o", str(file)]
    with subprocess.Popen(command, stdin=-3, stdout=-3, stderr=subprocess.PIPE, encoding="utf-8") as tracer:
        try:
            assert "attached" in tracer.stderr.readline(), "strace does not trace the service"
            yield calls
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.stderr.read()
    for line in file.read_text().splitlines():
        words = line.split()
        if len(words) >= 5 and words[3].isdecimal() and words[-1] != "total":
            calls[words[-1]] = int(words[3])


def test_calls_per_link():
    """What a link costs does not depend on how many there are: the same calls of the system for each."""
    with runner.TestLab(manager=False) as lab, tempfile.TemporaryDirectory() as scratch:
        client = start(lab)
        client.write(PROFILE, TEXT)
        add_links(client, 1)
        service.wait_state(client, "many0", service.ACTIVE)
        costs = []
        for batch_number in range(3):
            with counted(client, pathlib.Path(scratch) / "calls") as calls:
                first = 1 + batch_number * BATCH
                add_links(client, BATCH, first)
                wait_until(lambda: attached(client) == first + BATCH, f"{BATCH} more links have the tunnel", 60)
                assert service.wait_state(client, f"many{first + BATCH - 1}", service.ACTIVE)
            costs.append(calls)
        each = [sum(calls.values()) / BATCH for calls in costs]
        most = sorted(costs[-1].items(), key=lambda item: -item[1])[:6]
        runner.note(
            f"calls a link: {', '.join(f'{number:.0f}' for number in each)}; "
            + ", ".join(f"{number / BATCH:.0f} {name}" for name, number in most)
        )
        assert each[-1] < CALLS_MORE * each[0] and max(each) < CALLS, (each, costs)


def test_1000_flaps():
    """A link goes down and up under its tunnel."""
    with runner.TestLab(manager=False) as lab:
        client = start(lab)
        client.write(PROFILE, TEXT)
        flap = ["link set many0 down", "link set many0 up"]
        batch(client, ["link add many0 type veth peer name end0", "link set end0 up", *flap])
        service.manager_call(client, "Reload")
        service.wait_state(client, "many0", service.ACTIVE)
        cookie = int(next(client.path("/sys/fs/bpf/underpass").iterdir()).name)

        def all_there_is():
            return state.tunnel_state(client), state.bpf_objects(client, cookie), service.descriptors(client)

        before, kilobytes, begin = all_there_is(), [], time.monotonic()
        for _ in range(0, FLAPS, STEP):
            batch(client, flap * STEP)
            service.manager_call(client, "Reload")
            kilobytes.append(service.resident_kilobytes(client))
        seconds = time.monotonic() - begin
        after = all_there_is()
        state.assert_same(before[0], after[0], f"{FLAPS} flaps")
        assert after[1:] == before[1:], (before[1:], after[1:])
        assert kilobytes[-1] < kilobytes[0] + ROOM, kilobytes
        runner.note(f"{FLAPS} flaps in {seconds:.1f} s; memory {kilobytes[0]} kB, then {kilobytes[-1]} kB")
