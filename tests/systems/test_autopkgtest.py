# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests of the Debian package, run by Debian's autopkgtest as its own machines do it: the package is installed, with
nothing else than what the tests say they need. May touch: the cache of roots.py, where a layer with these lies on top of a
root, and the folder "packages" of the build.
"""

import pathlib
import re
import shutil
import tempfile

import cache
import debs
import roots
import runner

RELEASE = "trixie"
CONTROL = roots.ROOT / "packaging/debian/tests/control"

# Namespaces are enough of a machine of its own here. A test that is skipped makes the exit status 2.
SCRIPT = """
mkdir /tmp/source
tar -C /source --exclude=./build --exclude=./build-* --exclude=./.git --exclude=__pycache__ -cf - . | tar -C /tmp/source -xf -
cp -r /source/packaging/debian /tmp/source/debian
autopkgtest --ignore-restrictions=isolation-machine --no-built-binaries /packages/{package} /tmp/source -- null
"""


def needed():
    """What the tests need but the package itself, which "@" stands for."""
    words = re.search(r"^Depends: (.*)$", CONTROL.read_text(), re.MULTILINE)[1].split(", ")
    assert words[0] == "@", words
    return words[1:]


def layers():
    """The layers of the machine, as an overlay wants them; made when they are missing."""
    lower = roots.root(RELEASE)
    tools = ("autopkgtest", "dpkg-dev", *needed())
    with cache.locked(f"{RELEASE}-autopkgtest"):
        name = roots.key(RELEASE, roots.system_packages(), tools)
        make = lambda partial: debs.add_tools(RELEASE, tools, lower, partial)  # noqa: E731
        return f"{roots.made(cache.folder() / 'autopkgtest', RELEASE, name, make)}:{lower}"


def test_lab():
    """All of debian/tests, in Debian 13."""
    try:
        below = layers()
    except roots.RootError as error:
        raise runner.Skip(f"no autopkgtest: {error}") from None
    package = debs.build(RELEASE)[0]
    log = roots.BUILD / "packages/autopkgtest.log"
    script = SCRIPT.format(package=package.name)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="underpass-autopkgtest-"))
    try:
        binds = [(roots.ROOT, "/source"), (package.parent, "/packages")]
        roots.in_layers(folder / "upper", below, script, "autopkgtest", log, binds)
    except roots.RootError as error:
        raise AssertionError(str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = log.read_text()
    passed = re.findall(r"^ok +(lab/\S+)", text, re.MULTILINE)
    assert passed and re.search(r"^lab +PASS$", text, re.MULTILINE), text
    runner.note(f"lab passed: {', '.join(passed)}")
