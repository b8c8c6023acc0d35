#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""meson.build says the version, and which libraries it takes. NEWS and the packages say the same.

Usage: check-version.py ROOT, or check-version.py --self-test
"""

import pathlib
import re
import sys

SOURCE = "meson.build"
SPEC = "packaging/underpass.spec"
LIBRARY = re.compile(r"dependency\('([^']+)', version : '>= ([^']+)'\)")
REQUIRED = re.compile(r"^BuildRequires: +pkgconfig\(([^)]+)\) >= (\S+)$", re.M)
VERSION = {
    SOURCE: re.compile(r"^ *version : '([^']+)',$", re.M),
    "NEWS": re.compile(r"\AUnderpass (\S+)\n=+\n"),
    "packaging/debian/changelog": re.compile(r"\Aunderpass \(([^)]+)\) "),
    SPEC: re.compile(r"^Version: +(\S+)$", re.M),
}
SAMPLE = {
    SOURCE: "project(\n        version : '1.2',\n        meson_version : '>= 1.0.0',\n)\n"
    "dependency('b', version : '>= 7.8')\n",
    "NEWS": "Underpass 1.2\n=============\n\nUnderpass 1.1\n=============\n",
    "packaging/debian/changelog": "underpass (1.2) unstable; urgency=medium\n\nunderpass (1.1) unstable; urgency=medium\n",
    SPEC: "Name: underpass\nVersion:        1.2\nRelease: 1\nBuildRequires:  pkgconfig(b) >= 7.8\n",
}


def complaints(texts):
    """A line for each file that has another version, or none."""
    found = {name: (pattern.search(texts[name]) or [None, None])[1] for name, pattern in VERSION.items()}
    wanted = found[SOURCE]
    if wanted is None:
        return [f"{SOURCE} names no version"]
    others = [(name, version) for name, version in found.items() if version != wanted]
    wrong = [f"{name} has version {version}, {SOURCE} has {wanted}" for name, version in others]
    libraries, required = dict(LIBRARY.findall(texts[SOURCE])), dict(REQUIRED.findall(texts[SPEC]))
    if libraries != required:
        wrong.append(f"{SPEC} requires {required}, {SOURCE} takes {libraries}")
    return wrong


def self_test():
    """The sample is good, and is not once one of its files has another version or none."""
    assert not complaints(SAMPLE), complaints(SAMPLE)
    for name, text in SAMPLE.items():
        for other in (text.replace("1.2", "1.3"), text.replace("1.2", "")):
            assert complaints({**SAMPLE, name: other}), f"{name}: not noticed: {other}"
    for name in (SOURCE, SPEC):
        other = SAMPLE[name].replace("7.8", "7.9")
        assert complaints({**SAMPLE, name: other}), f"{name}: not noticed: {other}"


def main():
    """Prints what is wrong."""
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    root = pathlib.Path(sys.argv[1])
    wrong = complaints({name: (root / name).read_text() for name in VERSION})
    print(*wrong, sep="\n", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
