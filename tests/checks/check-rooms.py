#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the rules of the house: which room may include which, no circles of calls, one header for each module, how
long a function may be and how wide a line, how a file opens. Tests in C are only asked for lengths and width.

Usage: check-rooms.py ROOT, or check-rooms.py --self-test (every rule is broken once and must be noticed).

A module is a .c file and the header of the same name. Modules call each other in one direction only: who calls whom is read
from the names of functions, and only callbacks go up. A function that others may call is declared in the header of its own
module; rooms that have a twin (FACES) may declare in the one header that both implement.
"""

import fnmatch
import pathlib
import re
import sys

import samples

FUNCTION_LINES_MAX = 59
COLUMNS_MAX = 109  # as .editorconfig says
README_LINES_MAX = 20

# The rooms of plugin/ in order: each may include itself and those above it. "bpf" is bpf/abi.h and bpf/rewrite.h.
ROOMS = ["bpf", "base", "profile", "plan", "source", "kernel", "segment", "tunnel", "service"]
# Programs of their own, and the rooms that they may include.
PROGRAMS = {"ctl": ["ctl", "base", "profile", "plan", "kernel"], "dispatcher": ["base", "profile"], "vpn": ["vpn", "base"], "editor": ["editor", "base", "profile"],
            "data": ["base", "profile"]}
WIRE = {"abi.h", "rewrite.h"}
FACES = {"segment": "segment/segment.h", "source": "source/source.h", "tunnel": "tunnel/tunnel.h"}

# Headers of libraries: only these files may include them.
LIBRARIES = [
    ("systemd/sd-bus*",     ["source/*", "service/*", "vpn/*", "dispatcher/*"]),
    ("systemd/sd-event*",   ["source/*", "service/*", "vpn/*"]),
    ("systemd/sd-daemon*",  ["service/*"]),
    ("systemd/sd-journal*", ["base/log.c"]),
    ("bpf/bpf_*",           ["bpf/*"]),
    ("bpf/underpass.skel.h", ["tunnel/*"]),
    ("bpf/libbpf*",         ["tunnel/*"]),
    ("bpf/btf.h",           ["tunnel/*"]),
    ("bpf/bpf.h",           ["tunnel/*"]),
    ("libmnl/*",            ["base/netlink*", "kernel/*", "segment/*", "tunnel/attach.c"]),
    ("base/netlink.h",      ["base/netlink.*", "kernel/*", "segment/*", "tunnel/attach.c"]),
    ("base/log.h",          ["base/log.c", "service/*"]),
    ("NetworkManager.h",    ["ctl/profile.c", "editor/editor.c"]),
    ("gio/*",               ["ctl/*"]),
    ("glib*",               ["ctl/*"]),
    ("gmodule.h",           ["editor/*"]),
    ("json-glib/*",         ["ctl/*"]),
    ("ncurses.h",           ["ctl/monitor-screen.c"]),
    ("json-c/*",            ["source/networkd-answer.c"]),
]

# What a file of a pure room may include of the system: nothing that opens, asks or tells anything.
PURE_ROOMS = {"profile", "plan"}
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
SLEEPS = re.compile(r"\b(?:sleep|usleep|nanosleep|clock_nanosleep)\s*\(")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
PRINTERS = ["ctl/*", "base/log.c", "service/main.c", "data/gen-keys.c", "vpn/*", "dispatcher/*"]


def short(root, path):
    """The name of a file as the rules have it: "plan/plan.c", "bpf/abi.h"."""
    name = str(path.relative_to(root))
    return name.removeprefix("plugin/")


def room_of(name):
    return name.partition("/")[0]


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def code_only(text):
    """The text with literals and comments blanked, lines kept."""
    def blank(match):
        kept = re.sub(r"[^\n]", " ", match.group(0))
        return '"' + kept[2:] + '"' if match.group(0)[0] == '"' else kept
    return LITERAL.sub(blank, text)


def reachable(room):
    """The rooms that a file of this room may include."""
    if room in PROGRAMS:
        return PROGRAMS[room]
    return ROOMS[:ROOMS.index(room) + 1]


def check_include(name, delimiter, header):
    """Complaint about one include, or None."""
    for pattern, allowed in LIBRARIES:
        if fnmatch.fnmatchcase(header, pattern):
            return None if matches(name, allowed) else f"includes {header}, which only {' '.join(allowed)} may"

    room = room_of(name)
    if delimiter == "<" and room_of(header) in {".", "..", *ROOMS, *PROGRAMS}:
        return f"includes <{header}> in angle brackets, which are for what the system has"
    if delimiter == "<":
        if room in PURE_ROOMS and header not in PURE_HEADERS:
            return f"is in {room}/, which is pure, so it must not include <{header}>"
        return None
    if header == "config.h":
        return None
    if "/" not in header:
        return None if room == "bpf" else f"includes {header} without naming its room"
    other, _, base = header.partition("/")
    if other == "bpf" and base not in WIRE:
        return f"includes {header}, which is for BPF programs only"
    if room == "bpf":
        return f"includes {header}: bpf/ knows no room of plugin/"
    if other not in reachable(room) and not (other == "bpf" and room in PROGRAMS):
        return f"is in {room}/ and includes {header}: {room}/ stands on {' '.join(reachable(room))} only"
    return None


def check_includes(name, text):
    for number, line in enumerate(text.splitlines(), 1):
        include = INCLUDE.match(line)
        if include:
            complaint = check_include(name, *include.groups())
            if complaint:
                yield number, complaint


def module(name):
    return name.rpartition(".")[0]


def definitions(text):
    """Names and lines of the functions of a .c file that others can call."""
    lines = code_only(text).splitlines()
    for number, line in enumerate(lines, 1):
        match = re.match(r"(?!static\b|typedef\b|DEFINE)[A-Za-z_][\w \*]*?\b(\w+)\(", line)
        if match and not line.rstrip().endswith(";") and "=" not in line.partition("(")[0]:
            yield number, match.group(1)


def statics(text):
    """Names and lines of the functions of a file that only it can call."""
    for number, line in enumerate(code_only(text).splitlines(), 1):
        match = re.match(r"static (?:inline )?(?:_unused_ )?[A-Za-z_][\w \*]*?\b(\w+)\(", line)
        if match and not line.rstrip().endswith(";") and "=" not in line.partition("(")[0]:
            yield number, match.group(1)


def check_namesakes(files):
    """Complaints about static functions that have the name of a global one: who searches for it finds the wrong one."""
    owners = {function: name for name, text in files.items() if name.endswith(".c")
              for _, function in definitions(text) if function != "main"}
    for name, text in files.items():
        for number, function in statics(text):
            if function in owners:
                yield name, number, f"has a static {function}(), which is also a function of {owners[function]}"


def calls(files):
    """Which modules call functions of which others: {"plan/plan": {"plan/warnings", …}}. A twin (fake.c) stands in for the
    modules whose functions it has, so nobody's calls are counted as calls of it."""
    owners = {}
    for name, text in files.items():
        if name.endswith(".c") and not name.endswith("fake.c"):
            owners |= {function: module(name) for _, function in definitions(text) if function != "main"}
    graph = {}
    for name, text in files.items():
        own = module(name)
        used = {owners[word] for word in re.findall(r"\b(\w+)\(", code_only(text)) if word in owners} if name.endswith(".c") else set()
        graph[own] = graph.get(own, set()) | used - {own}
    return graph


