# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of others on the attach points of a tunnelled link: tcx before and after ours, XDP, generic and not. They
see their packets, stay attached when the tunnel goes, and what they take away from ours can be seen."""

import runner
import service
import state
import traffic
from host import HERE, wait_until
from lab import PORT, address

ATTACHMENTS = ("/usr/bin/python3", HERE / "attachments.py")
NEXT, PASS, XDP_PASS = -1, 0, 2
WAYS = ("ingress", "egress")
OURS = {"ingress": "underpass_ingre", "egress": "underpass_egres"}
PIN = "/sys/fs/bpf/foreign-"
SIZE = 3_000_000


def attach(host, attach_point, position, verdict, name):
    """Attaches a program of somebody else to c0, first or last at this attach point; its pin."""
    host.run(*ATTACHMENTS, "attach", "c0", attach_point, position, str(verdict), PIN + name)
    return PIN + name


def packets(host, pin):
    """How many packets it has seen."""
    return int(host.output(*ATTACHMENTS, "count", pin))


def on_attach_point(lab):
    """Names of the programs on c0."""
    return state.programs(lab.client, "c0")["c0"]


def set_up_tunnels(lab):
    """Gives the server's link and the client's first uplink their tunnel, for the classic form, of which each segment is a
    packet; the client's peer program."""
    service.set_tunnels(lab, "bulk=no")
    service.bring_up(lab, "first")
    service.wait_state(lab.client, "c0", service.ACTIVE)
    service.wait_state(lab.server, "s0", service.ACTIVE)
    return traffic.pair(lab)[1]


def tunnelled(lab, client, family=4):
    """Whether a new MPTCP connection with data both ways crosses the middlebox that strips MPTCP."""
    client.connect("a", address("s0", family))
    client.transfer("upload", "a", size=SIZE)
    client.transfer("download", "a", size=SIZE)
    fallback = client.info("a")["fallback"]
    client.close("a")
    return not fallback


def assert_all_seen(counted, size):
    """Programs behind ours, in the order of WAYS, have seen a transfer: what comes in as TCP, perhaps merged
    into packets of up to 64 KiB; what goes out, behind the segmentation device, packet by packet as UDP."""
    incoming, outgoing = counted[::2], counted[1::2]
    assert min(incoming) * 65536 > size, f"{counted}"
    assert min(outgoing) * 1500 > size, f"{counted}"


def at_one_moment(host, pins):
    """What each program has seen; None when there was something to see between one number and the next."""
    first, second = ([packets(host, pin) for pin in pins] for _ in range(2))
    return first if first == second else None


def test_programs_that_were_there_first():
    """Ours is put before them; they go on counting, and are the only ones left afterwards."""
    with runner.TestLab() as lab:
        state.need_tcx(lab.client, "c0")
        lab.client.up("first")
        pins = [attach(lab.client, way, "last", NEXT, f"{way}-next") for way in WAYS]
        pins += [attach(lab.client, way, "last", PASS, f"{way}-pass") for way in WAYS]
        before = state.host_state(lab.client)
        client = set_up_tunnels(lab)
        assert on_attach_point(lab) == {way: [OURS[way], "foreign", "foreign"] for way in WAYS}, on_attach_point(lab)
        counted = wait_until(lambda: at_one_moment(lab.client, pins), "nothing comes or goes")
        assert tunnelled(lab, client) and tunnelled(lab, client, 6)

        def same():
            seen = [packets(lab.client, pin) - then for pin, then in zip(pins, counted)]
            return seen if seen[:2] == seen[2:] else None

        seen = wait_until(same, "the two in a row have seen the same packets")
        assert_all_seen(seen, 2 * SIZE)
        runner.note(f"seen by programs of others: ingress {seen[0]}, egress {seen[1]}")
        lab.client.run("underpassctl", "deactivate", "c0")
        state.assert_same(before, state.host_state(lab.client), "deactivated")


