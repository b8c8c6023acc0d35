#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the documents true. README.md and CONTRIBUTING.md are short, the packages in README.md are those of tests/packages. Links and
paths lead to files. plugin/README.md and data/README.md name the rooms, functions and files that exist, tests/README.md folders and
files. No example sends every HTTPS connection through the tunnel. data/examples use keys that exist. org.underpass1(5) has each member
of data/org.underpass1.xml. SECURITY.md names tests that exist.

Usage: check-docs.py ROOT GEN-KEYS BUILD
       check-docs.py --self-test ROOT GEN-KEYS BUILD    spoils copies of the documents; each must be noticed
"""

import functools
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position

README_LINES_MAX = 110
CONTRIBUTING_LINES_MAX = 100
DBUS_PAGE, DBUS_XML = "data/man/org.underpass1.5.rst", "data/org.underpass1.xml"
ROOM_ROW = re.compile(r"^\| \[`([a-z]+)/`\]", re.M)
WALK_ROW = re.compile(r"^\| `([a-z]+/[\w./-]+)` `(\w+)\(\)` \|", re.M)
DATA_ROW = re.compile(r"^\| `([^`]+)` \|", re.M)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
TEST_ROW = re.compile(r"^\|(?! input |---).*\| *([^|]*?) *\|$", re.M)  # its last column
CODE = re.compile(r"`([^`]+)`")
TESTS_PATH = re.compile(r"`([A-Za-z0-9_./-]+(?:\.(?:py|c|h)|/))`")
PATH = re.compile(r"`((?:tests|plugin|bpf|data|po|dispatcher|packaging|\.ci)/[A-Za-z0-9_./-]*)`")
APT = re.compile(r"^apt install (.*)$", re.M)
REMOTE_PORTS = re.compile(r"\bremote-?ports=([0-9,-]*)", re.I)
REMOTE_ADDRESSES = re.compile(r"\bremote-?addresses=[0-9a-f]", re.I)
HTTPS = 443
# A heading of org.underpass1(5): "``Name s`` (constant)", "``Method(s argument) → o result``".
MEMBER = re.compile(r"^(``[A-Z]\w*(?:\(| [a-z(]).*)$", re.M)
EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"
EMITS_WORDS = {"const": " (constant)", "false": " (not announced)"}


def check_length(name, text, limit):
    lines = text.count("\n")
    return [f"{name} has {lines} lines; at most {limit} are read"] if lines > limit else []


def build_packages(text):
    """The first part of tests/packages."""
    names = (line.partition("#")[0].strip() for line in text.partition("\n# tests\n")[0].splitlines())
    return {name for name in names if name}


def check_packages(readme, packages):
    found = APT.search(readme)
    named = set(found[1].split()) if found else set()
    wanted = build_packages(packages)
    return [f"README.md: \"apt install\" does not name {name}, tests/packages does" for name in sorted(wanted - named)] + [
        f"README.md: \"apt install\" names {name}, the first part of tests/packages does not" for name in sorted(named - wanted)]


def check_rooms(text, rooms):
    rows = ROOM_ROW.findall(text)
    lines = [f"plugin/README.md: no row for {name}/" for name in sorted(rooms - set(rows))]
    lines += [f"plugin/README.md: there is no room {name}/" for name in sorted(set(rows) - rooms)]
    lines += [f"plugin/README.md: {name}/ has several rows" for name in sorted(set(rows)) if rows.count(name) > 1]
    return lines


def check_walk(root, text):
    """The rows of the walk: each file has its function."""
    rows = WALK_ROW.findall(text)
    lines = [] if rows else ["plugin/README.md: the walk has no rows"]
    for name, function in rows:
        path = root / name
        if not path.exists() or not re.search(rf"\b{function}\(", path.read_text(encoding="utf-8")):
            lines.append(f"plugin/README.md: the walk passes {function}() in {name}, which has no such function")
    return lines


def check_data(text, files):
    rows = set(DATA_ROW.findall(text))
    lines = [f"data/README.md: no row for {name}" for name in sorted(files - rows)]
    return lines + [f"data/README.md: there is no {name}" for name in sorted(rows - files)]


def contains(ports, port):
    """Whether a value of remote-ports has this port."""
    ranges = (part.partition("-") for part in ports.split(",") if part)
    return any(int(first) <= port <= int(last or first) for first, _, last in ranges if first)


def blocks(name, text):
    """The examples of a document: the whole file, a fenced block, or text between lines that are not indented. A line of
    prose is a block of its own."""
    if name.endswith(".conf"):
        return [text]
    if name.endswith(".md"):
        return [block for number, part in enumerate(text.split("```")) for block in ([part] if number % 2 else part.splitlines())]
    return re.findall(r"(?:^[ \t].*\n(?:[ \t]*\n)*)+|^\S.*$", text, re.M)


def check_https(name, text):
    """Without remote-addresses, the first connection to every other HTTPS server is delayed by a second or more."""
    return [f"{name}: {found[0]} without remote-addresses concerns every HTTPS server: name the addresses of some"
            for block in blocks(name, text) for found in REMOTE_PORTS.finditer(block)
            if contains(found[1], HTTPS) and not REMOTE_ADDRESSES.search(block)]


def check_example(name, text, keys):
    """An example of a profile: every key exists, and what a tunnel needs is there."""
    used = re.findall(r"^([^#;=\s]+)=", text.partition("[X-Underpass]")[2], re.M)
    lines = [f"{name}: there is no key {key}" for key in used if key not in keys]
    if "Tunnel" not in used or not {"RemotePorts", "LocalPorts"} & set(used):
        lines.append(f"{name}: asks for no tunnel, or for one without ports")
    return lines


def describe(member):
    """The heading of a member in org.underpass1(5). What a signal carries has no direction, and stands in the parentheses."""
    if member.tag == "property":
        emits = [found.get("value") for found in member.findall("annotation") if found.get("name") == EMITS]
        return f"``{member.get('name')} {member.get('type')}``" + EMITS_WORDS.get(emits[0] if emits else "", "")
    values = {direction: ", ".join(f"{argument.get('type')} {argument.get('name')}" for argument in member.findall("arg")
                                   if argument.get("direction", "in") == direction) for direction in ("in", "out")}
    return f"``{member.get('name')}({values['in']})" + (f" → {values['out']}" if values["out"] else "") + "``"


def check_dbus(page, xml):
    lines = []
    for interface in ElementTree.fromstring(xml).iter("interface"):
        name = interface.get("name")
        part = page.partition(f"\n{name}\n===")[2]
        end = re.search(r"\n\S.*\n={3,}\n", part)
        found = MEMBER.findall(part[:end.start()] if end else part)
        wanted = [describe(member) for member in interface if member.tag in ("method", "property", "signal")]
        lines += [f"{DBUS_PAGE}: {name} misses {heading}" for heading in wanted if heading not in found]
        lines += [f"{DBUS_PAGE}: {name} has no {heading}" for heading in found if heading not in wanted]
    return lines


@functools.cache
def meson_tests(build):
    """The names of meson's tests as tests/run prints them: suite/name."""
    path = build / "meson-info/intro-tests.json"
    tests = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return {min(suite.rpartition(":")[2] for suite in test["suite"]) + "/" + test["name"] for test in tests}


