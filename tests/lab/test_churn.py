# SPDX-License-Identifier: GPL-2.0-or-later
"""The tunnel comes and goes a hundred times under load: the load does not notice, and nothing stays
behind."""

import signal
import time

import runner
import service
import state
import traffic
from host import wait_until
from lab import PLAIN_PORT, PORT

LOADED = (14, 6)  # maps and programs that the service has while no link is without Ethernet header
TIMES = 100
RATE = 2_000_000  # bytes a second of each transfer
SIZE = 10_000_000  # a transfer is begun again and again


class Load:
    """Uploads over connections that began without the tunnel; each is begun again when it is done."""

    def __init__(self, lab, client, ports):
        self._client = client
        self._lab = lab
        self._names = [f"port {port}" for port in ports]
        for name, port in zip(self._names, ports):
            client.connect(name, port=port, protocol="tcp")
        self.done = 0
        self._begin()

    def _begin(self):
        for name in self._names:
            self._client.start("upload", name, size=SIZE, rate=RATE)

    def go_on(self):
        """To be called often enough."""
        if not any(self._client.progress(name)["running"] for name in self._names):
            self.finish()
            self._begin()

    def finish(self):
        """Waits for the end of what runs now."""
        for name in self._names:
            assert self._client.wait(name)["equal"], name
            self.done += SIZE


def switch(lab, load, times, pin):
    """Attaches and detaches the tunnel of the first uplink, whose pin tells that it is there; seconds of
    each."""
    attached, detached = [], []
    for _ in range(times):
        for method, expected, seconds in (("Activate", True, attached), ("Deactivate", False, detached)):
            begin = time.monotonic()
            service.manager_call(lab.client, method, "s", "c0")
            wait_until(lambda there=expected: pin.exists() is there, f"{method} c0")
            seconds.append(time.monotonic() - begin)
        load.go_on()
    return attached, detached


def sent_again(lab):
    """Segments that were sent again so far."""
    return traffic.retransmissions(lab.client) + traffic.retransmissions(lab.server)


def test_attached_and_detached_100_times():
    """Half of it beside another tunnel, half of it alone, so that the segmentation device and all pins come and
    go too: no error, and pins, links, maps, programs and file descriptors as they were."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab, "mptcp-only=no")
        service.bring_up(lab)
        folder = next(lab.client.path(state.PINS).iterdir())
        cookie = int(folder.name)
        pin = folder / f"{service.link(lab.client, 'c0')['InterfaceIndex']}-egress"
        assert pin.exists()
        service.manager_call(lab.client, "Deactivate", "s", "c0")
        service.wait_state(lab.client, "c0", "off")
        server, client = traffic.pair(lab)
        server.listen(PLAIN_PORT)
        load = Load(lab, client, (PORT, PLAIN_PORT))
        before = state.host_state(lab.client), state.pins(lab.client), state.bpf_objects(lab.client, cookie)
        descriptors = service.descriptors(lab.client)
        # Two on the interface, one each for what was merged and for keepalive, and one on the segmentation device, unless that
        # is a device whose packets the interface's own program rewrites.
        links = 4 if service.manager_property(lab.client, "SegmentationDevice")[0] == "vlan" else 5
        assert before[2] == (*LOADED, links), before[2]
        again, begin = sent_again(lab), time.monotonic()

        beside = switch(lab, load, TIMES // 2, pin)
        assert state.pins(lab.client) == before[1]
        wait_until(lambda: state.bpf_objects(lab.client, cookie) == before[2], f"{before[2]} BPF objects", 5)
        text = state.difference(before[0], state.host_state(lab.client))
        assert not text, text

        service.manager_call(lab.client, "Deactivate", "s", "c1")
        service.wait_state(lab.client, "c1", "off")
        alone = switch(lab, load, TIMES // 2, pin)
        seconds = time.monotonic() - begin
        load.finish()
        again = sent_again(lab) - again
        assert state.pins(lab.client) == [], state.pins(lab.client)
        # The service keeps what it has loaded for the next tunnel. The kernel frees things a while after
        # their last user is gone.
        wait_until(lambda: state.bpf_objects(lab.client, cookie) == (*LOADED, 0), "no BPF link is left", 5)
        assert service.descriptors(lab.client) <= descriptors
        service.kill(lab.client, signal.SIGTERM)
        wait_until(lambda: state.bpf_objects(lab.client, cookie) == (0, 0, 0), "no BPF object is left", 5)
        counters = lab.counters()
        assert counters["udp-mc0"][0] == counters["udp-mc1"][0] == 0, counters

        for name, (attached, detached) in (("beside another tunnel", beside), ("alone", alone)):
            middle = [sorted(each)[len(each) // 2] * 1000 for each in (attached, detached)]
            runner.note(f"{name}: attached in {middle[0]:.0f} ms, detached in {middle[1]:.0f} ms (median)")
        runner.note(
            f"{TIMES} times in {seconds:.1f} s under {load.done // 1_000_000} MB of plain transfers; "
            f"{again} segments were sent again"
        )
