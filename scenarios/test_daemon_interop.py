"""Our daemon and wireguard-go in either role, configured through `wg` and `wg-quick` alone."""
import hashlib
import os
import pathlib
import re
import shutil
import signal
from collections.abc import Iterator

import pytest

from daemon_support import (CONTROL_FOLDER, DEADLINE, Daemon, Host, Pair, configure, give_addresses, make_pair, missing_tools,
                            new_key, new_preshared_key, run, unique_name, wait_until, wg_quick)
from host_net import TCPDUMP

pytestmark = [pytest.mark.lab, pytest.mark.skipif(missing_tools() is not None, reason=str(missing_tools()))]


@pytest.fixture
def pair(tmp_path: pathlib.Path) -> Iterator[Pair]:
    with make_pair(tmp_path) as made:
        yield made


def start(host: Host, kind: str) -> Daemon:
    return host.start_vpn() if kind == "vpn" else host.start_wireguard_go()


RECEIVE = """
import hashlib, socket, sys
server = socket.create_server((sys.argv[1], 7000), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("listening", flush=True)
connection, _ = server.accept()
digest = hashlib.sha256()
while data := connection.recv(1 << 16):
    digest.update(data)
connection.sendall(digest.hexdigest().encode())
"""
SEND = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 7000), timeout=30)
with open(sys.argv[2], "rb") as file:
    connection.sendfile(file)
