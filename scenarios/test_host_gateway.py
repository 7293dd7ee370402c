"""A gateway for its peers: who reaches whom, whose ports are whose, and what two of them share (M5.2, M5.4)."""
import pathlib
from collections.abc import Iterator

import pytest

from host_net import (CLIENT, ROGUE, SERVER, TUNNEL_CLIENT, TUNNEL_SERVER, VPN, WEB, World, kill, make_world, state_of, wait_for)

pytestmark = [pytest.mark.lab, pytest.mark.req("M5.2")]

TUNNEL_SECOND = "10.9.0.3"
SECOND_PORT = 40000


@pytest.fixture
def world() -> Iterator[World]:
    """The rogue is a second client, in good faith; the first is the attacker where there is one."""
    with make_world() as made:
        made.keys["second"] = World._key()
        yield made


def serve_two(world: World, interface: str = "Gateway = on", endpoints: bool = False) -> None:
    first, second = (f"Endpoint = {address}\n" if endpoints else "" for address in (f"{CLIENT}:51820", f"{ROGUE}:{SECOND_PORT}"))
    world.serve(interface=interface, peer=f"{first}[Peer]\nPublicKey = {world.keys['second'][1]}\nAllowedIPs = {TUNNEL_SECOND}/32\n{second}")


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


@pytest.mark.parametrize("endpoints", [False, True])
def test_a_peer_cannot_take_the_gateways_port(world: World, endpoints: bool) -> None:
    """Port shadow (CVE-2021-3773): behind the NAT, the attacker opens the gateway's own port towards another client's address, so that
    what that client sends to the gateway would be translated to the attacker. With every peer's endpoint known the kernel tracks the
    gateway's packets, else not."""
    serve_two(world, endpoints=endpoints)
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


def test_a_nat_of_the_hosts_own_cannot_take_the_gateways_port(world: World) -> None:
    """The same where another rule of the host, a container engine's say, translates what is forwarded, and nothing is left untracked."""
    serve_two(world, endpoints=True)
    world.server.sh("nft add table ip other; nft add chain ip other nat '{ type nat hook postrouting priority 90; }'; "
                    "nft add rule ip other nat oifname eth0 ip saddr 10.9.0.0/24 masquerade")
    world.client.run(VPN, "up", world.client_config())
    assert world.client.ask("tcp", WEB, 80) == SERVER
    shadow = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              f"s.bind(('{TUNNEL_CLIENT}', 51820))\nfor _ in range(3): s.sendto(b'shadow', ('{ROGUE}', {SECOND_PORT}))\n")
    world.client.run("/usr/bin/python3", "-c", shadow)
    world.client.run("ping", "-c1", "-W5", TUNNEL_SERVER)
    second_client_up(world)


@pytest.mark.req("M5.4")
def test_a_gateway_that_calls_needs_no_open_port(world: World) -> None:
    """The host's own firewall lets in what is answered, and nothing else."""
    world.server.sh("nft add table inet host; nft add chain inet host in '{ type filter hook input priority 0; }'; "
                    "nft add rule inet host in ct state established,related accept; nft add rule inet host in iifname eth0 udp dport 0-65535 drop")
    world.client.run(VPN, "up", world.client_config("ListenPort = 51820", allowed=f"{TUNNEL_SERVER}/32"))
    world.serve(peer=f"Endpoint = {CLIENT}:51820")
    assert world.server.run("ping", "-c1", "-W10", TUNNEL_CLIENT, check=False).returncode == 0


@pytest.mark.req("M5.3", "M5.4")
@pytest.mark.parametrize("way", ["wg", "reload"])
def test_the_firewall_follows_the_port(world: World, way: str) -> None:
    """Of a gateway whose kill switch lets its answers out to whoever calls."""
    config = world.server_config(interface="Gateway = on\nKillSwitch = on")
    world.server.run(VPN, "up", config)
    assert "51820" in world.server.sh("nft list table inet vpn_srv0")
    if way == "wg":
        world.server.run("wg", "set", "srv0", "listen-port", "51999")
    else:
        path = pathlib.Path(config)
        path.write_text(path.read_text().replace("ListenPort = 51820", "ListenPort = 51999"))
        world.server.run(VPN, "reload", config)
    rules = world.server.sh("nft list table inet vpn_srv0")
    assert "dport 51999" in rules and "dport 51820" not in rules
    world.client.run(VPN, "up", world.client_config(allowed=f"{TUNNEL_SERVER}/32", endpoint=f"{SERVER}:51999"))
    assert world.client.run("ping", "-c1", "-W10", TUNNEL_SERVER, check=False).returncode == 0


@pytest.mark.req("M5.4")
@pytest.mark.parametrize("end", ["down", "kill"])
def test_what_forwarding_changes_along_is_put_back(world: World, end: str) -> None:
    """The kernel sets redirects and every interface with the switch for all: neither a hardened host nor one that forwards by one interface alone
    is another one afterwards."""
    world.server.sh("sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.eth0.forwarding=1 net.ipv6.conf.eth0.forwarding=1")
    before = state_of(world.server)
    daemon = world.server.start(VPN, "daemon", world.server_config())
    wait_for(world.server.path("/run/wireguard/srv0.sock").exists, "the daemon to serve")
    assert world.server.sh("sysctl -n net.ipv4.ip_forward net.ipv4.conf.lo.forwarding net.ipv6.conf.lo.forwarding") == "1\n1\n1\n"
    if end == "kill":
        kill(daemon)
        world.server.run(VPN, "cleanup", "srv0")
    else:
        world.server.run(VPN, "down", "srv0")
        assert daemon.wait(20) == 0
    assert state_of(world.server) == before


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
