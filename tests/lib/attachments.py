#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of others on the attach points of a link, and who sits there: runs in a host, speaks to the kernel by the
bpf() system call alone, because the tools of the oldest system that the lab runs on know no tcx.

    attachments.py query LINK…                              {LINK: {"ingress": [[number, name], …], "egress": […]}}
    attachments.py attach LINK POINT first|last VERDICT PIN  attaches a program that counts and returns VERDICT
    attachments.py put LINK POINT first|last PROGRAM PIN     attaches the program that is pinned at PROGRAM
    attachments.py count PIN                                packets that this program has seen
    attachments.py forge LINK POINT INDEX WORD TAG PIN       attaches, first, a program that writes into every packet:
                                                            INDEX to tc_index, WORD to all of cb, and a tag of VLAN TAG
                                                            if that is not 0, as the driver of an 8021q device does

POINT is ingress, egress (tcx) or xdp. PIN is a path on a bpf file system: the attachment stays until PIN is
removed. May touch: the link, and PIN and PIN-packets.
"""

import ctypes
import errno
import json
import os
import platform
import socket
import struct
import sys

SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}

MAP_CREATE, MAP_LOOKUP, PROG_LOAD, OBJ_PIN, OBJ_GET = 0, 1, 5, 6, 7
PROG_GET_FD_BY_ID, OBJ_GET_INFO, PROG_QUERY, LINK_CREATE = 13, 15, 16, 28
TYPE_SCHED_CLS, TYPE_XDP, MAP_TYPE_ARRAY = 3, 6, 2
# Attach type and, for XDP, the generic mode (every device has it).
ATTACH = {"ingress": 46, "egress": 47, "xdp": 37}
XDP_GENERIC = 2
NEXT = -1
ETH_P_8021Q = 0x8100
BEFORE, AFTER = 1 << 3, 1 << 4
PROGRAM_NAME = b"foreign"


def bpf(command, attributes):
    """The system call; its result, OSError when it fails."""
    buffer = ctypes.create_string_buffer(bytes(attributes), 128)
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(SYSCALL[platform.machine()], command, buffer, len(buffer))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"bpf({command}): {os.strerror(number)}")
    attributes[:] = buffer.raw[: len(attributes)]
    return result


def pointer(data):
    """Address of a buffer, which the caller keeps."""
    return ctypes.addressof(data)


def call(command, layout, *values):
    """The system call with attributes packed by layout; (result, attributes afterwards)."""
    attributes = bytearray(struct.pack("=" + layout, *values))
    return bpf(command, attributes), bytes(attributes)


def instruction(code, destination=0, source=0, offset=0, immediate=0):
    """One instruction of BPF."""
    return struct.pack("=BBhi", code, source << 4 | destination, offset, immediate)


def counting_program(packets, verdict):
    """Adds one to the only entry of a map and returns the verdict."""
    return b"".join(
        [
            instruction(0x62, 10, 0, -4, 0),  # *(u32 *) (r10 - 4) = 0
            instruction(0x18, 1, 1, 0, packets) + instruction(0),  # r1 = map
            instruction(0xBF, 2, 10),  # r2 = r10
            instruction(0x07, 2, 0, 0, -4),  # r2 -= 4
            instruction(0x85, immediate=1),  # r0 = bpf_map_lookup_elem(r1, r2)
            instruction(0x15, 0, 0, 2, 0),  # if (r0 == 0) skip two
            instruction(0xB7, 1, 0, 0, 1),  # r1 = 1
            instruction(0xDB, 0, 1, 0, 0),  # lock *(u64 *) r0 += r1
            instruction(0xB7, 0, 0, 0, verdict),  # r0 = verdict
            instruction(0x95),  # return r0
        ]
    )


def forging_program(index, word, tag):
    """Writes tc_index, cb and a VLAN tag, and lets the next program have the packet."""
    code = [
        instruction(0xBF, 6, 1),  # r6 = r1
        instruction(0xB7, 2, 0, 0, index),  # r2 = index
        instruction(0x63, 6, 2, 44),  # r6->tc_index = r2
        instruction(0xB7, 2, 0, 0, word),  # r2 = word
        *(instruction(0x63, 6, 2, 48 + 4 * place) for place in range(5)),  # r6->cb[place] = r2
    ]
    if tag:
        code += [
            instruction(0xB7, 2, 0, 0, socket.htons(ETH_P_8021Q)),  # r2 = …
            instruction(0xB7, 3, 0, 0, tag),  # r3 = tag
            instruction(0x85, immediate=18),  # bpf_skb_vlan_push(r1, r2, r3)
        ]
    return b"".join(code + [instruction(0xB7, 0, 0, 0, NEXT), instruction(0x95)])


def pin(fd, path):
    """Pins an object."""
    name = ctypes.create_string_buffer(path.encode())
    call(OBJ_PIN, "QII", pointer(name), fd, 0)


def load(kind, text):
    """Loads a program."""
    code = ctypes.create_string_buffer(text)
    licence = ctypes.create_string_buffer(b"GPL")
    program, _ = call(
        *(PROG_LOAD, "IIQQIIQII16s", kind, len(text) // 8, pointer(code), pointer(licence)),
        *(0, 0, 0, 0, 0, PROGRAM_NAME),
    )
    return program


def attach(interface, attach_point, position, verdict, path):
    """Loads, attaches and pins."""
    packets, _ = call(MAP_CREATE, "IIIII", MAP_TYPE_ARRAY, 4, 8, 1, 0)
    kind = TYPE_XDP if attach_point == "xdp" else TYPE_SCHED_CLS
    program = load(kind, counting_program(packets, int(verdict)))
    flags = XDP_GENERIC if attach_point == "xdp" else {"first": BEFORE, "last": AFTER}[position]
    link, _ = call(LINK_CREATE, "IIII", program, socket.if_nametoindex(interface), ATTACH[attach_point], flags)
    pin(packets, path + "-packets")
    pin(link, path)


def put(interface, attach_point, position, program, path):
    """Attaches a pinned program, and pins that."""
    name = ctypes.create_string_buffer(program.encode())
    fd, _ = call(OBJ_GET, "QII", pointer(name), 0, 0)
    flags = {"first": BEFORE, "last": AFTER}[position]
    link, _ = call(LINK_CREATE, "IIII", fd, socket.if_nametoindex(interface), ATTACH[attach_point], flags)
    pin(link, path)


def forge(interface, attach_point, index, word, tag, path):
    """Loads, attaches before all others, and pins."""
    program = load(TYPE_SCHED_CLS, forging_program(int(index), ctypes.c_int32(int(word)).value, int(tag)))
    link, _ = call(LINK_CREATE, "IIII", program, socket.if_nametoindex(interface), ATTACH[attach_point], BEFORE)
    pin(link, path)


def count(path):
    """Value of the pinned counter."""
    name = ctypes.create_string_buffer((path + "-packets").encode())
    packets, _ = call(OBJ_GET, "QII", pointer(name), 0, 0)
    key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(8)
    call(MAP_LOOKUP, "IIQQQ", packets, 0, pointer(key), pointer(value), 0)
    print(struct.unpack("=Q", value.raw)[0])


def program_name(identifier):
    """Name of a program by its number."""
    fd, _ = call(PROG_GET_FD_BY_ID, "III", identifier, 0, 0)
    info = ctypes.create_string_buffer(256)
    call(OBJ_GET_INFO, "IIQ", fd, len(info), pointer(info))
    os.close(fd)
    return info.raw[64:80].rstrip(b"\0").decode()


def programs(interface, attach_point):
    """[number, name] of the programs on a tcx attach point, in their order."""
    identifiers = (ctypes.c_uint32 * 64)()
    target = (socket.if_nametoindex(interface), ATTACH[attach_point])
    _, after = call(PROG_QUERY, "IIIIQII", *target, 0, 0, pointer(identifiers), len(identifiers), 0)
    found = struct.unpack_from("=I", after, 24)[0]
    return [[number, program_name(number)] for number in identifiers[:found]]


def query(*interfaces):
    """Prints who sits on the tcx attach points; null where the kernel has none. What vanishes meanwhile is left out."""
    found = {}
    for link in interfaces:
        try:
            found[link] = {attach_point: programs(link, attach_point) for attach_point in ("ingress", "egress")}
        except OSError as error:
            if error.errno == errno.EINVAL:
                found = None
                break
            if error.errno not in (errno.ENODEV, None):  # None: if_nametoindex() knows no other error
                raise
    print(json.dumps(found))


def main():
    """One command."""
    commands = {"query": query, "attach": attach, "put": put, "count": count, "forge": forge}
    commands[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
