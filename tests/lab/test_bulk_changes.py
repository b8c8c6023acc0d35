# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of one end change while data is under way in the bulk form, up and down: no byte is lost or wrong,
nothing stands still for long, and the bulk form is used again."""

import contextlib
import functools
import itertools
import threading
import time

import runner
import service
import traffic
import versions
from host import wait_until
from lab import address
from test_bulk import bring_up, bulk

RATE = 30_000_000
PAUSE = 4.0  # seconds that a transfer may stand still: a few that TCP waits before it sends again
TASKS = {"up": "uploads", "down": "downloads"}

build = functools.cache(versions.build)


class Watch:
    """Looks at the transfers all the time; the longest pause of each, in seconds."""

    def __init__(self, client):
        self._client, self._ended = client, threading.Event()
        self._last = {name: (time.monotonic(), client.progress(name)["bytes"]) for name in TASKS}
        self.pauses = dict.fromkeys(TASKS, 0.0)
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self):
        while not self._ended.wait(0.05):
            for name in TASKS:
                moved, now = self._client.progress(name)["bytes"], time.monotonic()
                since, before = self._last[name]
                self.pauses[name] = max(self.pauses[name], now - since)
                if moved != before:
                    self._last[name] = (now, moved)

    def end(self):
        """From here on others may talk to the client."""
        self._ended.set()
        self._thread.join()


@contextlib.contextmanager
def under_way(family=4, keys=()):
    """A lab with data in the bulk form in both directions, all the time and right to the last byte."""
    with runner.TestLab() as lab:
        bring_up(lab, "bulk=yes", "bulk=yes", *keys)
        _, client = traffic.pair(lab)
        for name, task in TASKS.items():
            client.connect(name, address("s0", family), protocol="tcp")
            client.transfer("echo", name, size=1000)
            client.start(task, name, rate=RATE)
        in_bulk(lab)
        yield lab, client
        for name in TASKS:
            client.finish(name)
            assert client.wait(name)["equal"], name


def in_bulk(lab):
    """Waits until both ends get the bulk form."""
    before = bulk(lab)["bulk-received"]
    wait_until(
        lambda: all(now > then + 1000 for now, then in zip(bulk(lab)["bulk-received"], before)), "bulk both ways", 15
    )


def changed(lab, client, what, change):
    """Does it while somebody looks at the transfers."""
    watch = Watch(client)
    try:
        change()
        in_bulk(lab)
    finally:
        watch.end()
        runner.note(f"{what}: stood still for {watch.pauses}, {bulk(lab)}")
    assert max(watch.pauses.values()) < PAUSE, watch.pauses


def switch(host, interface, version):
    """The service of another version takes over."""
    versions.use(host, build(version))
    service.manager_call(host, "ListLinks")
    service.wait_state(host, interface, service.ACTIVE)


def upgraded(version, anew):
    """To this version and back, one end after the other. anew: flows are learnt again each time."""
    build(version)
    with under_way() as (lab, client):
        for to, (host, interface) in itertools.product(
            (version, "current"), ((lab.server, "s0"), (lab.client, "c0"))
        ):
            changed(lab, client, f"{host.name} to {to}", functools.partial(switch, host, interface, to))
            learnt = service.counters(host, interface)["relearnt"]
            assert (learnt > 0) == anew, f"{host.name} to {to}: {learnt} flows learnt again"


def test_upgrade():
    """Another object, with flows that it can read."""
    upgraded("newer", anew=False)


def test_flows_begin_anew():
    """One that cannot read them."""
    upgraded("apart", anew=True)


def off_and_on(**how):
    """The programs are taken off one end, and put on again; then off the other one."""
    with under_way(**how) as (lab, client):
        for host, interface in ((lab.server, "s0"), (lab.client, "c0")):

            def change(host=host, interface=interface):
                host.run("underpassctl", "deactivate", interface)
                host.run("underpassctl", "activate", interface)
                service.wait_state(host, interface, service.ACTIVE)

            changed(lab, client, f"{host.name} off and on", change)


def test_off_and_on():
    """The programs of tc."""
    off_and_on()


def test_off_and_on_xdp():
    """With the one in front of the driver's GRO, over IPv6."""
    off_and_on(family=6, keys=("receive=xdp",))
