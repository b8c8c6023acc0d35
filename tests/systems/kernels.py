# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels of Debian releases for guests: fetched by apt from the archive that this system is set up for,
unpacked and never installed. apt checks what it loads; its state for this lies in the cache meanwhile.
May touch: the cache.
"""

import lzma
import pathlib
import re
import shutil
import subprocess

import cache

HERE = pathlib.Path(__file__).resolve().parent
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGE = "linux-image-cloud-amd64"
DAYS = 30  # until a newer kernel is looked for
FORMAT = 3  # of an entry of the cache

# What a guest needs before it can read its disks, and where it finds the rest.
EARLY_MODULES = ("virtio_pci", "virtio_blk", "ext4")
MODULE_FOLDERS = (
    "net",
    "lib",
    "crypto",
    "arch/x86/crypto",
    "arch/x86/lib",
    "drivers/net",
    "drivers/virtio",
    "drivers/block/virtio_blk*",
    "fs/overlayfs",
    "fs/ext4",
    "fs/jbd2",
    "fs/mbcache*",
)


def run(*command, **arguments):
    """Runs a command; what it prints. A failure carries what it complained about."""
    result = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        check=False,
        **arguments,
    )
    if result.returncode != 0:
        words = " ".join(str(word) for word in command)
        said = (result.stderr or result.stdout)[-2000:]
        raise RuntimeError(f"{words}: exit status {result.returncode}\n{said}")
    return result.stdout


def archive():
    """Address of Debian's archive as this system's apt knows it."""
    targets = run(
        "apt-get", "indextargets", "--format", "$(SITE)|$(ORIGIN)|$(LABEL)", "Created-By: Packages"
    )
    for line in targets.splitlines():
        site, origin, label = line.split("|")
        if origin == "Debian" and label == "Debian":
            return site
    raise RuntimeError("apt knows no archive of Debian; apt-get update may be needed")


class Apt:
    """apt with sources and state of its own."""

    def __init__(self, suite):
        self.folder = cache.folder() / f"apt-{suite}"
        for name in ("lists/partial", "archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        (self.folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {archive()} {suite} main\n")
        settings = {
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": self.folder / "lists",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder,
            "APT::Sandbox::User": "root",
            "APT::Update::Post-Invoke-Success::": "",
            "APT::Architecture": "amd64",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            # A machine's clock may be wrong; what is fetched is signed all the same.
            "Acquire::Check-Valid-Until": "false",
        }
        self.options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]

    def update(self):
        """Reads the lists again."""
        run("apt-get", "-qq", *self.options, "update")

    def parts(self, package):
        """The packages of a kernel: those that a package depends on whose names carry a version."""
        found = []
        for line in run("apt-cache", *self.options, "show", "--no-all-versions", package).splitlines():
            if line.startswith(("Depends:", "Pre-Depends:")):
                found += re.findall(r"linux-(?:image|binary|modules|base)-[0-9][^\s,(|]*", line)
        return set(found)

    def kernel_packages(self):
        """All packages of the newest kernel of the suite."""
        found, wanted = set(), self.parts(PACKAGE)
        while wanted - found:
            package = min(wanted - found)
            found.add(package)
            wanted |= self.parts(package)
        if not found:
            raise RuntimeError(f"{PACKAGE} depends on no kernel")
        return sorted(found)

    def download(self, packages, folder):
        """Fetches packages into a folder."""
        run("apt-get", "-qq", *self.options, "download", *packages, cwd=folder)


def module_files(tree, release, names):
    """Files of modules and of what they need, in the order in which they are loaded."""
    files = []
    for name in names:
        text = run("modprobe", "-d", tree, "-S", release, "--show-depends", name)
        files += [line.split()[1] for line in text.splitlines() if line.startswith("insmod ")]
    return list(dict.fromkeys(files))


def plain_module(path):
    """A module as the kernel takes it."""
    path = pathlib.Path(path)
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-qdc", path], check=True, capture_output=True).stdout
    return path.read_bytes()


def make_initrd(tree, release, target, scratch):
    """The first file system: busybox, the early modules and guest-boot."""
    for name in ("bin", "modules", "proc", "dev", "root"):
        (scratch / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", scratch / "bin/busybox")
    shutil.copy(HERE / "guest-boot", scratch / "init")
    for number, path in enumerate(module_files(tree, release, EARLY_MODULES)):
        (scratch / f"modules/{number:02}.ko").write_bytes(plain_module(path))
    names = "\n".join(str(path.relative_to(scratch)) for path in sorted(scratch.rglob("*")))
    with open(target, "wb") as file:
        command = ["cpio", "--create", "--format=newc", "--quiet", "--owner=0:0"]
        subprocess.run(command, cwd=scratch, input=names.encode(), stdout=file, check=True)


def prune(source, target):
    """Copies the modules that tests can need, and the lists of all."""
    for pattern in MODULE_FOLDERS:
        for path in (source / "kernel").glob(pattern):
            copy = target / "kernel" / path.relative_to(source / "kernel")
            copy.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
    for path in source.glob("modules.*"):
        shutil.copy(path, target)


def make_image(source, target):
    """An ext4 image of a folder, with some room."""
    kilobytes = sum(path.lstat().st_size // 4096 * 4 + 5 for path in source.rglob("*"))
    with open(target, "wb") as file:
        file.truncate((kilobytes * 5 // 4 // 1024 + 16) << 20)
    options = (
        "-t",
        "ext4",
        "-O",
        "^has_journal",
        "-m",
        "0",
        "-i",
        "8192",
        "-E",
        "root_owner=0:0,nodiscard",
    )
    run("mke2fs", "-q", *options, "-d", source, target)


def build(suite, folder):
    """Fetches the kernel of a suite and makes what QEMU needs of it."""
    apt = Apt(suite)
    cache.progress(f"kernel of {suite}: reading the lists of the archive")
    apt.update()
    packages = apt.kernel_packages()
    cache.progress(f"kernel of {suite}: fetching {' '.join(packages)}")
    scratch = folder / "scratch"
    (scratch / "packages").mkdir(parents=True)
    apt.download(packages, scratch / "packages")
    for package in (scratch / "packages").glob("*.deb"):
        run("dpkg-deb", "--extract", package, scratch / "unpacked")
    unpacked = scratch / "unpacked"
    places = [path for name in ("lib", "usr/lib") for path in unpacked.glob(f"{name}/modules/*/kernel")]
    modules = places[0].parent
    release = modules.name
    image = next(
        path
        for path in (
            unpacked / f"boot/vmlinuz-{release}",
            modules / "vmlinuz",
            unpacked / "boot/vmlinuz",
        )
        if path.exists()
    )
    shutil.copy(image, folder / "vmlinuz")
    trees = [scratch / "all", scratch / "some"]
    for tree in trees:
        (tree / "lib/modules").mkdir(parents=True)
    modules.rename(trees[0] / "lib/modules" / release)
    (trees[1] / "lib/modules" / release).mkdir()
    run("depmod", "-b", trees[0], release)
    make_initrd(trees[0], release, folder / "initrd", scratch / "initrd")
    prune(*[tree / "lib/modules" / release for tree in trees])
    run("depmod", "-b", trees[1], release)
    make_image(trees[1] / "lib/modules", folder / "modules.ext4")
    (folder / "release").write_text(release + "\n")
    shutil.rmtree(scratch)
    shutil.rmtree(apt.folder)


def kernel(suite):
    """The folder with vmlinuz, initrd, modules.ext4 and release of a suite's kernel."""
    boot = cache.digest(HERE / "guest-boot")
    return cache.entry(f"kernels/{suite}", [FORMAT, boot], lambda folder: build(suite, folder), DAYS)
