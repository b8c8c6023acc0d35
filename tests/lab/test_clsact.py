# SPDX-License-Identifier: GPL-2.0-or-later
"""The way of kernels before 6.6, which have no tcx: filters in a clsact qdisc. The whole of it, next to
filters of others, and from one attach point to the other."""

import json
import signal

import runner
import service
import state
import traffic
import wire
from host import wait_until
from lab import PORT, address

SIZE = 4_000_000
RATE = 10_000_000  # bytes a second
WAYS = ("ingress", "egress")
UPLINKS = ("c0", "c1")


def use_attach_point(attach_point, *hosts):
    """Which attach point the services use from their next start on; those that run are ended."""
    for host in hosts:
        service.set_options(host, f"--attach-point={attach_point}")
        if service.pid(host):
            service.kill(host, signal.SIGTERM)


def filters(host, interface, way):
    """(priority, kind, name) of the filters in the clsact qdisc, in their order."""
    text = host.run("tc", "-json", "filter", "show", "dev", interface, way, check=False).stdout
    found = []
    for entry in json.loads(text or "[]"):
        if "options" in entry:
            name = entry["options"].get("bpf_name", "").partition(":")[0]
            if (entry["pref"], entry["kind"], name) not in found:
                found.append((entry["pref"], entry["kind"], name))
    return found


def ours(host, interface):
    """Names of the programs of Underpass on a link: {"tcx ingress": […], "clsact egress": …}, without what
    is empty."""
    found = {}
    on_attach_points = state.programs(host, interface).get(interface, {})
    for way in WAYS:
        found[f"tcx {way}"] = [name for name in on_attach_points.get(way, []) if name.startswith("underpass")]
        names = [name for _, _, name in filters(host, interface, way)]
        found[f"clsact {way}"] = [name for name in names if name.startswith("underpass")]
    return {attach_point: names for attach_point, names in found.items() if names}


def assert_attach_point(host, attach_point, *interfaces):
    """Exactly one pair of programs on each interface, and those of GRO pair and segmentation device, on this attach point and no
    other."""
    for interface in interfaces:
        found = ours(host, interface)
        assert set(found) == {f"{attach_point} {way}" for way in WAYS}, f"{interface}: {found}"
        assert all(len(names) == 1 for names in found.values()), f"{interface}: {found}"
    pair = {"underpass-tx": {f"{attach_point} ingress": ["underpass_merge"]}, "underpass-rx": {}}
    kind = service.manager_property(host, "SegmentationDevice")[0]
    if kind == "bridge":
        pair["underpass-tx"][f"{attach_point} egress"] = ["underpass_segme"]
    elif kind == "veth":
        pair["underpass-rx"][f"{attach_point} ingress"] = ["underpass_segme"]
    found = {end: ours(host, end) for end in pair}
    assert found == pair, f"{kind}: {found}"


def transfer(lab, client, family=4):
    """A new connection over both uplinks, data both ways."""
    traffic.connect_both(lab, client, "a", family)
    client.transfer("upload", "a", size=SIZE)
    client.transfer("download", "a", size=SIZE)
    assert client.info("a")["fallback"] is False
    client.close("a")


def add_filters(host, interface, priority, count=1):
    """Filters of somebody else, both ways; they match everything and let it pass."""
    for way in WAYS:
        for number in range(count):
            host.run(
                *("tc", "filter", "add", "dev", interface, way, "protocol", "all"),
                *("prio", str(priority + number), "u32", "match", "u32", "0", "0", "flowid", "1:1"),
            )


def tc_state(host, interface):
    """Queueing disciplines and filters of an interface as text."""
    words = [("qdisc", "show", "dev", interface)]
    words += [("filter", "show", "dev", interface, way) for way in WAYS]
    return "\n".join(host.run("tc", *each, check=False).stdout for each in words)


def set_up(lab, *more):
    """clsact on both hosts, and the tunnel in all profiles."""
    use_attach_point("clsact", lab.client, lab.server)
    service.set_tunnels(lab, *more)