connection.shutdown(socket.SHUT_WR)
print(connection.recv(100).decode())
"""


def transfer_keeps_hash(sender: Host, receiver: Host, address: str, folder: pathlib.Path) -> bool:
    """Sends 32 MiB of random bytes over TCP and compares hashes."""
    content = os.urandom(32 << 20)
    file = folder / "content"
    file.write_bytes(content)
    log = folder / f"receiver-{unique_name()}"
    receiver.begin("/usr/bin/python3", "-c", RECEIVE, address, log=log)
    wait_until(lambda: log.exists() and "listening" in log.read_text(), "the receiver listens")
    sent = sender.run("/usr/bin/python3", "-c", SEND, address, file)
    return sent.stdout.strip() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("kinds", [("vpn", "vpn"), ("vpn", "go"), ("go", "vpn")], ids="-".join)
def test_tunnel_carries_ping_and_a_file(pair: Pair, kinds: tuple[str, str], family: int, tmp_path: pathlib.Path) -> None:
    """M4.1, R4, N1: IPv4 and IPv6 inside and outside, both ends initiating, and no byte changed."""
    tunnel = configure(start(pair.left, kinds[0]), start(pair.right, kinds[1]), family)
    tunnel.check()
    assert transfer_keeps_hash(pair.left, pair.right, "10.9.0.2", tmp_path)
    assert transfer_keeps_hash(pair.right, pair.left, "fd09::1", tmp_path)


def iperf(pair: Pair, inside: str, *options: str) -> None:
    """A second of load from left to right. A server for each: between two clients it does not listen for a moment."""
    server = pair.right.begin("iperf3", "-s", "-1", "-B", inside)
    wait_until(lambda: ":5201" in pair.right.run("ss", "-ltn").stdout, "iperf3 listens")
    done = pair.left.run("iperf3", "-c", inside, "-t", "1", "--connect-timeout", "5000", *options)
    assert "iperf Done." in done.stdout
    assert server.wait(DEADLINE) == 0


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("family", [4, 6])
def test_workers_carry_a_file_and_many_flows_and_roam(pair: Pair, workers: int, family: int, tmp_path: pathlib.Path) -> None:
    """One thread or several: the same tunnel. The file and four flows at once pass, both ways, and the peer may move."""
    tunnel = configure(pair.left.start_vpn(workers=workers), pair.right.start_vpn(workers=workers), family)
    tunnel.check()
    threads = pathlib.Path("/proc", str(tunnel.left.process.pid), "task")
    assert len(list(threads.iterdir())) == workers + 1, "and the one that resolves names"
    for inside in ("10.9.0.2", "fd09::2"):
        assert transfer_keeps_hash(pair.left, pair.right, inside, tmp_path)
    for direction in ("", "-R"):
        iperf(pair, "10.9.0.2", "-P", "4", *direction.split())
    tunnel.left.wg("set", "listen-port", "51999")
    wait_until(lambda: ":51999" in tunnel.right.wg("show", "endpoints"), "the endpoint follows the port, though nobody sends")
    assert transfer_keeps_hash(pair.right, pair.left, "10.9.0.1", tmp_path)


def test_a_new_mark_chooses_the_source_address_anew(pair: Pair) -> None:
    """As Linux does: the address that the peer last spoke to may be the wrong one on the way that the mark takes."""
    pair.left.ip("address", "add", "192.0.2.3/24", "dev", "link0")
    tunnel = configure(pair.left.start_vpn(), pair.right.start_vpn())
    tunnel.check()
    tunnel.right.wg("set", "peer", tunnel.left_key.public, "endpoint", "192.0.2.3:51820")
    pair.right.wait_ping("10.9.0.1")
    assert "192.0.2.3:51820" in tunnel.right.wg("show", "endpoints"), "left answers from the address it was spoken to"
    tunnel.left.wg("set", "fwmark", "0x77")
    wait_until(lambda: "192.0.2.1:51820" in tunnel.right.wg("show", "endpoints"), "left speaks from the address of its route")


@pytest.mark.parametrize(("family", "inside"), [(4, "10.9.0.2"), (6, "fd09::2")])
@pytest.mark.parametrize("kinds", [("vpn", "vpn"), ("vpn", "go"), ("go", "vpn")], ids="-".join)
def test_iperf_tcp_and_udp(pair: Pair, kinds: tuple[str, str], family: int, inside: str) -> None:
    """M4.1: both protocols, both ways, with the same family of addresses inside and outside."""
    tunnel = configure(start(pair.left, kinds[0]), start(pair.right, kinds[1]), family)
    tunnel.check()
    for options in ("", "-R", "-u -b 20M -l 1300"):
        iperf(pair, inside, *options.split())


def test_offloads_off_carry_the_same(pair: Pair, tmp_path: pathlib.Path) -> None:
    """The plain path, without super-packets on either side of either daemon."""
    daemons = []
    keys = new_key(), new_key()
    for number, host in ((1, pair.left), (2, pair.right)):
        path = host.write_config(
            f"[Interface]\nPrivateKey = {keys[number - 1].private}\nListenPort = {51819 + number}\n"
            f"Address = 10.9.0.{number}/24\nTunOffload = off\nUdpOffload = off\n"
            f"[Peer]\nPublicKey = {keys[2 - number].public}\nAllowedIPs = 10.9.0.{3 - number}/32\n"
            f"Endpoint = 192.0.2.{3 - number}:{51822 - number}\nCipher = aes-256-gcm\n")
        daemons.append(host.start_vpn_file(path))
    pair.left.wait_ping("10.9.0.2")
    assert "tun_offload=off\nudp_offload=off\n" in daemons[0].request("get=1\n\n")
    assert transfer_keeps_hash(pair.left, pair.right, "10.9.0.2", tmp_path)


def test_runs_that_the_kernel_refuses_go_one_by_one(pair: Pair, tmp_path: pathlib.Path) -> None:
    """The link is smaller than the datagrams, so that no segmented send can succeed: the offload switches itself off, and not a
    byte is lost."""
    tunnel = configure(pair.left.start_vpn(), pair.right.start_vpn())
    tunnel.check()
    for host in (pair.left, pair.right):
        host.ip("link", "set", "link0", "mtu", "1300")
    assert transfer_keeps_hash(pair.left, pair.right, "10.9.0.2", tmp_path)
    assert "udp_offload=gro\n" in tunnel.left.request("get=1\n\n")
    assert tunnel.left.counter("send_too_large") == 0


@pytest.mark.parametrize("kinds", [("vpn", "vpn"), ("vpn", "go"), ("go", "vpn")], ids="-".join)
@pytest.mark.parametrize("side", ["left", "right"])
def test_killed_side_comes_back(pair: Pair, kinds: tuple[str, str], side: str) -> None:
    """M2.4, S5: a `kill -9` of either side and a restart with the same keys; pings pass again."""
    tunnel = configure(start(pair.left, kinds[0]), start(pair.right, kinds[1]))
    tunnel.check()
    is_left = side == "left"
    victim = tunnel.left if is_left else tunnel.right
    config = victim.wg("showconf")
    victim.kill()
    wait_until(lambda: victim.interface not in victim.host.interfaces(), "the interface goes with its daemon")
    kind = kinds[0] if is_left else kinds[1]
    interface = victim.interface
    again = victim.host.start_vpn(interface=interface) if kind == "vpn" else victim.host.start_wireguard_go(interface)
    again.wg("setconf", victim.host.write_config(config))
    give_addresses(again, 1 if is_left else 2)
    again.host.wait_ping("10.9.0.2" if is_left else "10.9.0.1")


def test_wg_quick_up_and_down(pair: Pair) -> None:
    """WG_QUICK_USERSPACE_IMPLEMENTATION=vpn-wireguard is a drop-in: what wg-quick does, works, and is gone again."""
    keys = new_key(), new_key()
    server = pair.right.start_vpn()
    server.wg("set", "private-key", pair.right.write_config(keys[1].private), "listen-port", "51821", "peer", keys[0].public,
              "allowed-ips", "10.9.0.1/32")
    give_addresses(server, 2)
    path = pair.left.write_config(
        f"[Interface]\nPrivateKey = {keys[0].private}\nAddress = 10.9.0.1/24\nMTU = 1400\n"
        f"[Peer]\nPublicKey = {keys[1].public}\nAllowedIPs = 10.9.0.0/24, 198.51.100.0/24\nEndpoint = 192.0.2.2:51821\n")
    wg_quick(pair.left, "up", path)
    assert (CONTROL_FOLDER / f"{path.stem}.sock").exists(), "it is ours"
    pair.left.wait_ping("10.9.0.2")
    assert "mtu 1400" in pair.left.ip("link", "show", path.stem)
    wg_quick(pair.left, "down", path)
    assert path.stem not in pair.left.interfaces()
    wait_until(lambda: path.stem not in run("wg", "show", "interfaces").stdout, "the daemon ends with its interface")


def test_replies_come_from_the_address_spoken_to(pair: Pair) -> None:
    """Sticky source: a responder with two addresses answers from the one the peer uses."""
    pair.right.ip("address", "add", "192.0.2.200/24", "dev", "link0")
    tunnel = configure(pair.left.start_vpn(), pair.right.start_vpn())
    tunnel.left.wg("set", "peer", tunnel.right_key.public, "endpoint", "192.0.2.200:51821")
    tunnel.check()
    assert "192.0.2.200:51821" in tunnel.left.wg("show", "endpoints"), "the endpoint did not move to the other address"


def test_endpoint_follows_the_peer(pair: Pair) -> None:
    """M2.3: the initiator moves to another address; the responder follows its authentic packets, and says so."""
    tunnel = configure(pair.left.start_vpn(), pair.right.start_vpn())
    tunnel.check()
    pair.left.ip("address", "delete", "192.0.2.1/24", "dev", "link0")
    pair.left.ip("address", "add", "192.0.2.77/24", "dev", "link0")
    pair.left.wait_ping("10.9.0.2")
    wait_until(lambda: "192.0.2.77:" in tunnel.right.wg("show", "endpoints"), "the endpoint follows")
    assert "peer roamed" in tunnel.right.log
    history = re.findall(r"^endpoint_since=\d+ (\S+)$", tunnel.right.request("get=1\n\n"), re.MULTILINE)
    assert history == ["192.0.2.1:51820", "192.0.2.77:51820"]


def outer_tos(pair: Pair, folder: pathlib.Path, *ping_options: str) -> set[tuple[int, int]]:
    """(UDP payload bytes, traffic class) of the outer packets of a first ping."""
    tunnel = configure(pair.left.start_vpn(), pair.right.start_vpn())
    log = folder / "capture"
    capture = pair.left.begin(*TCPDUMP, "-i", "link0", "-n", "-v", "-l", "--immediate-mode", "udp", log=log)
    wait_until(lambda: log.exists() and "listening" in log.read_text(), "tcpdump listens")
    wait_until(lambda: pair.left.run("ping", "-c", "1", "-W", "1", *ping_options, "10.9.0.2", check=False).returncode == 0,
               "a ping passes")
    wait_until(lambda: "length 128" in log.read_text(), "the data message is captured")
    capture.send_signal(signal.SIGINT)
    capture.wait(timeout=10)
    assert tunnel.left.process.poll() is None
    found = re.findall(r"tos (0x[0-9a-f]+)[^\n]*\n[^\n]*length (\d+)", log.read_text())
    return {(int(length), int(tos, 16)) for tos, length in found}


def test_outer_traffic_class(pair: Pair, tmp_path: pathlib.Path) -> None:
    """Handshakes carry DSCP 0x88; data carries no DSCP, but the inner ECN field (RFC 6040)."""
    seen = outer_tos(pair, tmp_path, "-Q", "0xfe")  # DSCP 0x3f, ECT(0)
    assert (148, 0x88) in seen and (92, 0x88) in seen
    assert (128, 0x02) in seen
    assert not {tos for length, tos in seen if length == 128} - {0x02}


def test_wrong_preshared_key_is_told(pair: Pair) -> None:
    """M3.3: a handshake that fails says so, and why, at both ends; nothing crashes, nothing passes."""
    tunnel = configure(pair.left.start_vpn(), pair.right.start_vpn(), preshared=False)
    secret = pair.left.write_config(new_preshared_key())
    tunnel.left.wg("set", "peer", tunnel.right_key.public, "preshared-key", secret)
    assert not pair.left.ping("10.9.0.2")
    wait_until(lambda: "handshake failed" in tunnel.left.log, "the failure is told")
    assert tunnel.left.counter("drop_handshake_auth") > 0
    tunnel.left.wg("set", "peer", tunnel.right_key.public, "preshared-key", "/dev/null")
    tunnel.check()


def test_name_is_resolved_again_when_the_peer_goes_silent(pair: Pair) -> None:
    """The peer moved, and its name with it: the daemon asks again, and finds it."""
    folder = pathlib.Path("/etc/netns") / pair.left.name  # `ip netns exec` lays it over /etc
    folder.mkdir(parents=True)
    try:
        hosts = folder / "hosts"
        hosts.write_text("192.0.2.2 peer.test\n")
        keys = new_key(), new_key()

        def start_right() -> Daemon:
            right = pair.right.start_vpn()
            right.wg("set", "private-key", pair.right.write_config(keys[1].private), "listen-port", "51821", "peer",
                     keys[0].public, "allowed-ips", "10.9.0.1/32")
            give_addresses(right, 2)
            return right

        right = start_right()
        left = pair.left.start_vpn_file(pair.left.write_config(
            f"[Interface]\nPrivateKey = {keys[0].private}\nAddress = 10.9.0.1/24\n[Peer]\nPublicKey = {keys[1].public}\n"
            "AllowedIPs = 10.9.0.2/32\nEndpoint = peer.test:51821\n"))
        pair.left.wait_ping("10.9.0.2")
        right.stop()
        pair.right.ip("address", "delete", "192.0.2.2/24", "dev", "link0")
        pair.right.ip("address", "add", "192.0.2.55/24", "dev", "link0")
        start_right()  # it does not know where the other is, so it cannot call first
        hosts.write_text("192.0.2.55 peer.test\n")
        pair.left.wait_ping("10.9.0.2", deadline=60)
        assert "peer went silent" in left.log and "endpoint resolved" in left.log
        assert "192.0.2.55:51821" in left.wg("show", "endpoints")
    finally:
        shutil.rmtree(folder)
