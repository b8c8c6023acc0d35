#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Wireshark with data/underpass.lua shows a tunnelled stream as it shows the same stream without a tunnel, and nothing else
otherwise than before.

Usage: test-dissector.py [TEST…]      skipped without tshark
"""

import pathlib
import shutil
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import craft  # noqa: E402  pylint: disable=wrong-import-position
import dissector  # noqa: E402  pylint: disable=wrong-import-position
import interrupts  # noqa: E402  pylint: disable=wrong-import-position
from wire import UDP  # noqa: E402  pylint: disable=wrong-import-position

SKIPPED = 77
ENDS = {4: ("192.0.2.1", "198.51.100.7"), 6: ("2001:db8::1", "2001:db8:1::7")}
PORTS = 40000, 443
SYN, FIN, RST, PUSH, ACK, ECE, CWR = 0x02, 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
NOP = b"\1"
MSS, SACK_OK, SCALE = bytes([2, 4, 5, 0xB4]), bytes([4, 2]), bytes([1, 3, 3, 7])
KEY_A, KEY_B = bytes(range(1, 9)), bytes(range(11, 19))


def stamp(value, echo):
    """A timestamp option with its padding."""
    return NOP * 2 + struct.pack("!BBII", 8, 10, value, echo)


def dss(ack, sequence, subflow, length):
    """MPTCP's option for data."""
    return struct.pack("!BBBBIIIHH", 30, 20, 0x20, 0x05, ack, sequence, subflow, length, 0)


