# SPDX-License-Identifier: GPL-2.0-or-later
"""What is on the wire: capture of packets, and a judge that checks every one of them.

The judge knows Ethernet, IPv4 and IPv6 without extension headers, which is all that the lab sends. It is
pure; Capture runs tcpdump in a host. May touch: the process and the file it made.
"""

import dataclasses
import mmap
import os
import pathlib
import signal
import struct
import subprocess

from host import children, wait_until

TCP, UDP = 6, 17
LINKTYPE_ETHERNET, LINKTYPE_RAW = 1, 101
ETHERNET_HEADERS = {4: bytes(12) + b"\x08\x00", 6: bytes(12) + b"\x86\xdd"}  # by version of IP
TCP_FLAG_SYN, TCP_FLAG_URG = 0x02, 0x20
LOCAL_EXPERIMENT = 0x88B5  # EtherType of the last packet of a capture, see Capture
LAST_PACKET = b"the last packet of this capture.".ljust(46, b".")


@dataclasses.dataclass
class Report:
    """What a capture holds for one port."""

    packets: int = 0  # of any kind
    udp: int = 0  # datagrams from or to the port
    tcp: int = 0  # TCP packets from or to the port
    bulk: int = 0  # of the datagrams, in the bulk form
    unsummed: int = 0  # of these, without UDP checksum
    syn: int = 0  # datagrams that carry a SYN
    mptcp_syn: int = 0  # of those, with an MPTCP option
    largest: int = 0  # largest IP packet of the port
    families: set = dataclasses.field(default_factory=set)
    faults: list = dataclasses.field(default_factory=list)

    def assert_tunnelled(self, where):
        """AssertionError unless all packets of the port were right datagrams. where: what was captured."""
        assert not self.faults, f"{where}: {len(self.faults)} faults\n" + "\n".join(self.faults[:10])
        assert self.tcp == 0, f"{where}: {self.tcp} TCP packets of the tunnelled port"
        assert self.largest <= 1500, f"{where}: {self}"

    def fault(self, number, text):
        """Notes a fault of packet number (1 is the first, as tcpdump and others count)."""
        self.faults.append(f"packet {number}: {text}")


