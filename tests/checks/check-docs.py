#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the documents true: the table of keys in README.md, the rooms in plugin/README.md, links to files, and the keys in
data/examples.

Usage: check-docs.py ROOT GEN-KEYS
       check-docs.py --update ROOT GEN-KEYS       writes the table of keys into README.md
       check-docs.py --self-test ROOT GEN-KEYS    spoils copies of the documents; each must be noticed
"""

import pathlib
import re
import subprocess
import sys
import tempfile

BEGIN, END = "<!-- keys: made by check-docs.py --update -->\n", "<!-- end of keys -->"
ROOM_ROW = re.compile(r"^\| \[`([a-z]+)/`\]", re.M)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
PATH = re.compile(r"`((?:tests|plugin|bpf|data|po|dispatcher|\.ci)/[A-Za-z0-9_./-]*)`")


def check_keys(readme, table):
    if BEGIN not in readme or END not in readme:
        return ["README.md: the marks around the table of keys are gone"]
    if readme.partition(BEGIN)[2].partition(END)[0] != table:
        return ["README.md: the table of keys is not that of plugin/profile/keys.c; run tests/checks/check-docs.py --update"]
    return []


def check_rooms(text, rooms):
    rows = ROOM_ROW.findall(text)
    lines = [f"plugin/README.md: no row for {name}/" for name in sorted(rooms - set(rows))]
    lines += [f"plugin/README.md: there is no room {name}/" for name in sorted(set(rows) - rooms)]
    lines += [f"plugin/README.md: {name}/ has several rows" for name in sorted(set(rows)) if rows.count(name) > 1]
    return lines


def check_example(name, text, table):
    """An example of a profile: every key is one of the table, and what a tunnel needs is there."""
    known = set(re.findall(r"^\| `[^`]+` \| `([^`]+)=` \|", table, re.M))
    used = re.findall(r"^([^#;=\s]+)=", text.partition("[X-Underpass]")[2], re.M)
    lines = [f"{name}: there is no key {key}" for key in used if key not in known]
    if "Tunnel" not in used or not {"RemotePorts", "LocalPorts"} & set(used):
        lines.append(f"{name}: asks for no tunnel, or for one without ports")
    return lines


def check_links(root, name, text):
    found = [(root / name).parent / target for target in LINK.findall(text)]
    found += [root / target for target in PATH.findall(text)]
    return [f"{name}: {path} does not exist" for path in found if not path.exists()]


def check(root, table, documents):
    rooms = {path.name for path in (root / "plugin").glob("*") if path.is_dir()}
    lines = check_keys(documents["README.md"], table) + check_rooms(documents["plugin/README.md"], rooms)
    examples = [name for name in documents if name.endswith(".conf")]
    lines += [] if examples else ["data/examples: there are none"]
    for name in examples:
        lines += check_example(name, documents[name], table)
    for name, text in documents.items():
        lines += check_links(root, name, text)
    return lines


def self_test(root, table, documents):
    spoilt = [
        ("README.md", lambda text: text.replace("| `tunnel` |", "| `tunnels` |")),
        ("README.md", lambda text: text.replace(END, "")),
        ("README.md", lambda text: text + "\nSee [that](no/such/file.md).\n"),
        ("README.md", lambda text: text + "\nSee `tests/no-such-file`.\n"),
        ("plugin/README.md", lambda text: re.sub(r"^\| \[`plan/`\].*\n", "", text, flags=re.M)),
        ("plugin/README.md", lambda text: text + "| [`gone/`](.) | gone |\n"),
        ("plugin/README.md", lambda text: text + "| [`plan/`](plan) | again |\n"),
    ]
    for name in (name for name in documents if name.endswith(".conf")):
        spoilt.append((name, lambda text: text.replace("Tunnel=", "Tunel=")))
        spoilt.append((name, lambda text: re.sub(r"^(Remote|Local)Ports=.*\n", "", text, flags=re.M)))
    failures = [f"unspoilt: {line}" for line in check(root, table, documents)]
    for number, (name, spoil) in enumerate(spoilt):
        text = spoil(documents[name])
        if text == documents[name] or not check(root, table, {**documents, name: text}):
            failures.append(f"not noticed: sample {number}, {name}")
    with tempfile.TemporaryDirectory(prefix="underpass-docs-") as folder:
        if not check(pathlib.Path(folder), table, documents):
            failures.append("not noticed: an empty tree")
    return failures


def main():
    mode = sys.argv.pop(1) if sys.argv[1].startswith("--") else "check"
    root = pathlib.Path(sys.argv[1])
    table = subprocess.run([sys.argv[2], "markdown"], check=True, capture_output=True, text=True).stdout
    names = ["README.md", "plugin/README.md"]
    names += sorted(str(path.relative_to(root)) for path in (root / "data/examples").glob("*.conf"))
    documents = {name: (root / name).read_text(encoding="utf-8") for name in names}
    lines = []
    if mode == "--update":
        head, _, rest = documents["README.md"].partition(BEGIN)
        (root / "README.md").write_text(head + BEGIN + table + END + rest.partition(END)[2], encoding="utf-8")
    else:
        lines = (self_test if mode == "--self-test" else check)(root, table, documents)
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
