# SPDX-License-Identifier: GPL-2.0-or-later
"""SCTP over UDP from profiles of NetworkManager: two sysctls for the whole host, two connections that ask.
The sysctls are files here, for not every kernel has SCTP; tests/systems/test_sctp.py has associations."""

import json

import runner
import service
from host import wait_until

SYSCTLS = "/run/sctp-sysctls"
BEFORE = (7000, 0)
PORTS = ("sctp-udp-port=9899", "sctp-encap-port=9899")
PINS = "/sys/fs/bpf/underpass"


def ports(host):
    """Both values; what a shorter value leaves of a longer one stands in the next line."""
    return tuple(
        int(host.path(f"{SYSCTLS}/{name}_port").read_text().split("\n")[0] or -1)
        for name in ("udp", "encap")
    )


def wait_ports(host, *expected):
    """Waits until both have these values."""
    wait_until(lambda: ports(host) == expected, f"{expected}, not {ports(host)}")


def set_up(host, there=True):
    """The service of the host uses these files, if they are there."""
    service.set_options(host, f"--sctp-sysctls={SYSCTLS}")
    if there:
        for name, value in zip(("udp", "encap"), BEFORE):
            host.write(f"{SYSCTLS}/{name}_port", f"{value}\n")


def test_counted():
    """The first connection sets them, the last one gives them back; a service that is killed leaves them."""
    with runner.TestLab() as lab:
        host = lab.client
        set_up(host)
        for profile in ("first", "second"):
            service.set_keys(host, profile, *PORTS)
            host.up(profile)
            wait_ports(host, 9899, 9899)
        assert service.link(host, "c0")["State"] == "off"
        words = "The profile asks for SCTP over UDP, and for no tunnel."
        assert words in host.output("underpassctl", "check", "c0"), "nothing is wrong"
        host.output("underpassctl", "check")
        host.output("sysctl", "-w", "net.mptcp.enabled=0")
        host.output("underpassctl", "check")  # SCTP needs no MPTCP
        host.output("sysctl", "-w", "net.mptcp.enabled=1")
        assert words in host.output("underpassctl", "explain", "c0").splitlines()[-1]
        host.down("first")
        assert "net.sctp.udp_port" in dict(service.link(host, "c1")["Applied"])
        assert ports(host) == (9899, 9899)
        service.kill(host)
        service.manager_call(host, "Reload")
        assert ports(host) == (9899, 9899)
        applied = dict(service.link(host, "c1")["Applied"])
        assert applied["net.sctp.udp_port-original"] == str(BEFORE[0]), applied
        service.kill(host)
        host.down("second")
        service.manager_call(host, "Reload")
        wait_ports(host, *BEFORE)
        wait_until(lambda: not host.path(PINS).exists(), f"{PINS} is gone")


def test_beside_a_tunnel():
    """The tunnel goes and comes, SCTP stays, and the other way round."""
    with runner.TestLab() as lab:
        host = lab.client
        set_up(host)
        service.set_keys(host, "first", "tunnel=yes", "remote-ports=8443", *PORTS)
        host.up("first")
        service.wait_state(host, "c0", service.ACTIVE)
        wait_ports(host, 9899, 9899)
        service.set_keys(host, "first", "tunnel=no", options=["--reapply"])
        service.wait_state(host, "c0", "off")
        assert ports(host) == (9899, 9899)
        service.set_keys(host, "first", "tunnel=yes", "sctp-udp-port=no", "sctp-encap-port=no")
        host.up("first")
        service.wait_state(host, "c0", service.ACTIVE)
        wait_ports(host, *BEFORE)


def test_conflict():
    """Two connections, two values: the first one keeps its own, and both are named."""
    with runner.TestLab() as lab:
        host = lab.client
        set_up(host)
        service.set_keys(host, "first", "sctp-udp-port=9899")
        service.set_keys(host, "second", "sctp-udp-port=9900")
        host.up("first")
        wait_ports(host, 9899, BEFORE[1])
        host.up("second")
        wait_until(lambda: service.link(host, "c1")["Warnings"], "a warning")
        assert ports(host) == (9899, BEFORE[1])
        explained = " ".join(host.output("underpassctl", "explain", "c1").split())
        for part in ("underpass.sctp-udp-port=9900 in second", "on c1 has no effect", "c0 came first"):
            assert part in explained, explained
        host.down("first")
        wait_ports(host, 9900, BEFORE[1])
        wait_until(lambda: not service.link(host, "c1")["Warnings"], "the warning is taken back")


def test_no_sctp():
    """A kernel without SCTP: said by status and explain, and the tunnel is there all the same."""
    with runner.TestLab() as lab:
        host = lab.client
        set_up(host, there=False)
        service.set_keys(host, "first", "tunnel=yes", "remote-ports=8443", *PORTS)
        host.up("first")
        service.wait_state(host, "c0", service.ACTIVE)
        for verb in (["status"], ["explain", "c0"]):
            text = " ".join(host.output("underpassctl", *verb).split())
            assert "this kernel has no SCTP over UDP" in text, text
            assert "underpass.sctp-udp-port=9899 in first" in text, text
        service.set_keys(host, "second", *PORTS)
        host.up("second")
        wait_until(lambda: service.link(host, "c1")["Warnings"], "the link that has no tunnel warns as well")
        advice = host.output("underpassctl", "explain", "c1").splitlines()[-1]
        assert "load the module sctp" in advice, advice
        for arguments in ((), ("c1",)):
            rows = json.loads(host.output("underpassctl", "check", "--json", *arguments))["checks"]
            found = {(row["check"], row["result"]): row["sentence"] for row in rows if row["interface"] == "c1"}
            assert ("profile", "good") not in found and ("profile", "note") in found, found
            assert "load the module sctp" in found["tunnel", "note"], found
