# SPDX-License-Identifier: GPL-2.0-or-later
"""The project built for other processors with Debian's libraries for them, and its tests in C run by qemu-user.

On top of a root with compilers (roots.py) lies a layer with a cross compiler, qemu-user and the libraries. May touch:
the cache, and the build folder.
"""

import shlex
import shutil

import cache
import roots

LIBRARIES = [name for name in roots.build_packages() if name.startswith("lib") and name.endswith("-dev")]
FOLDER = "processors"  # in the build folder

LAYER_SCRIPT = """
dpkg --add-architecture {processor}
apt-get -q update
apt-get -q -y install --no-install-recommends gcc-{triplet} qemu-user {libraries}
cd /tmp
apt-get -q download bpftool:{processor}
dpkg-deb --extract bpftool_*.deb /opt/{processor}
apt-get clean
rm -rf /var/lib/apt/lists/*
"""

# What is installed, and the tests that are programs of the project, but for those that would take minutes in the
# emulator.
CHOOSE = '''
import json, os, subprocess, sys
def ask(what):
    return json.loads(subprocess.check_output(["meson", "introspect", what, "/build"]))
def is_wanted(test):
    own = test["cmd"][0].startswith("/build/") and test["name"] not in sys.argv[1:]
    return own and "underpass:unit" in test["suite"]
tests = [test for test in ask("--tests") if is_wanted(test)]
programs = {test["cmd"][0] for test in tests}
programs.update(name for target in ask("--targets") if target["installed"] for name in target["filename"])
for file, words in (("names", [test["name"] for test in tests]),
                    ("targets", [os.path.relpath(program, "/build") for program in programs])):
    with open("/build/" + file, "w") as output:
        print(*words, file=output)
'''

BUILD_SCRIPT = """
if [ ! -e /build/build.ninja ]; then
        meson setup --prefix=/usr --sysconfdir=/opt/etc --cross-file=/source/tests/cross/{processor}.ini \\
                /build /source
fi
ninja -C /build -j2 build.ninja
/usr/bin/python3 -c {choose} {slow}
ninja -C /build -j2 $(cat /build/targets)
DESTDIR=/stage meson install -C /build --no-rebuild --quiet
meson test -C /build --no-rebuild --timeout-multiplier 5 --print-errorlogs $(cat /build/names)
"""
SLOW = ("host-packets", "host-fuzz-programs", "fuzz-rewrite")


class Processor:
    """One that is not this machine's: Debian's name, that of the compiler, and a release that has it."""

    def __init__(self, name, triplet, release):
        self.name = name
        self.triplet = triplet
        self.release = release
        self._script = LAYER_SCRIPT.format(
            processor=name, triplet=triplet, libraries=" ".join(f"{each}:{name}" for each in LIBRARIES)
        )

    def _make_layer(self, lower, target):
        cache.progress(f"{self.name}: adding a compiler and libraries to {self.release}")
        log = cache.folder() / f"{self.release}-{self.name}.log"
        roots.in_layers(target, lower, self._script, f"installing what {self.name} needs", log)

    def layers(self):
        """The folders of which the root is made, the uppermost first; made when they are missing."""
        lower = roots.root(self.release)
        tools = roots.compilers(self.release, lower)
        with cache.locked(f"{self.release}-{self.name}"):
            name = roots.key(f"{self.name}-{self.release}", [tools.name, lower.name, self._script])
            top = roots.made(
                cache.folder() / "processors",
                f"{self.name}-{self.release}",
                name,
                lambda partial: self._make_layer(f"{tools}:{lower}", partial),
            )
        return f"{top}:{tools}:{lower}"

    def build(self, stage):
        """Builds, runs the tests, installs below stage; the text of the log."""
        layers = self.layers()
        build = roots.BUILD / FOLDER / self.name
        scratch = stage.with_name(stage.name + ".build")
        mark = build.with_name(f"{self.name}.made-in")
        made_in = layers + (roots.ROOT / f"tests/cross/{self.name}.ini").read_text()
        if not mark.exists() or mark.read_text() != made_in:
            shutil.rmtree(build, ignore_errors=True)
        for folder in (build, scratch, stage):
            folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(made_in)
        script = BUILD_SCRIPT.format(processor=self.name, choose=shlex.quote(CHOOSE), slow=" ".join(SLOW))
        log = build.with_name(f"{self.name}.log")
        binds = [(roots.ROOT, "/source"), (build, "/build"), (stage, "/stage")]
        try:
            roots.in_layers(scratch / "upper", layers, script, f"building for {self.name}", log, binds)
        except roots.RootError as error:
            raise AssertionError(str(error)) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return log.read_text(errors="backslashreplace")
