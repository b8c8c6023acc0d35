# SPDX-License-Identifier: GPL-2.0-or-later
"""Tunnel profiles made or touched by other programs than nmcli: netplan, Ansible, nmtui. What the manual shows is what is
run here. A tool that is not installed skips its test; $UNDERPASS_EDITORS is a folder that packages of netplan and
Ansible have been unpacked to (dpkg -x)."""

import json
import os
import pathlib
import re
import shutil

import nmcli
import runner
import service
import state
from host import wait_until
from lab import ROOT

UNPACKED = pathlib.Path(os.environ.get("UNDERPASS_EDITORS", "/"))
MANUAL = ROOT / "data/man/underpass.conf.5.rst"


def tool(*candidates):
    """Path of the first of these programs that is there; skips the test without one."""
    for candidate in candidates:
        path = UNPACKED / candidate.lstrip("/")
        if path.exists():
            return path
    raise runner.Skip(f"{candidates[0]} is not installed")


def example(title):
    """The first literal block of a section of the manual."""
    section = MANUAL.read_text(encoding="utf-8").partition(f"\n{title}\n")[2]
    block = re.search(r"::\n\n((?:    .*\n|\n)+)", section)[1]
    return re.sub("(?m)^    ", "", block).strip() + "\n"


def for_the_lab(text):
    """An example about the profile LTE as one about "first"."""
    return re.sub(r"\bLTE\b(?!-)", "first", text).replace("LTE-tunnel", "first-tunnel")


def environment():
    """What unpacked programs need to find their parts."""
    if UNPACKED == pathlib.Path("/"):
        return []
    libraries = [UNPACKED / "usr/lib/x86_64-linux-gnu", UNPACKED / "usr/lib/python3/dist-packages"]
    return ["env", f"LD_LIBRARY_PATH={libraries[0]}", f"PYTHONPATH={libraries[1]}"]


def assert_works(lab):
    """The tunnel profile first-tunnel brings the tunnel of "first", and its activation changes no address."""
    client = lab.client
    nmcli.modify(client, "first-tunnel", "connection.autoconnect", "no")
    client.up("first")
    found = service.wait_state(client, "c0", service.ACTIVE)
    assert found["TunnelProfile"][0] == "first-tunnel", found
    assert found["Warnings"] == [], found["Warnings"]
    state.tunnel_state(client)  # has come to rest
    before = {**state.host_state(client), **nmcli.manager_state(client)}
    client.run("nmcli", "connection", "up", "first-tunnel", "ifname", "c0")
    nmcli.wait_banner(client, "first-tunnel", "tunnel active")
    state.assert_same(before, {**state.host_state(client), **nmcli.manager_state(client)}, "it is active")


def test_netplan():
    """The passthrough of netplan's YAML."""
    generate = tool("/usr/libexec/netplan/generate", "/usr/lib/netplan/generate")
    with runner.TestLab() as lab:
        client = lab.client
        client.write("/run/netplan-root/etc/netplan/tunnel.yaml", for_the_lab(example("netplan")), mode=0o600)
        client.run(*environment(), generate, "--root-dir", "/run/netplan-root")
        made = client.path("/run/netplan-root/run/NetworkManager/system-connections")
        (path,) = made.glob("*.nmconnection")
        client.write(f"/etc/NetworkManager/system-connections/{path.name}", path.read_text(), mode=0o600)
        client.run("nmcli", "connection", "reload")
        assert_works(lab)


def play(host, ansible, text, changed):
    """Runs a playbook, which must change so many things."""
    host.write("/run/ansible/play.yml", text)
    settings = ("HOME=/run/ansible", "ANSIBLE_STDOUT_CALLBACK=json", "LC_ALL=C.UTF-8")
    command = [*(environment() or ["env"]), *settings, "/usr/bin/python3", ansible]
    output = host.output(*command, "-i", "localhost,", "-c", "local", "/run/ansible/play.yml", timeout=300)
    found = json.loads(output)["stats"]["localhost"]
    assert (found["changed"], found["failures"]) == (changed, 0), output


def test_ansible():
    """The module community.general.nmcli: a second run changes nothing, an edit and a removal reach the profile."""
    ansible = tool("/usr/bin/ansible-playbook")
    text = for_the_lab(example("Ansible"))
    with runner.TestLab() as lab:
        play(lab.client, ansible, text, 1)
        play(lab.client, ansible, text, 0)
        play(lab.client, ansible, text.replace("8443 9000-9100", "8443"), 1)
        assert "remote-ports = 8443," in keys(lab.client, "first-tunnel"), keys(lab.client, "first-tunnel")
        assert_works(lab)
        play(lab.client, ansible, re.sub(" *tunnel: .*\n", "", text), 1)
        assert "tunnel" not in keys(lab.client, "first-tunnel"), keys(lab.client, "first-tunnel")


def keys(host, profile):
    """vpn.data as nmcli has it."""
    return host.output("nmcli", "-e", "no", "-g", "vpn.data", "connection", "show", profile).strip()


def test_libnm():
    """Whoever changes something else by libnm, as graphical editors do and nmcli does, keeps the keys."""
    with runner.TestLab() as lab:
        client = lab.client
        nmcli.add_tunnel(client, "first-tunnel", "link=first, tunnel=yes, remote-ports=8443 9000")
        before = keys(client, "first-tunnel")
        nmcli.modify(client, "first-tunnel", "connection.zone", "home", "vpn.timeout", "7")
        nmcli.modify(client, "first-tunnel", "connection.id", "renamed")
        client.run("nmcli", "connection", "clone", "renamed", "copy")
        assert keys(client, "renamed") == keys(client, "copy") == before


def test_nmtui():
    """nmtui edits no VPN profile of any type, and says so; it activates them."""
    if not shutil.which("tmux") or not shutil.which("nmtui"):
        raise runner.Skip("tmux or nmtui is not installed")
    with runner.TestLab() as lab:
        client = lab.client
        nmcli.add_tunnel(client, "first-tunnel", "link=first, tunnel=yes, remote-ports=8443 9000")
        before = keys(client, "first-tunnel")
        tmux = ["tmux", "-S", "/run/tmux.socket"]
        nmtui = "env TERM=screen LC_ALL=C.UTF-8 nmtui edit first-tunnel"
        client.run(*tmux, "new-session", "-d", "-x", "100", "-y", "40", nmtui)

        def screen():
            return client.run(*tmux, "capture-pane", "-p", check=False).stdout

        wait_until(lambda: "Could not create editor" in screen(), "nmtui refuses")
        client.run(*tmux, "send-keys", "Enter")
        wait_until(lambda: client.run(*tmux, "list-sessions", check=False).returncode != 0, "nmtui ends")
        assert keys(client, "first-tunnel") == before
        client.up("first")
        service.wait_state(client, "c0", service.ACTIVE)
        nmcli.wait_shown(client, "first-tunnel", "c0")
        client.down("first-tunnel")
        service.wait_state(client, "c0", "off")
        client.run(*tmux, "new-session", "-d", "-x", "100", "-y", "40", nmtui.replace("edit", "connect"))
        service.wait_state(client, "c0", service.ACTIVE)
        nmcli.wait_shown(client, "first-tunnel", "c0")
        assert keys(client, "first-tunnel") == before
