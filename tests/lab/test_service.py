# SPDX-License-Identifier: GPL-2.0-or-later
"""The service as others meet it: how quick, how small, who may do what, with dispatcher scripts and
without."""

import os
import pathlib
import shutil
import statistics

import runner
import service
import traffic
from host import wait_until
from lab import stage_project

CALLS = 20
MEMORY_LIMIT = 8 * 1024  # kB


def test_activation_time_and_memory():
    """Each call does its work; how long that takes is printed. The service stays below 8 MB."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        service.wait_state(lab.client, "c0", service.ACTIVE)
        service.wait_state(lab.client, "c1", service.ACTIVE)
        with service.CallTimes(lab.client, "Activate") as calls:
            for _ in range(CALLS):
                service.manager_call(lab.client, "Deactivate", "s", "c1")
                service.wait_state(lab.client, "c1", "off")
                service.manager_call(lab.client, "Activate", "s", "c1")
                assert service.link(lab.client, "c1")["State"] == service.ACTIVE
        times = calls.times()
        assert len(times) == CALLS, f"{len(times)} answers of {CALLS} calls were seen"
        runner.note(
            f"Activate: median {statistics.median(times):.2f} ms, {min(times):.2f} … {max(times):.2f} ms"
        )
        memory = service.resident_kilobytes(lab.client)
        runner.note(f"resident memory of the service: {memory} kB")
        assert memory < MEMORY_LIMIT, f"{memory} kB"


def test_without_dispatcher_scripts():
    """No dispatcher script is installed: NetworkManager's signals and netlink do, too."""
    stage = pathlib.Path(os.environ["UNDERPASS_STAGE"]) if "UNDERPASS_STAGE" in os.environ else None
    with runner.TestLab(stage=False, manager=False) as scratch:
        bare = scratch.folder / "without-dispatcher-scripts"
        if stage:
            shutil.copytree(stage, bare, symlinks=True)
        else:
            stage_project(bare)
        shutil.rmtree(bare / "usr/lib/NetworkManager/dispatcher.d")
        with runner.TestLab(stage=bare) as lab:
            assert not any(
                "underpass" in name
                for name in os.listdir(lab.client.path("/usr/lib/NetworkManager/dispatcher.d"))
            )
            service.set_tunnels(lab)
            for host in (lab.client, lab.server):
                service.manager_call(host, "ListLinks")  # starts the service, as its unit does at boot
            service.bring_up(lab)
            for host, interface in ((lab.client, "c0"), (lab.client, "c1"), (lab.server, "s0")):
                service.wait_state(host, interface, service.ACTIVE)
            _, client = traffic.pair(lab)
            traffic.connect_both(lab, client, "a")
            lab.client.down("second")
            service.wait_state(lab.client, "c1", "off")


def test_only_root_changes_things():
    """Anybody may read; only root may change."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        service.wait_state(lab.client, "c0", service.ACTIVE)
        nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        assert "c0" in lab.client.output(*nobody, "underpassctl", "status")
        assert "c0" in lab.client.output(*nobody, "underpassctl", "explain", "c0")
        for words in (("deactivate", "c0"), ("deactivate", "--all"), ("activate", "c0"), ("reload",)):
            result = lab.client.run(*nobody, "underpassctl", *words, check=False)
            assert result.returncode != 0 and "root" in result.stderr, f"{words}: {result}"
        assert service.link(lab.client, "c0")["State"] == service.ACTIVE


def test_absent_service_delays_nothing():
    """The dispatcher scripts are there, the service is not: an activation takes less than a second more."""
    with runner.TestLab() as lab:
        lab.client.path("/usr/share/dbus-1/system-services/org.underpass1.service").unlink()
        lab.client.run(
            "busctl",
            "call",
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "ReloadConfig",
        )
        lab.client.run("nmcli", "--wait", "1", "connection", "up", "first")


def test_foreign_links_are_left_alone():
    """A link whose profile says nothing is off and untouched, and the service does not stay for it."""
    with runner.TestLab() as lab:
        lab.client.up("first")
        found = service.link(lab.client, "c0")
        assert found["State"] == "off" and not found["Programs"] and not found["Applied"], found
        assert "underpass" not in lab.client.output("ip", "link")
        wait_until(lambda: service.pid(lab.client) == 0, "the idle service ends", 60)


def test_segment_is_hidden_from_networkmanager():
    """The helper devices, among them the segmentation device, are none that NetworkManager manages."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        service.wait_state(lab.client, "c0", service.ACTIVE)
        states = dict(
            line.split(":")[:2]
            for line in lab.client.output("nmcli", "-t", "-f", "device,state", "device").splitlines()
        )
        helpers = {name: word for name, word in states.items() if name.startswith("underpass")}
        there = [name for name in lab.client.output("ls", "/sys/class/net").split() if "underpass" in name]
        assert sorted(helpers) == there and len(there) >= 3, f"{states} {there}"
        assert set(helpers.values()) == {"unmanaged"}, states