@functools.cache
def is_in_file(root, folder, file, test):
    """Whether a file of tests/lab or tests/systems has a test, as far as one is named. Those that a loop makes are found by asking."""
    path = root / f"tests/{folder}/test_{file}.py"
    if not path.exists() or not test or f"def test_{test}(" in path.read_text(encoding="utf-8"):
        return path.exists()
    command = ["/usr/bin/python3", "-B", root / "tests/lib/run_file.py", path, "--list"]
    return f"{folder}/{file}/{test}" in subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.split()


def check_tests(root, build, text):
    """The tests that SECURITY.md names as "tests/run -k" takes them: `lab/FILE`, `lab/FILE/TEST`, `SUITE/NAME` or `NAME`."""
    rows = TEST_ROW.findall(text)
    lines = [] if rows else ["SECURITY.md: has no table of tests"]
    for row in rows:
        lines += [] if CODE.search(row) else [f"SECURITY.md: a row ends with {row}, which names no test"]
        for name in CODE.findall(row):
            folder, _, rest = name.partition("/")
            if folder in ("lab", "systems"):
                known = is_in_file(root, folder, *(rest + "/").split("/")[:2])
            else:
                known = any(f"/{test}".endswith(f"/{name}") for test in meson_tests(build))
            lines += [] if known else [f"SECURITY.md: there is no test {name}"]
    return lines


