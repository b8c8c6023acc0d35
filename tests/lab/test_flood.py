# SPDX-License-Identifier: GPL-2.0-or-later
"""Users without any right who ask for lists, or for what they may not do, without end: what root asks for is answered, and links
come first."""

import contextlib
import json
import os
import pathlib
import signal
import struct
import subprocess
import time

import runner
import service
import traffic
from host import wait_until
from lab import PORT
from state import PINS

FLOWS = 60_000
LOOPS = 12
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
CALL = "busctl --timeout=60 call org.underpass1 /org/underpass1 org.underpass1.Manager"
SCRIPT = "/usr/lib/NetworkManager/dispatcher.d/50-underpass"


def key(number):
    """Key of a flow of that number, as hexadecimal words for bpftool: local 10.77.1.2, remote 10.128.x.y."""
    local = bytes(8) + b"\0\0\xff\xff" + bytes((10, 77, 1, 2))
    remote = bytes(8) + b"\0\0\xff\xff" + struct.pack(">I", 0x0A800000 + number)
    return local + remote + struct.pack(">HH", 1024 + number, PORT)


def fill(host):
    """As many flows as a busy server has, in the map of a host, opened and seen now."""
    folder = host.output("find", PINS, "-mindepth", "1", "-maxdepth", "1").split()[0]
    size = json.loads(host.output("bpftool", "--json", "map", "show", "pinned", f"{folder}/flows"))["bytes_value"]
    value = bytearray(size)
    struct.pack_into("=QQ", value, 0, time.monotonic_ns(), time.monotonic_ns())
    value[52] = 2  # tunnelled
    words = " ".join(f"{byte:#04x}" for byte in value)
    lines = [
        f"map update pinned {folder}/flows key {' '.join(f'{byte:#04x}' for byte in key(number))} value {words}"
        for number in range(FLOWS)
    ]
    host.write("/run/flows", "\n".join(lines) + "\n")
    host.run("bpftool", "batch", "file", "/run/flows", timeout=180)


@contextlib.contextmanager
def loops(host, words):
    """Loops of an unprivileged user that call a method without end, as long as the block lasts. The first
    call of each has been answered when it begins."""
    loop = f"{CALL} {words} 2>&1 >/dev/null; echo; while :; do {CALL} {words} >/dev/null 2>&1; done"
    command = [*NOBODY, "sh", "-c", loop]
    processes = [host.spawn(command, stdout=subprocess.PIPE, encoding="utf-8") for _ in range(LOOPS)]
    try:
        for process in processes:
            told = process.stdout.readline().strip()
            assert not told or "too often" in told, told
        yield
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()


def test_lists_without_end():
    """60 000 flows, and twelve loops that list them: calls of root and the dispatcher script are served, which gives
    up after 900 ms by itself, and a link that comes up gets its tunnel."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        fill(lab.client)
        pages = lab.client.run("underpassctl", "--json", "flows", timeout=180).stdout  # 22 MB
        assert pages.count('"local_port"') == FLOWS, pages.count('"local_port"')
        with loops(lab.client, 'ListFlows su "" 0'):
            for _ in range(2):
                assert service.link(lab.client, "c0")["State"] == service.ACTIVE
                told = lab.client.run(SCRIPT, "c0", "pre-up")
                assert "gave up" not in told.stderr, told
            lab.client.up("second")
            service.wait_state(lab.client, "c1", service.ACTIVE)
            _, client = traffic.pair(lab)
            traffic.connect_both(lab, client, "a")


def test_limits_are_told():
    """One caller that asks faster than it may is turned down, and served again later."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        fill(lab.client)
        words = (*CALL.split(), "ListFlows", "su", "", "0")
        with loops(lab.client, 'ListFlows su "" 0'):
            wait_until(
                lambda: "too often" in lab.client.run(*words, check=False).stderr, "somebody is turned down", 30
            )
        wait_until(lambda: lab.client.run(*words, check=False).returncode == 0, "calls are served again", 10)


def test_refusals_without_end():
    """Twelve connections of a user call what takes permission, a hundred calls each at a time. Root is served, the service
    stays small, and a link that comes up gets its tunnel."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        before = resident(lab.client)
        command = [*NOBODY, "/usr/bin/python3", str(lab.client.tools / "bus_flood.py"), str(LOOPS), "Deactivate", "c0"]
        flood = lab.client.spawn(command, stdout=subprocess.PIPE, encoding="utf-8")
        try:
            first = flood.stdout.readline()
            assert "AccessDenied" in first or "LimitsExceeded" in first, first
            slowest = 0.0
            for _ in range(5):
                begin = time.monotonic()
                lab.client.run("underpassctl", "reload")
                assert service.link(lab.client, "c0")["State"] == service.ACTIVE
                slowest = max(slowest, time.monotonic() - begin)
            lab.client.up("second")
            service.wait_state(lab.client, "c1", service.ACTIVE)
            grown = resident(lab.client) - before
            runner.note(f"reload and state: {slowest:.2f} s at the most; {grown} kB more; {first.strip()}")
            assert grown < 32_000, f"the service has grown by {grown} kB"
        finally:
            os.killpg(flood.pid, signal.SIGKILL)
            flood.wait()
            flood.stdout.close()


def resident(host):
    """Kilobytes of memory that the service has."""
    status = pathlib.Path(f"/proc/{service.pid(host)}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