def circle(graph):
    """A circle of modules as a list that begins and ends with the same one, or None."""
    done, way = set(), []

    def visit(name):
        if name in way:
            return way[way.index(name):] + [name]
        if name in done:
            return None
        way.append(name)
        for other in sorted(graph.get(name, ())):
            found = visit(other)
            if found:
                return found
        done.add(way.pop())
        return None

    for name in sorted(graph):
        found = visit(name)
        if found:
            return found
    return None


def check_declarations(name, text, files):
    """A function is declared in the header of its own module, so that an include tells who is called."""
    headers = [module(name) + ".h", FACES.get(room_of(name), "")]
    declared = "\n".join(code_only(files[header]) for header in headers if header in files)
    for number, function in definitions(text):
        if function != "main" and not re.search(rf"\b{function}\(", declared):
            yield number, f"defines {function}(), which {headers[0]} does not declare"


def check_opening(name, text):
    first = text.partition("\n")[0]
    spdx = re.fullmatch(r"(?:/\*|//) SPDX-License-Identifier: (.*?)(?: \*/)?", first)
    if not spdx or spdx.group(1) not in LICENCES:
        yield 1, "does not begin with an SPDX line of this project"
    elif name in {f"bpf/{header}" for header in WIRE} and spdx.group(1) != SHARED_LICENCE:
        yield 1, f"is shared by BPF and user space, so its licence is {SHARED_LICENCE}"
    if not re.match(r"(?:#pragma once\n)?\s*/\*.*?\*/", text.partition("\n")[2].lstrip("\n"), re.S):
        yield 1, "does not begin with a comment that says what it is for"