def test_programs_that_come_later():
    """At the tail, as NetworkManager's own for CLAT, and at the head; they stay when the tunnel goes."""
    with runner.TestLab() as lab:
        state.need_tcx(lab.client, "c0")
        client = set_up_tunnels(lab)
        pins = [attach(lab.client, way, "last", PASS, f"{way}-tail") for way in WAYS]
        assert on_attach_point(lab) == {way: [OURS[way], "foreign"] for way in WAYS}, on_attach_point(lab)
        assert tunnelled(lab, client)
        counted = [packets(lab.client, pin) for pin in pins]
        assert_all_seen(counted, SIZE)
        pins += [attach(lab.client, way, "first", NEXT, f"{way}-head") for way in WAYS]
        assert on_attach_point(lab) == {way: ["foreign", OURS[way], "foreign"] for way in WAYS}, on_attach_point(lab)
        assert tunnelled(lab, client)
        head = [packets(lab.client, pin) for pin in pins[2:]]
        assert head[0] * 1500 > SIZE and head[1] > 0, f"{head}"
        lab.client.down("first")
        service.wait_state(lab.client, "c0", "off")
        assert on_attach_point(lab) == {way: ["foreign", "foreign"] for way in WAYS}, on_attach_point(lab)
        counted = [packets(lab.client, pin) for pin in pins]
        lab.client.up("first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        assert on_attach_point(lab) == {way: [OURS[way], "foreign", "foreign"] for way in WAYS}, on_attach_point(lab)
        assert tunnelled(lab, client)
        assert all(packets(lab.client, pin) > then for pin, then in zip(pins, counted))


def test_program_in_front_that_ends_the_chain():
    """One at the head that says PASS: no program behind it runs, so new connections are plain TCP and the
    middlebox strips MPTCP. The tunnel's counters stand still, and the next look at the link warns; when it
    has gone, all is well again."""
    with runner.TestLab() as lab:
        state.need_tcx(lab.client, "c0")
        client = set_up_tunnels(lab)
        assert tunnelled(lab, client)
        before = service.counters(lab.client, "c0")
        for way in WAYS:
            attach(lab.client, way, "first", PASS, way)
        assert not tunnelled(lab, client), "programs behind the one in front still run"
        assert service.counters(lab.client, "c0") == before
        counted = lab.counters()
        assert counted["tcp-mc0"][0] > 0, f"{counted}"
        lab.client.run("underpassctl", "reload")
        warnings = service.link(lab.client, "c0")["Warnings"]
        assert any("before the tunnel on c0" in each for each in warnings), warnings
        for way in WAYS:
            lab.client.run("rm", PIN + way, PIN + way + "-packets")
        # The kernel detaches some time after the last reference is gone.
        wait_until(lambda: on_attach_point(lab) == {way: [OURS[way]] for way in WAYS}, "the programs are gone")
        lab.client.run("underpassctl", "reload")
        assert not any("before the tunnel" in each for each in service.link(lab.client, "c0")["Warnings"])
        assert tunnelled(lab, client)


def test_activation_goes_to_the_head():
    """A program that says PASS and was there before the tunnel does not stand in its way."""
    with runner.TestLab() as lab:
        state.need_tcx(lab.client, "c0")
        lab.client.up("first")
        for way in WAYS:
            attach(lab.client, way, "first", PASS, way)
        client = set_up_tunnels(lab)
        assert on_attach_point(lab) == {way: [OURS[way], "foreign"] for way in WAYS}, on_attach_point(lab)
        assert tunnelled(lab, client)


def test_xdp_of_others():
    """A generic XDP program sees all that comes in, still as UDP, and stays."""
    with runner.TestLab() as lab:
        lab.client.up("first")
        pin = attach(lab.client, "xdp", "first", XDP_PASS, "xdp")
        before = state.host_state(lab.client)
        client = set_up_tunnels(lab)
        assert tunnelled(lab, client) and tunnelled(lab, client, 6)
        assert packets(lab.client, pin) * 1500 > 2 * SIZE
        lab.client.run("underpassctl", "deactivate", "c0")
        state.assert_same(before, state.host_state(lab.client), "deactivated")
        assert "xdpgeneric" in lab.client.output("ip", "link", "show", "c0")
        counted = packets(lab.client, pin)
        client.connect("plain", protocol="tcp", port=PORT)
        client.transfer("echo", "plain", size=1000)
        assert packets(lab.client, pin) > counted
