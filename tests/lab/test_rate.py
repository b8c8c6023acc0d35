# SPDX-License-Identifier: GPL-2.0-or-later
"""underpassctl probe --rate: the figures of plain TCP and of the UDP form on paths that treat both alike, that limit one of
them, and against servers that take, close or send."""

import contextlib
import json
import os
import signal
import subprocess

import path
import runner
import service
from host import HERE, children, wait_until
from lab import PORT, address
from test_probe import NOBODY, PACKETS_MAX
from test_reference import reference_object, start_reference

MBIT = 20
LIMIT = "limit rate over 250 kbytes/second burst 60 kbytes drop"  # 2 Mbit/s, and a second of it at the beginning
BYTES_MAX = 25_000_000
# The third datagram that is a reset gets lost: two belong to the questions before the measurement.
RESET_LOST = f"udp dport {PORT} @th,72,8 4 numgen inc mod 4 == 2 counter drop"
FACTOR = 3  # so many times slower is no accident (plugin/plan/rate.h)
UDP_FAST = 100  # Mbit/s in the UDP form: from there on this host may be what is slow


@contextlib.contextmanager
def world(kind, *profiles, underpass=True):
    """A lab whose links carry MBIT each way; the server runs such a program."""
    with runner.TestLab() as lab:
        lab.strip_mptcp(False)
        if underpass:
            service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}")
        service.bring_up(lab, *(profiles or ("first",)))
        if underpass:
            service.wait_state(lab.server, "s0", service.ACTIVE)
        shape(lab, f"{MBIT}mbit")
        serve(lab, kind)
        yield lab


def shape(lab, rate):
    """The links carry so much each way, and no more."""
    for interface in ("mc0", "mc1", "ms0"):
        words = ("root", "tbf", "rate", rate, "burst", "20000", "latency", "60ms")
        lab.middlebox.run("tc", "qdisc", "replace", "dev", interface, *words)


def serve(lab, kind):
    """Starts the program and waits until it listens."""
    process = lab.server.spawn(["/usr/bin/python3", str(HERE / "rate_server.py"), str(PORT), kind])
    lab.at_close(process.wait)
    lab.at_close(process.kill)
    wait_until(lambda: f":{PORT}" in lab.server.output("ss", "-Hltn"), "the server listens")


def measure(lab, *words, family=4, option="--rate", user=NOBODY):
    """What JSON says of each link, as a user without rights."""
    target = f"[{address('s0', 6)}]:{PORT}" if family == 6 else f"{address('s0')}:{PORT}"
    result = lab.client.run(*user, "underpassctl", "probe", "--json", option, target, *words, check=False)
    assert result.stdout, result.stderr
    found = {link["interface"]: link["rate"] for link in json.loads(result.stdout)["links"]}
    for name, rate in found.items():
        for form in ("tcp", "udp"):
            runner.note(f"{name} {rate['direction']} {form}: {rate[form]}")
            assert rate[form]["bytes"] <= rate[form]["bytes_used"] <= BYTES_MAX * 1.05 or rate[form]["bytes"] == 0, rate
    return found


def one(lab, *words, **options):
    """The same for the first uplink."""
    return measure(lab, "c0", *words, **options)["c0"]


def speeds(rate, stuck=None):
    """Mbit/s of plain TCP and of the UDP form, which are there. stuck: one that may have none."""
    for form in ("tcp", "udp"):
        assert rate[form]["outcome"] == "measured" or (form == stuck and rate[form]["outcome"] == "stalled"), rate
    return [rate[form]["bytes_per_second"] * 8 / 1e6 for form in ("tcp", "udp")]


def no_connection_left(lab):
    """What was begun at the server is over."""

    def left():
        return lab.server.output("ss", "-Htnoi", "state", "connected")

    try:
        wait_until(lambda: f":{PORT}" not in left(), "it is reset", 5)
    except TimeoutError:
        runner.note(f"left: {left()}")
        raise


