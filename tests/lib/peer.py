#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One end of the traffic in the lab: runs in a host, takes commands as JSON lines on standard input and
answers each with one JSON line. It can serve and open connections at the same time, MPTCP or plain TCP. See
traffic.py for the other end of the pipe. May touch: sockets, and the files it is told to send or to write.

What the connections speak: "ECHO n" + n bytes is answered with the same bytes; "PUT n" + n bytes with their
SHA-256; "GET n" with n bytes and their SHA-256; "FILE path" with the size, the bytes of that file and their
SHA-256; "LATE n" with "late" after n seconds of silence.
"""

import collections
import hashlib
import json
import os
import random
import socket
import struct
import sys
import threading
import time

IPPROTO_MPTCP = 262
SOL_MPTCP = 284
MPTCP_INFO = 1
MPTCP_INFO_FLAG_FALLBACK = 1
TCP_TOTAL_RETRANSMISSIONS = 100  # offset of tcpi_total_retrans in struct tcp_info

CHUNK = 1 << 18
PIECE = 1_000_000  # of an upload without end
NOISE = random.Random("underpass").randbytes(1 << 20)  # the same in each peer, which knows what is to come
LOOK = 4096  # bytes that are looked at from the first one that differs
RECORDS = 50  # of transfers that are kept


def protocol_number(name):
    """Number of "mptcp" or "tcp" for socket()."""
    return {"mptcp": IPPROTO_MPTCP, "tcp": socket.IPPROTO_TCP}[name]


def is_ipv6(connection):
    """Whether a connection goes over IPv6, also where its socket is for both families."""
    address = connection.getsockname()[0]
    return ":" in address and not address.startswith("::ffff:")


def describe(connection):
    """What the kernel knows of a connection: fallback, subflows beyond the first, its token, its own address,
    retransmissions."""
    token = None
    try:
        data = connection.getsockopt(SOL_MPTCP, MPTCP_INFO, 256)
        flags, token = struct.unpack_from("=II", data, 8)
        fallback, subflows = bool(flags & MPTCP_INFO_FLAG_FALLBACK), data[0]
    except OSError:
        # EOPNOTSUPP: MPTCP that fell back to TCP; anything else: a plain TCP socket.
        fallback, subflows = True, 0
    try:
        data = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        retransmissions = struct.unpack_from("=I", data, TCP_TOTAL_RETRANSMISSIONS)[0]
    except OSError:
        retransmissions = None
    return {
        "fallback": fallback,
        "extra_subflows": subflows,
        "token": token,
        "address": connection.getsockname()[0].removeprefix("::ffff:"),
        "family": 6 if is_ipv6(connection) else 4,
        "retransmissions": retransmissions,
    }


class Stream:
    """A connection with a small reader in front of it."""

    def __init__(self, connection):
        self.connection = connection
        self._pending = b""

    def line(self):
        """The next line without its end; "" at the end of the stream."""
        while b"\n" not in self._pending:
            data = self.connection.recv(CHUNK)
            if not data:
                return ""
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def blocks(self, size):
        """The next size bytes, in blocks."""
        while size > 0:
            if not self._pending:
                self._pending = self.connection.recv(CHUNK)
                if not self._pending:
                    raise EOFError(f"connection closed, {size} bytes missing")
            block, self._pending = self._pending[:size], self._pending[size:]
            size -= len(block)
            yield block

    def write(self, data):
        """Sends all of data."""
        self.connection.sendall(data)


def noise(size):
    """size bytes in blocks, the same for each call in this process."""
    view = memoryview(NOISE)
    while size > 0:
        for start in range(0, min(size, len(NOISE)), CHUNK):
            block = view[start : start + min(CHUNK, size)]
            size -= len(block)
            yield block
            if size == 0:
                return


class Tally:
    """What has arrived of a transfer: how many bytes, and the first ones that are not those of noise()."""

    def __init__(self):
        self.received = 0
        self._first = None
        self._wrong = bytearray()

    def add(self, block):
        """Takes the next block, of at most CHUNK bytes."""
        if self._first is None:
            start = self.received % len(NOISE)
            wanted = (NOISE[start : start + len(block)] + NOISE[: len(block)])[: len(block)]
            if block != wanted:
                index = next(i for i, (here, there) in enumerate(zip(block, wanted)) if here != there)
                self._first = self.received + index
                self._wrong += block[index : index + LOOK]
        elif len(self._wrong) < LOOK:
            self._wrong += block[: LOOK - len(self._wrong)]
        self.received += len(block)

    def difference(self):
        """A sentence about the first byte that differs; None: there is none."""
        if self._first is None:
            return None
        wrong, where = bytes(self._wrong), NOISE.find(self._wrong[:16])
        start = self._first % len(NOISE)
        wanted = (NOISE + NOISE)[start : start + len(wrong)]
        zeros = len(wrong) - len(wrong.lstrip(b"\0"))
        text = f"differs at byte {self._first}"
        if zeros > 8:
            text += f", zeros for {zeros} bytes or more"
        elif len(wrong) >= 16 and where >= 0:
            text += f", has what belongs at byte {where} (modulo {len(NOISE)})"
        else:
            text += f", has {wrong[:32].hex()} instead of {wanted[:32].hex()}"
        same = sum(here == there for here, there in zip(wrong, wanted))
        return f"{text}; {same} of the {len(wrong)} bytes from there are right"


def file_blocks(path):
    """The content of a file in blocks."""
    with open(path, "rb") as file:
        while block := file.read(CHUNK):
            yield block


def send_blocks(stream, blocks, rate=None, progress=None, spoil=None):
    """Sends blocks, not faster than rate bytes a second; their SHA-256. spoil: a byte that is sent, and the 99 after it
    up to the end of its part, as zeros."""
    digest, sent, begin = hashlib.sha256(), 0, time.monotonic()
    for block in blocks:
        for start in range(0, len(block), 1 << 16):
            part = block[start : start + (1 << 16)]
            if spoil is not None and sent <= spoil < sent + len(part):
                part = bytearray(part)
                part[spoil - sent : spoil - sent + 100] = bytes(len(part[spoil - sent : spoil - sent + 100]))
            stream.write(part)
            sent += len(part)
            if rate:
                time.sleep(max(0.0, begin + sent / rate - time.monotonic()))
        digest.update(block)
        if progress:
            progress(sent)
    return digest.hexdigest()


def receive_blocks(blocks, path=None, progress=None, tally=None):
    """Takes blocks, writes them to a file when path is given; their SHA-256. tally: looks at them as well."""
    digest, received = hashlib.sha256(), 0
    with open(path or os.devnull, "wb") as file:
        for block in blocks:
            digest.update(block)
            file.write(block)
            received += len(block)
            if tally:
                tally.add(block)
            if progress:
                progress(received)
    return digest.hexdigest()


def answer(stream, line, record):
    """Does what one line of a client asks for."""
    verb, _, argument = line.partition(" ")
    if verb == "ECHO":
        for block in stream.blocks(int(argument)):
            stream.write(block)
    elif verb == "PUT":
        record["tally"] = tally = Tally()
        digest = receive_blocks(stream.blocks(int(argument)), tally=tally)
        stream.write(digest.encode() + b"\n")
    elif verb == "GET":
        digest = send_blocks(stream, noise(int(argument)), progress=lambda sent: record.update(sent=sent))
        stream.write(digest.encode() + b"\n")
    elif verb == "FILE":
        stream.write(f"{os.path.getsize(argument)}\n".encode())
        digest = send_blocks(stream, file_blocks(argument), progress=lambda sent: record.update(sent=sent))
        stream.write(digest.encode() + b"\n")
    elif verb == "LATE":
        time.sleep(float(argument))
        stream.write(b"late\n")


def serve_connection(connection, records):
    """Answers the requests of one client until it closes. A record of each goes to records."""
    stream, record = Stream(connection), {"asked": None}
    with connection:
        try:
            while line := stream.line():
                record = {"port": connection.getpeername()[1], "asked": line[:80]}
                records.append(record)
                answer(stream, line, record)
                record["state"] = "answered"
        except (OSError, EOFError, ValueError) as error:
            record["error"] = f"{type(error).__name__}: {error}"
            record |= describe(connection)
            raise


class Peer:
    """Executes the commands. Every public method is one command."""

    def __init__(self):
        self._streams = {}
        self._accepted = []
        self._tasks = {}
        self._progress = {}
        self._finishing = set()
        self._records = collections.deque(maxlen=RECORDS)

    def listen(self, port, protocol="mptcp"):
        """Serves on a port of all addresses, IPv4 and IPv6."""
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, protocol_number(protocol))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", port))
        listener.listen(64)

        def accept():
            while True:
                connection, _ = listener.accept()
                self._accepted.append(connection)
                threading.Thread(target=serve_connection, args=(connection, self._records), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def connect(self, name, address, port, protocol="mptcp", source=None, device=None, timeout=20):
        """Opens a connection; the seconds that took, and the local port."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM, protocol_number(protocol))
        connection.settimeout(timeout)
        if source:
            connection.bind((source, 0))
        if device:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        begin = time.monotonic()
        connection.connect((address, port))
        connection.settimeout(60)
        self._streams[name] = Stream(connection)
        return {"seconds": time.monotonic() - begin, "port": connection.getsockname()[1]}

    def close(self, name):
        """Closes a connection."""
        self._streams.pop(name).connection.close()

    def info(self, name):
        """State of an own connection."""
        return describe(self._streams[name].connection)

    def accepted(self):
        """State of all connections that were accepted and are still open."""
        return [describe(connection) for connection in self._accepted if connection.fileno() >= 0]

    def served(self):
        """What was asked of this server last and what became of it, the oldest first: bytes that were sent or received,
        the first one that differs, errors."""
        found = []
        for record in list(self._records):
            told = dict(record)
            tally = told.pop("tally", None)
            if tally:
                told |= {"received": tally.received, "difference": tally.difference()}
            found.append(told)
        return found

    def start(self, task, **arguments):
        """Begins a transfer in the background."""
        name = arguments["name"]
        self._tasks[name] = {}
        self._progress[name] = 0

        def work():
            try:
                self._tasks[name] |= getattr(self, "_" + task)(**arguments)
            except Exception as error:  # pylint: disable=broad-except  (told to the other end of the pipe)
                self._tasks[name]["error"] = f"{type(error).__name__}: {error}"

        thread = threading.Thread(target=work, daemon=True)
        self._tasks[name]["thread"] = thread
        thread.start()

    def progress(self, name):
        """Bytes that the transfer in the background has moved so far, and whether it still runs."""
        return {"bytes": self._progress[name], "running": self._tasks[name]["thread"].is_alive()}

    def wait(self, name, timeout=120):
        """Result of a transfer in the background."""
        task = self._tasks[name]
        task["thread"].join(timeout)
        if task["thread"].is_alive():
            raise TimeoutError(
                f"transfer not finished after {timeout} s, {self._progress[name]} bytes moved"
            )
        del self._tasks[name]
        if "error" in task:
            raise RuntimeError(task["error"])
        return {key: value for key, value in task.items() if key != "thread"}

    def finish(self, name):
        """Lets uploads, downloads or connects without end come to their end; wait() for it."""
        self._finishing.add(name)

    # Transfers

    def _note(self, name, before=0):
        return lambda count: self._progress.__setitem__(name, before + count)

    @staticmethod
    def _doubts(stream, here, there, tally=None):
        """What an end knows of a transfer whose checksums differ; nothing if they are equal."""
        if here == there:
            return {}
        told = {"there": there, "port": stream.connection.getsockname()[1]}
        if tally:
            told |= {"received": tally.received, "difference": tally.difference()}
        return {"doubts": told | describe(stream.connection)}

    def _echo(self, name, size):
        stream, begin = self._streams[name], time.monotonic()
        stream.write(f"ECHO {size}\n".encode() + b"e" * size)
        if b"".join(stream.blocks(size)) != b"e" * size:
            raise ValueError("the echo differs")
        return {"seconds": time.monotonic() - begin}

    def _late(self, name, seconds, patience):
        stream, begin = self._streams[name], time.monotonic()
        stream.write(f"LATE {seconds}\n".encode())
        stream.connection.settimeout(seconds + patience)
        try:
            arrived = stream.line() == "late"
        except OSError:
            arrived = False
        return {"arrived": arrived, "delay": time.monotonic() - begin - seconds}

    def _fetch(self, name, path):
        stream = self._streams[name]
        stream.write(f"GET {path} HTTP/1.1\r\nHost: server\r\n\r\n".encode())
        status, size = int(stream.line().split()[1]), 0
        while header := stream.line().strip().lower():
            if header.startswith("content-length:"):
                size = int(header.partition(":")[2])
        digest = receive_blocks(stream.blocks(size), None, self._note(name))
        return {"status": status, "sha256": digest, "bytes": size}

    @staticmethod
    def _digest_of_the_other(stream):
        """SHA-256 that the other end tells. The end of the stream is no digest that differs."""
        if not (digest := stream.line()):
            raise EOFError("the other end closed the connection before it told its SHA-256")
        return digest

    def _upload(self, name, size, rate=None, before=0, spoil=None):
        stream, begin = self._streams[name], time.monotonic()
        stream.write(f"PUT {size}\n".encode())
        here = send_blocks(stream, noise(size), rate, self._note(name, before), spoil)
        there = self._digest_of_the_other(stream)
        result = {"equal": here == there, "sha256": here, "seconds": time.monotonic() - begin}
        return result | self._doubts(stream, here, there)

    def _uploads(self, name, rate):
        doubts, size = {}, 0
        while name not in self._finishing:
            result = self._upload(name, PIECE, rate, size)
            doubts = doubts or {key: value for key, value in result.items() if key == "doubts"}
            size += PIECE
        self._finishing.discard(name)
        return {"equal": not doubts, "bytes": size} | doubts

    def _downloads(self, name, rate):
        doubts, size = {}, 0
        while name not in self._finishing:
            result = self._download(name, PIECE, before=size)
            doubts = doubts or {key: value for key, value in result.items() if key == "doubts"}
            size += PIECE
            time.sleep(PIECE / rate)
        self._finishing.discard(name)
        return {"equal": not doubts, "bytes": size} | doubts

    def _connects(self, name, address, port, protocol="mptcp", pause=0.0):
        """Opens one connection after the other, moves a few bytes and closes it, until finish(): the seconds that each
        took to open, how many had fallen back to TCP, and what went wrong."""
        seconds, fallbacks, errors = [], 0, []
        while name not in self._finishing:
            try:
                seconds.append(self.connect(name, address, port, protocol)["seconds"])
                self._echo(name, 100)
                fallbacks += self.info(name)["fallback"]
                self.close(name)
            except (OSError, EOFError, ValueError) as error:
                errors.append(f"{type(error).__name__}: {error}")
            self._note(name)(len(seconds))
            time.sleep(pause)
        self._finishing.discard(name)
        return {"seconds": seconds, "fallbacks": fallbacks, "errors": errors}

    def _download(self, name, size=None, file=None, target=None, before=0):
        stream, begin = self._streams[name], time.monotonic()
        stream.write(f"FILE {file}\n".encode() if file else f"GET {size}\n".encode())
        if file:
            size = int(stream.line())
        tally = None if file else Tally()
        here = receive_blocks(stream.blocks(size), target, self._note(name, before), tally)
        there = self._digest_of_the_other(stream)
        seconds = time.monotonic() - begin
        result = {"equal": here == there, "sha256": here, "seconds": seconds, "bytes": size}
        return result | self._doubts(stream, here, there, tally)


def main():
    """Reads commands until standard input is closed."""
    peer = Peer()
    print(json.dumps({"result": "ready"}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"result": getattr(peer, command.pop("do"))(**command)}
        except Exception as error:  # pylint: disable=broad-except  (told to the other end of the pipe)
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