def packet(family, flags, sequence, acknowledged, options=b"", data=b"", back=False, ports=PORTS):
    """A segment in its UDP form, from the client or back."""
    ends, ports = ENDS[family], ports
    if back:
        ends, ports = ends[::-1], ports[::-1]
    body = struct.pack("!HHHH", *ports, 20 + len(options) + len(data), 0)
    body += struct.pack("!BBHII", 5 + len(options) // 4 << 4, flags, 64000, sequence, acknowledged) + options + data
    return craft.ip_packet(*ends, UDP, body, 6)


def datagram(family, data, back=False, ports=PORTS):
    """Any other datagram."""
    ends = list(zip(ENDS[family], ports))
    return craft.datagram(*(ends[::-1] if back else ends), data)


def stream(family):
    """A connection of MPTCP: handshake, data both ways, something sent again, a join, the end."""
    a, b = 1000, 2_000_000_000
    capable = bytes([30, 4, 1, 1])
    join = bytes([30, 12, 0x10, 2]) + bytes(range(8))
    packets = [
        packet(family, SYN | ECE | CWR, a, 0, MSS + SACK_OK + stamp(1, 0)[2:] + SCALE + capable),
        packet(family, SYN | ACK | ECE, b, a + 1, MSS + SACK_OK + stamp(7, 1)[2:] + SCALE + bytes([30, 12, 1, 1]) + KEY_B, back=True),
        packet(family, ACK, a + 1, b + 1, stamp(2, 7) + bytes([30, 20, 1, 1]) + KEY_A + KEY_B),
        packet(family, ACK | PUSH, a + 1, b + 1, stamp(3, 7) + dss(5, 6, 1, 4), b"data"),
        packet(family, ACK | PUSH, b + 1, a + 5, stamp(8, 3) + dss(6, 5, 1, 3), b"odd", back=True),
        packet(family, ACK, a + 5, b + 4),  # nothing but the header
        packet(family, ACK, a + 5, b + 4, data=b"x" * 1400),
        packet(family, ACK, a + 5, b + 4, data=b"x" * 1400),  # sent again
        packet(family, ACK, b + 4, a + 1405, NOP * 4, back=True),
        packet(family, SYN, 77, 0, MSS + join, ports=(40001, 443)),
        packet(family, SYN | ACK, 99, 78, MSS + bytes([30, 16, 0x10, 2]) + bytes(12), back=True, ports=(40001, 443)),
        packet(family, RST | ACK, 78, 100, ports=(40001, 443)),
        packet(family, FIN | ACK, a + 1405, b + 4),
        packet(family, FIN | PUSH | ACK, b + 4, a + 1406, data=b"bye", back=True),
        packet(family, RST, a + 1406, 0),
    ]
    return packets


def others(family):
    """What else may come to the same port, as (data, ports, protocol that Wireshark knows it by)."""
    cookie = struct.pack("!I", 0x2112A442)
    quic = bytes([0xC3, 0, 0, 0, 1, 8]) + bytes(range(8)) + bytes([0, 0, 0x44, 0x9E])
    return [
        (struct.pack("!HH", 1, 0) + cookie + bytes(range(12)), PORTS, "stun"),
        (struct.pack("!HH", 0x101, 12) + cookie + bytes(range(12)) + struct.pack("!HHBBHI", 0x20, 8, 0, 1, 0x1234, 5), PORTS, "stun"),
        (quic.ljust(1200, b"\x5a"), (40002, 443), "quic"),
    ]


class Dissector(unittest.TestCase):
    """Each test writes captures and has tshark read them."""

    def setUp(self):
        folder = dissector.scratch()
        self.folder = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)

    def pcap(self, packets):
        """Writes a capture."""
        path = self.folder / "test.pcap"
        dissector.write_pcap(path, packets)
        return path

    def protocols(self, packets, *options):
        """The protocols of each packet."""
        return [row[0].split(":") for row in dissector.fields(self.pcap(packets), "frame.protocols", options=options)]

    def test_same_as_plain(self):
        """All fields, in one pass and in two; the checksums are right by what was on the wire."""
        for family in ENDS:
            for options in ((), ("-2",)):
                packets = stream(family)
                check = ("-o", "tcp.check_checksum:TRUE", *options)
                names = (*dissector.FIELDS, "tcp.checksum", "tcp.checksum.status")
                shown = dissector.fields(self.pcap(packets), *names, options=check)
                plain = dissector.fields(self.pcap([dissector.plain_twin(each) for each in packets]), *names, options=check)
                for number, (mine, theirs) in enumerate(zip(shown, plain)):
                    for name, value, wanted in zip(names, mine, theirs):
                        self.assertEqual(value, wanted, (family, number, name))
                self.assertEqual(len(shown), len(packets))
                self.assertEqual({row[-1] for row in plain}, {"1"})
                self.assertTrue(any(row[names.index("tcp.options.mptcp.rawdataseqno")] for row in shown))

    def bulk_stream(self, family, natted=False, summed=True):
        """The stream with everything but the handshakes in the bulk form, or in the form above with its bits: (packets, the
        same as TCP). natted: the client's address and port are others inside."""
        packets, plain = [], []
        for number, each in enumerate(stream(family)):
            twin = dissector.plain_twin(each)
            size = 20 if family == 4 else 40
            flags = twin[size + 13]
            plain.append(twin)
            if flags & (SYN | RST):
                packets.append(each)
            elif number % 3 == 2:
                body = bytearray(each[size:])
                body[6:8] = bytes(2)
                body[8] |= 0x08 if number % 2 else 0x0C
                ends = ENDS[family] if body[0:2] != b"\x01\xbb" else ENDS[family][::-1]
                packets.append(craft.ip_packet(*ends, UDP, bytes(body), 6))
            else:
                packets.append(dissector.bulk_twin(twin, summed, self.renumbered(twin, family) if natted else None))
        return packets, plain

    @staticmethod
    def renumbered(twin, family):
        """A TCP packet with another client."""
        size = 20 if family == 4 else 40
        body, client = bytearray(twin[size:]), {4: "10.0.0.9", 6: "fd00::9"}[family]
        body[16:18] = bytes(2)
        if body[0:2] == b"\x01\xbb":
            body[2:4] = struct.pack("!H", 1234)
            return craft.ip_packet(ENDS[family][1], client, 6, bytes(body), 16)
        body[0:2] = struct.pack("!H", 1234)
        return craft.ip_packet(client, ENDS[family][1], 6, bytes(body), 16)

    def test_bulk_same_as_plain(self):
        """Segments in the bulk form, and those that offer it, with and without NAT in between, and without a checksum of UDP."""
        names = (*dissector.FIELDS, "tcp.checksum.status", "ip.src", "ipv6.src")
        options = ("-o", "tcp.check_checksum:TRUE")
        plain = {family: self.bulk_stream(family)[1] for family in ENDS}
        plain = {family: dissector.fields(self.pcap(packets), *names, options=options) for family, packets in plain.items()}
        for family, natted, summed in ((4, False, False), (4, True, True), (4, True, False), (6, False, True), (6, True, True)):
            with self.subTest(family=family, natted=natted, summed=summed):
                packets, wanted = self.bulk_stream(family, natted, summed)[0], plain[family]
                shown = dissector.fields(self.pcap(packets), *names, "underpass.form", options=options)
                for number, (mine, theirs) in enumerate(zip(shown, wanted)):
                    for name, value, other in zip(names, mine, theirs):
                        self.assertEqual(value, other, (number, name))
                self.assertEqual(len(shown), len(wanted))
                self.assertGreater(sum(row[-1] == "bulk" for row in shown), 5)

    def named(self, known):
        """Options of tshark that give these addresses names."""
        hosts = self.folder / "hosts"
        hosts.write_text("".join(f"{end} dead-beef{number}.example\n" for number, end in enumerate(known)))
        hosts.chmod(0o644)
        return ("-N", "n", "-H", str(hosts)) if known else ()

    def test_bulk_with_names(self):
        """Wireshark shows names in place of addresses, those of one end or of both, with and without NAT in between."""
        names = (*dissector.FIELDS, "tcp.checksum.status")
        options = ("-o", "tcp.check_checksum:TRUE")
        for family, natted in ((family, natted) for family in ENDS for natted in (False, True)):
            ends = ENDS[family]
            packets, plain = self.bulk_stream(family, natted)
            wanted = dissector.fields(self.pcap(plain), *names, options=options)
            for known in (ends[:1], ends[1:], ends):
                with self.subTest(family=family, natted=natted, known=known):
                    shown = dissector.fields(self.pcap(packets), *names, options=(*options, *self.named(known)))
                    for number, (mine, theirs) in enumerate(zip(shown, wanted)):
                        self.assertEqual(mine, theirs, number)
                    self.assertEqual(len(shown), len(wanted))

    def test_reassembled_with_names(self):
        """What is put together while a file is read, when there is no checksum of UDP to go by."""
        text = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"
        ports = 40000, 80
        for family, ends in ENDS.items():
            halves = [packet(family, ACK | PUSH, 1001, 7, stamp(3, 7), text[:9], ports=ports)]
            halves.append(packet(family, ACK | PUSH, 1010, 7, stamp(4, 7), text[9:], ports=ports))
            bulk = [dissector.bulk_twin(twin, inner=self.renumbered(twin, family)) for twin in map(dissector.plain_twin, halves)]
            for packets in (halves, bulk):
                packets = [packet(family, SYN, 1000, 0, MSS + stamp(1, 0), ports=ports), *packets]
                for known in ((), ends[:1], ends):
                    with self.subTest(family=family, bulk=packets[1:] == bulk, known=known):
                        options = ("-2", "-o", "tcp.check_checksum:TRUE", *self.named(known))
                        rows = dissector.fields(self.pcap(packets), "http.host", "tcp.reassembled.length", options=options)
                        self.assertEqual(rows[-1], ["example.org", str(len(text))])

    def test_bulk_begun_before_the_capture(self):
        """Options that only TCP has tell, if one of the ends is the same inside; any other tunnel is left alone."""
        for family in ENDS:
            packets, _ = self.bulk_stream(family)
            natted, _ = self.bulk_stream(family, natted=True)
            self.assertEqual("tcp" in self.protocols(packets[3:4])[0], True)
            self.assertEqual("tcp" in self.protocols(natted[3:4])[0], True)
            other = dissector.plain_twin(packet(family, ACK, 1, 2, stamp(1, 2), ports=(7, 8)))
            swapped = dissector.bulk_twin(dissector.plain_twin(stream(family)[3]), inner=other)
            self.assertNotIn("underpass", self.protocols([swapped])[0])

    def test_bulk_looks_like_it(self):
        """Lengths that do not agree, fragments, other protocols inside, SYN and RST, the other family: amid a connection, too,
        and whether names or addresses are shown."""
        for family in ENDS:
            size = 20 if family == 4 else 40
            good = dissector.plain_twin(stream(family)[6])
            spoilt = {
                "longer": {2 if family == 4 else 4: 1},
                "other protocol": {9 if family == 4 else 6: 17},
                "SYN": {size + 13: SYN | ACK},
                "RST": {size + 13: RST | ACK},
                "no ACK": {size + 13: PUSH},
                "short offset": {size + 12: 0x40},
                "long offset": {size + 12: 0xF0},
            }
            spoilt.update({"fragment": {6: 0x20}, "options": {0: 0x46}} if family == 4 else {})
            packets = stream(family)[:3]
            for name, changes in spoilt.items():
                inner = bytearray(good[: size + 20] if name == "long offset" else good)
                if name == "long offset":
                    inner[2:4] = struct.pack("!H", size + 20) if family == 4 else inner[2:4]
                    inner[4:6] = struct.pack("!H", 20) if family == 6 else inner[4:6]
                for place, value in changes.items():
                    inner[place] = value
                packets.append(dissector.bulk_twin(good, inner=bytes(inner)))
            packets.append(dissector.bulk_twin(good, inner=dissector.plain_twin(stream(10 - family)[6])))
            packets.append(dissector.bulk_twin(good))
            for options in ((), self.named(ENDS[family])):
                rows = ["underpass" in row for row in self.protocols(packets, *options)]
                self.assertEqual(rows, [True] * 3 + [False] * (len(spoilt) + 1) + [True], list(zip(spoilt, rows[3:])))
        unsummed = dissector.bulk_twin(dissector.plain_twin(stream(6)[3]), summed=False)
        self.assertNotIn("underpass", self.protocols([*stream(6)[:3], unsummed])[-1])

    def test_bulk_cut_and_quoted(self):
        """As with the other form: cut while captured, and quoted by ICMP."""
        packets, _ = self.bulk_stream(4)
        rows = dissector.fields(self.pcap([*packets[:6], (packets[6], 90)]), "tcp.len", "underpass.cut")
        self.assertEqual(rows[6][0], "1400")
        self.assertNotEqual(rows[6][1], "")
        for length in (28, 68, len(packets[3])):
            icmp = struct.pack("!BBHI", 3, 4, 0, 1400) + packets[3][:length]
            error = craft.ip_packet("192.0.2.254", ENDS[4][0], 1, icmp, 2)
            rows = dissector.fields(self.pcap([*packets[:4], error]), "frame.protocols", "tcp.seq_raw")
            self.assertEqual("underpass" in rows[-1][0], length > 28, rows[-1])
            if length > 28:
                self.assertIn("1001", rows[-1][1])

    def test_layers(self):
        """Both the datagram and the segment are there, and a filter finds them."""
        for row in self.protocols(stream(4)):
            self.assertEqual(row[1:5], ["ip", "udp", "underpass", "tcp"])
        found = dissector.tshark(self.pcap(stream(6)), "-Y", "underpass && tcp.flags.syn == 1")
        self.assertEqual(found.count("[in UDP]"), 4)

    def test_wrong_checksum(self):
        """It stays wrong."""
        damaged = bytearray(stream(4)[3])
        damaged[-1] ^= 1
        options = ("-o", "tcp.check_checksum:TRUE")
        rows = dissector.fields(self.pcap([stream(4)[0], bytes(damaged)]), "tcp.checksum.status", options=options)
        self.assertEqual(rows, [["1"], ["0"]])

    def test_follow(self):
        """A stream can be followed."""
        text = dissector.tshark(self.pcap(stream(4)), "-q", "-z", "follow,tcp,ascii,0")
        self.assertIn("data\n", text)
        self.assertIn("odd\n", text)

    def test_others_remain(self):
        """STUN on the ports of a connection, QUIC on that of the server, before and amid: nothing changes for them."""
        for family in ENDS:
            foreign = [(datagram(family, data, ports=ports), name) for data, ports, name in others(family)]
            mine = stream(family)
            rows = self.protocols([each for each, _ in foreign] + mine[:4] + [each for each, _ in foreign] + mine[4:])
            kinds = [name for _, name in foreign]
            wanted = kinds + ["tcp"] * 4 + kinds + ["tcp"] * (len(mine) - 4)
            self.assertEqual([next((name for name in ("stun", "quic", "tcp") if name in row), row[-1]) for row in rows], wanted)

    def test_quic_between_the_same_ends(self):
        """QUIC from and to the very address and port of a tunnelled connection, amid and after it: each remains what it is,
        also datagrams of QUIC whose first bytes could be ours."""
        initial = bytes([0xC3, 0, 0, 0, 1, 8]) + bytes(range(8)) + bytes([8]) + bytes(range(8)) + bytes([0, 0x44, 0x96])
        initial = initial.ljust(1200, b"\x5a")
        short = [bytes([first, flags]) + bytes(range(77, 177)) for first in (0x50, 0x60) for flags in (0x10, 0x18, 0x04)]
        for options in ((), ("-2",)):
            for family in ENDS:
                mine = stream(family)
                foreign = [datagram(family, initial), *(datagram(family, data) for data in short)]
                rows = self.protocols(mine[:4] + foreign + mine[4:] + foreign, *options)
                wanted = ["tcp"] * 4 + ["quic"] * len(foreign) + ["tcp"] * (len(mine) - 4) + ["quic"] * len(foreign)
                self.assertEqual([next((name for name in ("quic", "tcp") if name in row), row[-1]) for row in rows], wanted, rows)

    def test_port_of_another_protocol(self):
        """A client may have a port that Wireshark gives to somebody else, from the second datagram on."""
        ports = 47808, 443  # BACnet
        again = [packet(4, SYN, 1, 0, MSS, ports=ports)] * 2 + [packet(4, ACK, 2, 7, ports=ports)]
        self.assertEqual([row[-1] for row in self.protocols(again)][1:], ["tcp"] * 2)

    def test_looks_like_it(self):
        """QUIC's short header, DNS, random bytes, the form without a checksum: without a SYN nobody takes them for ours."""
        plain_ack = packet(4, ACK, 1, 2)
        unsummed = bytearray(packet(4, SYN, 1, 0, MSS))
        unsummed[26:28] = b"\0\0"
        for name, data in {
            "short header": datagram(4, bytes([0x50, 0x10]) + bytes(range(60))),
            "options cut short": datagram(4, bytes([0x80, 0x10]) + bytes(10) + b"\x08\xff" + bytes(10)),
            "DNS": datagram(4, bytes.fromhex("5002010000010000000000000377777703636f6d0000010001"), ports=(40000, 53)),
            "other flags": packet(4, SYN | FIN, 1, 2, stamp(1, 2)),
            "header of an ACK": plain_ack,
            "offset beyond the datagram": datagram(4, bytes([0xF0, 0x10]) + bytes(14)),
            "short": datagram(4, bytes([0x50, 0x10, 0, 0])),
            "no checksum": bytes(unsummed),
        }.items():
            with self.subTest(name):
                self.assertNotIn("underpass", self.protocols([data])[0])

    def test_begun_before_the_capture(self):
        """Options that only TCP has tell; a segment without any is taken where the preference says so."""
        later = stream(4)[3:6]
        self.assertEqual(["tcp" in row for row in self.protocols(later)], [True, True, False])
        ports = ("-o", "underpass.ports:443,8443")
        self.assertEqual(["tcp" in row for row in self.protocols(later, *ports)], [True] * 3)
        rows = self.protocols([datagram(4, data, ports=ports) for data, ports, _ in others(4)], *ports)
        self.assertEqual([name for row in rows for name in row if name in ("stun", "quic", "tcp")], ["stun", "stun", "quic"])

    def test_decode_as(self):
        later = stream(4)[5:6]
        self.assertIn("tcp", self.protocols(later, "-d", "udp.port==443,underpass")[0])

    def test_cut_while_captured(self):
        """The length is that of the whole segment, and a note says that data is missing."""
        packets = stream(4)
        packets[6] = (packets[6], 60)
        names = ("tcp.len", "tcp.analysis.lost_segment", "underpass.cut")
        rows = dissector.fields(self.pcap(packets), *names)
        self.assertEqual(rows[6][:2], ["1400", ""])
        self.assertNotEqual(rows[6][2], "")
        self.assertEqual([row[2] for row in rows[:6]], [""] * 6)
        heads = [(each, 54) if not isinstance(each, tuple) and len(each) > 54 else each for each in stream(4)]
        self.assertEqual(len(dissector.fields(self.pcap(heads), "tcp.seq")), len(heads))  # and no complaint

    def test_quoted_by_icmp(self):
        """An error about the UDP form names the segment."""
        quoted = stream(4)[3]
        for length in (28, 48, len(quoted)):
            with self.subTest(length=length):
                icmp = struct.pack("!BBHI", 3, 4, 0, 1400) + quoted[:length]
                error = craft.ip_packet("192.0.2.254", ENDS[4][0], 1, icmp, 2)
                row = self.protocols([*stream(4)[:4], error])[-1]
                self.assertIn("icmp", row)
                self.assertEqual("tcp" in row, length > 28, row)


if __name__ == "__main__":
    if not shutil.which("tshark"):
        print("skipped: tshark is missing", file=sys.stderr)
        sys.exit(SKIPPED)
    interrupts.main()
