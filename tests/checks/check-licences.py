#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every file says its licence, as REUSE 3.3 wants it: by a line near its top, or by REUSE.toml, which names who has the
rights, too. LICENSES/ has the text of each licence that is used, and no other.

Usage: check-licences.py ROOT, or check-licences.py --self-test (every rule is broken once and must be noticed).
"""

import pathlib
import re
import subprocess
import sys
import tomllib

import samples

TAG = re.compile(r"SPDX-" r"License-Identifier: *([\w .+()-]+?) *(?:\*/|-->|$)", re.M)
HEAD = 1024  # bytes of a file that are searched
TEXTS = "LICENSES"
OPERATORS = {"AND", "OR", "WITH"}
LEFT_OUT = {".git", "__pycache__"}


def walk(root, folder):
    """Names of all files but those of builds."""
    for path in sorted((root / folder).iterdir()):
        name = str(path.relative_to(root))
        if not path.is_dir():
            yield name
        elif path.name not in LEFT_OUT and not (path / "build.ninja").exists():
            yield from walk(root, name)


def files_of(root):
    """Names of the files that are part of the project: what git knows, or all where it does not."""
    answer = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, check=False)
    if answer.returncode == 0 and answer.stdout:
        names = answer.stdout.decode().split("\0")
    else:
        names = list(walk(root, ""))
    return sorted(name for name in names if name and (root / name).is_file() and not (root / name).is_symlink())


def pattern(path):
    """A path of REUSE.toml as a regular expression: ** is anything, * anything within a folder."""
    parts = re.split(r"(\*\*|\*)", path)
    return re.compile("".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts) + r"\Z")


def tables_of(root):
    """The tables of REUSE.toml: patterns, licence or None, whether somebody has the rights."""
    tables = tomllib.loads((root / "REUSE.toml").read_text(encoding="utf-8"))["annotations"]
    return [([pattern(path) for path in ([table["path"]] if isinstance(table["path"], str) else table["path"])],
             table.get("SPDX-" "License-Identifier"), bool(table.get("SPDX-" "FileCopyrightText"))) for table in tables]


def identifiers(expression):
    """Names of licences in an expression."""
    return {word for word in re.split(r"[\s()]+", expression) if word and word not in OPERATORS}


def check_tree(root):
    """All complaints about a tree, as lines."""
    if not (root / "REUSE.toml").exists():
        return ["REUSE.toml is missing"]
    tables = tables_of(root)
    lines, used, needed = [], set(), [False] * len(tables)
    for name in files_of(root):
        if name.startswith(TEXTS + "/"):
            continue
        head = (root / name).read_bytes()[:HEAD].decode("utf-8", "replace")
        matching = [i for i, table in enumerate(tables) if any(path.match(name) for path in table[0])]
        licence, owned = tables[matching[-1]][1:] if matching else (None, False)
        found = TAG.findall(head) + ([licence] if licence else [])
        if matching:
            needed[matching[-1]] = True
        if not found:
            lines.append(f"{name}: says no licence, and REUSE.toml says none for it")
        if not owned:
            lines.append(f"{name}: nobody is named who has the rights")
        for expression in found:
            used |= identifiers(expression)
    texts = {path.stem for path in (root / TEXTS).glob("*.txt")}
    lines += [f"{TEXTS}/{name}.txt is missing" for name in sorted(used - texts)]
    lines += [f"{TEXTS}/{name}.txt is the text of a licence that no file has" for name in sorted(texts - used)]
    return lines + [f"REUSE.toml: table {i + 1} is for no file" for i, wanted in enumerate(needed) if not wanted]


# ---- self-test

LINE = "# SPDX-" "License-Identifier: "
TOML = """version = 1
[[annotations]]
path = "**"
SPDX-FileCopyrightText = "somebody"
[[annotations]]
path = ["data/**.bin"]
SPDX-FileCopyrightText = "somebody"
SPDX-License-Identifier = "A-1"
"""
GOOD = {
    "REUSE.toml": LINE + "A-1\n" + TOML,
    "code.c": "/* SPDX-" "License-Identifier: A-1 OR B-2 */\n",
    "data/below/x.bin": "bytes",
    "LICENSES/A-1.txt": "text",
    "LICENSES/B-2.txt": "text",
}
BAD = [
    ("REUSE.toml", None, "REUSE.toml is missing"),
    ("other.c", "int a;\n", "other.c: says no licence"),
    ("other.c", "\n" * HEAD + LINE + "A-1\n", "other.c: says no licence"),
    ("data.bin", "bytes", "data.bin: says no licence"),
    ("REUSE.toml", LINE + "A-1\n" + TOML.replace('path = "**"', 'path = "*.toml"'), "code.c: nobody is named"),
    ("REUSE.toml", LINE + "A-1\n" + TOML + '[[annotations]]\npath = "gone/**"\n', "table 3 is for no file"),
    ("code.c", LINE + "(A-1 AND B-2) OR C-3\n", "LICENSES/C-3.txt is missing"),
    ("code.c", LINE + "A-1\n", "LICENSES/B-2.txt is the text of a licence that no file has"),
    ("LICENSES/B-2.txt", None, "LICENSES/B-2.txt is missing"),
]


def self_test():
    return samples.failures(check_tree, GOOD, BAD)


if __name__ == "__main__":
    sys.exit(samples.main(check_tree, self_test))
