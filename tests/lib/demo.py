#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration that tests/demo starts, told in plain words; tests/demo --help says what it shows.

May touch: hosts of the lab and its scratch folder, the file of --record.
"""

import argparse
import contextlib
import os
import pathlib
import shlex
import signal
import sys
import time

import film
import nmcli
import service
import state
import traffic
import wire
from lab import PORT, Lab

PROFILES = (("client", "first"), ("client", "second"), ("server", "server"))
UPLINKS = {"c0": "mc0", "c1": "mc1"}  # uplink of the client -> its other end on the middlebox


class ClaimFailed(Exception):
    """Something that the demonstration claims did not hold."""


def say(text=""):
    """One line for the reader."""
    print(text, flush=True)


def claim(text, held, detail=""):
    """Prints a claim and whether it held; ends the demonstration when it did not."""
    say(f"  [{'ok' if held else 'FAILED'}] {text}")
    if not held:
        raise ClaimFailed(f"{text}\n{detail}".rstrip())


class Demo:
    """The acts of the demonstration, on one lab."""

    def __init__(self, lab, size):
        self.lab = lab
        self.size = size * 1_000_000
        self.file = lab.folder / "film.bin"
        self.copy = lab.folder / "copy.bin"
        self.peers = None

    def typed(self, name, *words, show_output=False):
        """Shows and runs a command as a user of that host would type it."""
        say(f"  {name}$ {shlex.join(words)}")
        output = getattr(self.lab, name).output(*words)
        if show_output:
            for line in output.splitlines():
                say(f"      {line}")
        return output

    def prepare(self):
        """The file, and a server that waits for clients."""
        say(f"Writing a file of {self.size // 1_000_000} MB on the server.")
        with open(self.file, "wb") as file:
            for offset in range(0, self.size, 1_000_000):
                file.write(os.urandom(min(1_000_000, self.size - offset)))
        self.peers = traffic.pair(self.lab)

    def bring(self, what, only=None):
        """nmcli connection up or down for all profiles, or those of one host."""
        for host, profile in PROFILES:
            if only in (None, host):
                self.typed(host, "nmcli", "connection", what, profile)

    def without(self):
        """Act (a). Returns the state of both hosts with everything down again."""
        say("\n(a) Without the tunnel")
        self.bring("up")
        client = self.peers[1]
        client.connect("plain")
        client.transfer("echo", "plain", size=100_000)
        claim(
            "the middlebox strips MPTCP: the connection has fallen back to TCP",
            client.info("plain")["fallback"],
        )
        traffic.wait_subflows(self.lab.client, [])
        counters = self.lab.counters()
        used = [uplink for uplink, peer in UPLINKS.items() if counters[f"tcp-{peer}"][0]]
        claim("only one of the two uplinks is in use", used == ["c0"], f"in use: {used}")
        client.close("plain")
        self.bring("down")
        return {name: state.host_state(getattr(self.lab, name)) for name in ("client", "server")}

    def set_profiles(self):
        """Act (b)."""
        say("\n(b) The tunnel is set in the profiles, once and for all; the next activation brings it up")
        for profile in ("first", "second"):
            self.typed(
                "client", "underpassctl", "profile", "set", profile, "tunnel=yes", f"remote-ports={PORT}"
            )
        self.typed("server", "underpassctl", "profile", "set", "server", "tunnel=yes", f"local-ports={PORT}")
        self.bring("up")
        self.typed("client", "underpassctl", "status", show_output=True)

    def through(self):
        """Act (c)."""
        say("\n(c) With the tunnel")
        client = self.peers[1]
        before = self.lab.counters()
        with wire.Capture(self.lab.middlebox, "mc0") as first, wire.Capture(
            self.lab.middlebox, "mc1"
        ) as second:
            begin = time.monotonic()
            traffic.connect_both(self.lab, client, "tunnelled")
            seconds = time.monotonic() - begin
            claim("MPTCP works", not client.info("tunnelled")["fallback"])
            claim(f"each uplink carries a subflow, after {seconds:.2f} s", True)
            client.transfer("upload", "tunnelled", size=1_000_000)
            client.transfer("download", "tunnelled", size=1_000_000)
        for uplink, capture in zip(UPLINKS, (first, second)):
            report = capture.report(PORT)
            claim(
                f"wire behind {uplink}: {report.udp} UDP packets, checksums right, {report.tcp} TCP packets",
                report.udp > 0 and report.tcp == 0 and not report.faults,
                "\n".join(report.faults[:5]),
            )
        self.transfer_file()
        self.judge_counters(before)
        client.close("tunnelled")

    def transfer_file(self):
        """The big file, with progress and throughput."""
        say(f"  Downloading {self.size // 1_000_000} MB over both uplinks:")
        client, shown = self.peers[1], 0
        before = service.counters(self.lab.server, "s0")
        begin = time.monotonic()
        client.start("download", "tunnelled", file=str(self.file), target=str(self.copy))
        while (progress := client.progress("tunnelled"))["running"]:
            percent = progress["bytes"] * 100 // self.size // 20 * 20
            if percent > shown:
                shown = percent
                say(f"    {percent:3} %  {time.monotonic() - begin:5.1f} s")
            time.sleep(0.05)
        result = client.wait("tunnelled")
        sums = [
            self.typed(name, "sha256sum", str(path)).split()[0]
            for name, path in (("server", self.file), ("client", self.copy))
        ]
        claim(
            f"the file arrived as it was sent: SHA-256 {sums[0][:16]}… on both hosts",
            sums[0] == sums[1],
            str(sums),
        )
        counted = service.counters(self.lab.server, "s0")
        bulk, sent = (counted[name] - before[name] for name in ("bulk-sent", "sent"))
        say(
            f"  Throughput: {result['bytes'] * 8 / result['seconds'] / 1e6:.0f} Mbit/s, {100 * bulk // sent} % in"
            " bulk form (all three hosts share this machine's processors)"
        )

    def judge_counters(self, before):
        """What the middlebox counted during act (c)."""
        counters = {
            name: tuple(now - then for now, then in zip(values, before[name]))
            for name, values in self.lab.counters().items()
        }
        tcp = sum(counters[f"tcp-{peer}"][0] for peer in UPLINKS.values())
        shares = {uplink: counters[f"udp-{peer}"][1] for uplink, peer in UPLINKS.items()}
        text = ", ".join(f"{count / 1e6:.0f} MB by {uplink}" for uplink, count in shares.items())
        claim(
            f"the middlebox saw no TCP packet of the connection; in UDP it saw {text}",
            tcp == 0 and sum(shares.values()) > self.size,
            f"{counters}",
        )

    def down(self, before):
        """Act (d)."""
        say("\n(d) Down")
        self.bring("down")
        for name, then in before.items():
            text = state.difference(then, state.settled(getattr(self.lab, name), then))
            claim(
                f"{name}: links, addresses, tc, BPF, sysctls, MPTCP endpoints and pins are as before",
                not text,
                text,
            )

    def play(self):
        """All acts."""
        self.prepare()
        before = self.without()
        self.set_profiles()
        self.through()
        self.down(before)
        say("\nEvery claim held.")


def record(demo, path):
    """Plays the demonstration and writes a film of it."""
    recorder = film.Recorder(sys.stdout)
    with contextlib.redirect_stdout(recorder):
        demo.play()
    path.write_text(film.draw(recorder.lines, "sudo tests/demo"), encoding="utf-8")
    say(f"The film is in {path}.")


class NmcliDemo(Demo):
    """The same with nmcli alone: the keys are in tunnel profiles, and NetworkManager shows the state."""

    def set_profiles(self):
        """Act (b)."""
        say("\n(b) Each profile gets a tunnel profile; the next activation brings the tunnel up")
        add = ("nmcli", "connection", "add", "type", "vpn", "vpn-type", "underpass", "con-name")
        for host, profile in PROFILES:
            ports = "remote" if host == "client" else "local"
            data = f"link={profile}, tunnel=yes, {ports}-ports={PORT}"
            self.typed(host, *add, f"{profile}-tunnel", "vpn.data", data)
        self.bring("up")
        for host, profile in PROFILES:
            nmcli.wait_banner(getattr(self.lab, host), f"{profile}-tunnel", "tunnel active")
        self.typed("client", "nmcli", "connection", show_output=True)
        shown = self.typed("client", "nmcli", "connection", "show", "first-tunnel")
        for line in shown.splitlines():
            if line.startswith(("vpn.data", "GENERAL.STATE", "VPN.BANNER", "VPN.VPN-STATE")):
                say(f"      {line}")
        claim("NetworkManager shows the tunnel and its state", "tunnel active" in shown, shown)


def main():
    """Parses the options that tests/demo passed on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--record", type=pathlib.Path)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--nmcli", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.umask(0o022)
    try:
        say("\nStarting a client, a server and a middlebox that strips MPTCP options.")
        with Lab() as lab:
            status = 0
            try:
                demo = (NmcliDemo if options.nmcli else Demo)(lab, options.size)
                if options.record:
                    record(demo, options.record)
                else:
                    demo.play()
            except (ClaimFailed, AssertionError, RuntimeError, OSError) as error:
                say(f"\nThe demonstration failed: {error}")
                status = 1
            if options.keep:
                say("\nThe hosts stay up until Ctrl-C. To look into them:")
                say("\n".join("  " + line for line in lab.how_to_enter()))
                signal.pause()
    except KeyboardInterrupt:
        say("\nInterrupted; everything is taken down.")
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
