"""The host after a tunnel is byte for byte the host before it: after down, signals, crashes at every step (M5.4)."""
import os
import pathlib
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from host_net import (CLIENT, NAMES, ROGUE, SERVER, SERVER6, TUNNEL_CLIENT, VPN, WEB, WEB6, Daemon, World, client_packets_in_clear, differences, kill,
                      make_world, state_of, wait_for)
from running import cannot_run

pytestmark = [pytest.mark.lab, pytest.mark.req("M5.4")]

# Every kind of change there is.
EVERYTHING = f"KillSwitch = on\nGateway = on\nMasquerade = eth0\nDNS = {NAMES}, corp.example\nAllowLan = 192.168.7.0/24"
CYCLES = int(os.environ.get("VPN_HOST_CYCLES", "25"))


@pytest.fixture
def world() -> Iterator[World]:
    with make_world() as made:
        yield made


def assert_unchanged(world: World, before: dict[str, str], when: str) -> None:
    wait_for(lambda: "cli0" not in world.client.sh("ip -o link"), "the interface to be gone")
    assert differences(before, state_of(world.client)) == "", when


def start_daemon(world: World, config: str, fault: int = 0) -> "tuple[subprocess.Popen[str], bool]":
    """The daemon in the foreground, and whether it serves; it dies at the fault point with this number."""
    control = world.client.path("/run/wireguard/cli0.sock")
    control.unlink(missing_ok=True)  # of one that was killed
    process = world.client.start(VPN, "daemon", config, env={"VPN_FAULT_AT": str(fault), "VPN_LOG_LEVEL": "error"})
    wait_for(lambda: control.exists() or process.poll() is not None, "the daemon to serve, or to die")
    return process, process.poll() is None


def cleanup(world: World, config: str) -> None:
    world.client.run(VPN, "cleanup")


def restart(world: World, config: str) -> None:
    """The next start finds everything as it would be without the crash, and leaves nothing of either."""
    process, serves = start_daemon(world, config)
    assert serves
    world.client.run(VPN, "down", "cli0")
    assert process.wait(20) == 0


@pytest.mark.parametrize("recover", [cleanup, restart])
def test_kill_at_every_step(world: World, recover: Callable[[World, str], None]) -> None:
    before = state_of(world.client)
    config = world.client_config(EVERYTHING)
    deaths = {"up": 0, "down": 0}
    for fault in range(1, 200):
        process, serves = start_daemon(world, config, fault)
        if serves:
            down = world.client.run(VPN, "down", "cli0", check=False)
            code = process.wait(20)
            if code == 0:
                assert down.returncode == 0
                break
        step = "down" if serves else "up"
        assert process.wait(20) != 0
        deaths[step] += 1
        if recover is restart or not serves:
            recover(world, config)  # after a death in down, 'vpn down' itself has cleaned up
        assert_unchanged(world, before, f"fault point {fault}, in {step}")
    else:
        pytest.fail("there is no end of fault points")
    assert_unchanged(world, before, "no fault")
    assert deaths["up"] >= 15 and deaths["down"] >= 15, deaths


def test_many_cycles_leave_nothing(world: World) -> None:
    before = state_of(world.client)
    config = world.client_config(EVERYTHING)
    for _ in range(CYCLES):
        world.client.run(VPN, "up", config)
        world.client.run(VPN, "down", "cli0")
    assert_unchanged(world, before, f"{CYCLES} cycles")


@pytest.mark.parametrize("end", ["INT", "TERM"])
def test_signals_undo_everything(world: World, end: str) -> None:
    before = state_of(world.client)
    process, serves = start_daemon(world, world.client_config(f"Gateway = on\nDNS = {NAMES}"))
    assert serves
    process.send_signal(getattr(signal, f"SIG{end}"))
    assert process.wait(20) == 0
    assert_unchanged(world, before, end)


