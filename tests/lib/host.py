# SPDX-License-Identifier: GPL-2.0-or-later
"""One host of the lab: its own network, mount, PID, UTS and IPC namespaces, a private system bus and a real
NetworkManager.

The namespaces have no names and no files on the machine; they live as long as the host's first process
(host-init), and that one ends when this program closes a pipe or dies. May touch: processes and folders it
made itself.
"""

import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
EXPEDITED = pathlib.Path("/sys/kernel/rcu_expedited")  # of the whole machine, …
EXPEDITED_BY_SERVICE = f"{0x756E6470}\n"  # … while a service has it switched on
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", "TERM": "dumb"}


class CommandError(RuntimeError):
    """A command in a host failed; the text has the command, its exit status and what it printed."""

    def __init__(self, where, command, result):
        self.status = result.returncode
        self.output = (result.stdout or "") + (result.stderr or "")
        super().__init__(
            f"{where}: {shlex.join(command)}: exit status {self.status}\n{self.output.rstrip()}"
        )


def wait_until(condition, what, seconds=10.0):
    """Returns the first true value of condition(), which is asked again and again; TimeoutError after
    seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.01)


def children(pid):
    """Process ids of the children, none when the process is gone."""
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def running(pid):
    """Whether the process exists and is no zombie."""
    try:
        # Others on the machine have any names.
        return pathlib.Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


class Host:
    """A host; start() it, and stop() it in the end."""

    tools = HERE  # where programs of the lab are found inside

    def __init__(self, name, folder, stage=None):
        self.name = name
        self.folder = pathlib.Path(folder)
        self.stage = stage
        self.init = None  # process id of host-init, as seen from outside
        self._unshare = None
        self._daemons = {}  # name -> Popen of the nsenter that holds it

    # Life

    def start(self):
        """Makes the namespaces."""
        scratch = self.folder / "scratch"
        scratch.mkdir(parents=True)
        (self.folder / "log").mkdir()
        command = [
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--uts",
            "--ipc",
            str(HERE / "host-init"),
            self.name,
            str(scratch),
            str(self.stage or ""),
        ]
        self._start_init(command)

    def _start_init(self, command):
        """Starts the first process by this command of unshare, and waits until it is ready."""
        path = self.folder / "log" / "init.log"
        with open(path, "ab") as log:
            self._unshare = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        if self._unshare.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{self.name} did not start: {path.read_text().strip()}")
        self.init = children(self._unshare.pid)[0]

    def stop(self):
        """Ends everything that runs in the host. Safe to call at any time, also twice."""
        if self._unshare is None:
            return
        self._unshare.stdin.close()
        try:
            self._unshare.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._unshare.kill()
            self._unshare.wait()
        self._unshare.stdout.close()
        for process in self._daemons.values():
            process.wait()
        self._daemons.clear()
        self._unshare = None
        self.init = None
        # A service that was ended in the wrong moment cannot do that any more.
        if EXPEDITED.read_text() == EXPEDITED_BY_SERVICE:
            EXPEDITED.write_text("0\n")
        shutil.rmtree(self.folder / "scratch", ignore_errors=True)

    # Commands

    def enter(self):
        """The command line that enters the host, for people and for subprocess."""
        return ["nsenter", "--target", str(self.init), "--mount", "--net", "--pid", "--uts", "--ipc", "--"]

    def spawn(self, command, **arguments):
        """Starts a command in the host; arguments as for subprocess.Popen."""
        arguments.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(self.enter() + command, env=ENVIRONMENT, start_new_session=True, **arguments)

    def run(self, *command, check=True, text=None, timeout=60):
        """Runs a command in the host; the result; CommandError when it fails and check is true."""
        command = [str(word) for word in command]
        result = subprocess.run(
            self.enter() + command,
            env=ENVIRONMENT,
            start_new_session=True,
            timeout=timeout,
            input=text or "",
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            check=False,
        )
        if check and result.returncode != 0:
            raise CommandError(self.name, command, result)
        return result

    def output(self, *command, **arguments):
        """What a command in the host prints."""
        return self.run(*command, **arguments).stdout

    def path(self, inside):
        """Path by which this program reaches a file of the host."""
        return pathlib.Path(f"/proc/{self.init}/root") / str(inside).lstrip("/")

    def write(self, inside, text, mode=0o644):
        """Writes a file of the host, folders included. text may be bytes."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=mode)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def set_nft_table(self, name, *lines):
        """Replaces the host's nft table inet of this name by one with these lines."""
        head = [f"table inet {name}", f"delete table inet {name}", f"table inet {name} {{"]
        self.run("nft", "-f", "-", text="\n".join([*head, *lines, "}"]) + "\n")

    def nft_counters(self, table):
        """Named counters of an nft table inet: name -> (packets, bytes)."""
        answer = json.loads(self.output("nft", "-j", "list", "counters", "table", "inet", table))
        counters = (entry["counter"] for entry in answer["nftables"] if "counter" in entry)
        return {counter["name"]: (counter["packets"], counter["bytes"]) for counter in counters}

    def sysctl(self, name, value=None):
        """Reads a sysctl of the host, or writes it."""
        if value is not None:
            self.run("sysctl", "-qw", f"{name}={value}")
        return self.output("sysctl", "-n", name).strip()

    def pids(self, name):
        """Processes of the host by the name of their program, as seen from outside."""
        try:
            mine = os.readlink(f"/proc/{self.init}/ns/pid")
        except OSError:
            return []
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or not running(entry.name):
                continue
            try:
                program = os.path.basename(os.readlink(entry / "exe"))
                if program == name and os.readlink(entry / "ns/pid") == mine:
                    found.append(int(entry.name))
            except OSError:
                continue
        return sorted(found)

    # The bus and NetworkManager

    def start_daemon(self, name, command):
        """Starts a daemon whose output goes to log/NAME.log."""
        with open(self.folder / "log" / f"{name}.log", "ab") as log:
            self._daemons[name] = self.spawn(command, stdout=log, stderr=log)

    def stop_daemon(self, name, number=signal.SIGTERM):
        """Ends a daemon with a signal and waits for its end."""
        process = self._daemons.pop(name)
        for pid in children(process.pid):
            os.kill(pid, number)
        process.wait(timeout=60)

    def start_bus(self):
        """Starts the private system bus."""
        self.path("/run/dbus/system_bus_socket").unlink(missing_ok=True)
        self.start_daemon("bus", ["dbus-daemon", "--system", "--nofork", "--nopidfile", "--nosyslog"])
        socket = self.path("/run/dbus/system_bus_socket")
        wait_until(socket.exists, f"{self.name}: the bus listens")

    def start_manager(self):
        """Starts NetworkManager and waits until it answers."""
        self.start_daemon("manager", ["/usr/sbin/NetworkManager", "--no-daemon", "--debug"])
        wait_until(
            lambda: self.run("nmcli", "-t", "-f", "RUNNING", "general", check=False).stdout == "running\n",
            f"{self.name}: NetworkManager runs",
        )

    def add_profile(self, name, interface, **properties):
        """Adds an Ethernet profile by nmcli; a property ipv4_addresses stands for ipv4.addresses."""
        words = []
        for key, value in properties.items():
            setting, _, rest = key.partition("_")
            words += [f"{setting}.{rest.replace('_', '-')}", str(value)]
        self.run(
            "nmcli",
            "connection",
            "add",
            "type",
            "ethernet",
            "con-name",
            name,
            "ifname",
            interface,
            "connection.autoconnect",
            "no",
            *words,
        )

    def set_user_data(self, profile, **pairs):
        """Writes user.data of a profile the way an editor would, unchecked: into its file. None removes a
        pair."""
        file = self.output("nmcli", "-g", "filename,name", "connection", "show").splitlines()
        path = next(line.split(":")[0] for line in file if line.endswith(":" + profile))
        lines = self.path(path).read_bytes().split(b"\n")
        if b"[user]" not in lines:
            lines += [b"[user]", b""]
        for key, value in pairs.items():
            prefix = b"underpass." + key.replace("_", "-").encode() + b"="
            lines = [line for line in lines if not line.startswith(prefix)]
            if value is not None:
                value = value if isinstance(value, bytes) else str(value).encode()
                lines.insert(lines.index(b"[user]") + 1, prefix + value)
        self.write(path, b"\n".join(lines), mode=0o600)
        self.run("nmcli", "connection", "load", path)

    def up(self, profile):
        """Activates a profile."""
        self.run("nmcli", "--wait", "20", "connection", "up", profile)

    def down(self, profile):
        """Deactivates a profile."""
        self.run("nmcli", "--wait", "20", "connection", "down", profile)
