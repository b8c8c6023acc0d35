# SPDX-License-Identifier: GPL-2.0-or-later
"""One measurement: a server and a client of bench-traffic in a rig, and what the kernel counted meanwhile.
May touch: the processes it started."""

import json
import os
import pathlib
import subprocess

import counts
from lab import PORT

BUILD = pathlib.Path(
    os.environ.get("UNDERPASS_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build")
)


def program(name):
    """Path of a program of this folder: where the build has it, or in a folder that only has programs."""
    path = BUILD / "tests/benchmark" / name
    return str(path if path.exists() else BUILD / name)


TRAFFIC, HELPER, COST = (program(f"bench-{name}") for name in ("traffic", "helper", "cost"))
RIVAL = program("bench-rival.bpf.o")
CPUS = os.cpu_count()
PATIENCE = 30  # seconds beyond the planned time
OTHERS_MAX = 0.35  # CPUs used by others: beyond it the measurement is repeated


class MeasureError(RuntimeError):
    """A measurement failed; the text says why."""


class Server:
    """bench-traffic as a server; a context manager. cpu: seconds of CPU time, known afterwards."""

    def __init__(self, host, port, cpu, mptcp=False, congestion=None):
        options = [f"--cpu={min(cpu, CPUS - 1)}"] + (["--mptcp"] if mptcp else [])
        options += [f"--congestion={congestion}"] if congestion else []
        self._process = host.spawn(
            [TRAFFIC, *options, "serve", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.cpu = 0.0

    def __enter__(self):
        if self._process.stdout.readline() != "ready\n":
            raise MeasureError(f"the server did not start: {self._process.stderr.read().strip()}")
        return self

    def __exit__(self, kind, *_):
        try:
            output, errors = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, errors = self._process.communicate()
        if kind is None:
            if not output:
                raise MeasureError(f"the server failed: {errors.strip()}")
            self.cpu = json.loads(output)["cpu"]


def run_client(host, task, target, port, seconds, options):
    """Runs the client; what it measured."""
    command = [*host.enter(), TRAFFIC, *options, task, target, str(port), f"{seconds:.3f}"]
    try:
        # Ends with this program at the latest: nothing of it is outside of the host.
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=seconds + PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MeasureError(f"no end after {error.timeout:.0f} s") from None
    if result.returncode != 0:
        raise MeasureError(f"{result.stderr.strip() or 'exit status ' + str(result.returncode)}")
    return json.loads(result.stdout)


def client_options(cpu, connections, congestion, mptcp, interface):
    """Options of bench-traffic."""
    options = [f"--cpu={min(cpu, CPUS - 1)}", f"--connections={connections}"]
    options += [f"--congestion={congestion}"] if congestion else []
    options += [f"--interface={interface}"] if interface else []
    return options + (["--mptcp"] if mptcp else [])


def transfer(
    rig,
    task,
    path,
    seconds,
    cpus=(0, 0),
    port=PORT,
    source="client",
    connections=1,
    congestion=None,
    mptcp=False,
    interface=None,
    beside=None,
):
    """Moves data; everything that was measured, by name. beside: something with start() and stop() that
    looks on; what stop() returns is the result's "beside"."""
    machine = counts.Machine()
    traffic = counts.Traffic(rig)
    server = Server(rig.server, port, cpus[1], mptcp, congestion)
    options = client_options(cpus[0], connections, congestion, mptcp, interface)
    with server:
        if beside:
            beside.start()
        machine.begin()
        try:
            result = run_client(rig.hosts[source], task, rig.targets[path], port, seconds, options)
        finally:
            seen = beside.stop() if beside else None
    cpu, others = machine.end(result["cpu"] + server.cpu)
    found = traffic.end()
    rig.check_frames(found["frame_max"])
    result.update(found)
    result["others"] = round(others, 3)
    result["gbit_s"] = result["bytes"] * 8 / result["seconds"] / 1e9
    result["cpu"] = cpu
    result["cpu_s_gb"] = cpu / result["bytes"] * 1e9 if result["bytes"] else None
    result["transactions_s"] = result["transactions"] / result["seconds"]
    if beside:
        result["beside"] = seen
    return result
