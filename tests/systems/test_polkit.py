# SPDX-License-Identifier: GPL-2.0-or-later
"""Users other than root and the real polkit, on whole systems of three Debian releases: who sits at the machine may change
tunnels, others may not, a rule of the administrator decides otherwise, and without polkit everything is root's."""

import service
import systems

LOCAL, REMOTE, MEMBER = "anna", "boris", "clara"
RULE = """polkit.addRule(function(action, subject) {
    if (action.id.indexOf("org.underpass1.") == 0 && subject.isInGroup("netdev"))
        return polkit.Result.YES;
});
"""
VERBS = (("deactivate", "up0"), ("activate", "up0"), ("deactivate", "--all"), ("reload",), ("forget",), ("activate", "up0"))


def set_up(machine):
    """Users, and a link with a tunnel."""
    machine.run("groupadd", "--system", "--force", "netdev")
    for user in (LOCAL, REMOTE, MEMBER):
        machine.run("useradd", "--create-home", "--shell", "/bin/sh", user)
    machine.run("usermod", "--append", "--groups", "netdev", MEMBER)
    machine.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "away0")
    machine.run("ip", "link", "set", "up0", "up")
    machine.write(
        "/etc/underpass/up0.conf", "[Match]\nName=up0\n[X-Underpass]\nTunnel=yes\nRemotePorts=443\n"
    )
    machine.run("underpassctl", "reload")
    service.wait_state(machine, "up0", service.ACTIVE)


def ctl(machine, user, *words, seat=False):
    """underpassctl in a session of a user, on the seat of the machine or on none."""
    options = ["--quiet", "--wait", "--pipe", "--collect", f"--property=User={user}", "--property=PAMName=login"]
    if seat:
        options.append("--property=Environment=XDG_SEAT=seat0 XDG_SESSION_TYPE=tty XDG_SESSION_CLASS=user")
    return machine.run("systemd-run", *options, "underpassctl", *words, check=False)


def allowed(machine, user, **options):
    """The user may do everything, and it is done."""
    for words in VERBS:
        answer = ctl(machine, user, *words, **options)
        assert answer.returncode == 0, f"{user}: {words}: {answer}"
        if words[0] in ("activate", "deactivate"):
            assert (service.link(machine, "up0")["State"] == service.ACTIVE) == (words[0] == "activate"), words


def refused(machine, user, **options):
    """The user may do nothing but read, and hears what to do."""
    for words in VERBS:
        answer = ctl(machine, user, *words, **options)
        assert answer.returncode == 1 and "with sudo" in answer.stderr, f"{user}: {words}: {answer}"
    assert "up0" in ctl(machine, user, "status", **options).stdout
    assert service.link(machine, "up0")["State"] == service.ACTIVE


def polkit(release):
    """All of it for one release."""
    with systems.Machines(release) as lab:
        machine = lab.machine("client", ("networkd",))
        machine.boot()
        machine.wait_running()
        set_up(machine)
        refused(machine, REMOTE)
        allowed(machine, LOCAL, seat=True)
        machine.write("/etc/polkit-1/rules.d/50-underpass.rules", RULE)
        machine.run("systemctl", "restart", "polkit.service")
        allowed(machine, MEMBER)
        refused(machine, REMOTE)
        machine.run("systemctl", "mask", "--now", "polkit.service")
        refused(machine, MEMBER)
        allowed(machine, "root")


def test_bookworm():
    """Debian 12."""
    polkit("bookworm")


def test_trixie():
    """Debian 13."""
    polkit("trixie")


def test_sid():
    """Debian unstable."""
    polkit("sid")
