# SPDX-License-Identifier: GPL-2.0-or-later
"""Cgroups of the machines: each has one that no other machine has. May touch: folders "underpass-*" in the
trees of cgroups of this machine.

Where version 1 is mounted, too, systemd-nspawn makes folders of the same name in the tree of systemd (name=systemd) and
leaves them there.
"""

import os
import pathlib
import subprocess

from host import running


def _mounted():
    """(folder, type, options) of each tree of cgroups."""
    answer = subprocess.run(
        ["findmnt", "-n", "-r", "-o", "TARGET,FSTYPE,OPTIONS", "-t", "cgroup,cgroup2"],
        check=False,
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
    )
    for line in answer.stdout.splitlines():
        folder, kind, options = line.split()
        yield pathlib.Path(folder), kind, options.split(",")


def bases():
    """Where machines have folders: the tree of version 2 first."""
    mounted = list(_mounted())
    unified = [folder for folder, kind, _ in mounted if kind == "cgroup2"][:1]
    if not unified:
        raise RuntimeError("no cgroup2 file system is mounted on this machine: mount -t cgroup2 cgroup2 FOLDER")
    return unified + [folder for folder, _, options in mounted if "name=systemd" in options]


def create(name):
    """The folder of a new one, in the tree of version 2. What a test that was killed has left goes."""
    trees = bases()
    for base in trees:
        for stale in base.glob("underpass-*-*"):
            owner = stale.name.split("-")[1]
            if owner.isdigit() and not running(int(owner)):
                _remove_tree(stale)
    path = trees[0] / f"underpass-{os.getpid()}-{name}"
    path.mkdir()
    return path


def _remove_tree(path):
    """Removes a folder and all below it; whether it is gone."""
    for folder, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return not path.exists()


def remove(path):
    """Removes what create() returned in all trees; whether it is gone."""
    return all([_remove_tree(base / path.name) for base in bases()])


def left():
    """Folders that this program has made, in any tree of cgroups, whoever mounted it."""
    return [path for folder, _, _ in _mounted() for path in folder.glob(f"underpass-{os.getpid()}-*")]