def test_alike():
    """A path without prejudice: both forms fill it, up and down, IPv4 and IPv6."""
    for kind, option in (("sink", "--rate"), ("web", "--rate=/large")):
        with world(kind) as lab:
            for family in (4, 6):
                rate = one(lab, family=family, option=option)
                plain, udp = speeds(rate)
                assert rate["verdict"] == "alike" and rate["direction"] == ("upload" if kind == "sink" else "download"), rate
                assert 0.6 * MBIT <= plain <= 1.1 * MBIT and 0.6 * MBIT <= udp <= 1.1 * MBIT, rate
            no_connection_left(lab)


def test_throttled():
    """The path limits UDP: the verdict says so. A sender may be in a long timeout when time is over."""
    for kind, option, port in (("sink", "--rate", "dport"), ("web", "--rate=/large", "sport")):
        with world(kind) as lab:
            path.rules(lab, f"udp {port} {PORT} {LIMIT}")
            for family in (4, 6):
                rate = one(lab, family=family, option=option)
                plain, udp = speeds(rate, stuck="udp")
                assert rate["verdict"] == "udp-throttled" and plain >= max(3 * udp, 0.6 * MBIT), rate
                assert rate["udp"]["bytes"] >= 100_000, rate
            no_connection_left(lab)
            text = lab.client.run(*NOBODY, "underpassctl", "probe", option, f"{address('s0')}:{PORT}")
            runner.note(text.stdout)
            assert "UDP is throttled on this path" in text.stdout and "25.0 MB of data for each form" in text.stderr, text
            path.rules(lab, f"tcp {port} {PORT} {LIMIT}")
            assert one(lab, option=option)["verdict"] == "tcp-throttled"


def test_swallowed():
    """The path lets a burst of UDP through, and then nothing."""
    with world("sink") as lab:
        path.rules(lab, f"udp dport {PORT} quota over 100 kbytes drop")
        rate = one(lab)
        assert rate["udp"]["outcome"] == "stalled" and rate["verdict"] == "udp-throttled", rate


def test_server_takes_little():
    """It closes at once, or reads nothing, or has no such page: no figure, and the sentence says what to do."""
    for kind, option, outcome in (("close", "--rate", "closed"), ("idle", "--rate", "stalled"), ("web", "--rate=/none", "closed")):
        with world(kind) as lab:
            for family in (4, 6):
                rate = one(lab, family=family, option=option)
                assert [rate[form]["outcome"] for form in ("tcp", "udp")] == [outcome] * 2, rate
                assert rate["verdict"] == "unknown" and rate["tcp"]["bytes_per_second"] == 0, rate
                assert [rate[form]["http_status"] for form in ("tcp", "udp")] == [404 if kind == "web" else 0] * 2, rate
            text = lab.client.run(*NOBODY, "underpassctl", "probe", option, f"{address('s0')}:{PORT}").stdout
            runner.note(text)
            assert "Give the path of a large file" in text, text
            no_connection_left(lab)


def test_reset_lost():
    """The path loses what ends a connection, or the server has not taken all that was sent: it is told once more. A server
    that sends nothing by itself would keep the connection for ever."""
    for kind, option, families in (
        ("idle", "--rate", (4, 6)),
        ("sink", "--rate", (6,)),
        ("web", "--rate=/large", (4,)),
        ("web", "--rate=/none", (4, 6)),
    ):
        with world(kind) as lab:
            for family in families:
                path.rules(lab, RESET_LOST)
                one(lab, family=family, option=option)
                no_connection_left(lab)
                assert "counter packets 0" not in lab.middlebox.output("nft", "list", "table", "inet", "path")