def ones_complement(data):
    """Internet checksum (RFC 1071) of data, not inverted: 0xffff for data with a valid checksum inside."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def read_pcap(path):
    """(captured bytes, original length) of each packet in a pcap file. Packets of a link without Ethernet
    get a header that has nothing but the type. A packet that was cut off by the end of the file is left out:
    tcpdump was stopped while it wrote."""
    data = pathlib.Path(path).read_bytes()
    if len(data) < 24:
        return
    order = {0xA1B2C3D4: "<", 0xD4C3B2A1: ">"}[struct.unpack_from("<I", data)[0]]
    link_type = struct.unpack_from(order + "I", data, 20)[0]
    if link_type not in (LINKTYPE_ETHERNET, LINKTYPE_RAW):
        raise ValueError(f"{path}: link type {link_type} is neither Ethernet nor raw IP")
    offset = 24
    while offset + 16 <= len(data):
        captured, original = struct.unpack_from(order + "II", data, offset + 8)
        offset += 16
        if offset + captured > len(data):
            return
        packet = data[offset : offset + captured]
        if link_type == LINKTYPE_RAW:
            packet, original = ETHERNET_HEADERS[packet[0] >> 4] + packet, original + 14
        yield packet, original
        offset += captured


def split_ip(number, packet, report):
    """(family, protocol, pseudo header without length, payload) of an IP packet, or None for what is not IP
    or is broken."""
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        header = (packet[0] & 15) * 4
        length = struct.unpack_from("!H", packet, 2)[0]
        if header < 20 or length != len(packet):
            report.fault(number, f"IPv4 length {length} in a packet of {len(packet)} bytes")
            return None
        if ones_complement(packet[:header]) != 0xFFFF:
            report.fault(number, "IPv4 header checksum is wrong")
            return None
        if struct.unpack_from("!H", packet, 6)[0] & 0x3FFF:
            report.fault(number, "is a fragment")
            return None
        return 4, packet[9], packet[12:20], packet[header:]
    if version == 6:
        length = struct.unpack_from("!H", packet, 4)[0]
        if length != len(packet) - 40:
            report.fault(number, f"IPv6 payload length {length} in a packet of {len(packet)} bytes")
            return None
        return 6, packet[6], packet[8:40], packet[40:]
    return None


def mptcp_option(options):
    """Whether TCP options hold an MPTCP one (kind 30)."""
    while options and options[0] != 0:
        if options[0] == 1:
            options = options[1:]
            continue
        if len(options) < 2 or options[1] < 2:
            return False
        if options[0] == 30:
            return True
        options = options[options[1] :]
    return False


def is_bulk(pseudo, datagram):
    """Whether a datagram is in the bulk form: an IP packet with the same addresses follows the UDP header."""
    start = 16 if len(pseudo) == 32 else 20  # IPv6 has its addresses at 8, IPv4 at 12
    return datagram[8] >> 4 == (6 if start == 16 else 4) and datagram[start : start + len(pseudo)] == pseudo


def judge_bulk(number, pseudo, datagram, report):
    """Checks what is inside a datagram in the bulk form: the IP header, and a TCP segment of an established
    connection with the same ports and a checksum of its own."""
    report.bulk += 1
    parts = split_ip(number, datagram[8:], report)
    if parts is None:
        return
    _, protocol, inner_pseudo, segment = parts
    if protocol != TCP or inner_pseudo != pseudo or segment[:4] != datagram[:4]:
        report.fault(number, "the inner packet is not TCP, or has other addresses or ports")
        return
    if ones_complement(pseudo + struct.pack("!HH", TCP, len(segment)) + segment) != 0xFFFF:
        report.fault(number, "the inner TCP checksum is wrong")
    if segment[13] & (TCP_FLAG_SYN | TCP_FLAG_URG) or segment[12] >> 4 < 5:
        report.fault(number, f"data offset and flags are {segment[12:14].hex()}")


def judge_datagram(number, pseudo, datagram, report):
    """Checks one tunnelled datagram: UDP header and checksum, and the TCP header in its new order."""
    length, checksum = struct.unpack_from("!HH", datagram, 4)
    if length != len(datagram):
        report.fault(number, f"UDP length {length}, but {len(datagram)} bytes follow the IP header")
        return
    bulk = is_bulk(pseudo, datagram)
    if checksum == 0 and bulk and len(pseudo) == 8:
        report.unsummed += 1
    elif checksum == 0:
        report.fault(number, "UDP checksum is zero")
    elif ones_complement(pseudo + struct.pack("!HH", UDP, length) + datagram) != 0xFFFF:
        report.fault(number, f"UDP checksum {checksum:#06x} is wrong")
    if bulk:
        judge_bulk(number, pseudo, datagram, report)
        return
    if length < 20:
        report.fault(number, f"{length} bytes are too short for a TCP header")
        return
    data_offset, flags = datagram[8] >> 4, datagram[9]
    if data_offset < 5 or data_offset * 4 > length:
        report.fault(number, f"data offset {data_offset} in a datagram of {length} bytes")
    if flags & TCP_FLAG_URG:
        report.fault(number, "URG is set")
    if flags & TCP_FLAG_SYN:
        report.syn += 1
        report.mptcp_syn += mptcp_option(datagram[20 : data_offset * 4])


def judge_packet(number, packet, port, report):
    """Checks one IP packet (padding of the frame already taken off) and counts it."""
    parts = split_ip(number, packet, report)
    if parts is None:
        return
    family, protocol, pseudo, payload = parts
    if protocol not in (TCP, UDP) or len(payload) < 8 or port not in struct.unpack_from("!HH", payload):
        return
    report.families.add(family)
    report.largest = max(report.largest, len(packet))
    if protocol == TCP:
        report.tcp += 1
    else:
        report.udp += 1
        judge_datagram(number, pseudo, payload, report)


def judge(frames, port):
    """Checks all frames, (bytes, original length) each, for the tunnelled port; a Report."""
    report = Report()
    for number, (frame, original) in enumerate(frames, 1):
        if struct.unpack_from("!H", frame.ljust(14, b"\0"), 12)[0] == LOCAL_EXPERIMENT:
            continue
        report.packets += 1
        if len(frame) != original:
            report.fault(number, f"only {len(frame)} of {original} bytes were captured")
            continue
        kind = struct.unpack_from("!H", frame, 12)[0] if len(frame) >= 34 else 0
        packet = frame[14:]
        if kind == 0x0800:
            packet = packet[: max(20, struct.unpack_from("!H", packet, 2)[0])]
        elif kind != 0x86DD:
            continue
        judge_packet(number, packet, port, report)
    return report


class Capture:
    """tcpdump on one Ethernet interface of a host, as a context manager; report() afterwards.

    tcpdump hears of packets when the kernel has filled a block of them, or after a second, and looks at no
    block when it is told to end. So a packet of our own is sent last, and the end is when that was written.
    """

    def __init__(self, host, interface):
        self.host = host
        self.interface = interface
        self.path = host.folder / f"{interface}.pcap"
        self._log = host.folder / "log" / f"tcpdump-{interface}.log"
        self._process = None

    def __enter__(self):
        with open(self._log, "wb") as log:
            self._process = self.host.spawn(
                [
                    "tcpdump",
                    "-Z",
                    "root",
                    "-n",
                    "-s",
                    "0",
                    "-B",
                    "131072",
                    "-U",
                    "-i",
                    self.interface,
                    "-w",
                    str(self.path),
                    f"ip or ip6 or ether proto {LOCAL_EXPERIMENT}",
                ],
                stderr=log,
                stdout=subprocess.DEVNULL,
            )
        wait_until(lambda: b"listening on" in self._log.read_bytes(), f"tcpdump on {self.interface}")
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self._mark_the_end()
        finally:
            self._stop()

    def _mark_the_end(self):
        """Waits until all that was captured so far is in the file."""
        command = ("/usr/bin/python3", pathlib.Path(__file__).with_name("inject.py"))
        self.host.run(*command, self.interface, "00:00:00:00:00:00", "0", text=LAST_PACKET.hex())
        wait_until(self._is_complete, f"the last packet in {self.path.name}", 20)

    def _is_complete(self):
        with open(self.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.rfind(LAST_PACKET) >= 0

    def _stop(self):
        for pid in children(self._process.pid):
            os.kill(pid, signal.SIGTERM)
        self._process.wait(timeout=20)

    def dropped(self):
        """Packets that the capture missed; known after its end."""
        for line in self._log.read_text().splitlines():
            if line.endswith("dropped by kernel"):
                return int(line.split()[0])
        raise ValueError(f"tcpdump did not count: {self._log.read_text()}")

    def report(self, port):
        """The judge's report."""
        return judge(read_pcap(self.path), port)

    def assert_tunnelled(self, port, family):
        """AssertionError unless nothing was missed and all packets of the port were right datagrams of
        this family of addresses; the report."""
        assert self.dropped() == 0, f"{self.interface}: the capture missed {self.dropped()} packets"
        report = self.report(port)
        report.assert_tunnelled(self.interface)
        assert report.families == {family} and report.udp > 0, f"{self.interface}: {report}"
        return report
