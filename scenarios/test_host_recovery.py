"""A tunnel while the network around the host changes: addresses, routes, dead endpoints (M2.4, W4)."""
import base64
import os
import re
import socket
import subprocess
from collections.abc import Iterator

import pytest

from host_net import CLIENT, SERVER, SERVER6, TUNNEL_SERVER, WEB, Daemon, World, bare_daemon, client_packets_in_clear, make_world, wait_for

pytestmark = [pytest.mark.lab, pytest.mark.req("M2.4")]


@pytest.fixture
def world() -> Iterator[World]:
    with make_world() as made:
        yield made


def where_the_server_sees_the_client(world: World) -> str:
    return world.server.run("wg", "show", "srv0", "endpoints").stdout.split()[1].rsplit(":", 1)[0]


def heard_by_the_server(world: World) -> str:
    return world.server.run("wg", "show", "srv0", "transfer").stdout.split()[1]


def reaches(world: World) -> bool:
    return world.client.run("ping", "-c1", "-W1", TUNNEL_SERVER, check=False).returncode == 0


def second_uplink(world: World) -> None:
    """eth1 of the client, to another LAN of the router."""
    subprocess.run(["ip", "link", "add", "eth1", "netns", str(world.client.pid), "type", "veth", "peer", "name", "lan2", "netns",
                    str(world.router.pid)], check=True)
    world.router.sh("ip addr add 192.168.8.1/24 dev lan2; ip link set lan2 up")
    world.client.sh("ip addr add 192.168.8.2/24 dev eth1; ip link set eth1 up")


CHANGES = {
    "address": ("ip addr add 192.168.7.3/24 dev eth0; ip addr del 192.168.7.2/24 dev eth0; ip addr add 192.168.7.3/24 dev eth0 2>/dev/null; "
                "ip route replace default via 192.168.7.1 dev eth0", "192.168.7.3"),
    "default route": ("ip route replace default via 192.168.8.1 dev eth1", "192.168.8.2"),
    "link": ("ip link set eth0 down; ip route replace default via 192.168.8.1 dev eth1", "192.168.8.2"),
}