def test_kill_switch_outlives_crash_and_restart_of_the_daemon(world: World) -> None:
    world.serve()
    before = state_of(world.client)
    config = world.client_config("KillSwitch = on")
    process, serves = start_daemon(world, config)
    assert serves and world.client.ask("tcp", WEB, 80) == SERVER
    capture = world.on_client_link()
    kill(process)
    wait_for(lambda: "cli0" not in world.client.sh("ip -o link"), "the interface to be gone")
    assert world.client.ask("tcp", WEB, 80, 1) == ""
    process, serves = start_daemon(world, config)
    assert serves and world.client.ask("tcp", WEB, 80) == SERVER
    process.terminate()  # as a service manager restarts it
    assert process.wait(20) == 0
    assert world.client.ask("tcp", WEB, 80, 1) == ""
    assert client_packets_in_clear(capture.lines(world.end_of_capture())) == []
    world.client.run(VPN, "down", "cli0")
    assert_unchanged(world, before, "down")
    assert world.client.ask("tcp", WEB, 80) == CLIENT


def test_a_start_that_fails_leaves_no_kill_switch_that_was_not_there(world: World) -> None:
    """M5.2: nobody expects a host to be shut by a tunnel that never was; one that stood for an earlier daemon stands on."""
    before = state_of(world.client)
    failing = world.client_config("KillSwitch = on\nPostUp = exit 3")
    assert "exit status 3" in world.client.run(VPN, "up", failing, check=False).stderr
    assert_unchanged(world, before, "the first start")
    process, serves = start_daemon(world, world.client_config("KillSwitch = on"))
    assert serves
    kill(process)
    shut = world.client.sh("nft list table inet vpn_cli0")
    assert "exit status 3" in world.client.run(VPN, "up", world.client_config("KillSwitch = on\nPostUp = exit 3"), check=False).stderr
    assert world.client.sh("nft list table inet vpn_cli0").splitlines()[0] == shut.splitlines()[0], "it stands on"
    world.client.run(VPN, "cleanup", "cli0")
    assert_unchanged(world, before, "cleanup")


def start_inside(world: World, namespace: str, config: str) -> "subprocess.Popen[str]":
    """The daemon in a network namespace within the client, which has the same folders."""
    process = world.client.start("ip", "netns", "exec", namespace, VPN, "daemon", config)
    control = world.client.path("/run/wireguard/cli0.sock")
    wait_for(lambda: control.exists() or process.poll() is not None, "the daemon to serve")
    assert process.poll() is None
    return process


def test_what_is_left_of_a_namespace_that_is_gone_blocks_nobody(world: World) -> None:
    """As a container that is started again has it: a network of its own, which is new, and folders that are not."""
    config = world.client_config("KillSwitch = on")
    for number in range(2):
        world.client.sh("ip netns add inner; ip -n inner link set lo up")
        kill(start_inside(world, "inner", config))
        world.client.sh("rm -f /run/wireguard/cli0.sock; ip netns delete inner")
    left = world.client.sh("ls /run/vpn").split()
    assert len(left) == 2
    said = world.client.run(VPN, "cleanup").stderr
    assert all(f"/run/vpn/{file}: tells of another network namespace; remedy: " in said for file in left)
    before = state_of(world.client)
    process, serves = start_daemon(world, config)
    assert serves, "an interface of the same name in another namespace"
    world.client.run(VPN, "down", "cli0")
    assert process.wait(20) == 0
    assert_unchanged(world, before, "down")


@pytest.mark.parametrize("recover", [cleanup, restart])
def test_a_journal_of_the_version_before_is_found(world: World, recover: Callable[[World, str], None]) -> None:
    """Its name said nothing of the namespace."""
    before = state_of(world.client)
    config = world.client_config("KillSwitch = on")
    process, serves = start_daemon(world, config)
    assert serves
    kill(process)
    world.client.sh("mv /run/vpn/cli0@*.journal /run/vpn/cli0.journal")
    recover(world, config)
    assert_unchanged(world, before, "recovery")


