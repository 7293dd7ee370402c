"""A tunnel while the network around the host changes: addresses, routes, dead endpoints (M2.4, W4)."""
import base64
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from host_net import SERVER, SERVER6, TUNNEL_SERVER, Daemon, World, client_packets_in_clear, make_world, wait_for

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


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_network_is_followed_without_traffic(world: World, change: str) -> None:
    """Two idle ends say nothing to each other: that the server knows the new address shows that it was told at once."""
    commands, address = CHANGES[change]
    world.serve()
    second_uplink(world)
    # The kernel's own multicasts are not the peer's, so that nothing but the ping passes.
    daemon = Daemon(world, world.client_config("KillSwitch = on", allowed=f"{TUNNEL_SERVER}/32"))
    assert reaches(world)
    assert where_the_server_sees_the_client(world) == "192.168.7.2"
    # The answer to the ping is owed a keepalive; once it is there neither end has anything more to say.
    received = heard_by_the_server(world)
    wait_for(lambda: heard_by_the_server(world) != received, "the keepalive that is owed")
    world.client.sh(commands)
    wait_for(lambda: where_the_server_sees_the_client(world) == address, "the server to be told")
    assert reaches(world)
    assert "the network changed peers_told=1" in daemon.log


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
