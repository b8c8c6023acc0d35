# SPDX-License-Identifier: GPL-2.0-or-later
"""What packagers do: the tarball of a release holds all that building and testing needs, and two builds in two folders
install the same bytes."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

import roots
import runner

OPTIONS = ("--prefix=/usr", "-Dwerror=true")  # as tests/prepare has them


def run(folder, *command, **environment):
    """Runs a command in a folder; its output is shown if it fails."""
    answer = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",
        check=False,
    )
    assert answer.returncode == 0, f"{' '.join(command)}:\n{answer.stdout[-4000:]}"
    return answer.stdout


def tarball(folder):
    """The sources as "meson dist" packs them, unpacked."""
    if not shutil.which("git") or not (roots.ROOT / ".git").exists():
        raise runner.Skip("no git here, of which the tarball is made")
    if run(roots.ROOT, "git", "status", "--porcelain", "--untracked-files=no"):
        raise runner.Skip("there are changes that are not committed, which a tarball would lack")
    run(roots.BUILD, "meson", "dist", "--no-tests", "--formats=gztar")
    packed = max((roots.BUILD / "meson-dist").glob("*.tar.gz"), key=lambda path: path.stat().st_mtime)
    with tarfile.open(packed) as archive:
        archive.extractall(folder)
    (unpacked,) = folder.iterdir()
    return unpacked


def installed(build, stage):
    """Path -> SHA-256, or where it points to, of all that a build installs."""
    run(build, "meson", "install", "--no-rebuild", "--quiet", DESTDIR=str(stage))
    found = {}
    for path in sorted(stage.rglob("*")):
        name = str(path.relative_to(stage))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_two_folders():
    """The tarball, built elsewhere, installs what the build of this run does, byte for byte, and passes rung 1."""
    with tempfile.TemporaryDirectory(prefix="underpass-builds-") as name:
        folder = pathlib.Path(name)
        (folder / "deep/er").mkdir(parents=True)
        (folder / "unpacked").mkdir()
        source, build = tarball(folder / "unpacked"), folder / "deep/er/build"
        run(folder, "meson", "setup", *OPTIONS, str(build), str(source))
        run(build, "ninja", "-j2")
        first, second = installed(roots.BUILD, folder / "first"), installed(build, folder / "second")
        different = [path for path in first.keys() | second.keys() if first.get(path) != second.get(path)]
        assert not different, f"differ: {' '.join(sorted(different))}"
        every = hashlib.sha256(repr(sorted(first.items())).encode()).hexdigest()
        runner.note(f"{len(first)} files in each of two folders: {every}")
        suites = ("--suite", "unit", "--suite", "checks")
        answer = run(build, "meson", "test", "--no-rebuild", "--timeout-multiplier", "3", *suites)
        runner.note("from the tarball: " + next(line for line in answer.splitlines() if line.startswith("Ok:")))
