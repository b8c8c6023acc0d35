# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd-networkd in NetworkManager's place: subflows come as quickly, files and drop-ins count as they do
for networkd itself, restarts cost no packet, and what is taken down is as it was."""

import signal
import statistics
import time

import networkd
import runner
import service
import state
import traffic
from host import wait_until
from lab import LINKS, address
from state import tunnel_state
from steady import transfer_under_way

RUNS = 10
LIMIT = 3.0  # seconds from "networkctl up" to the subflow
BOTH = [address("c0"), address("c1")]


def wait_setting(host, interface, key, expected):
    """Waits until a setting of a link is (value, source, origin)."""
    last = []

    def reached():
        last[:] = [networkd.settings(host, interface)[key]]
        return last[0] == expected

    try:
        wait_until(reached, "setting", 5)
    except TimeoutError:
        raise AssertionError(f"{host.name}: {key} of {interface} is {last[0]}, not {expected}") from None


def timed_subflows(lab, client, family, connect, disconnect):
    """Gives connections their second subflow: connect() brings the second uplink up. Seconds of each run."""
    seconds = []
    for number in range(RUNS):
        name = f"run {number}"
        client.connect(name, address("s0", family))
        client.transfer("echo", name, size=10_000)
        assert not client.info(name)["fallback"], f"{name}: fell back to TCP before the second uplink was up"
        begin = time.monotonic()
        connect()
        both = [address("c0", family), address("c1", family)]
        traffic.wait_subflows(lab.client, both, seconds=LIMIT - (time.monotonic() - begin))
        seconds.append(time.monotonic() - begin)
        client.transfer("upload", name, size=500_000)
        client.close(name)
        disconnect()
        service.wait_state(lab.client, "c1", "off")
    return seconds


def subflow_after_up(family):
    """networkctl up, then a tunnelled subflow, every time."""
    with networkd.lab() as lab:
        server, client = traffic.pair(lab)
        lab.client.run("networkctl", "down", "c1")
        service.wait_state(lab.client, "c1", "off")
        seconds = timed_subflows(
            lab,
            client,
            family,
            lambda: lab.client.run("networkctl", "up", "c1"),
            lambda: lab.client.run("networkctl", "down", "c1"),
        )
        assert all(not each["fallback"] for each in server.call("accepted"))
        counted = lab.counters()
        assert counted["tcp-mc0"] == counted["tcp-mc1"] == (0, 0), counted
        runner.note(
            f"{RUNS} runs: subflow after {statistics.median(seconds):.2f} s (median), {max(seconds):.2f} s"
        )


def test_subflow_after_up():
    """IPv4."""
    subflow_after_up(4)


def test_subflow_after_up_ipv6():
    """IPv6."""
    subflow_after_up(6)


def test_hot_plug():
    """The second uplink is unplugged and plugged in: a new link each time."""
    with networkd.lab() as lab:
        _, client = traffic.pair(lab)
        peer = LINKS["c1"][0]

        def plug():
            addresses = {family: (address("c1", family, router=True),) for family in (4, 6)}
            lab.cable(lab.middlebox, peer, lab.client, "c1", addresses)

        def gone():
            return "c1" not in lab.client.output("underpassctl", "status", "--all")

        for number in range(3):
            lab.middlebox.run("ip", "link", "del", peer)
            wait_until(gone, "the link is forgotten")
            client.connect(f"run {number}")
            client.transfer("echo", f"run {number}", size=10_000)
            begin = time.monotonic()
            plug()
            traffic.wait_subflows(lab.client, BOTH, seconds=LIMIT - (time.monotonic() - begin))
            client.close(f"run {number}")


def test_explain():
    """Where each value comes from, on the bus and for people; networkd leaves the helper devices alone."""
    with networkd.lab() as lab:
        networkd.write_dropin(lab.client, "c0", "MSS=1300")
        networkd.reload(lab.client)
        file, dropin = networkd.file_of("c0"), networkd.file_of("c0") + ".d/underpass.conf"
        line = 1 + networkd.network("c0").count("\n")
        wait_setting(lab.client, "c0", "mss", ("1300", "networkd", f"{dropin}:2"))
        found = networkd.settings(lab.client, "c0")
        assert found["tunnel"] == ("yes", "networkd", f"{file}:{line + 1}"), found["tunnel"]
        assert found["mptcp-endpoint"] == ("subflow", "networkd", "default for systemd-networkd")
        text = lab.client.output("underpassctl", "explain", "c0")
        for part in (f"{dropin}:2", file, "default for systemd-networkd"):
            assert part in text, text
        assert "10-c0.network" in lab.client.output("underpassctl", "status")
        for device in ("underpass-tx", "underpass-rx"):
            assert networkd.describe(lab.client, device)["AdministrativeState"] == "unmanaged"
            assert lab.client.output("ip", "-o", "address", "show", "dev", device) == ""


def test_endpoints_follow_addresses():
    """Endpoints go with addresses that do not come back, and come with new ones; a server gets none."""
    with networkd.lab() as lab:
        assert lab.server.output("ip", "mptcp", "endpoint") == ""
        gone, text = address("c1", 6), ("ip", "mptcp", "endpoint")
        wait_until(lambda: gone in lab.client.output(*text), "it is there")
        lab.client.run("ip", "address", "del", f"{gone}/64", "dev", "c1")
        wait_until(lambda: gone not in lab.client.output(*text), "it goes")
        assert address("c1") in lab.client.output(*text)
        lab.client.run("ip", "address", "add", f"{gone}/64", "dev", "c1", "nodad")
        wait_until(lambda: gone in lab.client.output(*text), "it comes back")


def test_reload():
    """networkctl reload: changed files, and drop-ins by the rule of systemd; under a transfer."""
    with networkd.lab() as lab, transfer_under_way(lab):
        folders = ("/usr/lib/systemd/network", "/run/systemd/network", networkd.FOLDER)
        lab.client.run("mount", "-t", "tmpfs", "-o", "mode=755", "networkd", folders[0])
        for number, folder in enumerate(folders):
            dropin = networkd.write_dropin(lab.client, "c1", f"MSS={1000 + number}", folder=folder)
            networkd.reload(lab.client)
            wait_setting(lab.client, "c1", "mss", (str(1000 + number), "networkd", f"{dropin}:2"))
        later = networkd.write_dropin(lab.client, "c1", "MSS=1100", name="zz.conf", folder=folders[1])
        networkd.reload(lab.client)
        wait_setting(lab.client, "c1", "mss", ("1100", "networkd", f"{later}:2"))
        networkd.write_dropin(lab.client, "c1", name="zz.conf")  # empty: masks it
        lab.client.run("ln", "-sf", "/dev/null", dropin)
        networkd.reload(lab.client)
        wait_setting(lab.client, "c1", "mss", ("auto", "default", ""))
        service.wait_state(lab.client, "c1", service.ACTIVE)


def test_signals_are_enough():
    """A reload that changes nothing but the profile of a link without addresses: netlink has nothing to tell."""
    head = "[Match]\nName=c1\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    with networkd.lab() as lab:
        for lines, expected in ((networkd.CLIENT, service.ACTIVE), ((), "off")) * 3:
            lab.client.write(networkd.file_of("c1"), head + networkd.section(lines))
            networkd.reload(lab.client)
            service.wait_state(lab.client, "c1", expected)


def test_reload_takes_profiles_away_and_back():
    """A section that is written or removed counts from networkctl reload on."""
    with networkd.lab("MTU=1400") as lab:
        for lines, expected in (((), "off"), (networkd.CLIENT, service.ACTIVE)) * 2:
            networkd.write(lab.client, "c1", *lines)
            networkd.reload(lab.client)
            service.wait_state(lab.client, "c1", expected)
        assert service.link(lab.client, "c0")["State"] == service.ACTIVE


def test_bad_value():
    """A value that cannot be taken leaves what is attached, and says file and line; corrected, it counts."""
    with networkd.lab() as lab:
        line = 2 + networkd.network("c1").count("\n")
        networkd.write(lab.client, "c1", "Tunnel=perhaps")
        networkd.reload(lab.client)
        found = service.wait_state(lab.client, "c1", "failed")
        assert f"{networkd.file_of('c1')}:{line}" in found["LastError"], found["LastError"]
        assert "c1" in state.programs(lab.client, "c1")
        networkd.write(lab.client, "c1", *networkd.CLIENT)
        networkd.reload(lab.client)
        service.wait_state(lab.client, "c1", service.ACTIVE)


def test_reconfigure_during_transfer():
    """networkctl reconfigure makes all of the link's configuration again; the tunnel does not even blink."""
    with networkd.lab() as lab:
        built = tunnel_state(lab.client)
        with transfer_under_way(lab):
            for _ in range(3):
                lab.client.run("networkctl", "reconfigure", "c1")
                networkd.wait_configured(lab.client, "c1")
            service.wait_state(lab.client, "c1", service.ACTIVE)
        state.assert_becomes(built, lab.client, "reconfigured", tunnel_state)


