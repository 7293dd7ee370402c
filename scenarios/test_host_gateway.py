"""A gateway for its peers: who reaches whom, whose ports are whose, and what two of them share (M5.2, M5.4)."""
from collections.abc import Iterator

import pytest

from host_net import CLIENT, ROGUE, SERVER, TUNNEL_CLIENT, TUNNEL_SERVER, VPN, WEB, World, make_world

pytestmark = [pytest.mark.lab, pytest.mark.req("M5.2")]

TUNNEL_SECOND = "10.9.0.3"
SECOND_PORT = 40000


@pytest.fixture
def world() -> Iterator[World]:
    """The rogue is a second client, in good faith; the first is the attacker where there is one."""
    with make_world() as made:
        made.keys["second"] = World._key()
        yield made


def serve_two(world: World, interface: str = "Gateway = on") -> None:
    second = f"[Peer]\nPublicKey = {world.keys['second'][1]}\nAllowedIPs = {TUNNEL_SECOND}/32\n"
    world.serve(interface=interface, peer=second)


def second_client_up(world: World) -> None:
    world.rogue.run(VPN, "up", world.write_config(world.rogue, "sec0", f"""[Interface]
PrivateKey = {world.keys['second'][0]}
Address = {TUNNEL_SECOND}/24
ListenPort = {SECOND_PORT}
[Peer]
PublicKey = {world.keys['server'][1]}
AllowedIPs = 10.9.0.0/24
Endpoint = {SERVER}:51820
"""))
    assert world.rogue.run("ping", "-c1", "-W5", TUNNEL_SERVER, check=False).returncode == 0


@pytest.mark.parametrize("allowed", ["on", "off"])
def test_peers_reach_each_other_only_where_they_may(world: World, allowed: str) -> None:
    serve_two(world, f"Gateway = on\nClientToClient = {allowed}")
    world.client.run(VPN, "up", world.client_config())
    second_client_up(world)
    assert world.client.run("ping", "-c1", "-W5", TUNNEL_SERVER, check=False).returncode == 0
    reached = world.client.run("ping", "-c2", "-i0.2", "-W2", TUNNEL_SECOND, check=False).returncode == 0
    assert reached == (allowed == "on")
    assert world.client.ask("tcp", WEB, 80) == SERVER


def test_a_peer_cannot_take_the_gateways_port(world: World) -> None:
    """Port shadow (CVE-2021-3773): behind the NAT, the attacker opens the gateway's own port towards another client's address, so that
    what that client sends to the gateway would be translated to the attacker."""
    serve_two(world)
    world.client.run(VPN, "up", world.client_config())
    assert world.client.ask("tcp", WEB, 80) == SERVER
    seen = world.capture(world.client, "cli0")
    shadow = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              f"s.bind(('{TUNNEL_CLIENT}', 51820))\nfor _ in range(3): s.sendto(b'shadow', ('{ROGUE}', {SECOND_PORT}))\n")
    beyond = world.capture(world.rogue, "eth0")
    world.client.run("/usr/bin/python3", "-c", shadow)
    world.client.run("ping", "-c1", "-W5", TUNNEL_SERVER)
    second_client_up(world)  # its handshake and its packets reach the gateway, not the attacker
    world.client.run("ping", "-c2", "-i0.2", "-W5", TUNNEL_SERVER)
    assert not any(f"{ROGUE}.{SECOND_PORT} > {TUNNEL_CLIENT}" in line for line in seen.lines("ICMP echo reply"))
    world.rogue.run("ping", "-c1", "-W5", "192.168.7.1")
    assert any("length 6" in line for line in beyond.lines("ICMP echo reply")), "the attack did not come to its target"


@pytest.mark.req("M5.4")
@pytest.mark.parametrize("first_down", ["srv0", "srv1"])
def test_two_gateways_share_what_forwards(world: World, first_down: str) -> None:
    forwards = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")

    def values() -> list[str]:
        return [world.server.sh(f"cat /proc/sys/{name}").strip() for name in forwards]

    assert values() == ["0", "0"]
    world.serve()
    world.server.run(VPN, "up", world.write_config(world.server, "srv1", f"[Interface]\nPrivateKey = {world.keys['second'][0]}\n"
                                                   "ListenPort = 51821\nAddress = 10.10.0.1/24\nGateway = on\n"))
    assert values() == ["1", "1"]
    world.server.run(VPN, "down", first_down)
    assert values() == ["1", "1"]
    world.server.run(VPN, "down", "srv0" if first_down == "srv1" else "srv1")
    assert values() == ["0", "0"]
    assert world.client.ask("tcp", WEB, 80) == CLIENT
