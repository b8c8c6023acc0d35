# SPDX-License-Identifier: GPL-2.0-or-later
"""What checks of the whole tree share: they look at the sources, or test themselves with samples. A good sample has no
complaint, and each way to spoil it has one. May touch: temporary folders.
"""

import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position


def complaints_about(check_tree, files, folders=()):
    """What a check says of a tree of these files, by name; a text that is None leaves the file out. folders: empty ones."""
    with tempfile.TemporaryDirectory(prefix="underpass-check-") as folder:
        root = pathlib.Path(folder)
        for name in folders:
            (root / name).mkdir()
        for name, text in files.items():
            if text is not None:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text, encoding="utf-8")
        return check_tree(root)


def failures(check_tree, good, bad, folders=()):
    """What is wrong with a check. bad: (name, text, words of the only complaint), words None: it is good, too."""
    found = [f"a good tree: {line}" for line in complaints_about(check_tree, good, folders)]
    for name, text, expected in bad:
        complaints = complaints_about(check_tree, {**good, name: text}, folders)
        if expected is None:
            found += [f"{name} should be taken, but: {line}" for line in complaints]
        elif len(complaints) != 1 or expected not in complaints[0]:
            found.append(f"{name} should be told \"{expected}\", but: {complaints}")
    print(f"{len(bad)} samples", file=sys.stderr)
    return found


def main(check_tree, self_test):
    """check-NAME.py ROOT or --self-test: prints complaints; exit status."""
    interrupts.end_once()
    lines = self_test() if sys.argv[1] == "--self-test" else check_tree(pathlib.Path(sys.argv[1]))
    for line in lines:
        print(line)
    return 1 if lines else 0
