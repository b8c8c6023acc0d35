# SPDX-License-Identifier: GPL-2.0-or-later
"""The root image of guests: the packages that a user of the project has, as they are installed on this
system, for which the project is built, too. May touch: the cache; reads the system.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import cache
from kernels import make_image, run

FORMAT = 2  # of the image

PACKAGES = (
    "bash",
    "conntrack",
    "coreutils",
    "dash",
    "dbus",
    "ethtool",
    "grep",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libc-bin",
    "lksctp-tools",
    "mount",
    "nftables",
    "procps",
    "python3",
    "sed",
    "systemd",
    "util-linux",
)
# Only for installing packages.
NOT_NEEDED = {
    "adduser",
    "debconf",
    "dpkg",
    "init-system-helpers",
    "libpam-runtime",
    "perl-base",
    "sysvinit-utils",
    "tar",
}
LEFT_OUT = re.compile(
    r"/usr/share/(?:doc|man|info|locale|bash-completion|lintian|bug|i18n|zoneinfo|perl)/|/usr/lib/udev/hwdb"
    r"|/usr/share/mime/"
)
GENERATED = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/protocols")
TOP_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
FOLDERS = (
    *("dev", "etc/NetworkManager", "project", "proc", "root", "run", "sys", "tmp"),
    *("usr/lib/modules", "usr/share/dbus-1/system-services", "var/lib", "var/log"),
)


def installed():
    """What is installed: name -> (version, names it depends on: lists of alternatives), and name of a
    virtual package -> one that provides it."""
    form = "${Package}\t${Version}\t${db:Status-Status}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
    packages, providers = {}, {}
    for line in run("dpkg-query", "--show", "--showformat", form).splitlines():
        name, version, status, provides, depends = line.split("\t")
        if status != "installed":
            continue
        needs = [re.findall(r"(?:^|\|)\s*([a-z0-9][a-z0-9+.-]*)", each) for each in depends.split(",")]
        packages[name] = (version, [each for each in needs if each])
        for virtual in re.findall(r"(?:^|,)\s*([a-z0-9][a-z0-9+.-]*)", provides):
            providers.setdefault(virtual, name)
    return packages, providers


def closure(seeds):
    """Packages and all they need: name -> version."""
    packages, providers = installed()
    found, wanted = {}, list(seeds)
    while wanted:
        name = wanted.pop()
        name = name if name in packages else providers.get(name)
        if name is None or name in found or name in NOT_NEEDED:
            continue
        version, needs = packages[name]
        found[name] = version
        for alternatives in needs:
            wanted += [each for each in alternatives if each in packages or each in providers][:1]
    missing = [name for name in seeds if name not in found and name not in providers]
    if missing:
        raise RuntimeError(f"not installed: {' '.join(missing)}; tests/prepare installs them")
    return found


def libraries(programs):
    """Shared libraries that these programs are linked with."""
    found = set()
    for program in programs:
        text = subprocess.run(["ldd", program], capture_output=True, encoding="utf-8", check=False).stdout
        found |= set(re.findall(r"(/\S+) \(0x", text))
    return sorted(found)


def settled(path):
    """The path with the links of its folder followed: /bin/sh is /usr/bin/sh."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def files_of(packages):
    """All files of packages, as paths without links in them."""
    found = set()
    for line in run("dpkg-query", "--listfiles", *sorted(packages)).splitlines():
        if line.startswith("/") and line != "/." and not LEFT_OUT.search(line + "/"):
            path = settled(line)
            if os.path.lexists(path):
                found.add(path)
    # Python would compile its library again at each start.
    for folder in {os.path.dirname(path) for path in found if path.endswith(".py")}:
        cached = pathlib.Path(folder, "__pycache__")
        if cached.is_dir():
            found |= {str(path) for path in [cached, *cached.iterdir()]}
    return found


def copy(files, target):
    """Copies these files and folders, as they are, below target."""
    listing = "\0".join(path.lstrip("/") for path in sorted(files))
    with subprocess.Popen(
        ["tar", "--create", "--directory=/", "--no-recursion", "--null", "--files-from=-", "--file=-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as packer:
        with subprocess.Popen(
            ["tar", "--extract", "--same-permissions", f"--directory={target}", "--file=-"],
            stdin=packer.stdout,
        ) as unpacker:
            packer.stdout.close()
            packer.stdin.write(listing.encode())
            packer.stdin.close()
    if packer.returncode != 0 or unpacker.returncode != 0:
        raise RuntimeError("the files of the root image cannot be copied")


def build(files, folder):
    """Makes the image."""
    cache.progress(f"root image of guests: {len(files)} files of this system")
    tree = folder / "tree"
    tree.mkdir()
    copy(files, tree)
    for name in TOP_LINKS:
        if os.path.islink("/" + name) and not os.path.lexists(tree / name):
            os.symlink(os.readlink("/" + name), tree / name)
    for name in FOLDERS:
        (tree / name).mkdir(parents=True, exist_ok=True)
    make_image(tree, folder / "root.ext4")
    shutil.rmtree(tree)


def image(programs, packages=()):
    """Path of the image for these programs of the build, with these packages beside the usual ones."""
    more = sorted(packages)
    packages = closure((*PACKAGES, *more))
    extra = libraries(programs)
    lines = [f"{name}={version}" for name, version in sorted(packages.items())] + extra
    key = [FORMAT, hashlib.sha256("\n".join(lines).encode()).hexdigest()]

    def fill(folder):
        files = files_of(packages) | {path for path in GENERATED if os.path.exists(path)}
        for path in extra:
            files |= {settled(path), os.path.realpath(path)}
        build(files, folder)

    # One for each set of programs, or those who take turns would make it again each time.
    set_id = hashlib.sha256(" ".join(extra + more).encode()).hexdigest()[:8]
    return cache.entry(f"guest-root/{set_id}", key, fill) / "root.ext4"
