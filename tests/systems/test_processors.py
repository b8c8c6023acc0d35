# SPDX-License-Identifier: GPL-2.0-or-later
"""Other processors than this machine's: the project is built for them with Debian's libraries, its tests in C run
there, and what is installed follows the options of the build."""

import pathlib
import re
import struct
import tempfile

import foreign
import roots
import runner

MACHINES = {"arm64": (183, "<"), "armhf": (40, "<"), "s390x": (22, ">")}  # of ELF, and the order of bytes
BPF = 247
TESTS_MIN = 25
PROFILES = "/opt/etc/underpass"  # foreign.py builds with another sysconfdir


def machine_of(data):
    """(machine, order of bytes) of an ELF file."""
    order = "<" if data[5] == 1 else ">"
    return struct.unpack_from(order + "H", data, 18)[0], order


def check_stage(stage, name):
    """Programs for the processor, the BPF programs in its order of bytes, and the folder of the build everywhere."""
    machine, order = MACHINES[name]
    service = (stage / "usr/libexec/underpassd").read_bytes()
    assert machine_of(service) == (machine, order), (name, machine_of(service))
    objects = [match.start() for match in re.finditer(b"\x7fELF", service)][1:]
    assert (BPF, order) in [machine_of(service[start:]) for start in objects], f"{name}: no programs of its own"
    assert PROFILES.encode() in service, f"{name}: the service reads another folder"
    assert (stage / PROFILES[1:]).is_dir(), f"{name}: the folder of profiles is missing"
    for path in stage.rglob("*"):
        prose = path.suffix == ".mo" or "examples" in path.parts
        if path.is_file() and not path.is_symlink() and not prose:
            assert not re.search(rb"(?<!/opt)/etc/underpass", path.read_bytes()), f"{path}: /etc/underpass"


def processor(name, triplet, release):
    """All of it for one processor."""
    with tempfile.TemporaryDirectory(prefix="underpass-processor-") as folder:
        stage = pathlib.Path(folder) / "stage"
        target = foreign.Processor(name, triplet, release)
        try:
            target.layers()
        except roots.RootError as error:
            raise runner.Skip(f"no libraries of {name}: {error}") from None
        log = target.build(stage)
        check_stage(stage, name)
        passed = int(re.search(r"^Ok: +(\d+)", log, re.M)[1])
        assert passed >= TESTS_MIN, f"{name}: only {passed} tests"
        runner.note(f"{name} ({release}): built, {passed} tests of rung 1 passed under qemu-user")


def test_arm64():
    """64 bits, as phones and small routers have."""
    processor("arm64", "aarch64-linux-gnu", "trixie")


def test_armhf():
    """32 bits; time has 64."""
    processor("armhf", "arm-linux-gnueabihf", "trixie")


def test_s390x():
    """Big endian, as are some MIPS routers."""
    processor("s390x", "s390x-linux-gnu", "bookworm")