def check_lengths(text):
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


def check_words(name, text):
    code = code_only(text)
    in_bpf = room_of(name) == "bpf"
    for number, (line, full) in enumerate(zip(code.splitlines(), text.splitlines()), 1):
        if re.search(r"\bgoto\b", line):
            yield number, "uses goto"
        if in_bpf and TRACE.search(line):
            yield number, "traces in the packet path"
        if not in_bpf and not matches(name, PRINTERS) and PRINTS.search(line):
            yield number, "prints to the terminal"
        if room_of(name) in ROOMS and SLEEPS.search(line):
            yield number, "sleeps, and with it the service's event loop"
        if UNFINISHED.search(full):
            yield number, "is unfinished by its own words"
        if "\t" in full or full != full.rstrip():
            yield number, "has a tab or trailing blanks"


def check_file(name, text):
    yield from check_opening(name, text)
    yield from check_includes(name, text)
    yield from check_lengths(text)
    yield from check_width(text)
    yield from check_words(name, text)


def check_test(text):
    yield from check_lengths(text)
    yield from check_width(text)


def check_rooms(root):
    """Complaints about the folders themselves."""
    plugin = root / "plugin"
    known = set(ROOMS[1:]) | {name for name in PROGRAMS if (plugin / name).is_dir()}
    for path in sorted(plugin.iterdir()):
        if path.suffix in {".c", ".h"}:
            yield f"plugin/{path.name} stands in no room"
        elif path.is_dir() and path.name not in known:
            yield f"plugin/{path.name}/ is no room that check-rooms.py knows"
        elif path.is_dir():
            readme = path / "README.md"
            lines = len(readme.read_text(encoding="utf-8").splitlines()) if readme.exists() else 0
            if not 1 <= lines <= README_LINES_MAX:
                yield f"plugin/{path.name}/README.md has {lines} lines: a room says what it is for in 1 to {README_LINES_MAX}"


def check_tree(root):
    """All complaints about a tree, as lines."""
    files = {short(root, path): path.read_text(encoding="utf-8")
             for folder in ["bpf", "data", "dispatcher", "plugin"] for path in sorted((root / folder).rglob("*.[ch]"))}
    if not files:
        return [f"{root}: no sources found"]
    lines = list(check_rooms(root))
    for name, text in files.items():
        path = name if room_of(name) in {"bpf", "data", "dispatcher"} else f"plugin/{name}"
        lines += [f"{path}:{number}: {complaint}" for number, complaint in check_file(name, text)]
        if name.endswith(".c") and room_of(name) in ROOMS[1:] + ["ctl"]:
            lines += [f"{path}:{number}: {complaint}" for number, complaint in check_declarations(name, text, files)]
    lines += [f"plugin/{name}:{number}: {complaint}" for name, number, complaint in check_namesakes(
        {name: text for name, text in files.items() if room_of(name) in ROOMS[1:]})]
    found = circle(calls({name: text for name, text in files.items() if room_of(name) != "bpf"}))
    if found:
        lines.append(f"plugin: modules call each other in a circle: {' → '.join(found)}")
    for path in sorted((root / "tests").rglob("*.[ch]")):
        lines += [f"{path.relative_to(root)}:{number}: {complaint}"
                  for number, complaint in check_test(path.read_text(encoding="utf-8"))]
    return lines


