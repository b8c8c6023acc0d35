#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles the sources against musl: the service and what it is made of. Rooms below service/ get no header of
systemd, but for the files that speak to a bus or to the journal, so that a loader for systems without systemd can be made
of them. Nothing is linked, for Debian has libsystemd for its own libc only.

Usage: check-musl.py ROOT BUILD MUSL-GCC
       check-musl.py --self-test ROOT BUILD MUSL-GCC    a source with what musl lacks, and one that needs systemd
"""

import concurrent.futures
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position

FREE = ["base", "profile", "plan", "kernel", "segment", "tunnel", "source"]  # of systemd
SPEAKERS = [  # not free of it
    "base/log.c", "source/bus-*.c", "source/networkd.c", "source/nm.c", "source/nm-actives.c", "source/nm-connection.c",
    "source/nm-show.c", "source/nm-tunnels.c",
]
REST = ["service", "vpn"]
HEADERS = ["linux", "asm-generic", "rdma", "libmnl", "bpf", "json-c"]  # that musl does not have itself
SYSTEMD = "systemd"
OPTIONS = ["-fsyntax-only", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Werror=implicit-function-declaration",
           "-Werror=incompatible-pointer-types"]
SKIPPED = 77


def sources(root):
    """(file, whether it may use systemd) of everything that is compiled."""
    plugin = root / "plugin"
    for room in FREE + REST:
        for path in sorted((plugin / room).glob("*.c")):
            name = str(path.relative_to(plugin))
            yield path, room in REST or any(pathlib.PurePath(name).match(speaker) for speaker in SPEAKERS)
    for path in sorted((root / "dispatcher").glob("*.c")):
        yield path, True
    yield root / "data/gen-keys.c", False


def link_headers(folder, names):
    """Makes folders of these headers visible in one, and no others: musl's own come first anyway, but what only glibc
    has must not be found beside them."""
    folder.mkdir()
    for name in names:
        for place in (pathlib.Path("/usr/include"), *pathlib.Path("/usr/include").glob("*-linux-gnu")):
            if (place / name).is_dir() and not (folder / name).exists():
                (folder / name).symlink_to(place / name)


def compile_one(compiler, root, build, headers, path):
    """What the compiler says about a file; empty: nothing."""
    includes = [root / "plugin", root, build, build / "bpf"]
    command = [compiler, *OPTIONS, *(f"-I{folder}" for folder in includes)]
    command += [word for folder in headers for word in ("-idirafter", str(folder))]
    answer = subprocess.run([*command, str(path)], capture_output=True, encoding="utf-8", check=False)
    return answer.stderr if answer.returncode else ""


def check(root, build, compiler, files):
    """All complaints."""
    with tempfile.TemporaryDirectory(prefix="underpass-musl-") as scratch:
        plain, systemd = pathlib.Path(scratch) / "plain", pathlib.Path(scratch) / "systemd"
        link_headers(plain, [*HEADERS, "asm"])
        link_headers(systemd, [SYSTEMD])
        (build / "bpf").mkdir(exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            jobs = [(path, pool.submit(compile_one, compiler, root, build, [plain, systemd] if may else [plain], path))
                    for path, may in files]
            try:
                return [f"{path}: {job.result().strip()}" for path, job in jobs if job.result()]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)  # those that have not begun


BROKEN = {
    "glibc.c": "#include <printf.h>\nint main(void) { return register_printf_specifier('W', 0, 0); }\n",
    "systemd.c": "#include <systemd/sd-bus.h>\n",
    "undeclared.c": "#include <string.h>\nint main(void) { return (int) unknown_function(); }\n",
}


def self_test(root, build, compiler):
    lines = []
    with tempfile.TemporaryDirectory(prefix="underpass-musl-") as scratch:
        for name, text in BROKEN.items():
            path = pathlib.Path(scratch) / name
            path.write_text(text, encoding="utf-8")
            if not check(root, build, compiler, [(path, False)]):
                lines.append(f"{name} should not be compiled, but was")
    return lines


def main():
    interrupts.end_once()
    testing = sys.argv[1] == "--self-test"
    root, build, compiler = sys.argv[1 + testing:]
    root, build = pathlib.Path(root), pathlib.Path(build)
    if not compiler:
        print("no musl-gcc: the package musl-tools has it")
        return SKIPPED
    files = list(sources(root))
    lines = self_test(root, build, compiler) if testing else check(root, build, compiler, files)
    print(f"{len(BROKEN) if testing else len(files)} sources", file=sys.stderr)
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
