# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input: a user gets a message that names key, value and what is allowed, and the link stays untouched.
"""

import shlex

import runner
import service
import state
from host import wait_until
from lab import address

MANY_PORTS = ",".join(str(port) for port in range(1, 20001, 2))  # 10 000 ports that no range joins
FEWER_PORTS = ",".join(
    str(port) for port in range(10001, 12601, 2)
)  # as many as fit a value of user.data (8 KiB)

# (pairs, words that the message has to have)
BAD_VALUES = [
    ({"remote-port": "443"}, ["remote-port", "remote-ports"]),  # unknown key; the one that was meant
    ({"remote-ports": "0"}, ["remote-ports", "0", "65535"]),
    ({"remote-ports": "70000"}, ["remote-ports", "70000", "65535"]),
    ({"remote-ports": "a-b"}, ["remote-ports", "a-b"]),
    ({"remote-ports": "443-80"}, ["remote-ports", "443"]),
    ({"remote-ports": ""}, ["remote-ports"]),  # tunnel=yes without any port
    ({"remote-ports": "443", "mtu": "0x500"}, ["mtu", "0x500"]),
    ({"remote-ports": "443", "mptcp-only": "maybe"}, ["mptcp-only", "maybe"]),
    ({"remote-ports": "443", "remote-addresses": "10.0.0.1/8"}, ["remote-addresses", "10.0.0.0/8"]),
]


def message_has(message, words, what):
    """Asserts that the message has all the words."""
    missing = [word for word in words if word not in message]
    assert message.strip() and not missing, f"{what}: {missing} not in the message: {message}"


def refused_in_file(lab, name, text, words):
    """The text is a file profile of c0 with a value that is not taken: LastError says so with these
    words, and the link stays as it was."""
    path = f"/etc/underpass/{name}"
    before = state.host_state(lab.client)
    lab.client.write(path, text)
    reload = lab.client.run("underpassctl", "reload", check=False)
    assert reload.returncode == 1 and "c0 failed: " in reload.stderr, f"{reload.returncode}: {reload.stderr}"
    found = service.wait_state(lab.client, "c0", "failed")
    message_has(found["LastError"], [*words, path], "LastError")
    state.assert_same(before, state.host_state(lab.client), "the link is not untouched")
    runner.note(found["LastError"][:300])


def refused_in_profile(lab, pairs, words):
    """The values stand in the profile, put there by something that does not check; the link stays as without
    Underpass."""
    all_keys = dict.fromkeys(
        ("tunnel", "remote-port", "remote-ports", "mtu", "mptcp-only", "remote-addresses")
    )
    lab.client.set_user_data("first", **{key.replace("-", "_"): None for key in all_keys})
    lab.client.up("first")
    before = state.host_state(lab.client)
    lab.client.down("first")
    lab.client.set_user_data(
        "first", tunnel="yes", **{key.replace("-", "_"): value for key, value in pairs.items()}
    )
    lab.client.up("first")
    found = service.wait_state(lab.client, "c0", "failed")
    state.assert_same(before, state.host_state(lab.client), f"{pairs}: the link is not untouched")
    message_has(found["LastError"], words, f"LastError with {str(pairs)[:80]}")
    for verb in ("explain", "status"):
        words_here = words if verb == "explain" else words[:1]
        message_has(
            lab.client.output("underpassctl", verb, "c0"), words_here, f"{verb} with {str(pairs)[:80]}"
        )
    runner.note(f"{str(pairs)[:60]}: {found['LastError'][:300]}")
    lab.client.down("first")


def test_bad_values_in_a_profile():
    """Values that got into user.data without underpassctl."""
    with runner.TestLab() as lab:
        for pairs, words in BAD_VALUES + [({"remote-ports": FEWER_PORTS}, ["remote-ports", "32"])]:
            refused_in_profile(lab, pairs, words)


def test_bad_values_for_underpassctl():
    """underpassctl refuses before anything is written."""
    with runner.TestLab() as lab:
        path = "/etc/NetworkManager/system-connections/first.nmconnection"
        before = lab.client.path(path).read_bytes()
        for pairs, words in BAD_VALUES + [({"remote-ports": MANY_PORTS}, ["remote-ports", "10000", "32"])]:
            command = ["underpassctl", "profile", "set", "first", "tunnel=yes"]
            result = lab.client.run(
                *command, *[f"{key}={value}" for key, value in pairs.items()], check=False
            )
            assert result.returncode != 0, f"{pairs} was accepted"
            message_has(result.stderr, words, f"underpassctl with {str(pairs)[:80]}")
            runner.note(result.stderr.strip()[:300])
        assert lab.client.path(path).read_bytes() == before, "the profile was written"


def test_not_utf8():
    """Bytes that are no UTF-8, by underpassctl and in a file of /etc/underpass."""
    with runner.TestLab() as lab:
        # printf in a shell: arguments of this program could not carry such bytes.
        command = (
            "underpassctl profile set first tunnel=yes \"remote-ports=$(printf '4\\37743')\" 2>/run/message"
        )
        result = lab.client.run("sh", "-c", command, check=False)
        assert result.returncode != 0, "was accepted"
        message = lab.client.path("/run/message").read_bytes().decode("utf-8", errors="strict")
        message_has(message, ["remote-ports"], "underpassctl")
        runner.note(message.strip())
        lab.client.up("first")
        text = b"[Match]\nName=c0\n\n[X-Underpass]\nTunnel=yes\nRemotePorts=4\xff43\n"
        refused_in_file(lab, "bad.conf", text, ["RemotePorts"])


def test_too_many_ports_in_a_file():
    """10 000 ports in a file of /etc/underpass."""
    with runner.TestLab() as lab:
        lab.client.up("first")
        text = f"[Match]\nName=c*\n\n[X-Underpass]\nTunnel=yes\nRemotePorts={MANY_PORTS}\n"
        refused_in_file(lab, "many.conf", text, ["RemotePorts"])


def test_mtu_too_small_for_ipv6():
    """An MTU below 1280 on a link with IPv6; without IPv6 it is fine."""
    with runner.TestLab() as lab:
        lab.client.up("first")
        before = state.host_state(lab.client)
        lab.client.down("first")
        service.set_keys(lab.client, "first", "tunnel=yes", "remote-ports=8443", "mtu=1200")
        lab.client.up("first")
        found = service.wait_state(lab.client, "c0", "failed")
        message_has(found["LastError"], ["mtu", "1200", "1280"], "LastError")
        state.assert_same(before, state.host_state(lab.client), "the link is not untouched")
        runner.note(found["LastError"])
        lab.client.down("first")
        lab.client.run("nmcli", "connection", "modify", "first", "ipv6.method", "disabled", "ipv6.addresses", "", "ipv6.gateway", "")
        lab.client.up("first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        assert "mtu 1200" in lab.client.output("ip", "link", "show", "c0")
        # Such an MTU takes all of IPv6 from the link, also that it was switched off.
        service.set_keys(lab.client, "first", "mtu=auto")
        lab.client.run("nmcli", "device", "reapply", "c0")
        wait_until(lambda: "mtu 1500" in lab.client.output("ip", "link", "show", "c0"), "MTU")
        assert lab.client.output("sysctl", "-n", "net.ipv6.conf.c0.disable_ipv6").strip() == "1"


def test_foreign_filters_stay():
    """Filters of others on the link run beside the tunnel's programs and are still there afterwards."""
    with runner.TestLab() as lab:
        lab.client.up("first")
        lab.client.run("tc", "qdisc", "add", "dev", "c0", "clsact")
        for way in ("ingress", "egress"):
            lab.client.run(
                "tc",
                "filter",
                "add",
                "dev",
                "c0",
                way,
                "protocol",
                "all",
                "prio",
                "7",
                "u32",
                "match",
                "u32",
                "0",
                "0",
                "flowid",
                "1:1",
            )
        before = state.host_state(lab.client)
        service.set_keys(lab.client, "first", "tunnel=yes", "remote-ports=8443", options=("--reapply",))
        service.wait_state(lab.client, "c0", service.ACTIVE)
        assert lab.client.output("tc", "filter", "show", "dev", "c0", "egress").count("u32") >= 1
        lab.client.run("underpassctl", "deactivate", "c0")
        state.assert_same(before, state.host_state(lab.client), "filters of others")


def test_vanished_interface():
    """The interface is deleted under the tunnel and asked for afterwards; the other link does not notice."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        service.wait_state(lab.client, "c1", service.ACTIVE)
        lab.client.run("ip", "link", "del", "c1")
        for words in (("activate", "c1"), ("explain", "c1"), ("deactivate", "c1")):
            result = lab.client.run("underpassctl", *words, check=False)
            assert result.returncode != 0, shlex.join(words)
            message_has(result.stderr, ["c1"], shlex.join(words))
            runner.note(result.stderr.strip())
        service.wait_state(lab.client, "c0", service.ACTIVE)
        lab.client.down("first")
        service.wait_state(lab.client, "c0", "off")
        assert "underpass" not in lab.client.output("find", "/sys/fs/bpf"), "pins are left"
        assert "underpass" not in lab.client.output("ip", "link"), "helper devices are left"


def test_names_of_no_link():
    """Names that no interface can have."""
    with runner.TestLab() as lab:
        for name in ("", "nonsense", "a/b", "x" * 300, "c0; reboot", address("c0")):
            result = lab.client.run("underpassctl", "activate", name, check=False)
            assert result.returncode != 0 and result.stderr.strip(), f"{name!r}: {result}"
