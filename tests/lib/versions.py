# SPDX-License-Identifier: GPL-2.0-or-later
"""Services with other layouts of the maps, made of the project's own sources: what an older and a newer
release would be. May touch: the folder "versions" of the build, where they are kept for the next run.
"""

import os
import pathlib
import signal
import subprocess

import service
from lab import ROOT

ABI, LAYOUT, TUNNEL = "bpf/abi.h", "plugin/tunnel/layout.c", "plugin/tunnel/bpf.c"
# Meson looks into all of them, although only the service is built.
SOURCES = ("bpf", "data", "dispatcher", "meson.build", "meson_options.txt", "plugin", "po", "tests")
SLOT = "        link->slot = saved.slot;\n"


def _number(name):
    """The value of a #define of abi.h."""
    return int((ROOT / ABI).read_text().partition(f"#define {name} ")[2].split()[0])


def _renumber(name, step):
    """The edit that changes it."""
    value = _number(name)
    return ABI, f"#define {name} {value}\n", f"#define {name} {value + step}\n"


def _rows(struct, more):
    """The edit that gives the readers of a record one more row, or takes the last one."""
    text = (ROOT / LAYOUT).read_text()
    head = f"static const Reader {struct.removeprefix('underpass_')}_readers[] = {{\n"
    rows = text.partition(head)[2].partition("};\n")[0].splitlines(True)
    added = f"        [{len(rows)}] = {{ .size = sizeof(struct {struct}) }},\n"
    return LAYOUT, head + "".join(rows), head + "".join([*rows, added] if more else rows[:-1])


def _append(struct):
    """The edits that append eight bytes to a struct."""
    text = (ROOT / ABI).read_text()
    head = f"struct {struct} {{\n"
    body = head + text.partition(head)[2].partition("};\n")[0]
    assertion = f"sizeof(struct {struct}) =="
    return (
        (ABI, body, body + "        __u32 noted[2];\n"),
        (ABI, assertion, assertion.replace(" ==", " - 8 ==")),
    )


EDITS = {
    # Writes records of the version before this one, of which only the number differs.
    "older": (
        _renumber("UNDERPASS_ABI_VERSION", -1),
        _renumber("UNDERPASS_RECORD_VERSION", -1),
        _rows("underpass_saved", more=False),
    ),
    # Appends a field to records, and uses that of a link; and one to flows.
    "newer": (
        _renumber("UNDERPASS_ABI_VERSION", 1),
        _renumber("UNDERPASS_RECORD_VERSION", 1),
        _rows("underpass_saved", more=True),
        *_append("underpass_saved"),
        (TUNNEL, SLOT, SLOT + "        saved.noted[1] = 7;\n"),
        _renumber("UNDERPASS_RECORD_SCTP_VERSION", 1),
        _rows("underpass_saved_sctp", more=True),
        *_append("underpass_saved_sctp"),
        *_append("underpass_flow"),
    ),
    # Cannot read the flows of this version, nor this one its own: they are learnt again.
    "apart": (_renumber("UNDERPASS_ABI_VERSION", 2), _renumber("UNDERPASS_FLOW_VERSION", 1)),
}


def _sources():
    """All files of the project that a build needs, relative to it."""
    for name in SOURCES:
        path = ROOT / name
        for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if each.is_file() and "__pycache__" not in each.parts:
                yield each.relative_to(ROOT)


def _copy(target, edits):
    """Brings a copy of the sources up to date; what has not changed is left alone, and not built again."""
    for name in _sources():
        text = (ROOT / name).read_bytes()
        for file, old, new in edits:
            if file == str(name):
                assert text.count(old.encode()) == 1, f"{file} has {old!r} {text.count(old.encode())} times"
                text = text.replace(old.encode(), new.encode())
        copy = target / name
        if copy.exists() and copy.read_bytes() == text:
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(text)
        copy.chmod((ROOT / name).stat().st_mode)


def _run(*command):
    """Runs a command; its output, if it fails, is the error."""
    result = subprocess.run(
        command, capture_output=True, encoding="utf-8", stdin=subprocess.DEVNULL, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"


def build(name):
    """Path of the service of a version: "current", or one of EDITS, which is built if it has changed."""
    folder = pathlib.Path(os.environ.get("UNDERPASS_BUILD", ROOT / "build"))
    if name == "current":
        return folder / "plugin" / "underpassd"
    folder = folder / "versions" / name
    _copy(folder / "source", EDITS[name])
    if not (folder / "build" / "build.ninja").exists():
        _run("/usr/bin/meson", "setup", "--prefix=/usr", folder / "build", folder / "source")
    _run("ninja", "-C", folder / "build", "plugin/underpassd")
    return folder / "build" / "plugin" / "underpassd"


def use(host, path, *options):
    """Ends the service of a host; it starts again as this program, with these options."""
    file = "/usr/share/dbus-1/system-services/org.underpass1.service"
    lines = host.path(file).read_text().splitlines()
    lines = [f"Exec={path}" if line.startswith("Exec=") else line for line in lines]
    host.write(file, "\n".join(lines) + "\n")
    service.set_options(host, *options)
    if service.pid(host):
        service.kill(host, signal.SIGTERM)