def check_tests_readme(root, text):
    """Files of tests/README.md, which leaves out their folder where another column has it, and folders: of tests, or rooms."""
    files = [path.relative_to(root) for path in (root / "tests").rglob("*") if "__pycache__" not in path.parts]
    for name in TESTS_PATH.findall(text):
        folders = [root / folder / name for folder in ("", "tests", "plugin")]
        if not any(folder.is_dir() for folder in folders) and not any(f"/{path}".endswith(f"/{name}") for path in files):
            yield f"tests/README.md: there is no {name}"


def check_links(root, name, text):
    folder = (root / name).parent
    lost = [target for target in LINK.findall(text) if not (folder / target).exists()]
    lost += [target for target in PATH.findall(text) if not (root / target).exists() and not (folder / target).exists()]
    return [f"{name}: {target} does not exist" for target in lost]


def check(root, keys, build, documents):
    rooms = {path.name for path in (root / "plugin").glob("*") if path.is_dir()}
    data = {path.name + "/" * path.is_dir() for path in (root / "data").glob("*")} - {"README.md"}
    lines = check_length("README.md", documents["README.md"], README_LINES_MAX)
    lines += check_length("CONTRIBUTING.md", documents["CONTRIBUTING.md"], CONTRIBUTING_LINES_MAX)
    lines += check_packages(documents["README.md"], documents["tests/packages"])
    lines += check_rooms(documents["plugin/README.md"], rooms) + check_walk(root, documents["plugin/README.md"])
    lines += check_data(documents["data/README.md"], data)
    lines += check_tests(root, build, documents["SECURITY.md"])
    lines += check_tests_readme(root, documents["tests/README.md"])
    lines += check_dbus(documents[DBUS_PAGE], documents[DBUS_XML])
    examples = [name for name in documents if name.endswith(".conf")]
    lines += [] if examples else ["data/examples: there are none"]
    for name in examples:
        lines += check_example(name, documents[name], keys)
    for name, text in documents.items():
        lines += check_https(name, text) + (check_links(root, name, text) if name.endswith(".md") else [])
    return lines


