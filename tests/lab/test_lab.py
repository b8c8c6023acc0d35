# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab itself, without the project: what the other tests take for granted is shown here."""

import runner
import state
import traffic
import wire
from lab import PORT, address


def differing(client, name, **arguments):
    """What is said of an upload whose checksums differ."""
    try:
        client.transfer("upload", name, **arguments)
    except AssertionError as error:
        return str(error)
    raise AssertionError("the checksums are equal")


def all_up(lab):
    """Brings all profiles up."""
    for host, profile in ((lab.client, "first"), (lab.client, "second"), (lab.server, "server")):
        host.up(profile)


def test_middlebox_strips():
    """Through the middlebox MPTCP falls back to TCP, with and without IPv6; with stripping off it does not,
    and the second uplink carries a subflow."""
    with runner.TestLab(stage=False) as lab:
        all_up(lab)
        _, client = traffic.pair(lab)
        for family in (4, 6):
            client.connect("stripped", address("s0", family))
            client.transfer("echo", "stripped", size=5000)
            assert client.info("stripped")["fallback"], "MPTCP options came through"
            assert traffic.subflows(lab.client) == []
            client.close("stripped")
        lab.strip_mptcp(False)
        for family in (4, 6):
            traffic.connect_both(lab, client, "open", family)
            assert not client.info("open")["fallback"]
            client.transfer("upload", "open", size=3_000_000)
            client.transfer("download", "open", size=3_000_000)
            client.close("open")


def test_much_data_begins_with_all_subflows():
    """What moves much data begins when each uplink has its subflow."""
    with runner.TestLab(stage=False) as lab:
        lab.strip_mptcp(False)
        all_up(lab)
        _, client = traffic.pair(lab)
        for family in (4, 6):
            for number in range(5):
                name = f"{family} {number}"
                client.connect(name, address("s0", family))
                token = client.info(name)["token"]
                client.start("uploads", name, rate=50_000_000)
                has = traffic.subflows_of(lab.client, token)
                assert has == sorted(address(link, family) for link in ("c0", "c1")), has
                client.finish(name)
                client.wait(name)
                client.close(name)


def test_differing_checksums_are_explained():
    """Where both ends have seen other bytes, the test that fails says which, and what has become of the connection."""
    with runner.TestLab(stage=False) as lab:
        all_up(lab)
        _, client = traffic.pair(lab)
        client.connect("a")
        client.transfer("upload", "a", size=1_000_000)
        for place in (70_000, 999_000):
            told = differing(client, "a", size=1_000_000, spoil=place)
            difference = f"differs at byte {place}, zeros for 100 bytes"
            for words in ("'received': 1000000", difference, "MPTcpExt", address("s0")):
                assert words in told, told


def test_capture_sees_tcp():
    """A capture on the middlebox misses nothing and sees plain TCP as TCP."""
    with runner.TestLab(stage=False) as lab:
        all_up(lab)
        _, client = traffic.pair(lab)
        with wire.Capture(lab.middlebox, "mc0") as capture:
            client.connect("a")
            client.transfer("upload", "a", size=2_000_000)
        report = capture.report(PORT)
        assert capture.dropped() == 0 and report.tcp > 30 and report.udp == 0, report


def test_state_is_stable():
    """Two snapshots of an idle host are equal, so are those before and after a profile was up, and a change
    is seen."""
    with runner.TestLab(stage=False) as lab:
        lab.client.up("first")
        lab.client.down("first")
        before = state.host_state(lab.client)
        state.assert_same(before, state.host_state(lab.client), "nothing happened")
        lab.client.up("first")
        assert address("c0") in state.difference(before, state.host_state(lab.client))
        lab.client.down("first")
        state.assert_same(before, state.host_state(lab.client), "after down")
        lab.client.run("tc", "qdisc", "add", "dev", "c1", "clsact")
        assert "+qdisc clsact" in state.difference(before, state.host_state(lab.client))


def test_nothing_left_behind():
    """A lab that was closed has left no process and no folder."""
    with runner.TestLab(stage=False) as lab:
        pids = [host.init for host in lab.hosts]
        folder = lab.folder
    assert not folder.exists()
    assert not any(runner.lab_module.pathlib.Path(f"/proc/{pid}").exists() for pid in pids)
