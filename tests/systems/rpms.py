# SPDX-License-Identifier: GPL-2.0-or-later
"""The rpm package, built by Debian's rpmbuild, as there is no Fedora here; fedora.macros has what Debian's lacks. May touch:
the cache of roots.py, where a layer with rpm lies on top of a root, and the folder "packages" of the build.
"""

import cache
import debs
import roots

RELEASE = "trixie"
TOOLS = ("rpm",)

# The second package is the same as a later release, of the same build.
SCRIPT = """
mkdir -p /tmp/rpm/SOURCES
cd /source
{pack} --transform 's,^[.],underpass-{version},' -czf /tmp/rpm/SOURCES/underpass-{version}.tar.gz .
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
    script = SCRIPT.format(version=debs.version(), pack=debs.PACK)
    macros = (roots.ROOT / "tests/systems/fedora.macros").read_text()
    target = debs.packaged("rpm", below, script, "packaging by rpmbuild", macros)
    first, second = sorted(target.glob("*.rpm"))
    return first, second, (target / "scripts.txt").read_text(), (target / "files.txt").read_text().splitlines()
