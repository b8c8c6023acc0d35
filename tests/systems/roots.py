#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Root file systems of three Debian releases for tests/systems, and the project compiled in each of them.

usage: roots.py FOLDER [RELEASE…]    builds what is missing, installs the project below FOLDER/RELEASE

A root has the packages that a user would have (packages, beside this file). A second layer on top of it has
the compilers; the project is built there, and only its installed files go into a machine. Roots are kept in
$XDG_CACHE_HOME/underpass-tests (or /var/cache/underpass-tests) until a list of packages changes; delete that
folder to get newer packages. Builds of the project are kept in the build folder and continued. May touch:
these two folders and FOLDER. Packages come from the archive that this machine's own apt uses.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

import cache

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("UNDERPASS_BUILD", ROOT / "build"))
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
RELEASES = ("bookworm", "trixie", "sid")
LAYOUT = "1"  # of the cache; another number makes everything again
LOG_TAIL = 30

# Recommended packages are left out, and so is what nobody reads here. The clock of a test machine may be wrong.
APT_OPTIONS = ('APT::Install-Recommends "false"', 'Acquire::Check-Valid-Until "false"')
DPKG_OPTIONS = (
    "force-unsafe-io",
    *(f"path-exclude=/usr/share/{each}/*" for each in ("man", "locale", "doc")),
)


class RootError(RuntimeError):
    """A root cannot be made on this machine, most often because the archive cannot be reached."""


def packages(path, section=None):
    """Names in a list of packages; section: only those below the comment "# SECTION"."""
    names, current = [], None
    for line in path.read_text().splitlines():
        name, mark, comment = line.partition("#")
        if mark and not name.strip():
            current = comment.strip()
        elif name.strip() and section in (None, current):
            names.append(name.strip())
    if not names:
        raise RootError(f"{path} names no packages")
    return names


def system_packages():
    """What is in a root."""
    return packages(HERE / "packages")


def build_packages():
    """What is in the layer with the compilers."""
    return packages(ROOT / "tests/packages", "build")


def key(release, *lists):
    """Part of a folder's name that changes with what the folder is made from."""
    text = "\n".join(
        [LAYOUT, release, *APT_OPTIONS, *DPKG_OPTIONS, *(" ".join(sorted(each)) for each in lists)]
    )
    return f"{release}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def archive():
    """Address of the Debian archive that apt of this machine uses."""
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    answer = subprocess.run(
        command, check=True, capture_output=True, encoding="utf-8", stdin=subprocess.DEVNULL
    )
    for line in answer.stdout.split():
        if line.rstrip("/").endswith("/debian"):
            return line
    raise RootError("apt of this machine knows no Debian archive (deb … /debian …)")


def proxy_options():
    """Options of apt for the proxy that this machine's apt goes through, if any."""
    text = subprocess.run(
        ["apt-config", "dump", "--format", "%f %v%n", "Acquire"],
        check=True,
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
    ).stdout
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name.lower() in ("acquire::http::proxy", "acquire::https::proxy") and value:
            yield f'{name} "{value}"'


