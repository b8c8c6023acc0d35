# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of whole systems download or build once and keep: folders below
${XDG_CACHE_HOME:-/var/cache}/underpass-tests, each with a record of its files. May touch: that folder;
it can be deleted at any time.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

RECORD = "record.json"
PATIENCE = 5  # seconds without a word; who finds the entry complete has it for less


def folder():
    """The folder of the cache."""
    home = os.environ.get("XDG_CACHE_HOME") or "/var/cache"
    path = pathlib.Path(home) / "underpass-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


def progress(text):
    """Says what takes its time just now."""
    print(f"      | {text}", flush=True)


@contextlib.contextmanager
def locked(name):
    """Nobody else builds this entry at the same time."""
    path = folder() / (name.replace("/", "-") + ".lock")
    with open(path, "wb") as lock:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    progress(f"{name}: another run is at it, waiting")
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    break
                time.sleep(0.05)
        yield


def digest(path):
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        checksum = hashlib.sha256()
        while block := file.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest()


def describe(path):
    """[size, SHA-256] of each file of a folder but the record."""
    return {
        file.name: [file.stat().st_size, digest(file)]
        for file in sorted(path.iterdir())
        if file.is_file() and file.name != RECORD
    }


def load(path):
    """The record of a complete and unspoilt entry, or None."""
    try:
        record = json.loads((path / RECORD).read_text())
        return record if record["files"] == describe(path) else None
    except (OSError, ValueError, KeyError):
        return None


def make(path, key, build):
    """Builds an entry beside its place and puts it there when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=path.name + "-", dir=path.parent))
    try:
        build(scratch)
        record = {"key": key, "made": time.time(), "files": describe(scratch)}
        (scratch / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        shutil.rmtree(path, ignore_errors=True)
        scratch.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def entry(name, key, build, days=None):
    """The folder of an entry. build(folder) fills it when it is not there, is spoilt, was made from another
    key or is older than days; where only its age is the reason, and it cannot be built again, the old one
    serves."""
    path = folder() / name
    with locked(name):
        record = load(path)
        usable = record is not None and record["key"] == key
        young = usable and (days is None or 0 <= time.time() - record["made"] < days * 86400)
        if young:
            return path
        if path.exists() and record is None:
            progress(f"{name}: incomplete or spoilt, made again")
        try:
            make(path, key, build)
        except Exception as error:  # pylint: disable=broad-except  (the old one serves, whatever it was)
            if not usable:
                raise
            progress(f"{name}: cannot be renewed, the old one serves: {str(error).splitlines()[0]}")
            print(error, file=sys.stderr)
        return path
