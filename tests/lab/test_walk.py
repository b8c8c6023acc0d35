# SPDX-License-Identifier: GPL-2.0-or-later
"""A walk over the calls by which the service changes the kernel while it attaches a link: before each of them it is
killed, or the call fails for want of memory. The next service, or the next look, leaves a host like any other. The
same for the threads that load programs.

A run takes a sample of the calls. UNDERPASS_WALK=all in the environment takes each of them, which takes an hour."""

import collections
import contextlib
import os
import re
import signal

import runner
import service
import state
from host import wait_until

CALLS = ("sendto", "bpf", "ioctl", "mkdir", "rename", "unlink")
SAMPLE = 5  # calls that are looked at with each device and each fault
PROFILE = "/etc/underpass/walk.conf"
TEXT = "[Match]\nName=c0\n\n[X-Underpass]\nTunnel=yes\nRemotePorts=443\nMTU=1400\nMPTCPEndpoint=subflow\n"
TOPICS = ("links", "queueing disciplines", "programs on links", "MPTCP endpoints", "pins")
DONE = "c0: Now active"
FAULTS = ("killed", "without_memory")
KILLED, FAILED = "+++ killed by SIGKILL +++", "(INJECTED)"  # what strace says of them
LARGE = ("underpass_egres", "underpass_ingre")  # programs, as the kernel cuts their names
NEEDED = (*LARGE, "underpass_segme", "underpass_merge", "underpass_xdp", "underpass_keepa")


