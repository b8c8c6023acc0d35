# SPDX-License-Identifier: GPL-2.0-or-later
"""Where UDP does not get through: plain TCP instead, or nothing at all where the profile says so. No flow
changes its form after its handshake."""

import time

import path
import runner
import service
import traffic
import wire
from host import wait_until
from lab import PORT, address

SYN_INTERVAL = 1.0  # seconds between the first SYNs of Linux (net.ipv4.tcp_syn_linear_timeouts)
LINK_INTERVAL = 0.45  # the same where the round trips of the link are known, and short (see test_patience.py)
INTERVAL = 0.25  # where those to the destination are

# What routers and firewalls answer. Each gets a port of its own, because destinations are remembered.
REFUSALS = (
    (4, "icmp port-unreachable"),
    (4, "icmp host-unreachable"),
    (4, "icmp admin-prohibited"),
    (6, "icmpv6 port-unreachable"),
    (6, "icmpv6 no-route"),
    (6, "icmpv6 admin-prohibited"),
)
RATE = 4_000_000  # bytes a second
REMOTE_PORTS = f"remote-ports={PORT}-{PORT + 20}"
LOCAL_PORTS = f"local-ports={PORT}-{PORT + 20}"


def one_uplink(lab, *client, server=(LOCAL_PORTS,)):
    """Brings up the client's first uplink only, with these pairs, and the server, with these or without a
    tunnel."""
    service.set_keys(lab.client, "first", "tunnel=yes", REMOTE_PORTS, *client)
    if server:
        service.set_keys(lab.server, "server", "tunnel=yes", *server)
    service.bring_up(lab, "first")
    if server:
        service.wait_state(lab.server, "s0", service.ACTIVE)
    service.wait_state(lab.client, "c0", service.ACTIVE)


def timed_connect(client, name, least, most, **arguments):
    """Connects and asserts how long that takes; the seconds."""
    seconds = client.connect(name, **arguments)["seconds"]
    assert least <= seconds < most, f"{name}: connected after {seconds:.2f} s, expected {least} … {most} s"
    client.transfer("upload", name, size=200_000)
    return seconds


def counted(lab, **expected):
    """Asserts counters of the client's first uplink; names with _ for -."""
    found = service.counters(lab.client, "c0")
    for name, value in expected.items():
        name = name.replace("_", "-")
        assert found[name] == value, f"{name} is {found[name]}, expected {value}: {found}"


def test_udp_dropped():
    """Plain TCP after fallback-after SYNs; after two such connections the next one to that destination is
    plain at once, one to another port asks again."""
    with runner.TestLab() as lab:
        one_uplink(lab)
        path.rules(lab, f"udp dport {PORT}-{PORT + 20} drop")
        server, client = traffic.pair(lab)
        server.listen(PORT + 1)
        first = timed_connect(client, "first", 2 * SYN_INTERVAL - 0.2, 2 * SYN_INTERVAL + 1.5)
        counted(lab, fallback_silence=1, fallback_refused=0, plain_blocked=0, flows_opened=2)
        timed_connect(client, "second", 2 * INTERVAL - 0.1, 2 * INTERVAL + 1)
        counted(lab, fallback_silence=2, plain_blocked=0, flows_opened=4)
        third = timed_connect(client, "third", 0, 0.5)
        counted(lab, fallback_silence=2, plain_blocked=1, flows_opened=4)
        other = timed_connect(
            client, "other port", 2 * LINK_INTERVAL - 0.1, 2 * LINK_INTERVAL + 1, port=PORT + 1
        )
        counted(lab, fallback_silence=3, plain_blocked=1, flows_opened=6, flows_established=0)
        service.set_keys(lab.client, "first", "fallback-after=1", options=("--reapply",))
        # NetworkManager tells the service of it after it has answered.
        wait_until(lambda: service.link(lab.client, "c0")["FallbackAfter"] == 1, "the new value is in force")
        server.listen(PORT + 2)
        sooner = timed_connect(client, "sooner", SYN_INTERVAL - 0.2, SYN_INTERVAL + 0.9, port=PORT + 2)
        counted(lab, fallback_silence=4, flows_opened=7)
        # Had the kernel concluded that MPTCP itself is blocked, it would use it no more for an hour.
        assert traffic.kernel_counters(lab.client)["MPTcpExt.Blackhole"] == 0
        runner.note(
            f"connected after {first:.2f} s, the third one {third * 1000:.0f} ms, another port "
            f"{other:.2f} s, with fallback-after=1 {sooner:.2f} s"
        )