def test_beside_a_tunnel():
    """The link has a tunnel to the server: the same is found, and plain TCP is not measured where it would be tunnelled."""
    service_keys = ("tunnel=yes", f"remote-ports={PORT}")
    with world("sink") as lab:
        service.set_keys(lab.client, "first", *service_keys)
        lab.client.up("first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        lab.client.run("underpassctl", "probe", "--json", f"{address('s0')}:{PORT}", "c0")
        opened = service.counters(lab.client, "c0")["flows-opened"]
        for family in (4, 6):
            assert one(lab, family=family, user=())["verdict"] == "alike"
        # Only the questions of the probe went through the tunnel.
        assert service.counters(lab.client, "c0")["flows-opened"] == 3 * opened
        service.set_keys(lab.client, "first", *service_keys, "mptcp-only=no")
        lab.client.up("first")
        wait_until(lambda: "mptcp-only" in lab.client.output("underpassctl", "explain", "c0"), "the profile is applied")
        rate = one(lab, user=())
        assert (rate["tcp"]["outcome"], rate["udp"]["outcome"], rate["verdict"]) == ("not-asked", "measured", "unknown"), rate


def test_two_links():
    """One after the other: each is measured by itself."""
    with world("sink", "first", "second") as lab:
        path.rules(lab, f'iifname "mc1" udp dport {PORT} {LIMIT}')
        rates = measure(lab)
        assert [rates[name]["verdict"] for name in ("c0", "c1")] == ["alike", "udp-throttled"], rates


def count_datagrams(lab, largest):
    """Begins to count the datagrams that the client sends by its first uplink; the function that tells how
    many there were, and how many of them were larger."""
    names = ("counter every { }", "counter large { }")
    rule = f'iifname "mc0" udp dport {PORT}'
    rules = (f"{rule} counter name every", f"{rule} meta length > {largest} counter name large")
    # Before the middlebox refuses what does not fit.
    head = "chain come { type filter hook prerouting priority -350; policy accept;"
    lab.middlebox.set_nft_table("sizes", *names, head, *rules, "}")

    def counted():
        found = lab.middlebox.nft_counters("sizes")
        return [found[name][0] for name in ("every", "large")]

    return counted


def test_translated_and_narrow():
    """Behind a NAT and a narrow path, with losses on the way: segments fit, and both forms go on."""
    with world("sink") as lab:
        path.translate(lab, c0=(20000, 20999))
        path.narrow(lab, 1400)
        path.rules(lab, "meta mark 0 numgen random mod 1000 < 2 drop")
        counted = count_datagrams(lab, 1400)
        assert one(lab)["verdict"] == "alike"
        every, large = counted()
        assert every > 1000 and large <= PACKETS_MAX, (every, large)  # the probe asks how large they may be


def test_interrupted():
    """Ctrl-C ends it at once, and the server is told."""
    with world("sink") as lab:
        words = [*NOBODY, "underpassctl", "probe", "--rate", f"{address('s0')}:{PORT}", "c0"]
        for form in ("tcp", "udp"):
            path.rules(lab, RESET_LOST)
            process = lab.client.spawn(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            before = path.forwarded(lab, form)
            wait_until(lambda: path.forwarded(lab, form) > before + 500, f"the {form} form is measured", 20)  # noqa: B023
            os.kill(children(process.pid)[0], signal.SIGINT)  # the process itself only waits for who is in the host
            assert process.wait(timeout=2) == -signal.SIGINT
            no_connection_left(lab)


def test_without_underpass():
    """No UDP form: plain TCP has its figure."""
    with world("sink", underpass=False) as lab:
        rate = one(lab)
        assert (rate["tcp"]["outcome"], rate["udp"]["outcome"], rate["verdict"]) == ("measured", "not-asked", "unknown"), rate


def test_reference():
    """A server with the programs of multipath-tcp/tcp-in-udp."""
    program = reference_object()
    with world("sink", underpass=False) as lab:
        start_reference(lab.server, program, "s0")
        for family in (4, 6):
            rate = one(lab, family=family)
            assert rate["udp"]["outcome"] == "measured", rate


def test_no_limit():
    """Where nothing limits either form, a process that sends datagram by datagram is the slower one, and that is no fault of
    the path. A machine on which it is slower than the paths that are judged is asked about a path that it can fill."""
    with world("sink") as lab:
        for interface in ("mc0", "ms0"):
            lab.middlebox.run("tc", "qdisc", "delete", "dev", interface, "root")
        rate = one(lab)
        plain, udp = speeds(rate)
        if udp < UDP_FAST and plain >= FACTOR * udp:
            runner.note(f"a process sends {udp:.0f} Mbit/s here, which is less than {UDP_FAST}")
            shape(lab, f"{udp / 2:.3f}mbit")
            rate = one(lab)
            plain, udp = speeds(rate)
            assert plain < FACTOR * udp, rate
        host_was_slow = plain >= FACTOR * udp or (rate["udp"]["lost_on_this_host"] and plain > udp)
        assert rate["verdict"] == ("unknown" if host_was_slow else "alike"), rate
