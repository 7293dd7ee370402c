"""A full tunnel, a split tunnel and the kill switch, on captures of the client's link (M5.1, M5.2, M5.3)."""
import pathlib
from collections.abc import Iterator

import pytest

from host_net import (CLIENT, NAMES, ROGUE, ROUTER, TUNNEL_CLIENT, TUNNEL_SERVER, VPN, WEB, WEB6, World, client_packets_in_clear, make_world,
                      state_of)

pytestmark = pytest.mark.lab


@pytest.fixture
def world() -> Iterator[World]:
    with make_world() as made:
        yield made


def ask_web(world: World) -> dict[str, str]:
    return {address: world.client.ask("tcp", address, 80) for address in (WEB, WEB6)}


@pytest.mark.req("M5.1")
def test_full_tunnel_carries_both_families_and_nothing_in_clear(world: World) -> None:
    world.serve()
    before = state_of(world.client)
    assert ask_web(world) == {WEB: CLIENT, WEB6: "2001:db8:7::2"}
    capture = world.on_client_link()
    world.client.run(VPN, "up", world.client_config("KillSwitch = on"))
    # Through the server, which masquerades (M5.2).
    assert ask_web(world) == {WEB: "198.51.100.10", WEB6: "2001:db8:51::10"}
    assert client_packets_in_clear(capture.lines(world.end_of_capture())) == []
    world.client.run(VPN, "down", "cli0")
    assert state_of(world.client) == before


@pytest.mark.req("M5.2")
def test_split_tunnel_by_prefix(world: World) -> None:
    world.serve()
    world.client.run(VPN, "up", world.client_config(allowed=f"{TUNNEL_SERVER}/32, {NAMES}/32"))
    assert world.client.ask("tcp", NAMES, 80) == "198.51.100.10"
    assert world.client.ask("tcp", WEB, 80) == CLIENT


@pytest.mark.req("M5.2")
@pytest.mark.parametrize("first", ["full", "split"])
def test_a_split_tunnel_beside_a_full_one_is_told_of(world: World, first: str) -> None:
    """The full one takes what is meant for the other, whichever came first, unless it leaves it out."""
    full, split = world.client_config(), world.client_config(allowed="10.50.0.0/16", name="cli1")
    path = pathlib.Path(split)
    path.write_text(path.read_text().replace(TUNNEL_CLIENT, "10.8.0.2").replace("fd09::2", "fd08::2"))
    said = [world.client.run(VPN, "up", config).stderr for config in ((full, split) if first == "full" else (split, full))]
    assert said[0] == ""
    if first == "full":
        assert "a full tunnel is up, and takes what is meant for this one network=10.50.0.0/16" in said[1]
    else:
        assert "which takes everything network=10.50.0.0/16 other=cli1" in said[1]
    assert "cli0" in world.client.sh("ip route get 10.50.0.1")
    world.client.run(VPN, "down", "cli0")
    quiet = world.client.run(VPN, "up", world.client_config("AllowLan = 10.50.0.0/16, 10.8.0.0/24, fd08::/64")).stderr
    assert quiet == "" and "cli1" in world.client.sh("ip route get 10.50.0.1")


@pytest.mark.req("M5.3")
def test_ipv6_is_shut_where_the_tunnel_has_none(world: World) -> None:
    world.serve()
    capture = world.on_client_link()
    world.client.run(VPN, "up", world.client_config(allowed="0.0.0.0/0"))
    assert world.client.ask("tcp", WEB, 80) == "198.51.100.10"
    assert world.client.ask("tcp", WEB6, 80) == ""
    assert client_packets_in_clear(capture.lines(world.end_of_capture())) == []


# TunnelVision, CVE-2024-3661: what a rogue DHCP server's option 121 puts into the main table.
INJECTED = (f"ip route add 0.0.0.0/1 via {ROGUE} dev eth0; ip route add 128.0.0.0/1 via {ROGUE} dev eth0; ip route add {WEB}/32 via {ROGUE} dev eth0; "
            f"ip -6 route add ::/1 via 2001:db8:7::66 dev eth0; ip -6 route add {WEB6}/128 via 2001:db8:7::66 dev eth0")


@pytest.mark.parametrize("kill_switch", ["on", "off"])
def test_injected_routes_never_win(world: World, kill_switch: str) -> None:
    world.serve()
    world.client.run(VPN, "up", world.client_config(f"KillSwitch = {kill_switch}"))
    capture = world.on_client_link()
    world.client.sh(INJECTED)
    assert ask_web(world) == {WEB: "198.51.100.10", WEB6: "2001:db8:51::10"}
    assert client_packets_in_clear(capture.lines(world.end_of_capture())) == []