@pytest.mark.parametrize("prepare, says", [
    ("mkdir -m 777 /run/vpn", "/run/vpn: others than root may write there"),
    ("ln -s /tmp /run/vpn", "/run/vpn: others than root may write there"),
    ("mkdir /run/vpn; ln -s /run/elsewhere /run/vpn/JOURNAL", "Too many levels of symbolic links; remedy: remove the symbolic link"),
])
def test_a_journal_that_others_might_have_written_is_refused(world: World, prepare: str, says: str) -> None:
    world.client.run(VPN, "up", world.client_config())
    journal = world.client.sh("ls /run/vpn").strip()
    world.client.run(VPN, "down", "cli0")
    world.client.sh(prepare.replace("JOURNAL", journal))
    refused = world.client.run(VPN, "up", world.client_config(), check=False)
    assert refused.returncode == 1 and says in refused.stderr and "remedy: " in refused.stderr
    assert not world.client.path("/run/elsewhere").exists()


def test_what_others_changed_meanwhile_stays_and_is_said(world: World) -> None:
    config = world.client_config(f"Gateway = on\nDNS = {NAMES}")
    process, serves = start_daemon(world, config)
    assert serves
    world.client.sh("echo 2 >/proc/sys/net/ipv4/conf/all/src_valid_mark; echo nameserver 192.0.2.1 >>/etc/resolv.conf")
    kill(process)
    said = world.client.run(VPN, "cleanup", "cli0").stderr
    assert "src_valid_mark is 2 by now" in said and "name servers were changed meanwhile" in said
    assert world.client.sh("cat /proc/sys/net/ipv4/conf/all/src_valid_mark") == "2\n"
    assert "nameserver 192.0.2.1\n" in world.client.sh("cat /etc/resolv.conf")


@pytest.mark.parametrize("removal", ["nft flush ruleset", "nft delete table inet vpn_cli0"])
def test_a_firewall_that_somebody_removes_is_made_again(world: World, removal: str) -> None:
    """M5.4: as a restart of nftables.service does, which flushes everybody's rules; and it still goes at the end."""
    world.serve()
    before = state_of(world.client)
    process, serves = start_daemon(world, world.client_config("KillSwitch = on"))
    assert serves and world.client.ask("tcp", WEB, 80) == SERVER
    rules = world.client.sh("nft list table inet vpn_cli0")
    for _ in range(3):
        world.client.sh(removal)
        wait_for(lambda: world.client.sh("nft list table inet vpn_cli0 2>&1 || true") == rules, "the rules to be back")
    assert world.client.ask("tcp", WEB, 80) == SERVER
    kill(process)
    wait_for(lambda: "cli0" not in world.client.sh("ip -o link"), "the interface to be gone")
    assert world.client.ask("tcp", WEB, 80, 1) == "", "the kill switch stands"
    world.client.run(VPN, "cleanup", "cli0")
    assert_unchanged(world, before, "cleanup")


# What of a full tunnel others remove, on purpose or not: systemd-networkd that starts again takes every rule that is not its own.
REMOVALS = {
    "rules": "ip rule del pref 5180; ip -6 rule del pref 5180",
    "link": "ip link set cli0 down; ip link set cli0 up",
    "routes": "ip route flush table 51820; ip -6 route flush table 51820",
    "addresses": "ip addr flush dev cli0",
}


