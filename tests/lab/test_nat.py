# SPDX-License-Identifier: GPL-2.0-or-later
"""A NAT in the middle: it forgets silent UDP mappings after 30 s, and it changes ports whenever it likes."""

import time

import runner
import service
import path
import traffic
from host import wait_until
from lab import PORT, address

NAT_TIMEOUT = 30  # seconds: common for UDP, while TCP has hours
SILENCE = 60
RATE = 4_000_000  # bytes a second, so that the change comes in the middle
SIZE = 12_000_000  # that still has to pass then


def mappings(lab):
    """The NAT's UDP mappings."""
    return lab.middlebox.output("conntrack", "-L", "-p", "udp").count(f"dport={PORT}")


def test_silence_longer_than_the_nat_remembers():
    """60 s of silence, then the server speaks first. It is heard over the uplink with keepalive, not over
    the one without: that proves that the NAT forgets."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab, "mptcp-only=no")
        service.set_keys(lab.client, "second", "keepalive=no")
        # The server's keepalive would do as well as the client's.
        service.set_keys(lab.server, "server", "mptcp-only=no", "keepalive=no")
        service.bring_up(lab)
        for host in (lab.client, lab.server):
            host.run("ip", "mptcp", "limits", "set", "subflows", "0", "add_addr_accepted", "0")
        path.translate(lab, c0=(20000, 29999), c1=(40000, 49999))
        for name in ("udp_timeout", "udp_timeout_stream"):
            lab.middlebox.sysctl(f"net.netfilter.nf_conntrack_{name}", NAT_TIMEOUT)
        _, client = traffic.pair(lab)
        names = [(uplink, protocol) for uplink in ("c0", "c1") for protocol in ("mptcp", "tcp")]
        for uplink, protocol in names:
            name = f"{uplink} {protocol}"
            client.connect(name, protocol=protocol, device=uplink)
            client.transfer("echo", name, size=1000)
            assert client.info(name)["fallback"] is (protocol == "tcp"), f"{name}: {client.info(name)}"
        assert mappings(lab) == 4, lab.middlebox.output("conntrack", "-L")
        for uplink, protocol in names:
            client.start("late", f"{uplink} {protocol}", seconds=SILENCE, patience=3)
        results = {name: client.wait(" ".join(name)) for name in names}
        for (uplink, protocol), result in results.items():
            heard = f"after {result['delay'] * 1000:.0f} ms" if result["arrived"] else "never"
            runner.note(
                f"{protocol} by {uplink}, keepalive {'25' if uplink == 'c0' else 'no'}: heard {heard}"
            )
        assert all(result["arrived"] is (uplink == "c0") for (uplink, _), result in results.items()), results
        assert all(results["c0", protocol]["delay"] < 1 for protocol in ("mptcp", "tcp")), results
        assert path.forwarded(lab, "tcp") == 0, lab.counters()


def test_without_cgroup_tree():
    """Keepalive hangs on the cgroup tree. Where there is none, the log says so and the tunnel works without."""
    with runner.TestLab() as lab:
        lab.client.run("umount", "/sys/fs/cgroup")
        service.set_tunnels(lab)
        service.bring_up(lab)
        log = (lab.client.folder / "log" / "bus.log").read_text()
        assert log.count("no keepalive") == 1, log
        _, client = traffic.pair(lab)
        traffic.connect_both(lab, client, "a")
        client.transfer("upload", "a", size=1_000_000)
        assert not client.info("a")["fallback"]
        # While something is unacknowledged, a socket has another timer.
        wait_until(lambda: "keepalive" in timers(lab.server), "the server keeps its connections alive")
        assert "keepalive" not in timers(lab.client), timers(lab.client)


def timers(host):
    """The established sockets of a host, each with its timer."""
    return host.output("ss", "-Htno", "state", "established")


def test_nat_changes_the_port_of_one_path():
    """In the middle of a transfer: every byte arrives, by the other path, and a new connection works at
    once."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        path.translate(lab, c0=(20000, 29999), c1=(40000, 49999))
        _, client = traffic.pair(lab)
        both = [address("c0"), address("c1")]
        traffic.connect_both(lab, client, "old")
        with client.uploading("old", RATE):
            path.translate(lab, c0=(30000, 39999), c1=(40000, 49999))
            path.forget_translations(lab, "c0")
            new = client.connect("new")
            client.transfer("echo", "new", size=1000)
            wait_until(lambda: client.info("new")["extra_subflows"] == 1, "both uplinks carry the new one")
            client.transfer("upload", "new", size=1_000_000)
            assert not client.info("new")["fallback"]
            begin = time.monotonic()
            client.wait_moved("old", SIZE)
            seconds = time.monotonic() - begin
        assert not client.info("old")["fallback"]
        lines = lab.middlebox.output("conntrack", "-L", "-p", "udp").splitlines()
        ports = {int(line.rpartition("dport=")[2].split()[0]) for line in lines if f"src={both[0]} " in line}
        assert ports and all(30000 <= port <= 39999 for port in ports), lines
        assert path.forwarded(lab, "tcp") == 0, lab.counters()
        runner.note(
            f"{SIZE // 1_000_000} MB at {RATE // 1_000_000} MB/s took {seconds:.1f} s; "
            f"new connection after {new['seconds'] * 1000:.0f} ms"
        )
