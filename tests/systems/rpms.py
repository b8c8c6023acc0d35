# SPDX-License-Identifier: GPL-2.0-or-later
"""The rpm package, built by Debian's rpmbuild, as there is no Fedora here; fedora.macros has what Debian's lacks. May touch:
the cache of roots.py, where a layer with rpm lies on top of a root, and the folder "packages" of the build.
"""

import shutil
import time

import cache
import debs
import roots

RELEASE = "trixie"
TOOLS = ("rpm",)

# The second package is the same as a later release, of the same build.
SCRIPT = """
mkdir -p /tmp/rpm/SOURCES
cd /source
tar --exclude=./build --exclude=./build-* --exclude=./.git --exclude=__pycache__ --transform 's,^[.],underpass-{version},' \\
        -czf /tmp/rpm/SOURCES/underpass-{version}.tar.gz .
again=
for release in 1 2; do
        sed "s/^Release: .*/Release: $release/" packaging/underpass.spec >/tmp/rpm/underpass.spec
        rpmbuild --quiet --nodeps -bb --noclean $again --load=/source/tests/systems/fedora.macros --define '_topdir /tmp/rpm' \\
                --define 'debug_package %{{nil}}' /tmp/rpm/underpass.spec
        again=--noprep
done
cp /tmp/rpm/RPMS/*/*.rpm /packages
rpm -qp --scripts /packages/*-1.*.rpm >/packages/scripts.txt
rpm -qpl /packages/*-1.*.rpm >/packages/files.txt
"""


def layers():
    """The layers of a machine that has rpm, the topmost first."""
    lower = roots.root(RELEASE)
    with cache.locked(f"{RELEASE}-rpm"):
        name = roots.key(RELEASE, roots.system_packages(), TOOLS)
        make = lambda partial: debs.add_tools(RELEASE, TOOLS, lower, partial)  # noqa: E731
        return [roots.made(cache.folder() / "rpm", RELEASE, name, make), lower]


def build():
    """(package, the same as a later release, its scripts, its files)."""
    tools, lower = layers()
    # What dpkg knows is as in the upper layer; that does not matter to those who build without dependencies.
    below = f"{tools}:{roots.compilers(RELEASE, lower)}:{lower}"
    target = roots.BUILD / "packages" / "rpm"
    scratch = target.with_name("rpm.scratch")
    begin = time.monotonic()
    with cache.locked("rpm-package"):
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)
        scratch.mkdir(parents=True)
        target.mkdir(parents=True)
        binds = [(roots.ROOT, "/source"), (target, "/packages")]
        script = SCRIPT.format(version=debs.version())
        try:
            roots.in_layers(scratch / "upper", below, script, "packaging by rpmbuild", target.with_suffix(".log"), binds)
        except roots.RootError as error:
            raise AssertionError(str(error)) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    cache.progress(f"rpm: two packages built in {time.monotonic() - begin:.0f} s")
    first, second = sorted(target.glob("*.rpm"))
    return first, second, (target / "scripts.txt").read_text(), (target / "files.txt").read_text().splitlines()
