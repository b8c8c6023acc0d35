# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package on whole systems of three releases: built, checked with lintian, installed, a tunnel, upgraded in the
middle of a transfer, removed, purged. Afterwards the system is as it was before it was installed."""

import contextlib
import json
import shutil

import debs
import roots
import runner
import service
import state
import systems
import traffic
from host import wait_until
from machine import Machine

RATE = 2_000_000  # bytes a second
AGAIN = ("Tcp.RetransSegs", "TcpExt.TCPDSACKRecv", "TcpExt.TCPLossProbes", "TcpExt.TCPTimeouts")
UNIT = "underpass.service"

# What dpkg, apt and the programs of the machine write while it runs, package or not. Services of systemd's own, such as
# systemd-hostnamed, end after half a minute, and their private folders with them.
ALIVE = (
    *("/var/lib/dpkg", "/var/lib/apt", "/var/cache", "/var/log", "/var/lib/NetworkManager", "/var/lib/systemd"),
    "/var/tmp/systemd-private-*-systemd-*",
)
FIND = "find / -xdev ( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /root -o -path /opt {} ) -prune -o -print"


class Packaged(systems.Systems):
    """The client is a machine without the project; the server has it as every other test has."""

    def machine(self, name, managers):
        if name != "client":
            return super().machine(name, managers)
        machine = Machine(name, self.folder / name, self._layers_of_client(), managers, project=False)
        self.hosts.append(machine)
        machine.start()
        return machine

    def _layers_of_client(self):
        try:
            return [roots.root(self._release)]
        except roots.RootError as error:
            raise runner.Skip(f"no root of {self._release}: {error}") from None

    def keys(self, machine):
        """The profiles of the client get theirs when the tool is there."""
        return {} if machine.name == "client" else super().keys(machine)


def files(machine):
    """All files of a machine that nobody changes but who installs."""
    pruned = " ".join(f"-o -path {path}" for path in ALIVE)
    return set(machine.output(*FIND.format(pruned).split()).splitlines())


def install(machine, package):
    """Installs a package file, as apt does it for a user."""
    inside = f"/opt/{package.name}"
    shutil.copy(package, machine.path("/opt"))
    machine.run(
        "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "install", inside, timeout=120
    )
    return machine.output("dpkg-query", "-W", "-f", "${Version}", "underpass")


def reloads(machine):
    """How often NetworkManager was told to read its configuration again."""
    return machine.journal("--unit=NetworkManager.service", "--grep=op=.reload.").count("op=")


def attached(machine):
    """The programs on the links of a machine, by id."""
    return json.loads(state.query_programs(machine, "c0", "c1"))


def set_up(lab):
    """Gives the profiles of the client their keys; a client with a tunnelled connection "first" over both uplinks."""
    for name in ("first", "second"):
        pairs = [f"{key}={value}" for key, value in systems.Systems.keys(lab, lab.client).items()]
        service.set_keys(lab.client, name, *pairs, options=("--reapply",))
    for interface in ("c0", "c1"):
        service.wait_state(lab.client, interface, service.ACTIVE)
    _, client = traffic.pair(lab)
    runner.note(f"tunnelled subflows over both uplinks after {systems.tunnelled(lab, client, 'first'):.1f} s")
    return client


def upgrade(lab, client, install_next):
    """In the middle of a transfer of the client: every byte arrives, nothing gets lost or leaves as TCP, the programs
    stay, the service is new. What install_next returns."""
    machine = lab.client
    with client.uploading("first", RATE):
        service_before, programs = machine.processes(UNIT), attached(machine)
        before, lost = traffic.kernel_counters(machine), traffic.lost_segments(machine)
        result = install_next()
        client.wait_moved("first", RATE)
        # A busy machine is late, and TCP sends again what it takes for lost. What had arrived is no loss: the receiver
        # says so, a moment later.
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: traffic.lost_segments(machine) <= lost, "what was sent again had arrived", 5)
        counted = traffic.kernel_counters(machine)
        again = {name: counted[name] - before[name] for name in AGAIN}
        assert traffic.lost_segments(machine) <= lost, f"lost: {traffic.lost_segments(machine) - lost}, {again}"
    assert not client.info("first")["fallback"]
    wait_until(lambda: machine.processes(UNIT) - service_before, "the new service runs")
    assert all(all(ways.values()) for ways in programs.values()), programs
    assert attached(machine) == programs, (programs, attached(machine))
    as_tcp = {name: packets for name, (packets, _) in lab.counters().items() if packets and name.startswith("tcp")}
    assert not as_tcp, f"left as TCP: {as_tcp}"
    runner.note(f"upgraded under {RATE // 1_000_000} MB/s: nothing lost, the programs stayed; {again}")
    return result


def apt(machine, verb):
    """Takes the package away. What it says."""
    command = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", verb, "underpass")
    answer = machine.run(*command, timeout=120)
    return answer.stdout + answer.stderr


def removal_that_fails(machine):
    """The package stays when another script of the removal fails, and its service can run again."""
    script = machine.path("/var/lib/dpkg/info/underpass.prerm")
    text = script.read_text()
    script.write_text(f"{text}\nexit 1\n")
    answer = machine.run("dpkg", "--remove", "underpass", check=False)
    script.write_text(text)
    assert answer.returncode != 0, answer.stdout
    machine.run("systemctl", "restart", UNIT)


@contextlib.contextmanager
def asked(machine):
    """Somebody asks the service something all the time, and so the bus starts it."""
    call = f"busctl call {service.BUS_NAME} {service.MANAGER} org.freedesktop.DBus.Peer Ping"
    caller = machine.spawn(["/bin/sh", "-c", f"while :; do {call}; done >/dev/null 2>&1"])
    try:
        yield
    finally:
        caller.kill()
        caller.wait()


def assert_gone(machine, before, before_files, what):
    """No tunnel, no file, no setting of the package is left."""
    assert not any(way for ways in attached(machine).values() for way in ways.values()), attached(machine)
    assert machine.unit(UNIT, "LoadState", "ActiveState") == {"LoadState": "not-found", "ActiveState": "inactive"}
    state.assert_same(before, state.settled(machine, before), what)
    if before_files is not None:
        left, gone = files(machine) - before_files, before_files - files(machine)
        assert not left and not gone, f"{what}: left: {sorted(left)}, gone: {sorted(gone)}"


def purge_disabled(machine, package, before, before_files):
    """A service that was stopped and disabled leaves its tunnels up, and the bus does not start it: they go with the
    package all the same, and so does what a person has written to its folder."""
    install(machine, package)
    for interface in ("c0", "c1"):
        service.wait_state(machine, interface, service.ACTIVE)
    machine.write("/etc/underpass/mine.conf", "[Match]\nName=none0\n")
    machine.run("systemctl", "disable", "--now", UNIT)
    assert all(all(ways.values()) for ways in attached(machine).values()), attached(machine)
    apt(machine, "purge")
    assert_gone(machine, before, before_files, "purged with the service disabled")


def package(release):
    """All of it for one release."""
    with Packaged(release, tunnel=True) as lab:
        machine = lab.client
        current, previous, lintian = debs.build(release)
        runner.note(f"lintian: {lintian.strip() or 'nothing'}")
        before, before_files = state.host_state(machine), files(machine)
        told = reloads(machine)
        version = install(machine, previous)
        assert reloads(machine) == told + 1, "nobody hears that the devices are ours"
        assert version == f"{debs.version()}~previous", version
        runner.note(f"installed: {version}, {len(debs.content(current))} files and folders")
        for question in ("is-enabled", "is-active"):
            machine.run("systemctl", question, UNIT)
        client = set_up(lab)
        told = reloads(machine)
        runner.note(f"upgraded to {upgrade(lab, client, lambda: install(machine, current))}")
        assert reloads(machine) == told, "an upgrade puts into force what others have not finished"
        client.stop()
        removal_that_fails(machine)
        with asked(machine):
            apt(machine, "remove")
        assert_gone(machine, before, None, "removed")
        told = reloads(machine)
        install(machine, current)
        assert reloads(machine) == told + 1, "nobody hears that the devices are ours again"
        machine.run("underpassctl", "deactivate", "--all")
        machine.run("systemctl", "disable", "--now", UNIT)
        said = apt(machine, "purge")
        assert "stay up" not in said, said
        assert_gone(machine, before, before_files, "purged")
        purge_disabled(machine, current, before, before_files)
        runner.note("removed, purged: state and files are as before")


def test_bookworm():
    """Debian 12."""
    package("bookworm")


def test_trixie():
    """Debian 13."""
    package("trixie")


def test_sid():
    """Debian unstable."""
    package("sid")
