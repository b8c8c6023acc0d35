# SPDX-License-Identifier: GPL-2.0-or-later
"""The unit of the service on whole systems of three Debian releases: how tight its sandbox is and that the
service works in it, when it starts, and that it loses no call when it leaves."""

import subprocess

import runner
import service
import systems
from host import wait_until

UNIT = "underpass.service"
WAIT_UNIT = "underpass-wait-online.service"
EXPOSURE_MAX = 15  # tenths
CAPABILITIES = (1 << 12) | (1 << 39)  # CAP_NET_ADMIN and CAP_BPF
SECCOMP_FILTER = 2
BURSTS, CALLS = 16, 25

# What can be written in the sandbox, and what not; each is tried as root.
WRITABLE = (
    "echo 1 >/proc/sys/net/mptcp/enabled",
    "mkdir /sys/fs/bpf/underpass/test && rmdir /sys/fs/bpf/underpass/test",
)
LATE = ("/var", "/srv", "/mnt", "/media")  # may be mounted after the service has started
READ_ONLY = (
    "mkdir /sys/fs/bpf/test",
    "echo 0 >/sys/kernel/rcu_normal",
    "touch /etc/underpass/test",
    "touch /usr/test",
    "touch /tmp/test",
    *(f"touch {folder}/test" for folder in LATE),
)
SWITCH = "/sys/kernel/rcu_expedited"  # can be written, too, but the machine has none


def status(machine, pid):
    """What the kernel says of a process, by name."""
    lines = machine.path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def sandbox(machine):
    """As tight as promised, and no tighter than the service needs."""
    command = ("systemd-analyze", "security", f"--threshold={EXPOSURE_MAX}", "--no-pager", UNIT)
    answer = machine.run(*command, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    runner.note(answer.stdout.strip().splitlines()[-1].strip("→ "))
    pid = machine.unit(UNIT, "MainPID")["MainPID"]
    found = status(machine, pid)
    for name in ("CapBnd", "CapEff", "CapPrm"):
        assert int(found[name], 16) == CAPABILITIES, (name, found[name])
    assert int(found["CapInh"], 16) & ~CAPABILITIES == 0 and int(found["CapAmb"], 16) == 0, found
    assert (found["NoNewPrivs"], int(found["Seccomp"])) == ("1", SECCOMP_FILTER), found
    inside = ("nsenter", "--target", pid, "--mount", "--", "sh", "-c")
    for command in WRITABLE:
        machine.run(*inside, command)
    # The service does not wait until these are mounted, and what comes later stays outside.
    for folder in LATE:
        machine.run("mount", "--bind", folder, folder)
    for command in READ_ONLY:
        assert machine.run(*inside, command, check=False).returncode != 0, f"the sandbox allows: {command}"
    machine.run("umount", *LATE)


def started(machine, unit):
    """When a unit was ready, in microseconds since the boot; 0 when it was not."""
    return int(machine.unit(unit, "ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"])


def order(machine):
    """Ready before networkd configures links, and nothing waits for itself."""
    assert 0 < started(machine, UNIT) <= started(machine, "systemd-networkd.service")
    journal = machine.journal("--quiet", "--grep=ordering cycle|job .* deleted to break")
    assert not journal, journal
    failed = machine.output("systemctl", "--failed", "--no-legend")
    assert not failed, failed


def links_that_are_up(machine):
    """A link that is up before the service is started gets its tunnel; the service comes back by itself when it
    crashes, and not when it is disabled."""
    machine.run("systemctl", "stop", UNIT)
    machine.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "away0")
    machine.run("ip", "link", "set", "up0", "up")
    machine.write(
        "/etc/underpass/up0.conf", "[Match]\nName=up0\n[X-Underpass]\nTunnel=yes\nRemotePorts=443\n"
    )
    machine.write("/run/switch", "0\n")
    machine.run("touch", "--date=@0", "/run/switch")
    machine.run("mount", "--bind", "/run/switch", SWITCH)
    machine.run("systemctl", "start", UNIT)
    assert service.link(machine, "up0")["State"] == service.ACTIVE, "ready before the link was looked at"
    assert machine.output("stat", "--format=%Y", SWITCH) != "0\n", f"the sandbox lets nobody write {SWITCH}"
    assert machine.output("head", "--lines=1", SWITCH) == "0\n"
    before = machine.processes(UNIT)
    machine.run("systemctl", "kill", "--signal=SEGV", UNIT)
    wait_until(lambda: machine.processes(UNIT) - before, "the service is there again", 20)
    service.wait_state(machine, "up0", service.ACTIVE)
    machine.run("systemctl", "reload", UNIT)
    machine.run("systemctl", "disable", "--now", UNIT)
    answer = machine.run(
        "busctl", "call", service.BUS_NAME, service.MANAGER, "org.freedesktop.DBus.Peer", "Ping", check=False
    )
    assert answer.returncode != 0 and not machine.processes(UNIT), "a disabled service was started"


def masked(machine):
    """A service that shall not run lets the network be online all the same."""
    machine.run("systemctl", "mask", UNIT)
    machine.run("systemctl", "restart", WAIT_UNIT)
    assert not machine.output("systemctl", "--failed", "--no-legend")


def unit(release):
    """All of it for one release."""
    with systems.Machines(release) as lab:
        machine = lab.machine("client", ("networkd",))
        machine.boot()
        machine.wait_running()
        sandbox(machine)
        order(machine)
        links_that_are_up(machine)
        masked(machine)


def test_bookworm():
    """Debian 12."""
    unit("bookworm")


def test_trixie():
    """Debian 13."""
    unit("trixie")


def test_sid():
    """Debian unstable."""
    unit("sid")


def test_idle_bookworm_trixie_sid():
    """The service leaves when there is nothing to do, and no call of 400 is lost around that moment, on any
    release. They run at the same time, for they mostly wait."""
    # Not half a minute, and so often that systemd would take it for a fault.
    override = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=\nExecStart=/usr/libexec/underpassd --idle=1\n"
    labs, callers = [], []
    try:
        for release in systems.RELEASES:
            lab = systems.Machines(release)
            lab.__enter__()
            labs.append(lab)
            machine = lab.machine(release, ())
            machine.write(f"/etc/systemd/system/{UNIT}.d/idle.conf", override)
            machine.boot()
            machine.wait_running()
            command = ["/usr/bin/python3", "/opt/tests/systems/idle_calls.py", str(BURSTS), str(CALLS)]
            callers.append(
                machine.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
            )
        for lab, caller in zip(labs, callers):
            output, complaints = caller.communicate(timeout=180)
            assert output.strip() == str(BURSTS * CALLS), f"{lab.hosts[0].name}: {output} {complaints}"
            left = lab.hosts[0].journal(f"--unit={UNIT}").count("Nothing to do: leaving.")
            assert left >= BURSTS / 4, f"{lab.hosts[0].name}: left {left} times only"
            runner.note(f"{lab.hosts[0].name}: left {left} times, {output.strip()} calls answered")
    finally:
        for lab in labs:
            lab.close()