def test_a_better_router_never_wins(world: World) -> None:
    """A router advertisement of a better IPv6 route."""
    world.serve()
    world.client.run(VPN, "up", world.client_config("KillSwitch = on"))
    capture = world.on_client_link()
    world.client.sh("ip -6 route add default via 2001:db8:7::66 dev eth0 metric 1")
    assert world.client.ask("tcp", WEB6, 80) == "2001:db8:51::10"
    assert client_packets_in_clear(capture.lines(world.end_of_capture())) == []


def test_a_lan_that_announces_public_space_gets_none_of_it(world: World) -> None:
    """TunnelCrack LocalNet, CVE-2023-36672: the web server's network announced as on-link."""
    world.serve()
    world.client.run(VPN, "up", world.client_config("KillSwitch = on\nAllowLan = 192.168.7.0/24"))
    capture = world.on_client_link()
    world.client.sh("ip addr add 203.0.113.7/24 dev eth0")
    assert world.client.ask("tcp", WEB, 80) == "198.51.100.10"
    assert world.client.ask("udp", NAMES, 53, 1, "eth0") == ""
    assert client_packets_in_clear(capture.lines(world.end_of_capture())) == []


def test_others_may_not_talk_to_the_endpoint(world: World) -> None:
    """TunnelCrack ServerIP, CVE-2023-36673: another program's packets to the server's address, and to its very port."""
    world.serve()
    world.client.run(VPN, "up", world.client_config("KillSwitch = on"))
    capture = world.on_client_link()
    assert world.client.ask("udp", "198.51.100.10", 51820, 1, "eth0") == ""
    assert world.client.ask("tcp", "198.51.100.10", 51820, 1, "eth0") == ""
    lines = capture.lines(world.end_of_capture())
    assert client_packets_in_clear(lines) == []
    assert not any("length 12" in line for line in lines)  # 'in the clear'


def test_only_the_tunnels_name_servers_are_asked(world: World) -> None:
    """M5.3: a hard-wired resolver, on the LAN and beyond, gets nothing."""
    world.serve()
    world.client.run(VPN, "up", world.client_config(f"KillSwitch = on\nAllowLan = 192.168.7.0/24\nDNS = {NAMES}"))
    assert f"nameserver {NAMES}\n" in world.client.sh("cat /etc/resolv.conf")
    capture = world.on_client_link()
    beyond = world.capture(world.internet, "eth0")
    assert world.client.ask("udp", NAMES, 53) == "198.51.100.10"
    for resolver in (ROUTER, ROGUE, WEB):
        assert world.client.ask("udp", resolver, 53, 1) == ""
        assert world.client.ask("tcp", resolver, 853, 1) == ""
    assert client_packets_in_clear(capture.lines(world.end_of_capture())) == []
    world.internet.run("ping", "-c1", "-W5", "198.51.100.1")
    assert not any(f"> {WEB}.53:" in line for line in beyond.lines("ICMP echo reply"))


def test_lan_is_open_only_where_it_is_allowed(world: World) -> None:
    world.serve()
    world.client.run(VPN, "up", world.client_config("KillSwitch = on"))
    capture = world.on_client_link()
    world.client.run("ping", "-c1", "-W1", ROGUE, check=False)
    assert client_packets_in_clear(capture.lines(world.end_of_capture())) == []
    world.client.run(VPN, "reload", world.client_config(f"KillSwitch = on\nAllowLan = {ROGUE}/32"))
    capture = world.on_client_link()
    world.client.run("ping", "-c1", "-W5", ROGUE)
    world.client.run("ping", "-c1", "-W1", ROUTER, check=False)
    seen = client_packets_in_clear(capture.lines(world.end_of_capture()))
    assert len(seen) == 1 and f"{CLIENT} > {ROGUE}: ICMP echo request" in seen[0]


def test_a_neighbour_cannot_find_out_the_tunnels_address(world: World) -> None:
    """CVE-2019-14899: packets from the LAN to the tunnel's address, and ARP for it, get no answer."""
    world.serve()
    world.client.run(VPN, "up", world.client_config(allowed=f"{TUNNEL_SERVER}/32"))
    world.client.run("ping", "-c1", "-W5", TUNNEL_SERVER)  # the tunnel itself works
    world.rogue.sh(f"ip route add 10.9.0.0/24 via {CLIENT}; ip -6 route add fd09::/64 via 2001:db8:7::2")
    for address in (TUNNEL_CLIENT, "fd09::2"):
        assert world.rogue.run("ping", "-c1", "-W1", address, check=False).returncode != 0
    world.rogue.sh("ip addr add 10.9.0.66/24 dev eth0")
    capture = world.capture(world.rogue, "eth0")
    assert world.rogue.run("ping", "-I", "eth0", "-c1", "-W1", TUNNEL_CLIENT, check=False).returncode != 0
    world.rogue.run("ping", "-c1", "-W5", ROUTER)
    assert not any(f"Reply {TUNNEL_CLIENT} is-at" in line for line in capture.lines("ICMP echo reply"))
