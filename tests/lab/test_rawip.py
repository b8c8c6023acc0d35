# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices without link layer header, as wwan and ppp have none: a tun device in each host, set by files in
/etc/underpass, for no network manager manages them."""

import contextlib
import os
import subprocess

import merging
import runner
import service
import state
import traffic
import wire
from host import HERE, wait_until
from lab import PORT

SIZE = 10_000_000
MOMENT_NS = 1_000_000
# Numbers of ARPHRD_*, and the kinds of links that have them.
TYPES = {
    "none": 0xFFFE,
    "ppp": 512,
    "rawip": 519,
    "ipip, vti": 768,
    "ip6tnl, vti6": 769,
    "sit": 776,
    "gre": 778,
    "ip6gre": 823,
}
ETHERNET, INFINIBAND = 1, 32
CLIENT, SERVER = "wwan7", "line0"  # names of the two devices
ADDRESSES = {
    CLIENT: {4: "10.77.77.1", 6: "2001:db8:77:77::1"},
    SERVER: {4: "10.77.77.2", 6: "2001:db8:77:77::2"},
}
PROFILES = {
    CLIENT: f"[Match]\nName=wwan*\n\n[X-Underpass]\nTunnel=yes\nRemotePorts={PORT}\n",
    SERVER: f"[Match]\nType=tun\n\n[X-Underpass]\nTunnel=yes\nLocalPorts={PORT}\n",
}


class Line:
    """The line between client and server; a context manager. Afterwards the file at path has all packets."""

    def __init__(self, lab, largest=65535, merges=False, kind=None):
        self.lab = lab
        self.options = [str(largest), *(["merge"] if merges else []), *([] if kind is None else [str(kind)])]
        self.path = lab.folder / "line.pcap"
        self._process = None

    def __enter__(self):
        ends = [str(self.lab.client.init), CLIENT, str(self.lab.server.init), SERVER]
        with open(self.lab.client.folder / "log" / "line.log", "wb") as log:
            self._process = subprocess.Popen(
                ["/usr/bin/python3", str(HERE / "wirepair.py"), *ends, str(self.path), *self.options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the line did not come up, see line.log")
        return self

    def up(self):
        """Addresses on both devices, and up."""
        for host, device in ((self.lab.client, CLIENT), (self.lab.server, SERVER)):
            host.run("ip", "address", "add", ADDRESSES[device][4] + "/24", "dev", device)
            host.run("ip", "address", "add", ADDRESSES[device][6] + "/64", "dev", device, "nodad")
            host.run("ip", "link", "set", device, "up")

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=20)


def write_profiles(lab, *more):
    """The files in both hosts; more: lines for both."""
    for host, device in ((lab.client, CLIENT), (lab.server, SERVER)):
        host.write("/etc/underpass/line.conf", PROFILES[device] + "".join(line + "\n" for line in more))
        host.run("underpassctl", "reload")


@contextlib.contextmanager
def tunnelled_line(lab, *more, **options):
    """The line with the tunnel on both ends."""
    write_profiles(lab, *more)
    with Line(lab, **options) as line:
        line.up()
        for host, device in ((lab.client, CLIENT), (lab.server, SERVER)):
            found = service.wait_state(host, device, service.ACTIVE)
            points = dict(found["Programs"])
            assert {points[name].rpartition("_")[2] for name in points} == {"raw"}, f"{device}: {points}"
        yield line


def transfers(lab, client, protocol, families=(4, 6)):
    """10 MB each way, a file the one and noise the other."""
    original, copy = lab.folder / "original.bin", lab.folder / "copy.bin"
    original.write_bytes(os.urandom(SIZE))
    for family in families:
        client.connect("a", ADDRESSES[SERVER][family], protocol=protocol)
        assert client.transfer("download", "a", file=str(original), target=str(copy))["equal"]
        assert original.read_bytes() == copy.read_bytes(), f"IPv{family}: the file differs"
        result = client.transfer("upload", "a", size=SIZE)
        assert client.info("a")["fallback"] is (protocol == "tcp"), f"{client.info('a')}"
        runner.note(f"{protocol}, IPv{family}: {SIZE * 8 / result['seconds'] / 1e6:.0f} Mbit/s up")
        client.close("a")


def assert_line_right(line, families, connections):
    """Asserts that the whole line was right; the report."""
    report = wire.judge(wire.read_pcap(line.path), PORT)
    report.assert_tunnelled("the line")
    assert report.families == families, f"{report}"
    assert report.syn >= 2 * connections and report.udp * 1460 > 2 * SIZE * connections, f"{report}"
    runner.note(f"{report.udp} datagrams without Ethernet header, all right")
    return report


def test_mptcp():
    """MPTCP, IPv4 and IPv6: nothing but UDP on the line, every packet right."""
    with runner.TestLab() as lab:
        with tunnelled_line(lab) as line:
            transfers(lab, traffic.pair(lab)[1], "mptcp")
        assert assert_line_right(line, {4, 6}, 2).mptcp_syn >= 4


def test_tcp():
    """Plain TCP with mptcp-only=no."""
    with runner.TestLab() as lab:
        with tunnelled_line(lab, "MPTCPOnly=no") as line:
            transfers(lab, traffic.pair(lab)[1], "tcp")
        assert assert_line_right(line, {4, 6}, 2).mptcp_syn == 0


def test_clsact():
    """The filters of kernels without tcx see raw-IP devices, too."""
    with runner.TestLab() as lab:
        for host in (lab.client, lab.server):
            service.set_options(host, "--attach-point=clsact")
        with tunnelled_line(lab) as line:
            assert "underpass_egres" in lab.client.output("tc", "filter", "show", "dev", CLIENT, "egress")
            transfers(lab, traffic.pair(lab)[1], "mptcp", (4,))
        assert_line_right(line, {4}, 1)


def merge(host, device, *features):
    """Datagrams that come by this device within a moment arrive as one."""
    host.run("ethtool", "-K", device, *features)
    # The hosts' own /sys cannot be written to.
    writable, as_before = "mount -o remount,rw /sys", "mount -o remount,ro /sys"
    write = f"echo {MOMENT_NS} >/sys/class/net/{device}/gro_flush_timeout"
    host.run("unshare", "--mount", "sh", "-c", f"{writable} && {write} && {as_before}")


def test_merged():
    """Datagrams that the stack merges before the programs see them, in both forms (see test_merged.py)."""
    with runner.TestLab() as lab:
        with tunnelled_line(lab, merges=True):
            client = traffic.pair(lab)[1]
            for features in (merging.FORWARDING, merging.LIST):
                merge(lab.client, CLIENT, *features)
                merge(lab.server, SERVER, *features)
                for family in (4, 6):
                    target = ADDRESSES[SERVER][family]
                    merging.transfer(client, "upload", lab.server, SERVER, target, family)
                    merging.transfer(client, "download", lab.client, CLIENT, target, family)


def raw_programs(host):
    """The programs for devices without Ethernet header that are pinned: name → id."""
    return {name: number for name, number in state.pinned_programs(host).items() if name.endswith("_raw")}


def test_programs_come_when_they_are_needed():
    """They are loaded with the first such device, beside those that run, which an earlier service has loaded, and
    understand each other's notes. The next service adopts them."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        assert raw_programs(lab.client) == {}
        service.kill(lab.client)
        with tunnelled_line(lab) as line:
            first = raw_programs(lab.client)
            assert set(first) == {"underpass_egress_raw", "underpass_ingress_raw"}, first
            client = traffic.pair(lab)[1]
            transfers(lab, client, "mptcp", (4,))
            service.kill(lab.client)
            service.manager_property(lab.client, "Version")
            service.wait_state(lab.client, CLIENT, service.ACTIVE)
            assert raw_programs(lab.client) == first
            # One that finds not all programs loads them again, these, too: others would not know their notes.
            service.kill(lab.client)
            lab.client.run("sh", "-c", f"rm {state.PINS}/*/underpass_merged")
            service.manager_property(lab.client, "Version")
            service.wait_state(lab.client, CLIENT, service.ACTIVE)
            second = raw_programs(lab.client)
            assert set(second) == set(first) and not set(second.values()) & set(first.values()), (first, second)
            transfers(lab, client, "mptcp", (4,))
        assert_line_right(line, {4}, 2)
        wait_until(lambda: raw_programs(lab.client) == {}, "they go with the last such device")
        service.wait_state(lab.client, "c0", service.ACTIVE)


