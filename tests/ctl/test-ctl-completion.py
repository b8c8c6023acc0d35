#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion of underpassctl: what the command offers, and what bash, zsh and fish make of it.

Usage: test-ctl-completion.py UNDERPASSCTL [TEST…]
May touch: a network namespace of its own, a private bus with a NetworkManager that has one profile, "LTE".
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "service")]

import harness  # noqa: E402  pylint: disable=wrong-import-position
import interrupts  # noqa: E402  pylint: disable=wrong-import-position
from mocked import MockedTest  # noqa: E402  pylint: disable=wrong-import-position

DATA = HERE.parents[1] / "data"
UUID = "11111111-2222-3333-4444-555555555555"
LINKS = ["eth7", "wlan7"]
NO_LINKS = ["underpass-tx", "underpass-rx", "underpass-br", "underpass-nk", "underpass-v7"]


class Completion(MockedTest):
    """Links, a NetworkManager, and no service."""

    service = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.folder / "underpassctl").symlink_to(cls.program)
        cls.start_manager(cls.log)
        for first, second in zip(LINKS + NO_LINKS[0::2], [f"peer{i}" for i in range(2)] + NO_LINKS[1::2]):
            harness.ip("link", "add", first, "type", "veth", "peer", "name", second)

    def environment(self):
        """Of the command and of the shells."""
        return {
            "PATH": f"{self.folder}:/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.folder),
            "TERM": "dumb",
            "DBUS_SYSTEM_BUS_ADDRESS": self.bus.address,
        }

    def run_tool(self, *command):
        """Standard output of a command that must succeed and complain of nothing."""
        result = subprocess.run(command, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, b""), command)
        return result.stdout.decode()

    def offered(self, *words):
        """What the command offers for the last word."""
        return [line.partition("\t")[0] for line in self.run_tool("underpassctl", "--complete", *words).splitlines()]

    def keys(self):
        """Names of all keys."""
        return [key["key"] for key in json.loads(self.run_tool("underpassctl", "keys", "--json"))["keys"]]

    def verbs(self):
        """Names of all verbs, from --help."""
        text = self.run_tool("underpassctl", "--help").partition("Verbs:\n")[2].partition("\n\n")[0]
        return [re.split("  +", line.strip())[0] for line in text.splitlines()]

    def require(self, shell):
        """The shell is there, or the test is skipped."""
        if not shutil.which(shell):
            self.skipTest(f"there is no {shell}")

    def bash(self, *words):
        """What bash would offer. Readline has taken the words apart at "=" and ":"."""
        script = (
            f"source {DATA}/underpassctl.bash-completion; compopt() {{ :; }}; "
            'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _underpassctl; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        pieces = [piece for word in words for piece in (re.split("([=:])", word) if re.search("[=:]", word) else [word])]
        if pieces[-1] == "" and words[-1] != "":
            pieces.pop()
        return [line for line in self.run_tool("bash", "--norc", "-uc", script, "bash", "underpassctl", *pieces).splitlines() if line]

    def zsh(self, *words):
        """What zsh would offer: compadd only works on a command line that is being edited, so the test stands in for it."""
        self.require("zsh")
        script = (
            'compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -rl -- "$@" }; '
            "_files() { print FILES }; _hosts() { print HOSTS }; "
            'words=("$@"); CURRENT=$#; source ' + f"{DATA}/underpassctl.zsh-completion; true"
        )
        return self.run_tool("zsh", "-fc", script, "zsh", "underpassctl", *words).splitlines()

    def fish(self, *words):
        """What fish offers."""
        self.require("fish")
        line = " ".join(word.replace(" ", "\\ ") for word in ("underpassctl", *words))
        script = f"source {DATA}/underpassctl.fish; complete -C '{line}'"
        return [each.partition("\t")[0] for each in self.run_tool("fish", "--no-config", "-c", script).splitlines()]

    CASES = [
        (["sta"], ["status"]),
        (["profile", "se"], ["set"]),
        (["explain", "e"], ["eth7"]),
        (["explain", "underpass-"], []),
        (["explain", "eth7", ""], []),
        (["status", "eth7", "w"], ["wlan7"]),
        (["status", "--a"], ["--all"]),
        (["explain", "--a"], []),
        (["reload", ""], []),
        (["profile", "show", ""], ["LTE"]),
        (["profile", "show", "id", "L"], ["LTE"]),
        (["profile", "set", "uuid", ""], [UUID]),
        (["profile", "set", "uuid", "2"], []),
        (["profile", "unset", "--reapply", "uuid", "1"], [UUID]),
        (["profile", "set", "filename", "/"], ["/run/netplan/lte.nmconnection"]),
        (["profile", "set", "path", "/"], ["/org/freedesktop/NetworkManager/Settings/1"]),
        (["profile", "set", "uuid", UUID, "fall"], ["fallback=", "fallback-after="]),
        (["profile", "set", "--reapply", "LTE", "mp"], ["mptcp-only=", "mptcp-endpoint="]),
        (["profile", "set", "LTE", "mss=1000", "tu"], ["tunnel="]),
        (["profile", "show", "uuid", UUID, ""], []),
        (["profile", "unset", "LTE", "mptcp-o"], ["mptcp-only"]),
        (["profile", "unset", "LTE", "tunnel="], []),
        (["keys", "remote-"], ["remote-ports", "remote-addresses"]),
        (["bogus", ""], []),
        (["="], []),
    ]
    VALUES = [
        (["profile", "set", "LTE", "tunnel="], ["no", "yes", "auto", "on-demand"]),
        (["profile", "set", "LTE", "tunnel=o"], ["on-demand"]),
        (["profile", "set", "uuid", UUID, "keepalive="], ["no"]),
        (["profile", "set", "LTE", "mss=1"], []),
        (["profile", "set", "LTE", "remote-ports="], []),
        (["profile", "set", "LTE", "bogus="], []),
    ]

    def check(self, shell, whole=True):
        """All cases in a shell. whole: it offers values together with their key."""
        for words, wanted in self.CASES:
            with self.subTest(words):
                self.assertEqual(sorted(shell(*words)), sorted(wanted))
        for words, wanted in self.VALUES:
            with self.subTest(words):
                key = words[-1].partition("=")[0]
                self.assertEqual(sorted(shell(*words)), sorted(f"{key}={value}" if whole else value for value in wanted))

    def test_command(self):
        self.check(self.offered)

    def test_bash(self):
        self.check(self.bash, whole=False)

    def test_zsh(self):
        self.check(self.zsh)

    def test_fish(self):
        self.check(self.fish)

    def test_hosts(self):
        self.assertEqual(self.run_tool("underpassctl", "--complete", "probe", ""), "\thosts\n")
        self.assertEqual(self.zsh("probe", ""), ["HOSTS"])
        self.assertEqual(self.bash("probe", "eth7", "w"), ["wlan7"])

    def test_every_verb(self):
        """Each verb is offered, and each word of its usage is one that completion knows: the command fails otherwise."""
        verbs = self.verbs()
        self.assertGreater(len(verbs), 10)
        self.assertEqual(sorted(set(self.offered(""))), sorted({verb.split()[0] for verb in verbs}))
        for verb in verbs:
            words = verb.split()
            for count in range(4):
                self.run_tool("underpassctl", "--complete", *words, *["x"] * count, "")
            if len(words) == 2:
                self.assertIn(words[1], self.offered(words[0], ""))

    def test_keys(self):
        self.assertEqual(self.offered("keys", ""), self.keys())
        self.assertEqual(self.bash("profile", "set", "LTE", "tunnel=", ""), [f"{key}=" for key in self.keys()])
        self.assertEqual(self.offered("profile", "unset", "LTE", ""), self.keys())

    def test_quotes(self):
        self.assertEqual(self.bash("profile", "show", '"L'), ["LTE"])
        self.assertEqual(self.bash("profile", "set", "'LTE'", "tunn"), ["tunnel="])


if __name__ == "__main__":
    harness.enter_namespace()
    Completion.program = os.path.abspath(sys.argv[1])
    interrupts.main(argv=[sys.argv[0], *sys.argv[2:]])
