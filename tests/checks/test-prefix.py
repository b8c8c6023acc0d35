#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Below another prefix than /usr, what is installed names its own places, and lies where others look for it.

Usage: test-prefix.py MESON ROOT
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position

PREFIX = "/usr/local"
MESON, ROOT = sys.argv.pop(1), sys.argv.pop(1)


def run(*command):
    """Output of a command, shown as well if it fails."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    answer = subprocess.run(command, **pipes, encoding="utf-8", check=False)
    assert answer.returncode == 0, f"{command}:\n{answer.stdout[-4000:]}"
    return answer.stdout


class Prefix(unittest.TestCase):
    """A build with the prefix, of which only the manual is made."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="underpass-prefix-")
        cls.addClassCleanup(folder.cleanup)
        cls.build = pathlib.Path(folder.name)
        run(MESON, "setup", f"--prefix={PREFIX}", "-Dtests=false", folder.name, ROOT)
        cls.installed = json.loads(run(MESON, "introspect", "--installed", folder.name))

    def made(self, suffix):
        """What lies at one of the places where the build installs."""
        (source,) = (source for source, target in self.installed.items() if target.endswith(suffix))
        return pathlib.Path(source)

    def test_units(self):
        for name in ("underpass.service", "underpass-prober.service", "underpass-metrics.service"):
            text = self.made(f"/{name}").read_text()
            self.assertTrue(f"{PREFIX}/" in text, f"{name}:\n{text}")
            self.assertNotRegex(text, "/usr/(bin|libexec|share)/underpass")

    def test_examples(self):
        examples = {target for target in self.installed.values() if "/examples/" in target}
        self.assertGreaterEqual(len(examples), 5)
        for target in examples:
            self.assertTrue(target.startswith(f"{PREFIX}/share/doc/underpass/examples/"), target)

    def test_completion(self):
        """zsh searches vendor-completions below /usr only."""
        completions = {target for target in self.installed.values() if "/zsh/" in target}
        self.assertEqual(completions, {f"{PREFIX}/share/zsh/site-functions/_underpassctl"})

    def test_manual(self):
        page = self.build / "data/underpassctl.1.rst"
        run("ninja", "-C", str(self.build), str(page.relative_to(self.build)))
        places = set(re.findall(r"/usr/[\w/]*underpass\w*", page.read_text()))
        self.assertEqual(places, {f"{PREFIX}/share/doc/underpass"})


if __name__ == "__main__":
    interrupts.main(verbosity=2)