def all_active(lab):
    """Waits for all three tunnels."""
    for uplink in UPLINKS:
        service.wait_state(lab.client, uplink, service.ACTIVE)
    service.wait_state(lab.server, "s0", service.ACTIVE)


def test_transfers_and_wire():
    """Both uplinks carry MPTCP in the classic form, IPv4 and IPv6, with and without offloads; every packet on the wire is
    judged."""
    with runner.TestLab() as lab:
        set_up(lab, "bulk=no")
        service.bring_up(lab)
        all_active(lab)
        assert_attach_point(lab.client, "clsact", *UPLINKS)
        assert_attach_point(lab.server, "clsact", "s0")
        applied = dict(service.link(lab.client, "c0")["Applied"])
        assert applied["attach-point"] == "clsact", applied
        _, client = traffic.pair(lab)
        for offload in (True, False):
            lab.offload(offload)
            for family in (4, 6):
                with wire.Capture(lab.middlebox, "ms0") as capture:
                    transfer(lab, client, family)
                report = capture.assert_tunnelled(PORT, family)
                assert report.udp * 1460 > 2 * SIZE, f"{report}"
                runner.note(f"IPv{family}, offload {offload}: {report.udp} datagrams, all right")
        counted = lab.counters()
        assert counted["tcp-mc0"] == counted["tcp-mc1"] == (0, 0), counted


def test_subflow_of_an_older_connection():
    """A connection that is older than the second tunnel gets its second subflow, as with tcx."""
    with runner.TestLab() as lab:
        set_up(lab)
        service.bring_up(lab, "first")
        _, client = traffic.pair(lab)
        client.connect("a")
        client.transfer("echo", "a", size=1000)
        lab.client.up("second")
        traffic.wait_subflows(lab.client, [address(uplink) for uplink in UPLINKS])
        assert client.transfer("upload", "a", size=SIZE)["equal"]


def test_down_restores():
    """After "nmcli connection down" tc shows what it showed before, and so does everything else."""
    with runner.TestLab() as lab:
        for host, profiles in ((lab.client, ("first", "second")), (lab.server, ("server",))):
            for verb in ("up", "down"):
                for profile in profiles:
                    getattr(host, verb)(profile)
        before = {host: state.host_state(host) for host in (lab.client, lab.server)}
        set_up(lab, "mtu=1400")
        service.bring_up(lab)
        all_active(lab)
        _, client = traffic.pair(lab)
        transfer(lab, client)
        lab.client.down("first")
        lab.client.down("second")
        lab.server.down("server")
        for host, then in before.items():
            state.assert_becomes(then, host, f"{host.name} after down")


def test_qdisc_of_others_stays():
    """A clsact qdisc that was there before stays, with the filters that it had and those that came later."""
    with runner.TestLab() as lab:
        set_up(lab)
        lab.client.up("first")
        lab.client.run("underpassctl", "deactivate", "c0")
        lab.client.run("tc", "qdisc", "add", "dev", "c0", "clsact")
        add_filters(lab.client, "c0", 3, 2)
        before = state.host_state(lab.client)
        lab.client.run("underpassctl", "activate", "c0")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        first = [(3, "u32", ""), (4, "u32", "")]
        assert [filters(lab.client, "c0", way)[:2] for way in WAYS] == [first, first]
        assert_attach_point(lab.client, "clsact", "c0")
        lab.client.run("underpassctl", "deactivate", "c0")
        state.assert_same(before, state.host_state(lab.client), "with filters of before")
        lab.client.run("underpassctl", "activate", "c0")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        add_filters(lab.client, "c0", 20)
        lab.client.run("underpassctl", "deactivate", "c0")
        for way in WAYS:
            kinds = [(priority, kind) for priority, kind, _ in filters(lab.client, "c0", way)]
            assert kinds == [(3, "u32"), (4, "u32"), (20, "u32")], f"{way}: {kinds}"
            lab.client.run("tc", "filter", "del", "dev", "c0", way, "prio", "20")
        state.assert_same(before, state.host_state(lab.client), "with filters that came later")


