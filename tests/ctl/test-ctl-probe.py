#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""underpassctl probe, by the loopback device, against servers that this test plays: a TCP socket that listens, and a UDP
socket at the same port that answers SYNs in UDP form, or sends something else. No service, and no bus, unless told
otherwise: then the service is a mock, which tells of a loopback device with settings.

Usage: test-ctl-probe.py UNDERPASSCTL XML
"""

import contextlib
import json
import os
import pathlib
import pty
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position
from bus import Bus  # noqa: E402  pylint: disable=wrong-import-position

HERE = pathlib.Path(__file__).resolve().parent
NO_BUS = "unix:path=/nowhere"
UUID = "11111111-2222-3333-4444-555555555555"
MIRROR = "77777777-2222-3333-4444-555555555555"  # of mock_world.py

SYN, RST, ACK = 0x02, 0x04, 0x10
MSS = b"\2\4\5\xb4"
CAPABLE = b"\x1e\x0c\x01\x01key-key-"


def segment(flags, sequence, acknowledgment, options=b""):
    """A TCP header in UDP form, without ports."""
    offset = (20 + len(options)) // 4 << 4
    return struct.pack("!BBHII", offset, flags, 65535, sequence, acknowledgment) + options


class Server(threading.Thread):
    """Answers each SYN over UDP by what answer() returns; heard has what else came."""

    def __init__(self, family, answer, tcp=True, udp=True):
        super().__init__(daemon=True)
        self.tcp = socket.socket(family, socket.SOCK_STREAM)
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        address = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        self.tcp.bind((address, 0))
        self.port = self.tcp.getsockname()[1]
        self.udp.settimeout(0.05)
        self.name = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        if tcp:
            self.tcp.listen()
        self._answer = answer
        self._over = False
        self.syns, self.resets = [], []
        if udp:
            self.udp.bind((address, self.port))
        self.start()

    def run(self):
        while not self._over:
            with contextlib.suppress(TimeoutError):
                self._hear(*self.udp.recvfrom(65536))

    def _hear(self, data, client):
        _, flags, _, sequence, _ = struct.unpack("!BBHII", data[:12])
        if flags == SYN:
            self.syns.append((sequence, data[12:28], len(data)))
            for answer in self._answer(sequence, len(data)):
                self.udp.sendto(answer, client)
        elif flags == RST:
            self.resets.append(sequence)

    def close(self):
        """Ends it."""
        self._over = True
        self.join()
        self.udp.close()
        self.tcp.close()


def accepts(sequence, _):
    """An Underpass server whose program has MPTCP."""
    yield segment(SYN | ACK, 1000, sequence + 1 & 0xFFFFFFFF, MSS + CAPABLE)


def accepts_plain(sequence, _):
    """One whose program has not."""
    yield segment(SYN | ACK, 1000, sequence + 1 & 0xFFFFFFFF, MSS)


def says_nothing(*_):
    """No Underpass, and a firewall that drops."""
    return ()


def noise(sequence, _):
    """What is no answer: another number, not even a header, a QUIC version negotiation, no ACK."""
    yield segment(SYN | ACK, 1000, sequence + 2 & 0xFFFFFFFF, MSS + CAPABLE)
    yield b"\x50"
    yield bytes.fromhex("80000000000801020304050607080001000000")
    yield segment(SYN, 1000, sequence + 1 & 0xFFFFFFFF, MSS + CAPABLE)


class ProbeBase(unittest.TestCase):
    """How the command is run."""

    program = None
    xml = None

    def run_probe(self, *words, status=0, **environment):
        """Runs the command; (standard output, standard error)."""
        variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "DBUS_SYSTEM_BUS_ADDRESS": NO_BUS}
        result = subprocess.run(
            [self.program, "probe", *words],
            env={**variables, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        output, errors = result.stdout.decode(), result.stderr.decode()
        self.assertEqual(result.returncode, status, output + errors)
        return output, errors

    def server(self, answer, family=socket.AF_INET, **options):
        """One that lives as long as the test."""
        server = Server(family, answer, **options)
        self.addCleanup(server.close)
        return server


class ProbeTest(ProbeBase):
    """The command and what it prints."""

    def ask(self, server, status=0):
        """What JSON says of the loopback device."""
        document = json.loads(self.run_probe("--json", server.name, "lo", status=status)[0])
        self.assertEqual(document["port"], server.port)
        (link,) = document["links"]
        self.assertEqual(link["interface"], "lo")
        return link

    def assert_taken_back(self, server, seconds=5):
        """A reset for each SYN, however often that was sent; the server may read the last ones when the command
        has ended."""
        deadline = time.monotonic() + seconds
        while (wanted := {syn[0] + 1 & 0xFFFFFFFF for syn in server.syns}) != set(server.resets):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        self.assertEqual(set(server.resets), wanted)

    def test_tunnel_helps(self):
        """IPv4 and IPv6. Every SYN that was answered is taken back by a reset, and its number fits."""
        for family in (socket.AF_INET, socket.AF_INET6):
            with self.subTest(family=family):
                server = self.server(accepts, family)
                link = self.ask(server)
                self.assertEqual([link[form]["outcome"] for form in ("tcp", "udp")], ["answered", "mptcp"])
                self.assertEqual((link["verdict"], link["speaks_underpass"]), ("helps", True), link)
                self.assertIn("remote-ports" if "profile set" in link["command"] else "RemotePorts", link["command"])
                self.assertLessEqual(link["packets"], 20)
                self.assert_taken_back(server)
                self.assertTrue(all(syn[1].endswith(b"\x1e\x04\x01\x01") for syn in server.syns), server.syns)
                self.assertGreater(link["mtu_there"], 1500)
                self.assertEqual(max(syn[2] for syn in server.syns), link["mtu_there"] - 8 - (20 if "." in server.name else 40))

    def test_what_others_answer(self):
        """Each kind of server has its verdict."""
        for answer, outcome, verdict in (
            (accepts_plain, "answered", "server-without-mptcp"),
            (says_nothing, "silence", "udp-silent"),
            (noise, "silence", "udp-silent"),
        ):
            with self.subTest(answer=answer.__name__):
                link = self.ask(self.server(answer))
                self.assertEqual((link["udp"]["outcome"], link["verdict"]), (outcome, verdict), link)
                self.assertEqual(link["command"], "")

    def test_large_ones_lost(self):
        """Only small SYNs are answered: larger ones are tried a few times, and the figure says so."""
        server = self.server(lambda sequence, length: accepts(sequence, length) if length < 1400 else ())
        link = self.ask(server)
        self.assertEqual((link["mtu_there"], link["mtu_lost"]), (1400, 1492), link)
        self.assertLessEqual(link["packets"], 20)

    def test_refused_over_udp(self):
        """TCP listens, and nothing holds the UDP port: the kernel refuses."""
        server = self.server(accepts, udp=False)
        link = self.ask(server)
        self.assertEqual((link["udp"]["outcome"], link["udp"]["from"]), ("refused", "127.0.0.1"), link)
        self.assertEqual(link["verdict"], "no-underpass")

    def test_nothing_listens(self):
        """Exit status 1, a sentence, and what was found all the same."""
        server = self.server(accepts, tcp=False, udp=False)
        self.assertEqual(self.ask(server, status=1)["verdict"], "closed")
        output, errors = self.run_probe(server.name, "lo", status=1)
        self.assertIn("Nothing listens at this port", output)
        self.assertIn(f"127.0.0.1 does not answer at port {server.port}.", errors)

    def test_picture(self):
        """What passes meets at the right; 80 columns; the same in ASCII where the locale knows no more."""
        server = self.server(accepts)
        output = self.run_probe(server.name, "lo")[0]
        self.assertRegex(output, rf"(?m)^ lo ─┬─ plain TCP   ✔ \S+ ms ─+┬─ 127\.0\.0\.1:{server.port}$")
        self.assertRegex(output, r"(?m)^     └─ UDP form    ✔ \S+ ms ─+┘$")
        self.assertIn("→ Set tunnel=on-demand on lo, ", output)
        output = self.run_probe(server.name, "lo", LC_ALL="C")[0]
        self.assertTrue(output.isascii(), output)
        self.assertRegex(output, rf"(?m)^ lo -\+- plain TCP   ok \S+ ms -+\+- 127\.0\.0\.1:{server.port}$")
        for line in output.splitlines():
            self.assertTrue(len(line) <= 80 or line.startswith("  (set -C && printf "), line)
        self.assertNotIn("=>", self.run_probe(server.name, "lo", "--no-legend", LC_ALL="C")[0])

    def test_rate(self):
        """Both forms are measured only where they pass; what the server makes of it is told. Options stand anywhere, and no host
        is taken for a path."""
        server = self.server(says_nothing)
        for words in (("--rate", server.name, "lo"), (server.name, "lo", "--rate"), (server.name, "lo", "--rate", "/large")):
            with self.subTest(words=words):
                (link,) = json.loads(self.run_probe("--json", *words)[0])["links"]
                self.assertEqual(link["rate"]["direction"], "download" if "/large" in words else "upload")
                self.assertEqual(link["rate"]["udp"]["outcome"], "not-asked", link)
                self.assertIn(link["rate"]["tcp"]["outcome"], ("stalled", "closed"), link)
                self.assertEqual((link["rate"]["verdict"], link["rate"]["reason"]), ("unknown", "no-figure"), link)
        output, errors = self.run_probe("--rate", server.name, "lo")
        self.assertIn("up to 2 seconds and 25.0 MB of data for each form on each link, 50.0 MB in all", errors)
        self.assertRegex(output, r"Plain TCP: no figure, as the server took \S+ kB and no more")
        self.assertRegex(output, r"(?s)UDP form: not measured.*cannot be compared.*This used \S+ \S+ of data")
        # Without --rate nothing of it.
        self.assertNotIn("rate", self.ask(server))

    def test_rate_refused(self):
        """A server that answers the SYN and then resets the UDP form."""

        def accepts_once(sequence, length):
            yield from accepts(sequence, length)
            if length > 28 + 12:
                return
            yield segment(RST | ACK, 1001, sequence + 1 & 0xFFFFFFFF)

        link = json.loads(self.run_probe("--json", "--rate", self.server(accepts_once).name, "lo")[0])["links"][0]
        self.assertEqual(link["rate"]["udp"]["outcome"], "closed", link)
        self.assertEqual(link["rate"]["udp"]["bytes"], 0, link)

    def test_names_resolve(self):
        """A name of both families; HOST PORT as two words."""
        server = self.server(says_nothing)
        document = json.loads(self.run_probe("--json", "localhost", str(server.port), "lo")[0])
        self.assertEqual(document["host"], "localhost")
        self.assertIn(document["links"][0]["address"], ("127.0.0.1", "::1"))

    def test_command_line(self):
        """What is wrong is named."""
        for words, status, text in (
            ((), 2, "Too few arguments"),
            (("[::1]:0",), 5, "“[::1]:0” is not a host"),
            (("a:b",), 5, "“a:b” is not a host"),
            ((":443",), 5, "“:443” is not a host"),
            (("127.0.0.1:70000",), 5, "is not a host"),
            (("127.0.0.1", "no-such-link"), 4, "no-such-link"),
            (("--rate=large", "127.0.0.1"), 5, "“large” is not a path for --rate"),
            (("--rate=/two words", "127.0.0.1"), 5, "“/two words” is not a path for --rate"),
            (("--rate=/" + 1024 * "x", "127.0.0.1"), 5, "is not a path for --rate"),
            (("--rate",), 2, "Too few arguments"),
            (("127.0.0.1", "a-name-that-is-much-too-long"), 4, "a-name-that-is-much-too-long"),
            (("name.invalid",), 1, "Cannot find the address of “name.invalid”"),
        ):
            with self.subTest(words=words):
                self.assertIn(text, self.run_probe(*words, status=status)[1])

    def interrupt(self, bus):
        """Presses Ctrl-C once the server was asked. bus: the address of the system bus."""
        server = self.server(says_nothing)
        main, other = pty.openpty()
        with subprocess.Popen(
            [self.program, "probe", server.name, "lo"], stdin=other, stdout=other, stderr=other,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm", "DBUS_SYSTEM_BUS_ADDRESS": bus},
        ) as process:
            os.close(other)
            self.assertIn(b"Asking 127.0.0.1: 0 of 1", os.read(main, 4096))
            deadline = time.monotonic() + 10
            while not server.syns and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(timeout=5), -signal.SIGINT)
        shown = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(main, 4096):
                shown += chunk
        os.close(main)
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown)
        self.assert_taken_back(server)

    def test_interrupted(self):
        """Ctrl-C on a terminal: the line of progress goes, half-open connections are taken back, and the shell sees the
        signal. So it is too with a bus, for which GIO starts threads."""
        with tempfile.TemporaryDirectory(prefix="underpass-ctl-") as folder:
            bus = Bus(folder)
            bus.start()
            self.addCleanup(bus.stop)
            for address in (NO_BUS, bus.address):
                with self.subTest(address=address):
                    self.interrupt(address)

    def test_interrupted_before(self):
        """A bus that lets nobody in does not keep Ctrl-C from ending the command."""
        with tempfile.TemporaryDirectory(prefix="underpass-ctl-") as folder, socket.socket(socket.AF_UNIX) as silent:
            silent.bind(f"{folder}/bus")
            silent.listen()
            variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/bus"}
            with subprocess.Popen([self.program, "probe", "127.0.0.1:9", "lo"], env=variables) as process:
                connection = silent.accept()[0]
                with connection:
                    connection.recv(4096)  # it waits for the answer to this
                    process.send_signal(signal.SIGINT)
                    self.assertEqual(process.wait(timeout=5), -signal.SIGINT)


class SettingsTest(ProbeBase):
    """What is advised for a link that has settings."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="underpass-ctl-")
        self.addCleanup(folder.cleanup)
        self.properties = pathlib.Path(folder.name) / "lo"
        self.bus = Bus(folder.name)
        mock = (HERE / "mock_service.py", self.xml, f"{folder.name}/log", self.properties)
        self.bus.add_service("org.underpass1", "/usr/bin/python3", "-B", *mock)
        self.bus.start()
        self.addCleanup(self.bus.stop)
        self.far = self.server(accepts)

    def advice(self, state="active", source="NetworkManager", connection=UUID, network="", **settings):
        """What JSON says of the loopback device, and the advice for people in one line; settings: values of keys by their
        names, with "_" for "-"."""
        found = {"tunnel": "no", "remote-ports": "", "remote-addresses": "", "local-ports": "", "sctp-udp-port": "no"}
        rows = [[key, value, "default", ""] for key, value in found.items() if key.replace("-", "_") not in settings]
        rows += [[key.replace("_", "-"), str(value), source, "somewhere"] for key, value in settings.items()]
        more = [["network-file", network]] if network else []
        properties = {"state": state, "Settings": rows, "ConnectionSettings": more, "Connection": ["Home", connection]}
        self.properties.write_text(json.dumps(properties))
        environment = {"DBUS_SYSTEM_BUS_ADDRESS": self.bus.address}
        (link,) = json.loads(self.run_probe("--json", self.far.name, "lo", **environment)[0])["links"]
        self.assertEqual(link["has_tunnel"], state == "active")
        text = self.run_probe(self.far.name, "lo", **environment)[0]
        return link, " ".join(text[text.index("→") + 1 :].split())

    def test_carried(self):
        """The tunnel is there for this destination, or it is not, and the rest of the settings stays as it is."""
        port = self.far.port
        setting = f"underpassctl profile set uuid {UUID}"
        for settings, more, wanted in (
            ({"tunnel": "yes", "remote_ports": port}, "", ""),
            ({"tunnel": "auto", "remote_ports": f"1-{port}", "remote_addresses": "127.0.0.0/8,2001:db8::/32"}, "", ""),
            ({"tunnel": "on-demand", "remote_ports": port, "remote_addresses": "203.0.113.7"}, "add this address to its key remote-addresses",
             "remote-addresses=203.0.113.7,127.0.0.1"),
            ({"tunnel": "yes", "remote_ports": port, "remote_addresses": "2001:db8::/32"}, "add this address to its key remote-addresses",
             "remote-addresses=2001:db8::/32,127.0.0.1"),
            ({"tunnel": "auto", "remote_ports": "443,8443"}, f"add port {port} to its key remote-ports", f"remote-ports=443,8443,{port}"),
            ({"tunnel": "on-demand", "remote_ports": 443, "remote_addresses": "127.0.0.1"}, f"add port {port} to its key remote-ports",
             f"remote-ports=443,{port}"),
            ({"tunnel": "yes", "remote_ports": 443, "remote_addresses": "203.0.113.7"},
             f"add port {port} to its key remote-ports, and this address to its key remote-addresses",
             f"remote-ports=443,{port} remote-addresses=203.0.113.7,127.0.0.1"),
            ({"tunnel": "auto", "local_ports": 443}, f"add port {port} to its key remote-ports, and this address to its key remote-addresses",
             f"remote-ports={port} remote-addresses=127.0.0.1"),
        ):  # fmt: skip
            with self.subTest(settings=settings):
                link, text = self.advice(**settings)
                command = f"{setting} {wanted} --reapply" if wanted else ""
                if wanted:
                    self.assertEqual(text, f"The tunnel of lo leaves {self.far.name} out: {more}. {command}")
                else:
                    self.assertEqual(text, "Nothing to do: the tunnel carries MPTCP to 127.0.0.1.")
                self.assertEqual((link["tunnel_carries"], link["command"]), (not wanted, command), link)

    def test_carried_by_files(self):
        """What files say is changed there: no command."""
        for source in ("file", "networkd"):
            link, text = self.advice(source=source, tunnel="yes", remote_ports=443)
            self.assertEqual((link["tunnel_carries"], link["command"]), (False, ""), link)
            self.assertTrue(text.endswith("to its key remote-ports. underpassctl explain lo"), text)
        # No room for one more: at most 32 ranges.
        full = ",".join(str(port) for port in range(1, 65, 2))
        self.assertEqual(self.advice(tunnel="yes", remote_ports=full)[0]["command"], "")

    def test_no_settings(self):
        """Commands that give a link its first settings; no file that is there already is overwritten."""
        port, network = self.far.port, "/usr/lib/systemd/network/80-lo.network"
        keys = f"'[X-Underpass]' Tunnel=on-demand RemotePorts={port} RemoteAddresses=127.0.0.1"
        folder = "'/etc/systemd/network/80-lo.network.d'"
        for options, command in (
            ({}, f"underpassctl profile set uuid {UUID} tunnel=on-demand remote-ports={port} remote-addresses=127.0.0.1 --reapply"),
            ({"mtu": 1400}, f"underpassctl profile set uuid {UUID} tunnel=on-demand remote-ports={port} "
                            "remote-addresses=127.0.0.1 --reapply"),
            ({"connection": "", "network": network},
             f"mkdir -p {folder} && (set -C && printf '%s\\n' {keys} >{folder}/underpass.conf) && networkctl reload"),
            ({"connection": ""}, f"(set -C && printf '%s\\n' '[Match]' 'Name=lo' {keys} >'/etc/underpass/lo.conf') && "
                                 "underpassctl reload"),
        ):  # fmt: skip
            with self.subTest(options=options):
                link, text = self.advice("off", **options)
                self.assertEqual(link["command"], command)
                self.assertTrue(text.startswith("Set tunnel=on-demand on lo, where "), text)

    def test_mirrors_take_no_settings(self):
        """NetworkManager stores no settings for what others have set up: a file has them."""
        world = subprocess.Popen(
            [sys.executable, "-B", HERE / "mock_world.py", "enabled", os.devnull],
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.bus.address}, stdout=subprocess.PIPE,
        )
        self.addCleanup(world.wait)
        self.addCleanup(world.stdout.close)
        self.addCleanup(world.kill)
        self.assertEqual(world.stdout.readline(), b"ready\n")
        self.assertIn("profile set uuid", self.advice("off")[0]["command"])
        command = self.advice("off", connection=MIRROR)[0]["command"]
        self.assertRegex(command, r"^\(set -C && printf .*'Name=lo'.* >'/etc/underpass/lo.conf'\) && underpassctl reload$")
        self.assertEqual(self.advice(connection=MIRROR, source="file", tunnel="yes", remote_ports=443)[0]["command"], "")
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "DBUS_SYSTEM_BUS_ADDRESS": self.bus.address}
        self.advice("off", connection=MIRROR)
        checks = subprocess.run([self.program, "--json", "check", "lo"], env=environment, stdout=subprocess.PIPE, check=False)
        (row,) = [row for row in json.loads(checks.stdout)["checks"] if row["interface"] == "lo" and row["check"] == "profile"]
        self.assertIn("create /etc/underpass/lo.conf", row["sentence"])
        self.assertEqual(row["command"], "underpassctl reload")

    def test_settings_are_kept(self):
        """Who has settings that do not work, or are switched off, is not told to replace them."""
        for state, options in (
            ("waiting", {"tunnel": "auto", "remote_ports": "443,8443"}),
            ("failed", {"tunnel": "yes", "remote_ports": f"443,{self.far.port}"}),
            ("failed", {}),  # a value that is wrong does not count
            ("off", {"tunnel": "yes", "local_ports": 443}),
            ("off", {"remote_ports": 443}),
            ("off", {"local_ports": 443}),
            ("off", {"remote_addresses": "203.0.113.7"}),
            ("off", {"connection": "", "source": "file", "sctp_udp_port": 9899}),
            ("off", {"connection": "", "network": "/etc/systemd/network/lo.network", "source": "networkd", "mtu": 1400}),
        ):
            with self.subTest(state=state, options=options):
                link, text = self.advice(state, **options)
                self.assertEqual((link["command"], link["tunnel_carries"]), ("", False), link)
                self.assertEqual(text, "lo has settings already, but no tunnel. Find out why: underpassctl explain lo")

    def test_rate_beside_the_tunnel(self):
        """Plain TCP is measured where the tunnel leaves the destination out."""
        for port, outcome in ((443, "closed"), (self.far.port, "not-asked")):
            self.advice(tunnel="yes", mptcp_only="no", remote_ports=port)
            words = ("--json", "--rate", self.far.name, "lo")
            (link,) = json.loads(self.run_probe(*words, DBUS_SYSTEM_BUS_ADDRESS=self.bus.address)[0])["links"]
            self.assertEqual(link["rate"]["tcp"]["outcome"] == "not-asked", outcome == "not-asked", link)


if __name__ == "__main__":
    ProbeBase.program = sys.argv.pop(1)
    ProbeBase.xml = sys.argv.pop(1)
    interrupts.main(verbosity=2)