def test_udp_refused():
    """ICMP says that UDP does not get there: the next SYN is plain."""
    with runner.TestLab() as lab:
        one_uplink(lab)
        server, client = traffic.pair(lab)
        cases = [(PORT + number, *refusal) for number, refusal in enumerate(REFUSALS)]
        path.rules(lab, *(f"udp dport {port} reject with {answer}" for port, _, answer in cases))
        for number, (port, family, answer) in enumerate(cases, 1):
            if port != PORT:
                server.listen(port)
            for attempt in range(2):
                # Nothing is known of the first link address of each family; then the link, then more.
                expected = INTERVAL if attempt else LINK_INTERVAL if number not in (1, 4) else SYN_INTERVAL
                seconds = timed_connect(
                    client,
                    f"{answer} {attempt}",
                    expected - 0.1,
                    expected + 0.9,
                    target=address("s0", family),
                    port=port,
                )
                refused = 2 * number - 1 + attempt
                counted(
                    lab,
                    fallback_refused=refused,
                    fallback_silence=0,
                    drop_icmp=refused,
                    flows_established=0,
                    plain_blocked=number - 1,
                )
            again = timed_connect(client, f"{answer} again", 0, 0.5, target=address("s0", family), port=port)
            counted(lab, plain_blocked=number)
            runner.note(f"{answer}: connected after {seconds:.2f} s, again {again * 1000:.0f} ms")


def expect_refused(lab, client, name, within, **arguments):
    """A connection that is refused in time: TCP hears of it."""
    begin = time.monotonic()
    try:
        client.connect(name, **arguments)
    except traffic.PeerError as error:
        assert "refused" in str(error), error
    else:
        raise AssertionError(f"{name} was not refused")
    seconds = time.monotonic() - begin
    assert seconds < within, f"{name}: refused after {seconds:.2f} s"
    runner.note(f"{name}: refused after {seconds:.2f} s")


def test_firewall_of_the_server():
    """The server's own firewall rejects the SYN over UDP, when it is TCP again, and then the plain one: an error
    about either quotes what the client has sent, so the client hears that it is refused."""
    with runner.TestLab() as lab:
        one_uplink(lab, "mptcp-only=no", server=(LOCAL_PORTS, "mptcp-only=no"))
        _, client = traffic.pair(lab)
        head = "chain in { type filter hook input priority 0; policy accept;"
        lab.server.set_nft_table("firewall", head, f"tcp dport {PORT} reject with icmpx port-unreachable", "}")
        for family in (4, 6):
            for protocol in ("mptcp", "tcp"):
                name = f"IPv{family}, {protocol}"
                expect_refused(lab, client, name, 2.5, target=address("s0", family), protocol=protocol)


def test_reset_of_the_server():
    """The way back swallows UDP, so the SYN over UDP has arrived in vain; the plain one is answered by a plain reset."""
    with runner.TestLab() as lab:
        one_uplink(lab)
        client = traffic.Peer(lab, lab.client)  # nobody listens
        path.rules(lab, f"udp sport {PORT} drop")
        for family in (4, 6):
            expect_refused(lab, client, f"IPv{family}", 5, target=address("s0", family))


def test_server_without_underpass():
    """A server that knows nothing of the tunnel: its own ICMP error makes the next SYN a plain one."""
    with runner.TestLab() as lab:
        one_uplink(lab, "mptcp-only=no", server=())
        lab.strip_mptcp(False)
        server, client = traffic.pair(lab)
        server.listen(PORT + 1, "tcp")
        for name, port, protocol in (("mptcp", PORT, "mptcp"), ("tcp", PORT + 1, "tcp")):
            for family in (4, 6):
                target = address("s0", family)
                label = f"{name} IPv{family}"
                expected = LINK_INTERVAL if name == "tcp" else SYN_INTERVAL
                seconds = timed_connect(
                    client,
                    label,
                    expected - 0.1,
                    expected + 0.9,
                    target=target,
                    port=port,
                    protocol=protocol,
                )
                # Nothing strips here: MPTCP is MPTCP, in its plain form.
                assert client.info(label)["fallback"] is (protocol == "tcp"), client.info(label)
                runner.note(f"{label}: connected after {seconds:.2f} s")
        counted(lab, fallback_refused=4, fallback_silence=0, flows_established=0)


def fails(client, **arguments):
    """(name of the error, seconds) of a connection that cannot come up."""
    begin = time.monotonic()
    try:
        client.connect("never", **arguments)
    except traffic.PeerError as error:
        return str(error).split(": ", 1)[1], time.monotonic() - begin
    raise AssertionError(f"connected after {time.monotonic() - begin:.2f} s")