@pytest.mark.req("M5.1", "M5.3")
@pytest.mark.parametrize("kill_switch", ["on", "off"])
@pytest.mark.parametrize("removal", REMOVALS)
def test_routes_that_somebody_removes_are_added_again(world: World, removal: str, kill_switch: str) -> None:
    """Twice, as after each the daemon waits longer; with the kill switch nothing leaves in clear meanwhile. All still goes at the end."""
    world.serve()
    before = state_of(world.client)
    daemon = Daemon(world, world.client_config(f"KillSwitch = {kill_switch}\nAllowLan = 172.16.0.0/16"))
    network = ("ipv4", "ipv6", "addresses")

    def of_network() -> dict[str, str]:
        now = state_of(world.client)  # the kernel's own address of the interface is another each time
        return {what: "\n".join(sorted(line for line in now[what].splitlines() if "fe80:" not in line)) for what in network}

    up = of_network()
    capture = world.on_client_link()
    for _ in range(2):
        world.client.sh(REMOVALS[removal])
        wait_for(lambda: of_network() == up, f"the {removal} to be back")
        assert {address: world.client.ask("tcp", address, 80) for address in (WEB, WEB6)} == {WEB: SERVER, WEB6: SERVER6}
    assert "what somebody else has removed is added again" in daemon.log
    assert daemon.log.count("added again") <= 8, daemon.log
    if kill_switch == "on":
        assert client_packets_in_clear(capture.lines(world.end_of_capture())) == []
    world.client.run(VPN, "down", "cli0")
    assert daemon.process.wait(20) == 0
    assert_unchanged(world, before, "down")


def test_an_interface_that_somebody_takes_down_stays_down(world: World) -> None:
    """It is said, with what to do; nothing is added to it, and no event leads to the next."""
    world.serve()
    before = state_of(world.client)
    daemon = Daemon(world, world.client_config())
    world.client.sh("ip link set cli0 down; ip rule del pref 5180")
    wait_for(lambda: "somebody has taken the interface down" in daemon.log, "it to be said")
    wait_for(lambda: "fwmark" in world.client.sh("ip rule"), "the rule to be back")
    assert "ip link set cli0 up" in daemon.log and "cannot be added again" not in daemon.log
    world.client.sh("ip link set cli0 up")
    wait_for(lambda: world.client.ask("tcp", WEB, 80, 1) == SERVER, "the tunnel")
    kill(daemon.process)
    world.client.run(VPN, "cleanup", "cli0")
    assert_unchanged(world, before, "cleanup")


@pytest.mark.req("M5.1", "M5.3")
@pytest.mark.parametrize("end", ["down", "killed"])
def test_nothing_goes_past_a_full_tunnel_whose_interface_is_gone(world: World, end: str) -> None:
    """Without a kill switch too: what finds no way into the tunnel finds none at all, until the daemon is back or `vpn cleanup`."""
    world.serve()
    before = state_of(world.client)
    daemon = Daemon(world, world.client_config())
    assert {address: world.client.ask("tcp", address, 80) for address in (WEB, WEB6)} == {WEB: SERVER, WEB6: SERVER6}
    if end == "down":
        world.client.sh("ip link set cli0 down")
        wait_for(lambda: "the interface is down" in daemon.log, "it to be followed")
    else:
        kill(daemon.process)
        wait_for(lambda: "cli0" not in world.client.sh("ip -o link"), "the interface to be gone")
    capture = world.on_client_link()
    assert {address: world.client.ask("udp", address, 9, 1) for address in (WEB, WEB6)} == {WEB: "", WEB6: ""}
    assert world.client.run("ping", "-c1", "-W1", WEB, check=False).returncode != 0
    assert client_packets_in_clear(capture.lines(world.end_of_capture())) == []
    if end == "down":
        world.client.sh("ip link set cli0 up")
        wait_for(lambda: world.client.ask("tcp", WEB, 80, 1) == SERVER, "the tunnel")
        kill(daemon.process)
    world.client.run(VPN, "cleanup", "cli0")
    assert_unchanged(world, before, "cleanup")


def test_a_peer_that_moves_costs_no_line_of_the_journal(world: World) -> None:
    """The kill switch lets out to where it is by now; what undoes it is the same, and is written once."""
    config = world.client_config("KillSwitch = on")
    process, serves = start_daemon(world, config)
    assert serves
    (journal,) = world.client.path("/run/vpn").glob("cli0@*.journal")
    before = journal.read_text()
    for port in range(5001, 5006):
        world.client.run("wg", "set", "cli0", "peer", world.keys["server"][1], "endpoint", f"{SERVER}:{port}")
        wait_for(lambda port=port: f" . {port} " in world.client.sh("nft list table inet vpn_cli0"), "the kill switch to follow")  # type: ignore[misc]
    assert journal.read_text() == before
    kill(process)
    world.client.run(VPN, "cleanup", "cli0")
    assert "vpn_cli0" not in world.client.sh("nft list ruleset")