def spoil_documents(documents):
    """Pairs of a document and a way to spoil it. Each shows what one rule is for."""
    yield "README.md", lambda text: text + "\n" * README_LINES_MAX
    yield "CONTRIBUTING.md", lambda text: text + "\n" * CONTRIBUTING_LINES_MAX
    yield "SECURITY.md", lambda text: text.replace("`lab/ports`", "`lab/no_such_file`")
    yield "SECURITY.md", lambda text: text.replace("`lab/attack/blind_segments`", "`lab/attack/no_such_test`")
    yield "SECURITY.md", lambda text: text.replace("`lab/", "`")
    yield "SECURITY.md", lambda text: text.replace("`unit/service-polkit`", "`unit/service-polkitd`")
    yield "SECURITY.md", lambda text: text.replace("`checks/unit`", "`checks/units`")
    yield "SECURITY.md", lambda text: text.replace("`fuzz-packets`", "`fuzz-packet`")
    yield "SECURITY.md", lambda text: text.replace("`systems/unit`", "`systems/units`")
    yield "SECURITY.md", lambda text: text.replace("`systems/sockets/newest`", "`systems/sockets/oldest`")
    yield "SECURITY.md", lambda text: text.replace("| `unit/service-life` |\n", "| a test |\n")
    yield "SECURITY.md", lambda text: re.sub(r"^\|.*\n", "", text, flags=re.M)
    yield "tests/README.md", lambda text: text + "\nSee [that](no/such/file.md).\n"
    yield "tests/README.md", lambda text: text.replace("`lib/lab.py`", "`lib/labs.py`")
    yield "tests/README.md", lambda text: text.replace("`test-keys.c`", "`test-key.c`")
    yield "tests/README.md", lambda text: text.replace("| `netns/` |", "| `netn/` |")
    yield "packaging/README.md", lambda text: text + "\nSee `packaging/no-such-file`.\n"
    yield "README.md", lambda text: text.replace(" libmnl-dev", "")
    yield "README.md", lambda text: text.replace("apt install ", "apt install no-such-package ")
    yield "tests/packages", lambda text: text.replace("\n# tests\n", "\nmore\n# tests\n")
    yield "README.md", lambda text: text + "\nSee [that](no/such/file.md).\n"
    yield "README.md", lambda text: text + "\nSee `tests/no-such-file`.\n"
    yield "README.md", lambda text: text.replace(" remote-addresses=203.0.113.7", "")
    yield "README.md", lambda text: text.replace("RemoteAddresses=203.0.113.7\n", "")
    yield "README.md", lambda text: text + "\nSet `remote-ports=80,400-500`.\n"
    yield "data/man/underpass.conf.5.rst", lambda text: text.replace("    RemoteAddresses=203.0.113.7\n", "")
    yield "data/man/underpass.conf.5.rst", lambda text: text.replace("    underpass.remote-addresses=203.0.113.7\n", "")
    yield "plugin/README.md", lambda text: re.sub(r"^\| \[`plan/`\].*\n", "", text, flags=re.M)
    yield "plugin/README.md", lambda text: text + "| [`gone/`](.) | gone |\n"
    yield "plugin/README.md", lambda text: text + "| [`plan/`](plan) | twice |\n"
    yield "plugin/README.md", lambda text: text.replace("`plan_diff()`", "`plan_difference()`")
    yield "plugin/README.md", lambda text: text.replace("`bpf/flow.h`", "`bpf/rewrite.h`")
    yield "plugin/README.md", lambda text: WALK_ROW.sub("|", text)
    yield "data/README.md", lambda text: re.sub(r"^\| `underpass.tmpfiles`.*\n", "", text, flags=re.M)
    yield "data/README.md", lambda text: text + "| `gone.conf` | gone | – |\n"
    yield DBUS_PAGE, lambda text: text.replace("``Reload() ", "``Reloads() ")
    yield DBUS_PAGE, lambda text: text.replace("``Version s`` (constant)\n", "``Version s``\n")
    yield DBUS_PAGE, lambda text: text.replace("``GetLink(s interface) → o link``\n", "``GetLink(s interface)``\n")
    yield DBUS_PAGE, lambda text: text.replace("``MTU u``\n", "")
    yield DBUS_PAGE, lambda text: text.replace("``State s``\n", "``State s``\n    Text.\n\n``States as``\n")
    yield DBUS_XML, lambda text: text.replace('<property name="Warnings" type="as" access="read"/>', "")
    yield DBUS_XML, lambda text: text.replace('<method name="Reload">', '<method name="Again"></method><method name="Reload">')
    for name in (name for name in documents if name.endswith(".conf")):
        yield name, lambda text: text.replace("Tunnel=", "Tunel=")
        yield name, lambda text: re.sub(r"^(Remote|Local)Ports=.*\n", "", text, flags=re.M)
        yield name, lambda text: re.sub(r"^RemoteAddresses=.*\n", "", text, flags=re.M) + "RemotePorts=1-500\n"


def self_test(root, keys, build, documents):
    failures = [f"unspoilt: {line}" for line in check(root, keys, build, documents)]
    for number, (name, spoil) in enumerate(spoil_documents(documents)):
        text = spoil(documents[name])
        if text == documents[name] or not check(root, keys, build, {**documents, name: text}):
            failures.append(f"not noticed: sample {number}, {name}")
    with tempfile.TemporaryDirectory(prefix="underpass-docs-") as folder:
        if not check(pathlib.Path(folder), keys, build, documents):
            failures.append("not noticed: an empty tree")
    return failures


def read_documents(root, gen_keys):
    """Text of each document by name; a page with keys as it is built."""
    names = ["tests/packages", DBUS_XML]
    for pattern in ("*.md", "*/*.md", "*/*/README.md", "data/examples/*.conf", "data/man/*.rst"):
        names += sorted(str(path.relative_to(root)) for path in root.glob(pattern))
    documents = {name: (root / name).read_text(encoding="utf-8") for name in names}
    for name in (DBUS_PAGE, DBUS_XML):
        documents[name] = subprocess.run([gen_keys, "manual", root / name], check=True, capture_output=True, encoding="utf-8").stdout
    return documents


def main():
    interrupts.end_once()
    mode = sys.argv.pop(1) if sys.argv[1].startswith("--") else "check"
    root, gen_keys, build = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    names = subprocess.run([gen_keys, "names"], check=True, capture_output=True, encoding="utf-8").stdout
    keys = {line.split()[1] for line in names.splitlines()}
    documents = read_documents(root, gen_keys)
    lines = (self_test if mode == "--self-test" else check)(root, keys, build, documents)
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
