#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the tests of one file of tests/lab or tests/systems and prints one line for each: "ok|FAIL|skip  name
seconds". It is the program that tests/run starts for each file; being in tests/lib, it makes the library
importable for the file.

A test is a function test_* of the file, run in the order of the file; it fails by raising an exception.
After a failure the lines say why, and the end of every log of its lab follows. May touch: nothing but
standard output.
"""

import argparse
import importlib
import os
import pathlib
import sys

import interrupts
import runner


def load(path):
    """The file as a module."""
    sys.path.insert(1, str(path.parent))
    return importlib.import_module(path.stem)


def tests_of(module, path):
    """Functions of all tests of a file, by their names as they are printed: folder/file/test."""
    prefix = f"{path.parent.name}/{path.stem.removeprefix('test_')}"
    return {
        f"{prefix}/{name.removeprefix('test_')}": function
        for name, function in vars(module).items()
        if name.startswith("test_") and callable(function)
    }


def run_all(tests):
    """Runs the tests; the exit status."""
    interrupts.end_once()
    os.umask(0o022)
    try:
        verdicts = [runner.run_test(name, function) for name, function in tests.items()]
    finally:
        runner.Run.close()
    return 1 if "FAIL" in verdicts else 0


def main():
    """Parses the options and runs what they choose."""
    parser = argparse.ArgumentParser(description="Runs the tests of one file.")
    parser.add_argument("file", type=pathlib.Path, help="tests/lab/test_….py or tests/systems/test_….py")
    parser.add_argument("--list", action="store_true", help="print the names of the tests and end")
    parser.add_argument("-k", metavar="PATTERN", default="", help="only tests whose name contains PATTERN")
    parser.add_argument("--keep", action="store_true", help="leave the lab of a failed test up until Ctrl-C")
    options = parser.parse_args()
    runner.Run.keep = options.keep
    runner.Run.pattern = options.k
    path = options.file.resolve()
    tests = tests_of(load(path), path)
    tests = {name: function for name, function in tests.items() if options.k in name}
    if options.list:
        print(*tests, sep="\n")
        sys.exit(0)
    sys.exit(run_all(tests))


if __name__ == "__main__":
    main()