def run_quietly(command, what, log, **arguments):
    """Runs a command whose output nobody wants to see unless it fails. It must not outlive the thread that waits
    for it here, however that ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as file:
        status = subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", *(str(word) for word in command)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
            **arguments,
        ).returncode
    if status != 0:
        tail = log.read_text(errors="backslashreplace").splitlines()[-LOG_TAIL:]
        raise RootError("\n".join([f"{what} failed with status {status}, see {log}:", *tail]))


def remove_older(folder, release, keep):
    """Removes what was made for a release from other lists of packages, or was left half made."""
    for old in folder.glob(f"{release}-*"):
        if old != keep:
            shutil.rmtree(old, ignore_errors=True)


def made(folder, release, name, make):
    """folder/name, made by make(path) unless it is there: complete or not at all."""
    target = folder / name
    if not target.exists():
        partial = folder / f"{name}.partial"
        remove_older(folder, release, None)
        folder.mkdir(parents=True, exist_ok=True)
        make(partial)
        partial.rename(target)
    return target


def make_root(release, target):
    """Makes a root by mmdebstrap."""
    begin = time.monotonic()
    cache.progress(
        f"{release}: making a root with {len(system_packages())} packages and what they depend on"
    )
    # All that it starts ends with it.
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    command += ["mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(system_packages())}"]
    command += [f"--aptopt={option}" for option in (*APT_OPTIONS, *proxy_options())]
    command += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    # Each machine gets a name and an identity of its own when it boots.
    command += ['--customize-hook=rm -f "$1"/etc/hostname; : >"$1"/etc/machine-id']
    source = f"deb [signed-by={KEYRING}] {archive()} {release} main"
    run_quietly(
        [*command, release, target, source], f"mmdebstrap {release}", cache.folder() / f"{release}-root.log"
    )
    cache.progress(f"{release}: root made in {time.monotonic() - begin:.0f} s")


def root(release):
    """The root of a release, made when it is missing."""
    with cache.locked(release):
        name = key(release, system_packages())
        return made(cache.folder() / "roots", release, name, lambda partial: make_root(release, partial))


def in_layers(upper, lower, script, what, log, binds=()):
    """Runs a shell script as root of upper on lower, with the network of this machine. binds: (source, target)
    folders that are seen inside; all mounts end with the script."""
    work = upper.with_name(upper.name + ".work")
    mounted = upper.with_name(upper.name + ".mounted")
    lines = [
        "set -eu",
        "mount --make-rprivate /",
        f"mkdir -p {upper} {work} {mounted}",
        f"mount -t overlay -o lowerdir={lower},upperdir={upper},workdir={work} overlay {mounted}",
        f"cd {mounted}",
        "mount --rbind /dev dev",
        "mount -t proc proc proc",
        "mount -t tmpfs tmpfs tmp",
        "mount -t tmpfs tmpfs run",
        "touch etc/resolv.conf",
        "mount --bind /etc/resolv.conf etc/resolv.conf",
    ]
    for source, target in binds:
        lines += [f"mkdir -p .{target}", f"mount --bind {source} .{target}"]
    # Not chroot alone: who enters a namespace that the script makes gets the root of its mounts.
    lines += ["pivot_root . .", "umount --lazy .", f"exec chroot . /bin/sh -euc {shlex.quote(script)}"]
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--"]
    environment = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    environment |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
    environment |= {"DEBIAN_FRONTEND": "noninteractive"}
    run_quietly([*unshare, "/bin/bash", "-c", "\n".join(lines)], what, log, env=environment)
    shutil.rmtree(work, ignore_errors=True)
    mounted.rmdir()


def make_compilers(release, lower, target):
    """Makes the layer with the compilers."""
    begin = time.monotonic()
    cache.progress(f"{release}: adding {len(build_packages())} packages for building")
    script = (
        "apt-get -q update\n"
        f"apt-get -q -y install --no-install-recommends {' '.join(build_packages())}\n"
        "apt-get clean\nrm -rf /var/lib/apt/lists/*"
    )
    in_layers(
        target,
        lower,
        script,
        f"installing compilers in {release}",
        cache.folder() / f"{release}-compilers.log",
    )
    cache.progress(f"{release}: compilers added in {time.monotonic() - begin:.0f} s")


def compilers(release, lower):
    """The layer with the compilers, made when it is missing."""
    with cache.locked(release):
        name = key(release, system_packages(), build_packages())
        make = lambda partial: make_compilers(release, lower, partial)  # noqa: E731
        return made(cache.folder() / "compilers", release, name, make)


# Only what gets installed is built: the tests of the project run on the machine itself.
BUILD_SCRIPT = """
if [ ! -e /build/build.ninja ]; then
        meson setup --prefix=/usr /build /source
fi
ninja -C /build -j2 build.ninja
targets=$(meson introspect --targets /build | /usr/bin/python3 -c '
import json, os, sys
for target in json.load(sys.stdin):
    if target["installed"]:
        print(*(os.path.relpath(name, "/build") for name in target["filename"]))
')
ninja -C /build -j2 $targets
DESTDIR=/stage meson install -C /build --no-rebuild --quiet
"""


def build_project(release, stage):
    """Builds the project in a release and installs it below stage."""
    lower = root(release)
    tools = compilers(release, lower)
    build = BUILD / "systems" / release
    begin = time.monotonic()
    with cache.locked(f"{release}-{hashlib.sha256(str(build).encode()).hexdigest()[:12]}"):
        build.mkdir(parents=True, exist_ok=True)
        mark = build.with_name(f"{release}.made-in")  # the compilers
        if not mark.exists() or mark.read_text() != tools.name:
            shutil.rmtree(build)
            build.mkdir()
            mark.write_text(tools.name)
            cache.progress(f"{release}: building the project")
        scratch = stage.with_name(stage.name + ".build")
        scratch.mkdir(parents=True)
        stage.mkdir(parents=True)
        binds = [(ROOT, "/source"), (build, "/build"), (stage, "/stage")]
        log = BUILD / "systems" / f"{release}.log"
        try:
            in_layers(
                scratch / "upper", f"{tools}:{lower}", BUILD_SCRIPT, f"building in {release}", log, binds
            )
        except RootError as error:
            raise AssertionError(str(error)) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    cache.progress(f"{release}: project built and installed in {time.monotonic() - begin:.0f} s")
    return lower


def prepare(release, folder):
    """(root, stage) of a release: its root, and the project as installed there, below folder/RELEASE. The
    result of an earlier call for the same folder is taken, whatever it was."""
    stage, verdict = folder / release, folder / f"{release}.verdict"
    if not verdict.exists():
        try:
            build_project(release, stage)
            text = "ok"
        except (RootError, OSError, subprocess.CalledProcessError) as error:
            text = f"skip {error}"
        except AssertionError as error:
            text = f"FAIL {error}"
        verdict.write_text(text)
    kind, _, reason = verdict.read_text().partition(" ")
    if kind == "FAIL":
        raise AssertionError(reason)
    if kind == "skip":
        raise RootError(reason)
    return root(release), stage


def main():
    """Prepares the releases, two at a time; exit status 1 when one of them failed."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        sys.exit(0 if sys.argv[1:] == ["--help"] else 2)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    folder = pathlib.Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = {release: pool.submit(prepare, release, folder) for release in sys.argv[2:] or RELEASES}
        for release, job in jobs.items():
            try:
                job.result()
            except (RootError, AssertionError) as error:
                print(f"{release}: {error}", file=sys.stderr)
                failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