def test_cleanup_leaves_a_running_tunnel_alone(world: World) -> None:
    world.client.run(VPN, "up", world.client_config("KillSwitch = on"))
    up = state_of(world.client)
    assert world.client.run(VPN, "cleanup").returncode == 0
    refused = world.client.run(VPN, "cleanup", "cli0", check=False)
    assert refused.returncode == 1 and "a running daemon has it" in refused.stderr
    assert state_of(world.client) == up


@pytest.mark.parametrize("interface", ["", "cli0"])
def test_cleanup_leaves_a_running_tunnel_of_another_namespace_its_name_servers(world: World, interface: str) -> None:
    """Whose /etc is the same: what was there before the tunnel is found there, but the tunnel is not over."""
    world.client.run(VPN, "up", world.client_config(f"DNS = {NAMES}"))
    world.client.sh("ip netns add inner; ip -n inner link set lo up")
    world.client.run("ip", "netns", "exec", "inner", VPN, "cleanup", *filter(None, [interface]))
    assert name_servers(world) == [NAMES]
    world.client.run(VPN, "down", "cli0")
    assert name_servers(world) == ["192.168.7.1"]


def test_reload_undoes_what_the_file_no_longer_says(world: World) -> None:
    world.client.run(VPN, "up", world.client_config(allowed="10.50.0.0/16"))
    few = state_of(world.client)
    world.client.run(VPN, "reload", world.client_config("Gateway = on", allowed="10.50.0.0/16, 10.60.0.0/16"))
    assert "10.60.0.0/16" in world.client.sh("ip route") and "masquerade" in world.client.sh("nft list ruleset")
    world.client.run(VPN, "reload", world.client_config(allowed="10.50.0.0/16"))
    assert differences(few, state_of(world.client)) == ""


# The name servers' three ways.
FAKE_RESOLVCONF = """#!/bin/sh
echo "$@" >>/run/resolvconf.log
[ "$1" = -a ] && cat >>/run/resolvconf.log
exit 0
"""


def test_resolvconf_is_told(world: World) -> None:
    before = world.client.sh("cat /etc/resolv.conf")
    world.client.sh("mkdir -p /run/bin")
    program = world.client.path("/run/bin/resolvconf")
    program.write_text(FAKE_RESOLVCONF)
    program.chmod(0o755)
    path = {"PATH": "/run/bin:" + os.environ["PATH"]}
    world.client.run(VPN, "up", world.client_config(f"DNS = {NAMES}, corp.example"), env=path)
    assert world.client.sh("cat /etc/resolv.conf") == before
    world.client.run(VPN, "down", "cli0", env=path)
    assert world.client.sh("cat /run/resolvconf.log").splitlines() == [
        "-a cli0 -m 0 -x", f"nameserver {NAMES}", "search corp.example", "-d cli0 -f"]


# ci/install-deps lays their files down here: installed, either would take over the resolv.conf of the machine that tests.
UNPACKED = pathlib.Path("/var/cache/vpn-test-packages")


def lay_down(world: World, package: str) -> None:
    """The package as if it were installed, in the client only, with the LAN's name server given by DHCP."""
    files = UNPACKED / package
    if not (files / "sbin/resolvconf").exists():
        cannot_run(f"{package} is not unpacked in {files}", "sudo ci/install-deps")
    for folder in ("sbin", "lib"):
        world.client.sh(f"mount -t overlay overlay -o lowerdir={files}/{folder}:/usr/{folder} /usr/{folder}")
    world.client.sh(f"cp -a {files}/etc/. /etc/; mkdir -p /run/resolvconf/interface; touch /run/resolvconf/enable-updates")
    if package == "resolvconf":
        world.client.sh("ln -sf /run/resolvconf/resolv.conf /etc/resolv.conf")
    world.client.sh("echo 'nameserver 192.168.7.1' | resolvconf -a eth0.dhclient")
    assert name_servers(world) == ["192.168.7.1"]