def networkd_restarted(number):
    """networkd ends and starts again on both hosts in the middle of a transfer."""
    with networkd.lab() as lab:
        built = {host: tunnel_state(host) for host in (lab.client, lab.server)}
        with transfer_under_way(lab):
            for host, interfaces in ((lab.client, networkd.UPLINKS), (lab.server, ("s0",))):
                networkd.stop(host, number)
                for interface in interfaces:
                    service.wait_state(host, interface, service.ACTIVE)
                networkd.start(host)
                for interface in interfaces:
                    networkd.wait_configured(host, interface)
                    service.wait_state(host, interface, service.ACTIVE)
        for host, before in built.items():
            state.assert_same(before, tunnel_state(host), f"{host.name} after signal {number}")
        # It still listens to the new networkd.
        networkd.write(lab.client, "c1")
        networkd.reload(lab.client)
        service.wait_state(lab.client, "c1", "off")


def test_restart_during_transfer():
    """SIGTERM, as systemctl restart systemd-networkd does."""
    networkd_restarted(signal.SIGTERM)


def test_kill_during_transfer():
    """SIGKILL: networkd crashed."""
    networkd_restarted(signal.SIGKILL)


def test_change_while_networkd_is_away():
    """No signal tells of what it finds when it starts: it is asked."""
    with networkd.lab() as lab:
        networkd.stop(lab.client)
        networkd.write(lab.client, "c1", *networkd.CLIENT, "MSS=1200")
        networkd.write(lab.client, "c0")
        networkd.start(lab.client)
        service.wait_state(lab.client, "c0", "off")
        wait_until(
            lambda: networkd.settings(lab.client, "c1")["mss"][0] == "1200", "the new value counts", 5
        )


