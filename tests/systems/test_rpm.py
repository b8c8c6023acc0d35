# SPDX-License-Identifier: GPL-2.0-or-later
"""The rpm package: built by Debian's rpmbuild, installed by rpm on a Debian system, and upgraded and erased there, so that its
scripts run. What only Fedora has is not tried: its macros, SELinux, its dependencies."""

import pathlib
import re
import shutil

import roots
import rpms
import runner
import state
import systems
import test_package

UNIT = test_package.UNIT

# What rpm itself writes, and folders that the package "filesystem" or the bus has on Fedora and nobody on this machine.
OTHERS = re.compile(r"/var/lib/rpm|/usr/share/(dbus-1/interfaces|licenses|locale/ru(/LC_MESSAGES)?|man/man\d|pkgconfig)$")


class Packaged(test_package.Packaged):
    """The client has rpm."""

    def _layers_of_client(self):
        try:
            return rpms.layers()
        except roots.RootError as error:
            raise runner.Skip(f"no rpm: {error}") from None


def installed_by_meson(stage):
    """The files that the project installs."""
    stage = pathlib.Path(stage)
    return {str("/" / path.relative_to(stage)) for path in stage.rglob("*") if path.is_symlink() or path.is_file()}


def assert_complete(files, stage):
    """The package has every file that is installed, at its place but for the library folder and pressed manual pages."""
    plain = {re.sub(r"(/man\d/.*)\.gz$", r"\1", name) for name in files}
    elsewhere = {pathlib.PurePath(name).name for name in plain if "/lib64/" in name or "/zsh/" in name}
    missing = {name for name in installed_by_meson(stage) - plain if pathlib.PurePath(name).name not in elsewhere}
    assert not missing, f"not in the package: {sorted(missing)}"


def rpm(machine, *words):
    """Dependencies are named as in Fedora, and no package of Debian has these names."""
    return machine.run("rpm", "--nodeps", *words, timeout=120)


def copied(machine, package):
    """A package file inside of the machine."""
    shutil.copy(package, machine.path("/opt"))
    return f"/opt/{package.name}"


def test_trixie():
    """Debian 13's rpm 4.20."""
    with Packaged(rpms.RELEASE, tunnel=True) as lab:
        machine = lab.client
        first, second, scripts, files = rpms.build()
        assert "%" not in re.sub(r"%%", "", scripts), scripts
        assert_complete(files, systems.disk(rpms.RELEASE, lab.folder)[0])
        runner.note(f"{first.name}: {len(files)} files and folders")
        before, before_files = state.host_state(machine), test_package.files(machine)
        rpm(machine, "--install", copied(machine, first))
        machine.run("systemctl", "is-enabled", UNIT)  # by the preset
        machine.run("systemctl", "start", UNIT)
        client = test_package.set_up(lab)
        later = copied(machine, second)
        test_package.upgrade(lab, client, lambda: rpm(machine, "--upgrade", later))
        client.stop()
        machine.run("systemctl", "disable", "--now", UNIT)
        rpm(machine, "--erase", "underpass")
        test_package.assert_gone(machine, before, None, "erased")
        left = {name for name in test_package.files(machine) - before_files if not OTHERS.match(name)}
        assert not left, f"left: {sorted(left)}"
        runner.note("erased with the service disabled: state and files are as before")