def name_servers(world: World) -> list[str]:
    return [line.split()[1] for line in world.client.sh("cat /etc/resolv.conf").splitlines() if line.startswith("nameserver")]


@pytest.mark.req("M5.3")
@pytest.mark.parametrize("end", ["down", "TERM", "kill"])
@pytest.mark.parametrize("package, servers", [("resolvconf", [NAMES, "192.168.7.1"]), ("openresolv", [NAMES])])
def test_a_real_resolvconf_puts_the_tunnels_name_server_first(world: World, package: str, servers: list[str], end: str) -> None:
    """Debian's, which knows no exclusive record, and openresolv, which does."""
    lay_down(world, package)
    before = state_of(world.client)
    process, serves = start_daemon(world, world.client_config(f"DNS = {NAMES}, corp.example"))
    assert serves and name_servers(world) == servers
    assert "corp.example" in world.client.sh("grep ^search /etc/resolv.conf")
    if end == "kill":
        kill(process)
        assert name_servers(world) == servers
        world.client.run(VPN, "cleanup", "cli0")
    else:
        if end == "TERM":
            process.terminate()
        else:
            world.client.run(VPN, "down", "cli0")
        assert process.wait(20) == 0
    assert_unchanged(world, before, end)


@pytest.mark.req("M5.3")
@pytest.mark.parametrize("method", ["resolvconf", "openresolv", "file"])
def test_search_domains_alone_leave_the_name_servers(world: World, method: str) -> None:
    """Whoever gives no server has none to give: names go on being asked for as before, and with the domain."""
    if method != "file":
        lay_down(world, method)
    before = state_of(world.client)
    world.client.run(VPN, "up", world.client_config("DNS = corp.example", allowed="10.50.0.0/16"))
    assert name_servers(world) == ["192.168.7.1"]
    assert "corp.example" in world.client.sh("grep ^search /etc/resolv.conf")
    world.client.run(VPN, "down", "cli0")
    assert_unchanged(world, before, "down")


@pytest.mark.req("M5.3", "W4")
@pytest.mark.parametrize("method", ["resolvconf", "file"])
@pytest.mark.parametrize("user", ["", "User = nobody"])
def test_a_confined_daemon_sets_other_name_servers_and_takes_them_back(world: World, method: str, user: str) -> None:
    """By a reload, and by a signal, after which nobody else cleans up."""
    if method == "resolvconf":
        lay_down(world, "openresolv")
    before = state_of(world.client)
    process, serves = start_daemon(world, world.client_config(f"DNS = {NAMES}\n{user}"))
    assert serves and name_servers(world) == [NAMES]
    config = pathlib.Path(world.client_config(f"DNS = 203.0.113.54\n{user}"))
    for one in (config.parent.parent, config.parent, config):
        one.chmod(0o755)  # for the user to read it
    world.client.run(VPN, "reload", "cli0")
    assert name_servers(world) == ["203.0.113.54"]
    process.terminate()
    assert process.wait(20) == 0
    assert state_of(world.client)["resolv.conf"] == before["resolv.conf"]
    if user:
        world.client.run(VPN, "cleanup")  # the journal's file, which is empty by now: its folder is root's
    assert_unchanged(world, before, "SIGTERM")


