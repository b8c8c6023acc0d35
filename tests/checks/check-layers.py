#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the rules of the rooms: who may include what, how long a file and a function may be and how wide a line,
how a file opens. Tests in C are only asked for lengths and width.

Usage: check-layers.py ROOT, or check-layers.py --self-test (every rule is broken once and must be noticed).
The rooms are those of the layer table in plugin/README.md.
"""

import fnmatch
import pathlib
import re
import sys
import tempfile

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 59
COLUMNS_MAX = 109  # as .editorconfig says

# Rooms of plugin/ and bpf/, the first row that matches a file's name counts. What no row names is L4, the service.
# The family of an L3 file is what it may include of its own layer.
ROOMS = [
    # pattern               layer  family
    ("abi.h",                 0, "wire"),
    ("rewrite.h",             0, "wire"),
    ("config.h",              1, "base"),
    ("i18n.h",                1, "base"),
    ("log.[ch]",              1, "base"),
    ("util.[ch]",             1, "base"),
    ("netlink.[ch]",          1, "netlink"),
    ("counters.[ch]",         2, "pure"),
    ("facts.h",               2, "pure"),
    ("key-*.[ch]",            2, "pure"),
    ("keys.[ch]",             2, "pure"),
    ("nm-user.[ch]",          2, "pure"),
    ("plan*.[ch]",            2, "pure"),
    ("profile.[ch]",          2, "pure"),
    ("xsection.[ch]",         2, "pure"),
    ("hop*.[ch]",             3, "hop"),
    ("link-tune*.[ch]",       3, "link-tune"),
    ("mptcp-pm*.[ch]",        3, "mptcp-pm"),
    ("rtnl*.[ch]",            3, "rtnl"),
    ("sctp*.[ch]",            3, "sctp"),
    ("sock-diag*.[ch]",       3, "sock-diag"),
    ("source.h",              3, "source"),
    ("source-nm*.[ch]",       3, "source-nm"),
    ("source-file*.[ch]",     3, "source-file"),
    ("source-networkd*.[ch]", 3, "source-networkd"),
    ("source-fake*.[ch]",     3, "source-fake"),
    ("tunnel*.[ch]",          3, "tunnel"),
]

# A family of L3 that others of L3 may include: it only declares what they implement.
SHARED_FAMILIES = {"source"}

# Headers of libraries: only these files may include them.
LIBRARIES = [
    ("systemd/sd-bus*",     ["bus*", "source-nm*", "source-networkd*", "manager*", "main*", "underpass-hook.c"]),
    ("systemd/sd-event*",   ["bus*", "source-nm*", "source-networkd*", "link.*", "manager*", "main*"]),
    ("systemd/sd-daemon*",  ["bus*", "main*", "manager*"]),
    ("systemd/sd-journal*", ["log.*"]),
    ("bpf/bpf_*",           ["underpass.bpf.c", "flow.h", "maps.h", "packet.h"]),
    ("bpf/*",               ["tunnel-*"]),
    ("libmnl/*",            ["netlink.*", "rtnl*", "mptcp-pm*", "sock-diag*", "link-tune*", "hop-*", "tunnel-hook.c"]),
    ("netlink.h",           ["netlink.*", "rtnl*", "mptcp-pm*", "sock-diag*", "link-tune*", "hop-*", "tunnel-hook.c"]),
    ("NetworkManager.h",    ["ctl-profile.c"]),
    ("gio/*",               ["ctl*"]),
    ("glib*",               ["ctl*"]),
    ("json-glib/*",         ["ctl*"]),
    ("json-c/*",            ["source-networkd-json.c"]),
]

# What a pure file may include of the system: nothing that opens, asks or tells anything.
PURE_HEADERS = {
    "arpa/inet.h", "assert.h", "ctype.h", "errno.h", "fnmatch.h", "inttypes.h", "limits.h", "linux/if_addr.h",
    "linux/if_link.h", "linux/mptcp.h", "linux/rtnetlink.h", "linux/types.h", "net/if.h", "net/if_arp.h",
    "netinet/in.h", "stdalign.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h",
    "string.h",
}

LICENCES = {"GPL-2.0-or-later", "GPL-2.0-only OR LGPL-2.1-or-later"}
SHARED_LICENCE = "GPL-2.0-only OR LGPL-2.1-or-later"

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
LITERAL = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.S)
PRINTS = re.compile(r"\b(?:printf|puts|putchar|perror|vprintf)\s*\(|\b(?:fprintf|fputs|vfprintf)\s*\([^;]*\bstd(?:out|err)\b")
TRACE = re.compile(r"\b(?:bpf_printk|bpf_trace_printk|__bpf_printk|bpf_trace_vprintk)\b")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
PRINTERS = ["ctl*", "log.c", "main*", "gen-keys.c", "underpass-hook.c"]


def room(name):
    """(layer, family) of a file by its name."""
    for pattern, layer, family in ROOMS:
        if fnmatch.fnmatchcase(name, pattern):
            return layer, family
    return 4, "service"


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def code_only(text):
    """The text with literals and comments blanked, lines kept."""
    def blank(match):
        kept = re.sub(r"[^\n]", " ", match.group(0))
        return '"' + kept[2:] + '"' if match.group(0)[0] == '"' else kept
    return LITERAL.sub(blank, text)


def check_include(name, delimiter, header):
    """Complaint about one include, or None."""
    base = header.rpartition("/")[2]
    for pattern, allowed in LIBRARIES:
        if fnmatch.fnmatchcase(header, pattern):
            return None if matches(name, allowed) else f"includes {header}, which only {' '.join(allowed)} may"

    layer, family = room(name)
    if delimiter == "<":
        if layer == 2 and header not in PURE_HEADERS:
            return f"is pure (L2), so it must not include <{header}>"
        return None

    other_layer, other_family = room(base)
    if base == "underpass.skel.h":
        return None if family == "tunnel" else "includes the skeleton of the BPF object, which is the tunnel's"
    if other_layer > layer:
        return f"is of layer {layer} and includes {header} of layer {other_layer}"
    if layer == 3 and other_layer == 3 and other_family != family and other_family not in SHARED_FAMILIES:
        return f"includes {header} of its sibling {other_family}"
    return None


def check_includes(name, text):
    for number, line in enumerate(text.splitlines(), 1):
        include = INCLUDE.match(line)
        if include:
            complaint = check_include(name, *include.groups())
            if complaint:
                yield number, complaint


def check_opening(path, text):
    first = text.partition("\n")[0]
    spdx = re.fullmatch(r"(?:/\*|//) SPDX-License-Identifier: (.*?)(?: \*/)?", first)
    if not spdx or spdx.group(1) not in LICENCES:
        yield 1, "does not begin with an SPDX line of this project"
    elif path.parent.name == "bpf" and room(path.name)[0] == 0 and spdx.group(1) != SHARED_LICENCE:
        yield 1, f"is shared by BPF and user space, so its licence is {SHARED_LICENCE}"

    comment = re.match(r"(?:#pragma once\n)?\s*/\*(.*?)\*/", text.partition("\n")[2].lstrip("\n"), re.S)
    if not comment or not re.search(r"\broom\b", comment.group(1), re.I):
        yield 1, "does not say in its first comment which room it is"


def check_lengths(text):
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        yield len(lines), f"has {len(lines)} lines, more than {FILE_LINES_MAX}"

    start = None
    for number, line in enumerate(code_only(text).splitlines(), 1):
        if line.startswith("}"):
            if start and number - start + 1 > FUNCTION_LINES_MAX:
                yield start, f"has a function of {number - start + 1} lines, more than {FUNCTION_LINES_MAX}"
            start = None
        elif re.match(r"[A-Za-z_]", line) and "(" in line and not line.rstrip().endswith(";"):
            start = number


def check_width(text):
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > COLUMNS_MAX:
            yield number, f"has {len(line)} columns, more than {COLUMNS_MAX}"


def check_words(path, text):
    code = code_only(text)
    in_bpf = path.parent.name == "bpf"
    for number, (line, full) in enumerate(zip(code.splitlines(), text.splitlines()), 1):
        if re.search(r"\bgoto\b", line):
            yield number, "uses goto"
        if in_bpf and TRACE.search(line):
            yield number, "traces in the packet path"
        if not in_bpf and not matches(path.name, PRINTERS) and PRINTS.search(line):
            yield number, "prints to the terminal"
        if UNFINISHED.search(full):
            yield number, "is unfinished by its own words"
        if "\t" in full or full != full.rstrip():
            yield number, "has a tab or trailing blanks"


def check_file(path):
    text = path.read_text(encoding="utf-8")
    yield from check_opening(path, text)
    yield from check_includes(path.name, text)
    yield from check_lengths(text)
    yield from check_width(text)
    yield from check_words(path, text)


def check_test(path):
    text = path.read_text(encoding="utf-8")
    yield from check_lengths(text)
    yield from check_width(text)


def check_tree(root):
    """All complaints about a tree, as lines."""
    files = sorted(path for folder in ["bpf", "data", "dispatcher", "plugin"] for path in (root / folder).glob("*.[ch]"))
    if not files:
        return [f"{root}: no sources found"]
    complaints = [(path, *complaint) for path in files for complaint in check_file(path)]
    tests = sorted((root / "tests").glob("*/*.[ch]"))
    complaints += [(path, *complaint) for path in tests for complaint in check_test(path)]
    return [f"{path.relative_to(root)}:{number}: {complaint}" for path, number, complaint in complaints]


# ---- self-test

SPDX = "/* SPDX-License-Identifier: GPL-2.0-or-later */\n"
OPENING = SPDX + "\n/* A sample. Room L4. */\n\n"
SHARED = f"/* SPDX-License-Identifier: {SHARED_LICENCE} */\n#pragma once\n\n/* A sample. Room. */\n\n"


def function(lines):
    return "int f(void) {\n" + "        g();\n" * (lines - 2) + "}\n"


GOOD = {
    "bpf/abi.h": SHARED + "#include <linux/types.h>\n",
    "plugin/plan.c": OPENING + '#include <string.h>\n\n#include "abi.h"\n#include "util.h"\n' + function(FUNCTION_LINES_MAX),
    "plugin/rtnl.c": OPENING + '#include <libmnl/libmnl.h>\n\n#include "netlink.h"\n#include "rtnl-facts.h"\n',
    "plugin/source-nm.c": OPENING + '#include <systemd/sd-bus.h>\n\n#include "source.h"\n',
    "plugin/tunnel-pins.c": OPENING + '#include <bpf/bpf.h>\n\n#include "underpass.skel.h"\n',
    "plugin/link.c": OPENING + '#include "tunnel.h"\n\n/* "goto" and printf( in a comment */\nconst char *s = "goto printf(";\n',
    "plugin/bus-link.c": OPENING + "/* " + "…" * (COLUMNS_MAX - 6) + " */\n",
    "tests/unit/test-plan.c": '#include "anything.h"\n' + function(FUNCTION_LINES_MAX),
    "plugin/ctl-profile.c": OPENING + "#include <NetworkManager.h>\n#include <gio/gio.h>\n",
}

BAD = [
    ("plugin/plan.c", OPENING + '#include "rtnl.h"\n', "layer 3"),
    ("plugin/plan.c", OPENING + "#include <fcntl.h>\n", "pure (L2)"),
    ("plugin/util.c", OPENING + '#include "keys.h"\n', "layer 2"),
    ("plugin/rtnl.c", OPENING + '#include "mptcp-pm.h"\n', "sibling"),
    ("plugin/source-file.c", OPENING + '#include "source-nm.h"\n', "sibling"),
    ("plugin/tunnel-bpf.c", OPENING + '#include "netlink.h"\n', "only"),
    ("plugin/tunnel-bpf.c", OPENING + '#include "link.h"\n', "layer 4"),
    ("plugin/link.c", OPENING + "#include <systemd/sd-bus.h>\n", "only"),
    ("plugin/link.c", OPENING + "#include <bpf/libbpf.h>\n", "only"),
    ("plugin/link.c", OPENING + '#include "underpass.skel.h"\n', "skeleton"),
    ("plugin/ctl.c", OPENING + "#include <NetworkManager.h>\n", "only"),
    ("plugin/tunnel-bpf.c", OPENING + "#include <libmnl/libmnl.h>\n", "only"),
    ("plugin/main.c", OPENING + "#include <gio/gio.h>\n", "only"),
    ("plugin/link.c", "\n/* A sample. Room L4. */\n", "SPDX"),
    ("plugin/link.c", SPDX.replace("GPL-2.0-or-later", "MIT") + "\n/* Room */\n", "SPDX"),
    ("plugin/link.c", SPDX + "\n#include <stdio.h>\n\n/* Room L4 */\n", "which room"),
    ("plugin/link.c", SPDX + "\n/* A sample. */\n", "which room"),
    ("bpf/abi.h", OPENING, "licence"),
    ("plugin/link.c", OPENING + "\n" * FILE_LINES_MAX, "more than 400"),
    ("plugin/link.c", OPENING + function(FUNCTION_LINES_MAX + 1), "function of 60 lines"),
    ("plugin/link.c", OPENING + function(FUNCTION_LINES_MAX + 1).replace("(void)", "(int a,\n      int b)"), "function of 61"),
    ("plugin/link.c", OPENING + "int f(void) {\n        goto end;\n}\n", "goto"),
    ("plugin/link.c", OPENING + 'int f(void) {\n        printf("here\\n");\n}\n', "prints"),
    ("plugin/link.c", OPENING + 'int f(void) {\n        fprintf(stderr, "here\\n");\n}\n', "prints"),
    ("bpf/flow.h", SHARED + 'int f(void) {\n        bpf_printk("here");\n}\n', "traces"),
    ("plugin/link.c", OPENING + "/* " + "w" * (COLUMNS_MAX - 5) + " */\n", "has 110 columns"),
    ("tests/unit/test-plan.c", "/* " + "w" * (COLUMNS_MAX - 5) + " */\n", "has 110 columns"),
    ("tests/unit/test-plan.c", function(FUNCTION_LINES_MAX + 1), "function of 60 lines"),
    ("plugin/link.c", OPENING + "/* TO" "DO: more */\n", "unfinished"),
    ("plugin/link.c", OPENING + "int\ta;\n", "tab"),
    ("plugin/link.c", OPENING + "int a; \n", "trailing"),
]


def complaints_about(files):
    with tempfile.TemporaryDirectory(prefix="underpass-layers-") as folder:
        root = pathlib.Path(folder)
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        return check_tree(root)


def self_test():
    failures = [f"a good tree: {line}" for line in complaints_about(GOOD)]
    for name, text, expected in BAD:
        complaints = complaints_about({**GOOD, name: text})
        if len(complaints) != 1 or not complaints[0].startswith(f"{name}:") or expected not in complaints[0]:
            failures.append(f"{name} should be told \"{expected}\", but: {complaints}")
    if not complaints_about({}):
        failures.append("an empty tree passed")
    print(f"{len(BAD)} broken samples", file=sys.stderr)
    return failures


def main():
    lines = self_test() if sys.argv[1] == "--self-test" else check_tree(pathlib.Path(sys.argv[1]))
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