def test_empty_qdisc_of_others_stays():
    """A clsact qdisc that was there before without any filter stays, too."""
    with runner.TestLab() as lab:
        lab.client.up("first")
        lab.client.run("tc", "qdisc", "add", "dev", "c0", "clsact")
        before = state.host_state(lab.client)
        set_up(lab)
        lab.client.up("first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        service.kill(lab.client)
        lab.client.run("underpassctl", "deactivate", "c0")
        state.assert_becomes(before, lab.client, "after deactivate")


def test_own_qdisc_goes_unless_others_moved_in():
    """The qdisc that Underpass made goes with the tunnel; with filters of others in it, it stays."""
    with runner.TestLab() as lab:
        set_up(lab)
        lab.client.up("first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        assert "clsact" in tc_state(lab.client, "c0")
        lab.client.run("underpassctl", "deactivate", "c0")
        assert "clsact" not in tc_state(lab.client, "c0"), tc_state(lab.client, "c0")
        lab.client.run("underpassctl", "activate", "c0")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        add_filters(lab.client, "c0", 30)
        with_both = [filters(lab.client, "c0", way) for way in WAYS]
        lab.client.run("underpassctl", "deactivate", "c0")
        assert [[each[:2] for each in filters(lab.client, "c0", way)] for way in WAYS] == [[(30, "u32")]] * 2
        # Up once more: now the qdisc is not ours, so it stays also without filters.
        lab.client.run("underpassctl", "activate", "c0")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        assert [filters(lab.client, "c0", way) for way in WAYS] == with_both
        for way in WAYS:
            lab.client.run("tc", "filter", "del", "dev", "c0", way, "prio", "30")
        lab.client.run("underpassctl", "deactivate", "c0")
        assert "clsact" in tc_state(lab.client, "c0"), tc_state(lab.client, "c0")
        assert not ours(lab.client, "c0")


def refused(lab, *command):
    """With this tc command done by somebody else the tunnel cannot attach: the user hears why, and the link
    stays as it was; once it is undone the tunnel comes."""
    lab.client.run("tc", *command)
    before = state.host_state(lab.client)
    result = lab.client.run("underpassctl", "activate", "c0", check=False)
    assert result.returncode != 0, f"{command}: activated"
    found = service.wait_state(lab.client, "c0", "failed")
    assert "clsact" in found["LastError"] and "c0" in found["LastError"], found["LastError"]
    assert found["LastStage"] == "attach", found
    runner.note(found["LastError"])
    state.assert_same(before, state.host_state(lab.client), f"{command}: the link is not untouched")


def test_attach_point_that_is_taken():
    """An ingress qdisc in the place of the clsact one; a filter of another kind at the priority of ours."""
    with runner.TestLab() as lab:
        set_up(lab)
        lab.client.up("first")
        lab.client.run("underpassctl", "deactivate", "c0")
        refused(lab, "qdisc", "add", "dev", "c0", "ingress")
        lab.client.run("tc", "qdisc", "del", "dev", "c0", "ingress")
        lab.client.run("tc", "qdisc", "add", "dev", "c0", "clsact")
        everything = ("protocol", "all", "prio", "9", "u32", "match", "u32", "0", "0", "flowid", "1:1")
        refused(lab, "filter", "add", "dev", "c0", "egress", *everything)
        lab.client.run("tc", "filter", "del", "dev", "c0", "egress", "prio", "9")
        lab.client.run("underpassctl", "activate", "c0")
        service.wait_state(lab.client, "c0", service.ACTIVE)


def replace_without_service(lab):
    """While the service is dead somebody puts another qdisc in the place of ours: the next service cannot attach. What it
    says of the link."""
    service.kill(lab.client)
    lab.client.run("tc", "qdisc", "del", "dev", "c0", "clsact")
    lab.client.run("tc", "qdisc", "add", "dev", "c0", "ingress")
    service.manager_call(lab.client, "ListLinks")  # starts it again
    found = service.wait_state(lab.client, "c0", "failed")
    assert found["LastStage"] == "attach" and "clsact" in found["LastError"], found
    return found


def replaced_under_the_tunnel(lab):
    """Then the programs have gone, and the service says so. What it has done to the link besides stays. The state before
    the tunnel."""
    lab.client.up("first")
    lab.client.down("first")
    before = state.host_state(lab.client)
    use_attach_point("clsact", lab.client)
    service.set_tunnels(lab, "mtu=1400", endpoints="Underpass")
    lab.client.up("first")
    service.wait_state(lab.client, "c0", service.ACTIVE)
    found = replace_without_service(lab)
    applied = dict(found["Applied"])
    assert found["Programs"] == [] and set(applied) == {"mtu", "mtu-original", "endpoint"}, found
    assert not ours(lab.client, "c0")
    return before


def test_another_qdisc_comes_while_the_service_is_dead():
    """The record outlives the failure, so that the next service takes back what the first one has done."""
    with runner.TestLab() as lab:
        before = replaced_under_the_tunnel(lab)
        service.kill(lab.client)
        lab.client.down("first")
        service.manager_call(lab.client, "ListLinks")
        lab.client.run("tc", "qdisc", "del", "dev", "c0", "ingress")
        state.assert_becomes(before, lab.client, "after down")


def test_another_qdisc_comes_and_goes():
    """The tunnel comes back by itself, and with it all that the record told before."""
    with runner.TestLab() as lab:
        before = replaced_under_the_tunnel(lab)
        lab.client.run("tc", "qdisc", "del", "dev", "c0", "ingress")
        service.wait_state(lab.client, "c0", service.ACTIVE, 10)
        assert_attach_point(lab.client, "clsact", "c0")
        service.kill(lab.client)
        lab.client.down("first")
        service.manager_call(lab.client, "ListLinks")
        state.assert_becomes(before, lab.client, "after down")


def test_another_qdisc_comes_while_no_manager_tells_the_profile():
    """A tunnel goes on without NetworkManager, but not without programs: it is not called active."""
    with runner.TestLab() as lab:
        set_up(lab)
        lab.client.up("first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        lab.client.stop_daemon("manager", signal.SIGKILL)
        replace_without_service(lab)
        lab.client.run("tc", "qdisc", "del", "dev", "c0", "ingress")
        lab.client.start_manager()
        service.wait_state(lab.client, "c0", service.ACTIVE, 10)
        assert_attach_point(lab.client, "clsact", "c0")


def test_kill_and_adoption():
    """kill -9 in the middle of a transfer, adoption by the next start; and what a killed service left is
    swept up when the connection went down meanwhile."""
    with runner.TestLab() as lab:
        for verb in ("up", "down"):
            for profile in ("first", "second"):
                getattr(lab.client, verb)(profile)
        before = state.host_state(lab.client)
        set_up(lab)
        service.bring_up(lab)
        all_active(lab)
        _, client = traffic.pair(lab)
        traffic.connect_both(lab, client, "a")
        with client.uploading("a", RATE):
            shown = [tc_state(lab.client, uplink) for uplink in UPLINKS]
            for number in (signal.SIGKILL, signal.SIGTERM):
                service.kill(lab.client, number)
                assert [tc_state(lab.client, uplink) for uplink in UPLINKS] == shown
                all_active(lab)  # starts it again
                assert_attach_point(lab.client, "clsact", *UPLINKS)
                assert [tc_state(lab.client, uplink) for uplink in UPLINKS] == shown
        traffic.wait_subflows(lab.client, [address(uplink) for uplink in UPLINKS])
        client.close("a")
        service.kill(lab.client)
        lab.client.down("first")
        lab.client.down("second")
        service.manager_call(lab.client, "ListLinks")
        state.assert_becomes(before, lab.client, "after down without the service")


def switched(lab, attach_point):
    """The services end and start again with another attach point; exactly one pair of programs is left per link."""
    use_attach_point(attach_point, lab.client, lab.server)
    for host in (lab.client, lab.server):
        service.manager_call(host, "ListLinks")  # starts it again
    all_active(lab)
    for host, interfaces in ((lab.client, UPLINKS), (lab.server, ("s0",))):
        wait_until(lambda: ours_settled(host, attach_point, interfaces), f"{host.name} is on {attach_point}", 3)
        assert_attach_point(host, attach_point, *interfaces)


def ours_settled(host, attach_point, interfaces):
    """Whether the links are on this attach point."""
    return all(any(key.startswith(attach_point) for key in ours(host, interface)) for interface in interfaces)


def test_switch_attach_points():
    """tcx, then clsact, then tcx, each time by a restart of the service while a transfer runs: it survives,
    each link has exactly one pair of programs, and in the end everything is as before."""
    with runner.TestLab() as lab:
        if not state.programs(lab.client, "c0"):
            raise runner.Skip("this kernel has no tcx")
        lab.server.up("server")
        lab.server.down("server")
        for verb in ("up", "down"):
            for profile in ("first", "second"):
                getattr(lab.client, verb)(profile)
        before = {host: state.host_state(host) for host in (lab.client, lab.server)}
        service.set_tunnels(lab)
        service.bring_up(lab)
        all_active(lab)
        assert_attach_point(lab.client, "tcx", *UPLINKS)
        _, client = traffic.pair(lab)
        traffic.connect_both(lab, client, "a")
        with client.uploading("a", RATE):
            for attach_point in ("clsact", "tcx"):
                switched(lab, attach_point)
                there = tc_state(lab.client, "c0")
                assert ("clsact" in there) is (attach_point == "clsact"), there
        traffic.wait_subflows(lab.client, [address(uplink) for uplink in UPLINKS])
        counted = lab.counters()
        assert counted["tcp-mc0"] == counted["tcp-mc1"] == (0, 0), counted
        client.close("a")
        transfer(lab, client, 6)
        switched(lab, "clsact")
        lab.client.down("first")
        lab.client.down("second")
        lab.server.down("server")
        for host, then in before.items():
            state.assert_becomes(then, host, f"{host.name} after down")


def test_deactivate_after_a_switch():
    """A service with the one attach point takes down what one with the other attach point left."""
    with runner.TestLab() as lab:
        if not state.programs(lab.client, "c0"):
            raise runner.Skip("this kernel has no tcx")
        lab.client.up("first")
        before = state.host_state(lab.client)
        for attach_point, other in (("tcx", "clsact"), ("clsact", "tcx")):
            use_attach_point(attach_point, lab.client)
            service.set_keys(lab.client, "first", "tunnel=yes", f"remote-ports={PORT}")
            lab.client.up("first")
            service.wait_state(lab.client, "c0", service.ACTIVE)
            use_attach_point(other, lab.client)
            lab.client.run("underpassctl", "deactivate", "--all")
            state.assert_becomes(before, lab.client, f"after {attach_point}, deactivated with {other}")


def test_receive_mode_that_is_not_available():
    """It is tried again at each look, and that leads to no further look: the service rests."""
    with runner.TestLab() as lab:
        service.set_options(lab.server, "--attach-point=clsact", "--debug")
        too_many = f"local-ports={PORT}-{PORT + 64}"
        service.set_keys(lab.server, "server", "tunnel=yes", too_many, "bulk=yes", "receive=socket")
        lab.server.up("server")
        found = service.wait_state(lab.server, "s0", service.ACTIVE)
        assert found["ReceiveMode"][0] == "auto" and "at most 64" in found["ReceiveMode"][1], found["ReceiveMode"]
        log, sizes = lab.server.folder / "log" / "bus.log", []
        assert "s0: Plan:" in log.read_text(), "the log tells of no look"

        def rests():
            sizes.append(log.stat().st_size)
            return len(sizes) > 20 and len(set(sizes[-20:])) == 1

        wait_until(rests, "nothing is looked at any more", 10)