@pytest.mark.parametrize("configured_by", ["file", "wg"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_network_is_followed_without_traffic(world: World, change: str, configured_by: str) -> None:
    """Two idle ends say nothing to each other: that the server knows the new address shows that it was told at once."""
    commands, address = CHANGES[change]
    world.serve()
    second_uplink(world)
    # The kernel's own multicasts are not the peer's, so that nothing but the ping passes.
    daemon = start_client(world, configured_by, allowed=f"{TUNNEL_SERVER}/32")
    assert reaches(world)
    assert where_the_server_sees_the_client(world) == "192.168.7.2"
    # The answer to the ping is owed a keepalive; once it is there neither end has anything more to say.
    received = heard_by_the_server(world)
    wait_for(lambda: heard_by_the_server(world) != received, "the keepalive that is owed")
    world.client.sh(commands)
    wait_for(lambda: where_the_server_sees_the_client(world) == address, "the server to be told")
    assert reaches(world)
    assert "the network changed peers_told=1" in daemon.log


def start_client(world: World, configured_by: str, **options: str) -> Daemon:
    return bare_daemon(world, **options) if configured_by == "wg" else Daemon(world, world.client_config("KillSwitch = on", **options))


def datagrams(frames: list[bytes], source: str, target: str) -> int:
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    return sum(frame[12:14] == b"\x08\0" and frame[23] == socket.IPPROTO_UDP and frame[26:34] == addresses for frame in frames)


BIND = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('', int(sys.argv[1])))"


@pytest.mark.req("M5.4")
@pytest.mark.parametrize("configured_by", ["file", "wg"])
def test_an_interface_that_is_down_is_silent(world: World, configured_by: str) -> None:
    """As with Linux's own: the port is free, and no keepalive goes, however long the peer goes on; up again, all is as before."""
    world.serve(peer="PersistentKeepalive = 1")
    daemon = start_client(world, configured_by, peer="PersistentKeepalive = 1")
    wait_for(lambda: reaches(world), "the tunnel")
    port = world.client.run("wg", "show", "cli0", "listen-port").stdout.strip()
    world.client.sh("ip link set cli0 down")
    wait_for(lambda: "the interface is down, and nothing is sent" in daemon.log, "it to be followed")
    capture = world.frames(world.router, "client")
    world.client.run("/usr/bin/python3", "-c", BIND, port)
    world.client.run("wg", "set", "cli0", "listen-port", "5555")
    world.client.run("wg", "set", "cli0", "peer", world.keys["server"][1], "endpoint", f"{SERVER}:51820", "persistent-keepalive", "2")
    # The peer's keepalives tell how much time has passed, in which there would have been as many of ours.
    wait_for(lambda: datagrams(capture.so_far(), SERVER, CLIENT) >= 6, "the peer to call")
    assert datagrams(capture.so_far(), CLIENT, SERVER) == 0
    if configured_by == "file":
        assert world.client.ask("udp", WEB, 9, 1) == "", "the kill switch stands"
    assert world.client.run("wg", "show", "cli0", "latest-handshakes").returncode == 0
    world.client.sh("ip link set cli0 up")
    wait_for(lambda: reaches(world), "the tunnel")
    assert world.client.run("wg", "show", "cli0", "listen-port").stdout.strip() == "5555"
    assert world.server.run("wg", "show", "srv0", "endpoints").stdout.strip().endswith(f"{CLIENT}:5555")
    capture.close()


def test_a_port_that_is_taken_when_the_link_comes_up_is_said(world: World) -> None:
    world.serve()
    daemon = bare_daemon(world)
    assert reaches(world)
    world.client.sh("ip link set cli0 down")
    wait_for(lambda: "nothing is sent" in daemon.log, "it to be followed")
    world.client.start("/usr/bin/python3", "-c", "import signal, socket; one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
                       "one.bind(('', 5556)); print('ready', flush=True); signal.pause()", ready="ready")
    world.client.run("wg", "set", "cli0", "listen-port", "5556")
    world.client.sh("ip link set cli0 up")
    wait_for(lambda: "the interface is up, but nothing can be sent" in daemon.log, "it to be said")
    assert "UDP port 5556 (IPv4): taken by another program" in daemon.log
    world.client.run("wg", "set", "cli0", "listen-port", "5557")
    wait_for(lambda: reaches(world), "the tunnel")


def test_many_peers_are_all_told_of_one_change(world: World) -> None:
    """More than are gone to at once: each is told, and once."""
    world.serve()
    second_uplink(world)
    others = "".join(f"[Peer]\nPublicKey = {base64.b64encode(os.urandom(32)).decode()}\nEndpoint = {SERVER}:{1000 + number}\n" for number in range(150))
    daemon = Daemon(world, world.client_config(peer=others, allowed=f"{TUNNEL_SERVER}/32"))
    assert reaches(world)
    world.client.sh(CHANGES["default route"][0])
    # The daemon may be looking at the network just then, for what the start has changed: so some may be told before the others.
    wait_for(lambda: sum(map(int, re.findall(r"the network changed peers_told=(\d+)", daemon.log))) == 151, "all to be told")
    wait_for(lambda: where_the_server_sees_the_client(world) == CHANGES["default route"][1], "the server to be told")


def test_routes_and_endpoints_by_the_thousand_do_not_silence_the_tunnel(world: World) -> None:
    """The kernel tells of more changes than a socket holds, so that of some nothing is heard: it is looked how things are, and not how they were."""
    world.serve()
    others = "".join(f"[Peer]\nPublicKey = {base64.b64encode(os.urandom(32)).decode()}\nAllowedIPs = 10.{100 + number // 250}.{number % 250}.0/24\n"
                     f"Endpoint = {SERVER}:{1000 + number}\n" for number in range(5000))
    daemon = Daemon(world, world.client_config("KillSwitch = on", peer=others, allowed=f"{TUNNEL_SERVER}/32"))
    wait_for(lambda: reaches(world), "the tunnel")
    world.client.sh("ip link set cli0 down; ip link set cli0 up")
    wait_for(lambda: world.client.sh("ip route show dev cli0").count("/24") == 5001, "the routes to be there again")
    wait_for(lambda: reaches(world), "the tunnel again")
    world.client.sh("nft flush ruleset")
    wait_for(lambda: "firewall was removed by somebody else, and is made again" in daemon.log, "the firewall to be made again")
    wait_for(lambda: reaches(world), "the tunnel behind it")
    assert daemon.log.count("removed by somebody else") == 1, "nor was it taken for lost when it was made"
    assert daemon.log.count("the interface is down") == 1


def test_changes_that_are_not_on_the_way_to_a_peer_say_nothing(world: World) -> None:
    world.serve()
    daemon = Daemon(world, world.client_config(allowed=f"{TUNNEL_SERVER}/32"))
    assert reaches(world)
    capture = world.on_client_link()
    world.client.sh("ip link add other type bridge; ip addr add 172.16.0.1/24 dev other; ip link set other up; ip route add 172.17.0.0/16 dev other")
    second_uplink(world)
    world.client.sh("ip route replace default via 192.168.8.1 dev eth1")  # this one is, and comes last
    wait_for(lambda: "the network changed" in daemon.log, "the change to be followed")
    assert daemon.log.count("the network changed") == 1
    assert not any(f"> {SERVER}.51820" in line for line in capture.lines(world.end_of_capture()))


@pytest.mark.req("W4")
@pytest.mark.parametrize("written", ["lines", "name"])
def test_a_dead_endpoint_is_left_for_the_next(world: World, written: str) -> None:
    """Several Endpoint lines, and a name with several addresses: the first is dead from the start, later another is."""
    world.serve()
    dead = "198.51.100.20" if written == "lines" else "2001:db8:51::20"
    if written == "lines":
        endpoint = f"{dead}:51820\nEndpoint = {SERVER}:51820\nEndpoint = [{SERVER6}]:51820"
    else:
        world.client.sh(f"printf '{dead} gw.test\\n{SERVER} gw.test\\n{SERVER6} gw.test\\n' >/etc/hosts")
        endpoint = "gw.test:51820"
    daemon = Daemon(world, world.client_config("KillSwitch = on", endpoint=endpoint))
    capture = world.on_client_link()
    wait_for(lambda: reaches(world), "an endpoint that answers", 90)
    assert daemon.log.count("peer went silent") == 1 and daemon.log.count("peer reconnected") == 1
    is_ipv6 = "[" in world.client.run("wg", "show", "cli0", "endpoints").stdout
    # The one in use dies, in mid-flow.
    family = "ipv6" if is_ipv6 else "ipv4"
    world.router.sh("nft add table inet dead; nft add chain inet dead f '{ type filter hook forward priority 0; }'; "
                    f"nft add rule inet dead f meta nfproto {family} udp dport 51820 drop; "
                    f"nft add rule inet dead f meta nfproto {family} udp sport 51820 drop")
    assert not reaches(world)
    wait_for(lambda: reaches(world), "the next endpoint", 90)
    assert daemon.log.count("peer went silent") == 2
    lines = capture.lines(world.end_of_capture())
    assert [line for line in client_packets_in_clear(lines) if f"{dead}.51820: UDP" not in line] == []


def test_an_unreachable_peer_is_said_once_and_tried_until_it_is_back(world: World) -> None:
    daemon = Daemon(world, world.client_config(endpoint=f"{SERVER}:51820"))
    assert not reaches(world)  # begins the handshake; nothing else is ever sent
    wait_for(lambda: "peer went silent" in daemon.log, "the silence to be noticed", 40)
    assert daemon.log.count("peer went silent") == 1
    capture = world.on_client_link()
    world.serve()
    wait_for(lambda: "peer reconnected" in daemon.log, "the peer to be reached", 60)
    assert reaches(world)
    capture.close()


def test_an_idle_tunnel_with_keepalives_notices_that_the_peer_is_gone(world: World) -> None:
    """Only keepalives pass, which nobody answers, and then nothing does: it is noticed although no application says a word."""
    world.serve()
    daemon = Daemon(world, world.client_config(allowed=f"{TUNNEL_SERVER}/32", peer="PersistentKeepalive = 25"))
    wait_for(lambda: "handshake made" in daemon.log, "the tunnel")
    world.router.sh("nft add table inet dead; nft add chain inet dead f '{ type filter hook forward priority 0; }'; "
                    "nft add rule inet dead f udp sport 51820 drop")  # one direction is enough
    wait_for(lambda: "peer went silent" in daemon.log, "the silence to be noticed", 60)
    world.router.sh("nft delete table inet dead")
    wait_for(lambda: "peer reconnected" in daemon.log, "the peer to be heard", 60)
    assert daemon.log.count("peer went silent") == 1
