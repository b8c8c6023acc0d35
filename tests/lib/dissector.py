# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures as tshark shows them with data/underpass.lua. May touch: a scratch folder."""

import contextlib
import ipaddress
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

from craft import ip_packet
from wire import TCP, UDP

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "data/underpass.lua"
NOBODY = 65534
LINKTYPE_RAW = 101
BULK_BITS = 0x0C  # beside the data offset

# What a stream is compared by: all that TCP and MPTCP have in their headers, and what Wireshark made of it.
FIELDS = (
    *("tcp.srcport", "tcp.dstport", "tcp.stream", "tcp.seq", "tcp.seq_raw", "tcp.ack", "tcp.ack_raw", "tcp.len"),
    *("tcp.flags", "tcp.window_size_value", "tcp.window_size", "tcp.hdr_len", "tcp.options", "tcp.payload"),
    *("tcp.urgent_pointer", "tcp.analysis.retransmission", "tcp.analysis.lost_segment", "tcp.analysis.acks_frame"),
    *("tcp.options.mss_val", "tcp.options.timestamp.tsval", "tcp.options.timestamp.tsecr"),
    *("tcp.options.mptcp.subtype", "tcp.options.mptcp.version", "tcp.options.mptcp.flags"),
    *("tcp.options.mptcp.sendkey", "tcp.options.mptcp.recvkey", "tcp.options.mptcp.recvtok"),
    *("tcp.options.mptcp.sendrand", "tcp.options.mptcp.sendhmac", "tcp.options.mptcp.sendtrunchmac"),
    *("tcp.options.mptcp.addrid", "tcp.options.mptcp.rawdataack", "tcp.options.mptcp.rawdataseqno"),
    *("tcp.options.mptcp.subflowseqno", "tcp.options.mptcp.datalvllen", "tcp.options.mptcp.ipv4"),
)


def plain_twin(packet):
    """An IP packet with a tunnelled datagram as the TCP packet that it stands for, as its receiver makes it: without what
    is said of the bulk form, and with a checksum computed from all bytes."""
    version = packet[0] >> 4
    source, dest = (packet[12:16], packet[16:20]) if version == 4 else (packet[8:24], packet[24:40])
    body = packet[20 if version == 4 else 40 :]
    ports, flags, numbers, rest = body[:4], bytes([body[8] & ~BULK_BITS]) + body[9:12], body[12:20], body[20:]
    segment = ports + numbers + flags + bytes(4) + rest
    return ip_packet(ipaddress.ip_address(source), ipaddress.ip_address(dest), TCP, segment, 16)


def bulk_twin(packet, summed=True, inner=None):
    """An IP packet with a segment of TCP in the bulk form. inner: the packet that is inside, when it has other addresses or
    ports; summed: with a checksum of UDP."""
    version = packet[0] >> 4
    size = 20 if version == 4 else 40
    source, dest = (packet[12:16], packet[16:20]) if version == 4 else (packet[8:24], packet[24:40])
    inner = inner or packet
    body = packet[size : size + 4] + struct.pack("!HH", 8 + len(inner), 0) + inner
    outer = ip_packet(ipaddress.ip_address(source), ipaddress.ip_address(dest), UDP, body, 6)
    return outer if summed else outer[: size + 6] + bytes(2) + outer[size + 8 :]


def is_datagram(packet):
    """Whether an IP packet is UDP."""
    return packet[9 if packet[0] >> 4 == 4 else 6] == UDP


def write_pcap(path, packets):
    """Writes IP packets, a millisecond apart; those that are (packet, captured) are cut there."""
    with open(path, "wb") as file:
        file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, LINKTYPE_RAW))
        for number, packet in enumerate(packets):
            packet, captured = packet if isinstance(packet, tuple) else (packet, len(packet))
            file.write(struct.pack("=IIII", 1, 1000 * number, captured, len(packet)) + packet[:captured])


@contextlib.contextmanager
def scratch():
    """A folder for captures that everybody can read."""
    with tempfile.TemporaryDirectory(prefix="underpass-dissector-") as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


def tshark(capture, *options, script=SCRIPT):
    """What tshark prints about a capture, as an ordinary user without a home, who has never run it. It must not have a word to
    say beside that."""
    with scratch() as folder:
        copy = shutil.copy(script, folder)  # the sources may be closed to others
        pcap = shutil.copy(capture, folder)
        os.chmod(pcap, 0o644)
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        command = ["tshark", "-n", "-r", pcap, "-X", f"lua_script:{copy}", *options]
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
        answer = subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", stdin=subprocess.DEVNULL, check=False, **user
        )
    assert answer.returncode == 0 and answer.stderr == "", f"{command}: {answer.returncode}\n{answer.stderr}"
    return answer.stdout


def fields(capture, *names, options=()):
    """A list of values for each packet of a capture."""
    arguments = [word for name in names for word in ("-e", name)]
    return [line.split("\t") for line in tshark(capture, "-T", "fields", *arguments, *options).splitlines()]
