# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package, built in a release and checked with that release's lintian. May touch: the cache of roots.py, where a
layer with them lies on top of the compilers, and the folder "packages" of the build.
"""

import hashlib
import pathlib
import re
import shutil
import subprocess
import time

import cache
import roots

TOOLS = ("build-essential", "debhelper", "lintian")
MARK = "made-from"  # the sources

# The sources of a package: without what a build has made of them, and without the tests, which it does not look at, so that
# a package lasts while only these change.
PACK = "tar --exclude=./build --exclude=./build-* --exclude=./.git --exclude=./tests --exclude=__pycache__"

COPY = f"""
mkdir -p /tmp/build/underpass
cd /source
{PACK} -cf - . | tar -C /tmp/build/underpass -xf -
"""
SCRIPT = """
cp -r packaging/debian /tmp/build/underpass/debian
cd /tmp/build/underpass
export DEB_BUILD_OPTIONS=parallel=2
dpkg-buildpackage -us -uc -b
cp ../*.deb ../*.changes ../*.buildinfo /packages
cd /packages
lintian --allow-root --tag-display-limit 0 --fail-on error,warning *.changes >lintian.txt 2>&1 || { cat lintian.txt; exit 1; }
"""

# The same package with an earlier version.
PREVIOUS = """
mkdir /tmp/package
dpkg-deb -R /packages/underpass_[0-9]*.deb /tmp/package/tree
sed -i 's/^Version: .*/&~previous/' /tmp/package/tree/DEBIAN/control
dpkg-deb --root-owner-group -Znone -b /tmp/package/tree /packages/previous.deb
"""


def add_tools(release, tools, layers, target):
    """Makes a layer with these packages on top of others."""
    begin = time.monotonic()
    cache.progress(f"{release}: adding {', '.join(tools)}")
    script = (
        f"apt-get -q update\napt-get -q -y install --no-install-recommends {' '.join(tools)}\n"
        "apt-get clean\nrm -rf /var/lib/apt/lists/*"
    )
    log = cache.folder() / f"{release}-packagers.log"
    roots.in_layers(target, layers, script, f"installing {tools} in {release}", log)
    cache.progress(f"{release}: added in {time.monotonic() - begin:.0f} s")


def _layers(release):
    """The layers that a package is built in, as an overlay wants them."""
    lower = roots.root(release)
    compilers = roots.compilers(release, lower)
    below = f"{compilers}:{lower}"
    with cache.locked(f"{release}-packagers"):
        name = roots.key(release, roots.system_packages(), roots.build_packages(), TOOLS)
        tools = roots.made(
            cache.folder() / "packagers", release, name, lambda partial: add_tools(release, TOOLS, below, partial)
        )
    return f"{tools}:{below}"


def version():
    """The version that meson.build says."""
    return re.search(r"^\s*version : '([^']*)'", (roots.ROOT / "meson.build").read_text(), re.MULTILINE)[1]


def _sources():
    """Changes with all that a package is made of."""
    found = hashlib.sha256()
    for path in sorted(roots.ROOT.rglob("*")):
        name = path.relative_to(roots.ROOT)
        others = re.match(r"build(-.*)?$|\.git$|tests$", name.parts[0]) or "__pycache__" in name.parts
        if path.is_file() and not others:
            found.update(f"{name} {path.stat().st_mode} ".encode() + path.read_bytes())
    return found.hexdigest()


def _make(target, layers, script, what):
    """Builds packages into target, all or nothing."""
    scratch = target.with_name(f"{target.name}.scratch")
    for folder in (scratch, target):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    binds = [(roots.ROOT, "/source"), (target, "/packages")]
    try:
        roots.in_layers(scratch / "upper", layers, script, what, target.with_suffix(".log"), binds)
    except roots.RootError as error:
        raise AssertionError(str(error)) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def packaged(name, layers, script, what, *more):
    """The folder with the packages that a script leaves in /packages. What was made of the same sources, by the same script and
    with the same layers is taken again. more: texts that it was made from, too."""
    target = roots.BUILD / "packages" / name
    begin = time.monotonic()
    with cache.locked(f"{name}-package"):
        sources = "\n".join([_sources(), layers, script, *more])
        mark = target / MARK
        if not mark.exists() or mark.read_text() != sources:
            _make(target, layers, script, what)
            mark.write_text(sources)
    cache.progress(f"{name}: packages built and checked in {time.monotonic() - begin:.0f} s")
    return target


def build(release):
    """(package, the same as an earlier version, what lintian says); an error when lintian has errors or warnings."""
    target = packaged(release, _layers(release), COPY + SCRIPT + PREVIOUS, f"packaging in {release}")
    packages = list(target.glob("underpass_*.deb"))
    assert len(packages) == 1, f"{release}: {packages}"
    return packages[0], target / "previous.deb", (target / "lintian.txt").read_text()


def content(package):
    """The files of a package, as dpkg-deb lists them."""
    text = subprocess.run(
        ["dpkg-deb", "--contents", str(package)], check=True, capture_output=True, encoding="utf-8"
    ).stdout
    return [pathlib.PurePath("/", line.split()[5]) for line in text.splitlines()]