def test_no_fallback():
    """fallback=no: nothing plain on the wire, ever, and the application hears why."""
    with runner.TestLab() as lab:
        one_uplink(lab, "fallback=no")
        lab.client.sysctl("net.ipv4.tcp_syn_retries", 1)
        lab.client.sysctl("net.ipv4.tcp_syn_linear_timeouts", 0)
        server, client = traffic.pair(lab)
        server.listen(PORT + 1)
        server.listen(PORT + 2)
        path.rules(
            lab,
            f"udp dport {PORT} drop",
            f"udp dport {PORT + 1} reject with icmp port-unreachable",
            f"udp dport {PORT + 2} reject with icmp host-unreachable",
        )
        with wire.Capture(lab.middlebox, "mc0") as capture:
            for number, expected in enumerate(
                ("TimeoutError", "ConnectionRefusedError", "No route to host")
            ):
                for _ in range(2):
                    error, seconds = fails(client, port=PORT + number)
                    assert expected in error, f"port {PORT + number}: {error}"
                    # In the lab the error may come while the socket is still busy sending; then the second
                    # SYN brings it.
                    assert seconds < (2 if number else 5), f"{error} after {seconds:.2f} s"
                runner.note(f"{error} after {seconds:.2f} s")
        reports = [capture.report(PORT + number) for number in range(3)]
        assert all(report.tcp == 0 and report.syn >= 2 for report in reports), reports
        counted(lab, fallback_silence=0, fallback_refused=0, plain_blocked=0)


def test_udp_dropped_in_the_middle_of_a_transfer():
    """For 3 s, on both uplinks: the transfer goes on afterwards and never changes its form."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        _, client = traffic.pair(lab)
        traffic.connect_both(lab, client, "a")
        before = [service.counters(lab.client, uplink) for uplink in ("c0", "c1")]
        with wire.Capture(lab.middlebox, "mc0") as first, wire.Capture(lab.middlebox, "mc1") as second:
            with client.uploading("a", RATE):
                path.rules(lab, "meta l4proto udp drop")
                time.sleep(3)
                path.rules(lab)
                begin = time.monotonic()
                client.wait_moved("a", RATE)
                seconds = time.monotonic() - begin
        assert not client.info("a")["fallback"]
        for capture in (first, second):
            report = capture.report(PORT)
            assert report.tcp == 0 and report.udp > 0, f"{report.tcp} TCP packets, {report.udp} datagrams"
        for uplink, then in zip(("c0", "c1"), before):
            now = service.counters(lab.client, uplink)
            for name in ("fallback-silence", "fallback-refused", "plain-blocked"):
                assert now[name] == then[name], f"{uplink}: {name} {now[name]}"
        runner.note(f"{RATE // 1_000_000} MB at {RATE // 1_000_000} MB/s took {seconds:.1f} s after 3 s without UDP")


def test_fallback_of_the_kernel():
    """Linux itself drops the MPTCP option from a SYN that gets no answer. Whenever it does, before or after
    ours, the connection comes up."""
    with runner.TestLab() as lab:
        one_uplink(lab)
        server, client = traffic.pair(lab)
        path.rules(lab, f"udp dport {PORT}-{PORT + 20} drop")
        for number, retransmissions in enumerate((0, 1, 2, 128)):
            # From connections that come up only without the option the kernel concludes that MPTCP is
            # blocked everywhere, which would end this test.
            lab.client.sysctl("net.mptcp.blackhole_timeout", 0)
            lab.client.sysctl("net.mptcp.syn_retrans_before_tcp_fallback", retransmissions)
            if number:
                server.listen(PORT + number)
            name = f"kernel's after {retransmissions}"
            interval = LINK_INTERVAL if number else SYN_INTERVAL
            seconds = timed_connect(
                client, name, 2 * interval - 0.2, 2 * interval + 1.5, port=PORT + number
            )
            counted(lab, fallback_silence=number + 1, flows_opened=2 * (number + 1))
            runner.note(f"syn_retrans_before_tcp_fallback={retransmissions}: {seconds:.2f} s")


def test_fallback_of_the_kernel_after_one_lost_syn():
    """UDP works, but the first SYN gets lost and the kernel takes the option off the second one at once."""
    with runner.TestLab() as lab:
        one_uplink(lab)
        _, client = traffic.pair(lab)
        lab.client.sysctl("net.mptcp.syn_retrans_before_tcp_fallback", 0)
        path.rules(lab, f"udp dport {PORT} numgen inc mod 1000000 0 drop")
        seconds = timed_connect(client, "a", 2 * SYN_INTERVAL - 0.2, 2 * SYN_INTERVAL + 1.5)
        # The server takes MPTCP only, so it refuses that SYN, and the third one is plain.
        assert service.counters(lab.server, "s0")["pass-not-mptcp"] == 1
        counted(lab, flows_opened=2, fallback_refused=1, flows_established=0)
        runner.note(f"connected after {seconds:.2f} s")