class Walk:
    """A host with one link and a profile for it, and one kind of segmentation device."""

    def __init__(self, lab, kind, attach_point):
        self.host, self.kind = lab.client, kind
        self.options = [f"--attach-point={attach_point}"]
        self.host.run("ip", "address", "add", "10.77.1.2/24", "dev", "c0")
        self.host.run("ip", "link", "set", "c0", "up")
        wait_until(lambda: "state UP" in self.host.output("ip", "link", "show", "c0"), "c0 has its carrier")
        self.host.start_bus()
        service.set_environment(self.host, UNDERPASS_SEGMENTATION=kind)
        service.add_options(self.host, *self.options)
        self.log = self.host.folder / "log" / "walk.log"
        self.clean = self.state()
        self.traced = None

    def state(self):
        """What the service changes."""
        return state.normalised({topic: self.host.run(*state.COMMANDS[topic]).stdout for topic in TOPICS})

    def settle(self, expected, what):
        """The state becomes the expected one: the kernel takes some programs off a moment later."""
        state.assert_becomes(expected, self.host, what, lambda _: self.state())

    def profile(self, there):
        """Writes the profile, or takes it away."""
        if there:
            self.host.write(PROFILE, TEXT)
        else:
            self.host.path(PROFILE).unlink()

    def start(self, *strace, done=DONE):
        """Starts the service under strace, by hand, and returns when it has attached the link (what it says then), or
        ended."""
        self.profile(True)
        self.log.write_bytes(b"")
        command = ["strace", *strace, "env", f"UNDERPASS_SEGMENTATION={self.kind}"]
        with open(self.log, "ab") as log:
            traced = self.host.spawn([*command, "/usr/libexec/underpassd", *self.options], stdout=log, stderr=log)

        self.traced = traced
        wait_until(
            lambda: traced.poll() is not None or done in self.log.read_text(),
            f"the service has ended or attached the link: {strace}",
            20,
        )

    def end(self):
        """Ends the service, however far it is."""
        for pid in self.host.pids("underpassd"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.traced.wait(timeout=10)

    def count(self):
        """What a service calls until it has attached the link, see calls_of(); and what it has made."""
        trace = self.host.folder / "log" / "trace"
        self.start("-o", str(trace), "-e", "trace=" + ",".join(CALLS))
        lines = trace.read_text().splitlines()  # before anybody asks it something
        assert service.manager_property(self.host, "SegmentationDevice")[0] == self.kind
        built = self.state()
        self.end()
        self.leave("counted")
        return calls_of(lines), built

    def leave(self, what):
        """The profile goes, and with it all that was made for it."""
        self.profile(False)
        service.manager_call(self.host, "Reload")
        self.settle(self.clean, f"{what}: without the profile")

    def meet(self, calls, fault, met, *strace, done=DONE):
        """Starts a service that meets this fault at these calls. met: what the trace says then."""
        trace = self.host.folder / "log" / "fault"
        trace.write_bytes(b"")
        words = ("-o", str(trace), "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}")
        self.start(*strace, *words, done=done)
        wait_until(lambda: met in trace.read_text(), f"{self.kind}: {fault} at {calls}")

    def inject(self, call, number, fault, met):
        """The same at one call, that of this number."""
        self.meet(call, f"{fault}:when={number}", met)

    def killed(self, call, number, built):
        """Killed before a call. The next service makes the same of it as any other does; and where the profile
        has gone meanwhile, it removes all that there is."""
        what = f"{self.kind}, killed before {call} {number}"
        self.inject(call, number, "signal=KILL", KILLED)
        self.end()
        self.recover(built, what)
        service.kill(self.host, signal.SIGTERM)

        self.inject(call, number, "signal=KILL", KILLED)
        self.end()
        self.profile(False)
        service.manager_call(self.host, "ListLinks")
        self.settle(self.clean, f"{what}, and the profile has gone")
        service.kill(self.host, signal.SIGTERM)

    def recover(self, built, what):
        """The next service makes the same of it as any other does, and takes it down."""
        service.manager_call(self.host, "Reload")
        service.wait_state(self.host, "c0", service.ACTIVE)
        used = service.manager_property(self.host, "SegmentationDevice")[0]
        assert used == self.kind, f"{what}: the next service uses {used}"
        self.compare(built, what)
        self.leave(what)

    def compare(self, built, what):
        """Apart from the numbers of the devices, all is as if nothing had happened."""
        wait_until(lambda: self.shape(built) == self.shape(self.state()), what, 5)

    @staticmethod
    def shape(built):
        """A state without numbers that go on counting."""
        names = [line.split(":")[1].split("@")[0] for line in built["links"].splitlines() if line[:1].isdigit()]
        pins = [line.rpartition("/")[2].lstrip("0123456789") for line in built["pins"].splitlines()]
        return sorted(names), sorted(pins), built["MPTCP endpoints"], "mtu 1400" in built["links"]

    def without_memory(self, call, number, built):
        """A call fails. The link is active all the same, or is so after the service has tried again by itself. A service
        that can do nothing without this call ends."""
        what = f"{self.kind}, ENOMEM from {call} {number}"
        self.inject(call, number, "error=ENOMEM", FAILED)
        service.manager_call(self.host, "Reload")
        service.wait_state(self.host, "c0", service.ACTIVE)
        self.leave(what)
        self.end()


def calls_of(lines):
    """The calls of a trace, (name, number of this name) each. Of a row of calls of bpf with the same command, such as
    those that read a map, only the first; and none by which libbpf asks what the kernel can do, for it remembers the
    answer as long as the process lives."""
    numbers, found, before = dict.fromkeys(CALLS, 0), [], ""
    for line in lines:
        call, _, rest = line.partition("(")
        if call not in numbers:
            continue
        numbers[call] += 1
        command = rest.split(",")[0] if call == "bpf" else ""
        asks = "libbpf_" in rest or "BPF_PROG_TYPE_SOCKET_FILTER" in rest
        if not asks and (not command or command != before):
            found.append((call, numbers[call]))
        before = command
    return found


def chosen(every, offset):
    """Those that a run looks at."""
    if os.environ.get("UNDERPASS_WALK") == "all":
        return every
    step = max(1, len(every) // SAMPLE)
    return every[offset % step :: step]


def failure_of(kind, attach_point, fault, calls):
    """Looks at these calls, (name, number) each, in one host, up to the first that goes wrong. Takes away from the
    list what it has looked at; what went wrong, or None."""
    with runner.TestLab(manager=False) as lab:
        steps = Walk(lab, kind, attach_point)
        counted, built = steps.count()
        if not calls:
            calls += chosen(counted, FAULTS.index(fault))
            runner.note(f"{kind}, {fault}: {len(calls)} of {len(counted)} calls")
        try:
            while calls:
                getattr(steps, fault)(*calls.pop(0), built)
        except (AssertionError, TimeoutError) as error:
            return str(error)
    return None


def walk(kind, attach_point="auto"):
    """Both faults at the calls of one kind of device."""
    failures = []
    for fault in FAULTS:
        calls, first = [], True
        while first or calls:
            failure, first = failure_of(kind, attach_point, fault, calls), False
            if failure is not None:
                runner.note(failure)
                failures.append(failure)
    assert not failures, f"{len(failures)} of the calls"


def test_bridge():
    """It is made by several requests: the device, its options, its port, its alias, its features."""
    walk("bridge")


def test_veth_with_clsact():
    """As on old kernels: filters and a qdisc of our own in the place of pinned attachments."""
    walk("veth", "clsact")


class Loads:
    """What a trace of all threads says of the calls of bpf: which programs and maps were made, and by whom."""

    def __init__(self, lines):
        self.programs, self.maps = collections.Counter(), collections.Counter()
        self.threads = {}  # name of a program -> the thread that has loaded it, and the number of this call there
        numbers = collections.Counter()
        for line in lines:
            thread, _, call = line.partition(" ")
            if not call.lstrip().startswith("bpf("):
                continue
            numbers[thread] += 1
            program, made = re.search(r'prog_name="(underpass_\w+)"', call), re.search(r'map_name="([\w.]+)"', call)
            if program and program[1] != "underpass_probe":
                self.programs[program[1]] += 1
                self.threads[program[1]] = (thread, numbers[thread])
            elif made and not made[1].startswith("libbpf_"):
                self.maps[made[1]] += 1


def test_threads():
    """Large programs are loaded by threads of their own, each once, on the same maps. Without threads it goes on, too;
    a thread that fails, or with which the service ends, leaves nothing behind."""
    with runner.TestLab(manager=False) as lab:
        steps = Walk(lab, "bridge", "auto")
        trace = steps.host.folder / "log" / "trace"
        steps.start("-f", "-s", "64", "-o", str(trace), "-e", "trace=bpf")
        loads, built = Loads(trace.read_text().splitlines()), steps.state()
        assert loads.programs == collections.Counter(NEEDED), loads.programs
        assert set(loads.maps.values()) == {1} and "flows" in loads.maps, loads.maps
        assert len({loads.threads[name][0] for name in (*LARGE, "underpass_segme")}) == 3, loads.threads
        steps.leave("loaded by threads")
        steps.end()

        steps.meet("clone,clone3", "error=EAGAIN", FAILED, "-f")
        steps.compare(built, "no thread can be made")
        steps.leave("no thread can be made")
        steps.end()

        # Only threads end by this call.
        steps.meet("exit", "signal=KILL", KILLED, "-f")
        steps.end()
        steps.recover(built, "killed when the first thread ends")
        service.kill(steps.host, signal.SIGTERM)

        for name in LARGE:
            # The second try is for the log of the verifier, and may succeed.
            number = loads.threads[name][1]
            steps.meet("bpf", f"error=ENOMEM:when={number}", FAILED, "-f")
            steps.compare(built, f"{name} at the second try")
            steps.leave(f"{name} at the second try")
            steps.end()
            told = "c0: The BPF programs cannot be loaded: there is not enough memory."
            steps.meet("bpf", f"error=ENOMEM:when={number}..{number + 1}", FAILED, "-f", done=told)
            assert steps.traced.poll() is None, f"{name}: the service has ended"
            steps.settle(steps.clean, f"without {name}")
            steps.end()
            steps.recover(built, f"after it went without {name}")
            service.kill(steps.host, signal.SIGTERM)