def test_pin_that_fails():
    """What could not be pinned with the first such device is pinned with the next try: without its pins, the
    next service would load all programs anew."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        write_profiles(lab)
        folder = next(lab.client.path(state.PINS).iterdir())
        # A folder with something in it cannot be replaced by a pin.
        (folder / "underpass_ingress_raw" / "x").mkdir(parents=True)
        with Line(lab) as line:
            line.up()
            found = service.wait_state(lab.client, CLIENT, "failed")
            assert "cannot pin below" in found["LastError"], found
            service.wait_state(lab.client, "c0", service.ACTIVE)
            (folder / "underpass_ingress_raw" / "x").rmdir()
            (folder / "underpass_ingress_raw").rmdir()
            lab.client.run("underpassctl", "activate", CLIENT)
            service.wait_state(lab.client, CLIENT, service.ACTIVE)
            assert set(raw_programs(lab.client)) == {"underpass_egress_raw", "underpass_ingress_raw"}


def test_others_on_the_line():
    """Ports that are not tunnelled, ping and UDP cross the line as they are."""
    with runner.TestLab() as lab:
        with tunnelled_line(lab) as line:
            server, client = traffic.pair(lab)
            server.listen(PORT + 1)
            for family in (4, 6):
                target = ADDRESSES[SERVER][family]
                lab.client.run("ping", "-n", "-c", "3", "-i", "0.02", "-s", "1000", target)
                client.connect("plain", target, port=PORT + 1)
                client.transfer("upload", "plain", size=1_000_000)
                assert client.info("plain")["fallback"] is False
                client.close("plain")
        report = wire.judge(wire.read_pcap(line.path), PORT + 1)
        assert not report.faults and report.udp == 0 and report.tcp * 1400 > 2_000_000, f"{report}"


def test_down_restores():
    """Deactivated, the device is as it was; when the line is cut nothing of the tunnel is left."""
    with runner.TestLab() as lab:
        before_all = {host: state.host_state(host) for host in (lab.client, lab.server)}
        with Line(lab) as line:
            line.up()
            before = {host: state.host_state(host) for host in (lab.client, lab.server)}
            write_profiles(lab, "MTU=1400")
            for host, device in ((lab.client, CLIENT), (lab.server, SERVER)):
                service.wait_state(host, device, service.ACTIVE)
            client = traffic.pair(lab)[1]
            transfers(lab, client, "mptcp", (4,))
            for host, then in before.items():
                host.run("underpassctl", "deactivate", "--all")
                state.assert_same(then, state.host_state(host), f"{host.name}: deactivated")
                host.run("underpassctl", "activate", CLIENT if host is lab.client else SERVER)
            transfers(lab, client, "mptcp", (6,))
        for host, then in before_all.items():
            state.assert_becomes(then, host, f"{host.name}: the line is cut")


@contextlib.contextmanager
def typed(lab):
    """A device of the client whose type is changed by calling what this yields with a number of ARPHRD_*."""
    command = ["/usr/bin/python3", str(HERE / "typed_tun.py"), CLIENT]
    process = lab.client.spawn(command, stdin=-1, stdout=-1, encoding="utf-8")

    def change(number):
        lab.client.run("ip", "link", "set", CLIENT, "down")
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
        lab.client.run("ip", "link", "set", CLIENT, "up")

    try:
        assert process.stdout.readline() == "ready\n"
        yield change
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=20)


def programs_of(found):
    """"raw" or "ethernet": what is attached, the same both ways; "" when nothing is."""
    kinds = {name.rpartition("_")[2] for name in dict(found["Programs"]).values()}
    assert len(kinds) <= 1, kinds
    return "".join(kinds)


def test_types_of_tunnels():
    """Devices of all types that carry IP without a header of their own."""
    with runner.TestLab(manager=False) as lab:
        lab.client.start_bus()
        lab.client.write("/etc/underpass/line.conf", PROFILES[CLIENT])
        lab.client.run("underpassctl", "reload")
        with typed(lab) as change:
            for name, number in TYPES.items():
                change(number)
                lab.client.run("underpassctl", "reload")
                found = service.wait_state(lab.client, CLIENT, service.ACTIVE)
                assert programs_of(found) == "raw", f"{name}: {found['Programs']}"


def test_type_changes_under_the_tunnel():
    """The programs follow; on a type that they do not know none stays, and the error says so. It comes back with
    a type that they know, and meanwhile a profile with a mistake keeps no program where it does not belong."""
    with runner.TestLab(manager=False) as lab:
        lab.client.start_bus()
        lab.client.write("/etc/underpass/line.conf", PROFILES[CLIENT] + "MTU=1400\n")
        lab.client.run("underpassctl", "reload")
        with typed(lab) as change:
            change(TYPES["none"])
            service.wait_state(lab.client, CLIENT, service.ACTIVE)
            for number, expected in (
                (ETHERNET, "ethernet"),
                (INFINIBAND, ""),
                (TYPES["rawip"], "raw"),
                (INFINIBAND, ""),
                (ETHERNET, "ethernet"),
                (TYPES["sit"], "raw"),
            ):
                change(number)
                lab.client.run("underpassctl", "reload", check=False)
                found = service.wait_state(lab.client, CLIENT, service.ACTIVE if expected else "failed")
                assert programs_of(found) == expected, f"{number}: {found['Programs']}"
                if not expected:
                    assert f"has type {number}" in found["LastError"], found["LastError"]
                    assert found["Applied"] == [] and " mtu 1500 " in lab.client.output("ip", "link", "show", CLIENT), found
            lab.client.write("/etc/underpass/line.conf", PROFILES[CLIENT] + "MTU=none\n")
            change(ETHERNET)
            lab.client.run("underpassctl", "reload", check=False)
            found = service.wait_state(lab.client, CLIENT, "failed")
            assert programs_of(found) == "" and "MTU=none" in found["LastError"], found


def test_transfers_over_types_of_tunnels():
    """Data both ways over devices of the types of 6in4 and of GRE over IPv6."""
    for name in ("sit", "ip6gre"):
        with runner.TestLab() as lab:
            for host in (lab.client, lab.server):
                device = CLIENT if host is lab.client else SERVER
                host.write("/etc/underpass/type.conf", PROFILES[device].replace("Type=tun", "Name=line0"))
            with tunnelled_line(lab, kind=TYPES[name]) as line:
                transfers(lab, traffic.pair(lab)[1], "mptcp")
            assert_line_right(line, {4, 6}, 2)