def is_told(host, interface):
    """Whether the profile of a link is known to be networkd's."""
    return networkd.settings(host, interface)["tunnel"][1] == "networkd"


def test_service_and_networkd_killed():
    """Both at once: the next service waits for networkd before it touches what it finds."""
    with networkd.lab() as lab:
        built = tunnel_state(lab.client)
        with transfer_under_way(lab):
            networkd.stop(lab.client, signal.SIGKILL)
            service.kill(lab.client)
            service.manager_call(lab.client, "Reload")  # starts it again
            for uplink in networkd.UPLINKS:
                assert service.link(lab.client, uplink)["State"] == service.ACTIVE
            state.assert_same(built, tunnel_state(lab.client), "while networkd is away")
            networkd.start(lab.client)
            for uplink in networkd.UPLINKS:
                wait_until(lambda name=uplink: is_told(lab.client, name), "networkd has told", 5)
                service.wait_state(lab.client, uplink, service.ACTIVE)
        state.assert_same(built, tunnel_state(lab.client), "afterwards")


def test_profile_removed_while_the_service_is_dead():
    """What a killed service left is removed by the next one, without a NetworkManager to ask."""
    with networkd.lab("MTU=1400") as lab:
        service.kill(lab.client)
        for uplink in networkd.UPLINKS:
            networkd.write(lab.client, uplink)
        networkd.reload(lab.client)
        service.manager_call(lab.client, "Reload")
        for uplink in networkd.UPLINKS:
            service.wait_state(lab.client, uplink, "off")
        assert "underpass" not in lab.client.output("bpftool", "net"), "programs are left"
        assert lab.client.output("ip", "mptcp", "endpoint") == ""


def wait_operational(host, interface, expected):
    """Waits until networkd sees a link in this state, and has done its work there."""
    wait_until(
        lambda: (found := networkd.describe(host, interface))["OperationalState"] == expected
        and found["AdministrativeState"] == "configured",
        f"{interface} is {expected}",
    )


def test_down_restores_everything():
    """networkctl down, and a section that is removed: the host is as it is without Underpass."""
    with runner.TestLab(manager=False) as lab:
        profile = (*networkd.CLIENT, "MTU=1400")
        networkd.start_host(lab.client, c0=(), c1=())
        networkd.start_service(lab.client)
        for word, expected in (("down", "off"), ("up", "routable")):
            lab.client.run("networkctl", word, "c1")
            wait_operational(lab.client, "c1", expected)
        up = state.host_state(lab.client)  # the order of routes tells which link came up last
        lab.client.run("networkctl", "down", "c1")
        wait_operational(lab.client, "c1", "off")
        down = state.host_state(lab.client)
        networkd.write(lab.client, "c1", *profile)
        networkd.reload(lab.client)
        lab.client.run("networkctl", "up", "c1")
        found = service.wait_state(lab.client, "c1", service.ACTIVE)
        assert ["mtu", "1400"] in found["Applied"], found["Applied"]
        lab.client.run("networkctl", "down", "c1")
        service.wait_state(lab.client, "c1", "off")
        state.assert_becomes(down, lab.client, "down again")
        lab.client.run("networkctl", "up", "c1")
        service.wait_state(lab.client, "c1", service.ACTIVE)
        networkd.write(lab.client, "c1")
        networkd.reload(lab.client)
        service.wait_state(lab.client, "c1", "off")
        state.assert_becomes(up, lab.client, "up without a profile")


def test_dispatcher_script():
    """Where networkd-dispatcher runs, its script starts a service that does not run. Without it nothing
    is missing, as all the other tests show."""
    with runner.TestLab(manager=False) as lab:
        networkd.start_host(lab.client, c0=networkd.CLIENT)
        assert service.pid(lab.client) == 0
        for folder in ("off", "no-carrier", "carrier", "degraded", "routable"):
            script = f"/usr/lib/networkd-dispatcher/{folder}.d/50-underpass"
            lab.client.run("env", "IFACE=c0", f"OperationalState={folder}", script)
        wait_until(lambda: service.pid(lab.client) != 0, "the service runs")
        service.wait_state(lab.client, "c0", service.ACTIVE)