def test_a_resolvconf_that_is_not_in_charge_is_left_alone(world: World) -> None:
    """Debian's is installed, but /etc/resolv.conf is a file of its own: what it is told changes nothing there."""
    lay_down(world, "resolvconf")
    world.client.sh("rm /etc/resolv.conf; echo 'nameserver 192.168.7.1' >/etc/resolv.conf")
    before = state_of(world.client)
    world.client.run(VPN, "up", world.client_config(f"DNS = {NAMES}"))
    assert name_servers(world) == [NAMES]
    world.client.run(VPN, "down", "cli0")
    assert_unchanged(world, before, "down")


@pytest.mark.parametrize("kind", ["link", "none"])
def test_a_link_or_no_file_at_all_comes_back(world: World, kind: str) -> None:
    world.client.sh("rm /etc/resolv.conf")
    if kind == "link":
        world.client.sh("echo 'nameserver 192.0.2.7' >/run/real; ln -s ../run/real /etc/resolv.conf")
    before = world.client.sh("ls -l /etc | grep resolv || true; cat /run/real 2>/dev/null || true")
    world.client.run(VPN, "up", world.client_config(f"DNS = {NAMES}"))
    assert f"nameserver {NAMES}" in world.client.sh("cat /etc/resolv.conf")
    world.client.run(VPN, "down", "cli0")
    assert world.client.sh("ls -l /etc | grep resolv || true; cat /run/real 2>/dev/null || true") == before


