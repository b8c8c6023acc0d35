# SPDX-License-Identifier: GPL-2.0-or-later
"""The tunnel on a device above the one that is plugged in: bridge, macvlan, VLAN, bond. The one below does
not take part. The middlebox strips MPTCP, so a connection that does not fall back has crossed in UDP."""

import runner
import service
import state
import traffic
import wire
from lab import PORT, address

SIZE = 4_000_000
UPPER = "upper0"
PROFILE = f"[Match]\nName={UPPER}\n\n[X-Underpass]\nTunnel=yes\nRemotePorts={PORT}\n"


def add_upper(host, kind, *more, name=UPPER, lower=None):
    """Makes the device; skips the test when the kernel has no driver for it."""
    above = ("link", lower) if lower else ()
    result = host.run("ip", "link", "add", *above, "name", name, "type", kind, *more, check=False)
    if "Unknown device type" in result.stderr or "not supported" in result.stderr:
        raise runner.Skip(f"this kernel has no {kind}")
    assert result.returncode == 0, result.stderr


def address_upper(lab):
    """Gives the upper device what the lower one would have: addresses and routes."""
    lab.client.run("ip", "link", "set", "c0", "up")
    for family, length in ((4, "24"), (6, "64")):
        nodad = ("nodad",) if family == 6 else ()
        words = ("address", "add", f"{address('c0', family)}/{length}", "dev", UPPER)
        lab.client.run("ip", *words, *nodad)
    lab.client.run("ip", "link", "set", UPPER, "up")
    for family in (4, 6):
        gateway = address("c0", family, router=True)
        lab.client.run("ip", f"-{family}", "route", "replace", "default", "via", gateway, "dev", UPPER)


def works(lab):
    """The tunnel on the upper device, MPTCP through it in the classic form, the wire judged, and down again."""
    service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}", "bulk=no")
    lab.server.up("server")
    address_upper(lab)
    lab.client.run("underpassctl", "reload")
    before = state.host_state(lab.client)
    lab.client.write("/etc/underpass/upper.conf", PROFILE)
    lab.client.run("underpassctl", "reload")
    service.wait_state(lab.client, UPPER, service.ACTIVE)
    assert service.link(lab.client, "c0")["State"] == "off"
    _, client = traffic.pair(lab)
    for family in (4, 6):
        with wire.Capture(lab.middlebox, "ms0") as capture:
            client.connect("a", address("s0", family))
            client.transfer("upload", "a", size=SIZE)
            client.transfer("download", "a", size=SIZE)
            assert client.info("a")["fallback"] is False, f"IPv{family}: fell back to TCP"
            client.close("a")
        report = capture.assert_tunnelled(PORT, family)
        assert report.udp * 1460 > 2 * SIZE, f"{report}"
        runner.note(f"IPv{family}: {report.udp} datagrams, all right")
    lab.client.path("/etc/underpass/upper.conf").unlink()
    lab.client.run("underpassctl", "reload")
    service.wait_state(lab.client, UPPER, "off")
    state.assert_same(before, state.settled(lab.client, before), "the file is gone")


def test_bridge():
    """The uplink is a port of a bridge."""
    with runner.TestLab() as lab:
        add_upper(lab.client, "bridge")
        lab.client.run("ip", "link", "set", "c0", "master", UPPER)
        works(lab)


def test_macvlan():
    """A macvlan device on the uplink."""
    with runner.TestLab() as lab:
        lab.client.run("ip", "link", "set", "c0", "up")
        add_upper(lab.client, "macvlan", "mode", "private", lower="c0")
        works(lab)


def test_vlan():
    """A VLAN on the uplink: the tag is put on below the tunnel."""
    with runner.TestLab() as lab:
        lab.client.run("ip", "link", "set", "c0", "up")
        add_upper(lab.client, "vlan", "id", "7", lower="c0")
        add_upper(lab.middlebox, "vlan", "id", "7", name="mc0tagged", lower="mc0")
        lab.middlebox.run("ip", "address", "flush", "dev", "mc0")
        for family, length in ((4, "24"), (6, "64")):
            words = ("address", "add", f"{address('c0', family, router=True)}/{length}", "dev", "mc0tagged")
            lab.middlebox.run("ip", *words)
        lab.middlebox.run("ip", "link", "set", "mc0tagged", "up")
        works(lab)


def test_bond():
    """The uplink is the only port of a bond."""
    with runner.TestLab() as lab:
        add_upper(lab.client, "bond", "mode", "active-backup", "miimon", "100")
        lab.client.run("ip", "link", "set", "c0", "down")
        lab.client.run("ip", "link", "set", "c0", "master", UPPER)
        works(lab)