# ---- self-test

SPDX = "/* SPDX-License-Identifier: GPL-2.0-or-later */\n"
OPENING = SPDX + "\n/* A sample. */\n\n"
SHARED = f"/* SPDX-License-Identifier: {SHARED_LICENCE} */\n#pragma once\n\n/* A sample. */\n\n"


def function(lines):
    return "int f(void) {\n" + "        g();\n" * (lines - 2) + "}\n"


GOOD = {
    "bpf/abi.h": SHARED + "#include <linux/types.h>\n",
    "bpf/flow.h": SHARED + '#include "abi.h"\n',
    "plugin/base/util.h": OPENING,
    "plugin/base/netlink.h": OPENING,
    "plugin/plan/facts.h": OPENING,
    "plugin/plan/plan.h": OPENING + '#include "plan/facts.h"\n\nint f(void);\n',
    "plugin/plan/plan.c": OPENING + '#include <string.h>\n\n#include "bpf/abi.h"\n#include "plan/plan.h"\n' + function(FUNCTION_LINES_MAX),
    "plugin/plan/warnings.h": OPENING + "int warn(void);\n",
    "plugin/plan/warnings.c": OPENING + "int warn(void) {\n        return f();\n}\n",
    "plugin/kernel/rtnl.c": OPENING + '#include <libmnl/libmnl.h>\n\n#include "base/netlink.h"\n',
    "plugin/source/nm.c": OPENING + '#include <systemd/sd-bus.h>\n\n#include "plan/facts.h"\n',
    "plugin/tunnel/tunnel.h": OPENING,
    "plugin/tunnel/pins.c": OPENING + '#include <bpf/bpf.h>\n\n#include "bpf/underpass.skel.h"\n',
    "plugin/service/link.h": OPENING + '#include "tunnel/tunnel.h"\n\nint f(void);\n',
    "plugin/segment/segment.h": OPENING + "int segment_make(void);\n",
    "plugin/segment/fake.c": OPENING + "int segment_make(void) {\n        return 0;\n}\n",
    "plugin/service/link.c": OPENING + '#include "service/link.h"\n\n/* "goto" and printf( in a comment */\nconst char *s = "goto printf(";\n',
    "plugin/service/bus.c": OPENING + "/* " + "…" * (COLUMNS_MAX - 6) + " */\n",
    "plugin/ctl/profile.c": OPENING + "#include <NetworkManager.h>\n#include <gio/gio.h>\n",
    "tests/unit/test-plan.c": '#include "anything.h"\n' + function(FUNCTION_LINES_MAX),
    **{f"plugin/{room}/README.md": "# A room\n" for room in ROOMS[1:] + ["ctl"]},
}

