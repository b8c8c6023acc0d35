# SPDX-License-Identifier: GPL-2.0-or-later
"""Cgroups of machines leave nothing behind, also where this machine has version 1 beside version 2. That nothing is left
after a machine itself is seen at the end of every test that has one (systems.py)."""

import os

import cgroups


def make():
    """A cgroup with what systemd-nspawn makes in it, in all trees; its folder in each."""
    path = cgroups.create("test")
    folders = [base / path.name for base in cgroups.bases()]
    for folder in folders:
        for name in ("payload/system.slice", "supervisor"):
            (folder / name).mkdir(parents=True)
    return folders


def test_removed():
    """In all trees."""
    folders = make()
    assert set(folders) <= set(cgroups.left()), (folders, cgroups.left())
    assert cgroups.remove(folders[0])
    assert not cgroups.left(), cgroups.left()


def test_killed():
    """What a program left that was killed is removed by the next machine; what a living one has stays."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            make()
        finally:
            os._exit(0)
    os.close(writing)
    os.read(reading, 1)  # it has ended
    os.close(reading)
    folders = [base / f"underpass-{child}-test" for base in cgroups.bases()]
    assert all(folder.exists() for folder in folders), folders
    mine = make()
    os.waitpid(child, 0)
    assert not any(folder.exists() for folder in folders), folders
    kept = cgroups.create("other")
    assert all(folder.exists() for folder in mine), mine
    assert cgroups.remove(mine[0]) and cgroups.remove(kept)
    assert not cgroups.left(), cgroups.left()