@pytest.mark.req("M5.5")
@pytest.mark.parametrize("began", ["before", "after", "before a reload"])
def test_a_session_from_outside_survives(world: World, began: str) -> None:
    """SSH's way: a TCP session to the client from outside goes on, and a new one can be begun, while all else is tunnelled; also where a
    reload makes a split tunnel a full one."""
    world.serve()
    echo = "import socket\ns = socket.create_server(('', 22))\nprint('ready', flush=True)\nc, _ = s.accept()\nwhile d := c.recv(99): c.sendall(d)\n"
    world.client.start("/usr/bin/python3", "-c", echo, ready="ready")
    if began == "before a reload":
        world.client.run(VPN, "up", world.client_config(allowed=f"{NAMES}/32"))
    call = (f"import socket, sys\nc = socket.create_connection(('{CLIENT}', 22), 5)\nprint('ready', flush=True)\nfor line in sys.stdin:\n"
            "    c.sendall(line.encode()); print(c.recv(99).decode().strip(), flush=True)\n")

    def connect() -> "subprocess.Popen[str]":
        process = subprocess.Popen(world.internet.lasting("/usr/bin/python3", "-c", call), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    session = connect() if began != "after" else None
    world.client.run(VPN, "reload" if began == "before a reload" else "up", world.client_config())
    session = session or connect()
    try:
        assert session.stdin is not None and session.stdout is not None
        session.stdin.write("still there\n")
        session.stdin.flush()
        assert session.stdout.readline() == "still there\n"
    finally:
        session.kill()
        session.communicate()
    assert world.client.ask("tcp", WEB, 80) == SERVER


# What is wrong, and the whole line that says so, behind the name of the file.
OWN_ENDPOINT = ("198.51.100.10 is inside AllowedIPs 198.51.100.0/24, so that the tunnel would run through itself; remedy: take it out of "
                "AllowedIPs, or give FwMark and a rule that keeps marked packets out")
BAD = {
    "endpoint inside": (dict(allowed="198.51.100.0/24"), f":8: Endpoint: {OWN_ENDPOINT}"),
    "second endpoint inside": (dict(allowed="198.51.100.0/24", endpoint=f"192.0.2.1:1\nEndpoint = {SERVER}:51820"), f":8: Endpoint: {OWN_ENDPOINT}"),
    "name": (dict(endpoint="no-such-host.invalid:1"), ":8: Endpoint: 'no-such-host.invalid:1' does not resolve: "),
    "masquerade": (dict(interface="Masquerade = eth9"), ":4: Masquerade: there is no interface eth9; remedy: give one that 'ip link' shows"),
    "lan": (dict(interface="AllowLan = 203.0.113.0/24"), ":4: AllowLan: "),
    "mark": (dict(interface="FwMark = 254"), ": FwMark: 254 is also the number of a table of the system's own; remedy: choose another, a full tunnel has "
             "the table of this number"),
}


def assert_refused(refused: "subprocess.CompletedProcess[str]", line: str) -> None:
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1 and "remedy: " in refused.stderr
    said = refused.stderr.rstrip("\n")
    assert line in said and (not line.partition("remedy: ")[2] or said.endswith(line)), said


@pytest.mark.parametrize("case", BAD)
def test_bad_input_changes_nothing(world: World, case: str) -> None:
    options, line = BAD[case]
    before = state_of(world.client)
    refused = world.client.run(VPN, "up", world.client_config(**options), check=False)
    assert_refused(refused, f"cli0.conf{line}")
    assert differences(before, state_of(world.client)) == ""


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_reload_too(world: World, case: str) -> None:
    options, line = BAD[case]
    world.client.run(VPN, "up", world.client_config(allowed="10.50.0.0/16"))
    up = state_of(world.client)
    refused = world.client.run(VPN, "reload", world.client_config(**options), check=False)
    assert_refused(refused, f"cli0.conf{line}")
    assert differences(up, state_of(world.client)) == ""


@pytest.mark.parametrize("verb", ["up", "reload"])
def test_a_second_full_tunnel_is_refused(world: World, verb: str) -> None:
    world.client.run(VPN, "up", world.client_config(name="cli1"))
    if verb == "reload":
        world.client.run(VPN, "up", world.client_config(allowed="10.50.0.0/16"))
        wait_for(lambda: "10.50.0.0/16 dev cli0" in world.client.run("ip", "route", "show", "table", "51820").stdout, "the full one to leave it its own")
    up = state_of(world.client)
    refused = world.client.run(VPN, verb, world.client_config(), check=False)
    assert_refused(refused, "cli0.conf: AllowedIPs: another full tunnel is up; remedy: take it down, or make one of the two a split tunnel")
    assert differences(up, state_of(world.client)) == ""


NO_NFTABLES = """
struct nft_ctx;
int nft_run_cmd_from_buffer(struct nft_ctx *context, const char *commands) { return -1; }
const char *nft_ctx_get_error_buffer(struct nft_ctx *context) { return "Protocol not supported"; }
"""


def test_a_kernel_without_nftables_is_named(world: World) -> None:
    source, library = world.folder / "none.c", world.folder / "none.so"
    source.write_text(NO_NFTABLES)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    before = state_of(world.client)
    refused = world.client.run(VPN, "up", world.client_config(), check=False, env={"LD_PRELOAD": str(library)})
    assert_refused(refused, "nftables: not to be had here: Protocol not supported; remedy: run as root on a kernel with nf_tables, or take KillSwitch, "
                   "Gateway and the full tunnel out of the configuration")
    assert differences(before, state_of(world.client)) == ""


READ_ONLY = {
    "resolv.conf": ("mount -t tmpfs tmpfs /mnt && cp -a /etc/. /mnt/ && mount --bind /mnt /etc && mount -o remount,ro,bind /etc",
                    f"DNS = {NAMES}", "/etc/resolv.conf: cannot be replaced"),
    "mounted resolv.conf": ("touch /run/other && mount --bind /run/other /etc/resolv.conf", f"DNS = {NAMES}",
                            "/etc/resolv.conf: cannot be replaced"),
    "sysctl": ("mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys", "Gateway = on", "/proc/sys/net"),
}


@pytest.mark.parametrize("case", READ_ONLY)
def test_what_cannot_be_written_is_an_error_before_anything_is_done(world: World, case: str) -> None:
    prepare, interface, problem = READ_ONLY[case]
    world.client.sh(prepare)
    before = state_of(world.client)
    refused = world.client.run(VPN, "up", world.client_config(interface), check=False)
    assert refused.returncode == 1 and problem in refused.stderr and "remedy: " in refused.stderr
    assert differences(before, state_of(world.client)) == ""