BAD = [
    ("plugin/plan/plan.c", OPENING + '#include "kernel/rtnl.h"\n', "stands on"),
    ("plugin/plan/plan.c", OPENING + "#include <fcntl.h>\n", "pure"),
    ("plugin/base/util.c", OPENING + '#include "profile/keys.h"\n', "stands on"),
    ("plugin/base/util.c", OPENING + "#include <service/link.h>\n", "angle brackets"),
    ("plugin/service/link.c", OPENING + "#include <ctl/ctl.h>\n", "angle brackets"),
    ("plugin/service/link.c", OPENING + "#include <../ctl/ctl.h>\n", "angle brackets"),
    ("plugin/plan/plan.c", OPENING + "#include <bpf/abi.h>\n", "angle brackets"),
    ("plugin/kernel/rtnl.c", OPENING + '#include "segment/segment.h"\n', "stands on"),
    ("plugin/kernel/rtnl.c", OPENING + '#include "rtnl.h"\n', "without naming its room"),
    ("plugin/source/file.c", OPENING + '#include "kernel/rtnl.h"\n', "stands on"),
    ("plugin/tunnel/bpf.c", OPENING + '#include "base/netlink.h"\n', "only"),
    ("plugin/tunnel/bpf.c", OPENING + '#include "service/link.h"\n', "stands on"),
    ("plugin/plan/plan.c", OPENING + '#include "bpf/flow.h"\n', "for BPF programs only"),
    ("plugin/plan/plan.c", OPENING + '#include "base/log.h"\n', "only"),
    ("bpf/flow.h", SHARED + '#include "plan/plan.h"\n', "knows no room"),
    ("plugin/segment/vlan.c", OPENING + "#include <systemd/sd-bus.h>\n", "only"),
    ("plugin/service/link.c", OPENING + "#include <bpf/libbpf.h>\n", "only"),
    ("plugin/service/link.c", OPENING + '#include "bpf/underpass.skel.h"\n', "only"),
    ("plugin/service/link.h", OPENING + '#include "tunnel/tunnel.h"\n#include "service/other.h"\n', None),
    ("plugin/ctl/ctl.c", OPENING + '#include "service/link.h"\n', "stands on"),
    ("plugin/ctl/ctl.c", OPENING + "#include <NetworkManager.h>\n", "only"),
    ("plugin/tunnel/bpf.c", OPENING + "#include <libmnl/libmnl.h>\n", "only"),
    ("plugin/service/main.c", OPENING + "#include <gio/gio.h>\n", "only"),
    ("plugin/plan/plan.c", OPENING + "int f(void) {\n        return warn();\n}\n", "in a circle: plan/plan → plan/warnings → plan/plan"),
    ("plugin/plan/plan.c", OPENING + "int g(void) {\n        return 0;\n}\n", "plan.h does not declare"),
    ("plugin/service/link.c", OPENING + "static int warn(void) {\n        return 0;\n}\n", "also a function of plan/warnings.c"),
    ("plugin/plan.c", OPENING, "in no room"),
    ("plugin/other/plan.c", OPENING, "no room that"),
    ("plugin/plan/README.md", "a line\n" * (README_LINES_MAX + 1), "has 21 lines"),
    ("plugin/service/link.c", "\n/* A sample. */\n", "SPDX"),
    ("plugin/service/link.c", SPDX.replace("GPL-2.0-or-later", "MIT") + "\n/* A sample. */\n", "SPDX"),
    ("plugin/service/link.c", SPDX + "\n#include <stdio.h>\n\n/* A sample. */\n", "what it is for"),
    ("bpf/abi.h", OPENING, "licence"),
    ("plugin/service/link.c", OPENING + function(FUNCTION_LINES_MAX + 1), "function of 60 lines"),
    ("plugin/service/link.c", OPENING + function(FUNCTION_LINES_MAX + 1).replace("(void)", "(int a,\n      int b)"), "function of 61"),
    ("plugin/service/link.c", OPENING + "int f(void) {\n        goto end;\n}\n", "goto"),
    ("plugin/service/link.c", OPENING + "int f(void) {\n        usleep(3);\n}\n", "sleeps"),
    ("plugin/service/link.c", OPENING + 'int f(void) {\n        printf("here\\n");\n}\n', "prints"),
    ("plugin/service/link.c", OPENING + 'int f(void) {\n        fprintf(stderr, "here\\n");\n}\n', "prints"),
    ("bpf/flow.h", SHARED + 'int f(void) {\n        bpf_printk("here");\n}\n', "traces"),
    ("plugin/service/link.c", OPENING + "/* " + "w" * (COLUMNS_MAX - 5) + " */\n", "has 110 columns"),
    ("tests/unit/test-plan.c", "/* " + "w" * (COLUMNS_MAX - 5) + " */\n", "has 110 columns"),
    ("tests/unit/test-plan.c", function(FUNCTION_LINES_MAX + 1), "function of 60 lines"),
    ("plugin/service/link.c", OPENING + "/* TO" "DO: more */\n", "unfinished"),
    ("plugin/service/link.c", OPENING + "int\ta;\n", "tab"),
    ("plugin/service/link.c", OPENING + "int a; \n", "trailing"),
]


def self_test():
    failures = samples.failures(check_tree, GOOD, BAD, ["plugin"])
    if not samples.complaints_about(check_tree, {}, ["plugin"]):
        failures.append("an empty tree passed")
    return failures


if __name__ == "__main__":
    sys.exit(samples.main(check_tree, self_test))
