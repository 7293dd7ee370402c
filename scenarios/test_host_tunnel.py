"""A full tunnel, a split tunnel and the kill switch, on captures of the client's link (M5.1, M5.2, M5.3)."""
import pathlib
from collections.abc import Iterator

import pytest

from host_net import (CLIENT, NAMES, ROGUE, ROUTER, SERVER, TUNNEL_CLIENT, TUNNEL_SERVER, VPN, WEB, WEB6, World, client_packets_in_clear,
                      make_world, state_of, wait_for)

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


@pytest.mark.req("M5.1", "W4")
@pytest.mark.parametrize("interface", ["", "KillSwitch = on", "FwMark = 77"])
def test_wg_takes_no_full_tunnel_its_mark(world: World, interface: str) -> None:
    """What `wg` is given of the tunnel's own file names no mark, or says that there is none; another one ends with a reload."""
    world.serve()
    config = world.client_config(interface)
    world.client.run(VPN, "up", config)
    mark = world.client.run("wg", "show", "cli0", "fwmark").stdout
    stripped = world.write_config(world.client, "stripped", f"""[Interface]
PrivateKey = {world.keys['client'][0]}
[Peer]
PublicKey = {world.keys['server'][1]}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = {SERVER}:51820
""")
    for words in (["syncconf", "cli0", stripped], ["setconf", "cli0", stripped], ["set", "cli0", "fwmark", "0"]):
        world.client.run("wg", *words)
        assert world.client.run("wg", "show", "cli0", "fwmark").stdout == mark
        assert ask_web(world) == {WEB: SERVER, WEB6: "2001:db8:51::10"}, words
    world.client.run("wg", "set", "cli0", "fwmark", "0x99")
    world.client.run(VPN, "reload", config)
    assert world.client.run("wg", "show", "cli0", "fwmark").stdout == mark
    assert ask_web(world) == {WEB: SERVER, WEB6: "2001:db8:51::10"}


@pytest.mark.req("M5.2")
def test_split_tunnel_by_prefix(world: World) -> None:
    world.serve()
    world.client.run(VPN, "up", world.client_config(allowed=f"{TUNNEL_SERVER}/32, {NAMES}/32"))
    assert world.client.ask("tcp", NAMES, 80) == "198.51.100.10"
    assert world.client.ask("tcp", WEB, 80) == CLIENT


INNER = "10.50.0.1"  # behind the split tunnel


def serve_split(world: World) -> str:
    """A second tunnel of the server's, to INNER; the client's file for it, by which its packets may go through the first."""
    world.write_config(world.server, "srv1", f"[Interface]\nPrivateKey = {world.keys['server'][0]}\nListenPort = 51821\nAddress = 10.8.0.1/24\n"
                       f"[Peer]\nPublicKey = {world.keys['client'][1]}\nAllowedIPs = 10.8.0.2/32\n")
    world.server.run(VPN, "up", str(world.folder / "server" / "srv1.conf"))
    world.server.sh(f"ip addr add {INNER}/32 dev lo")
    path = pathlib.Path(world.client_config(allowed="10.50.0.0/16, 10.8.0.1/32", name="cli1", endpoint=f"{SERVER}:51821"))
    path.write_text(path.read_text().replace(f"{TUNNEL_CLIENT}/24, fd09::2/64", "10.8.0.2/24"))
    return str(path)


@pytest.mark.req("M5.2", "M5.4")
@pytest.mark.parametrize("kill_switch", ["on", "off"])
@pytest.mark.parametrize("first", ["full", "split"])
def test_a_full_tunnel_leaves_to_a_split_one_what_is_its_own(world: World, first: str, kill_switch: str) -> None:
    """Whichever came first. What is sent there goes into the split one, whose own packets go through the full one; when it is gone all is as before."""
    world.serve()
    before = state_of(world.client)
    files = [world.client_config(f"KillSwitch = {kill_switch}"), serve_split(world)]
    said = [world.client.run(VPN, "up", file).stderr for file in (files if first == "full" else reversed(files))]
    assert said == ["", ""]
    wait_for(lambda: "dev cli1" in world.client.sh(f"ip route get {INNER}"), "the full tunnel to follow")
    capture = world.on_client_link()
    wait_for(lambda: world.client.run("ping", "-c1", "-W1", INNER, check=False).returncode == 0, "the split tunnel")
    assert world.client.ask("tcp", WEB, 80) == SERVER
    assert [line for line in capture.lines(world.end_of_capture()) if INNER in line] == []
    assert "10.8.0.2" in world.server.run("wg", "show", "srv1", "allowed-ips").stdout
    assert world.server.run("wg", "show", "srv1", "transfer").stdout.split()[1] != "0"
    world.client.run(VPN, "down", "cli1")
    assert "dev cli0" in world.client.sh(f"ip route get {INNER}")
    wait_for(lambda: "cli1" not in world.client.sh("nft list ruleset"), "the full tunnel to follow")
    world.client.run(VPN, "down", "cli0")
    after = state_of(world.client)
    assert {what: after[what] for what in before if after[what] != before[what]} == {}


def test_a_full_tunnel_tells_what_it_takes_from_others_tunnels(world: World) -> None:
    """Of somebody else's tunnel nobody has said here that it may take anything."""
    world.client.sh("ip tuntap add other mode tun; ip addr add 10.8.0.2/24 dev other; ip link set other up; ip route add 10.50.0.0/16 dev other")
    said = world.client.run(VPN, "up", world.client_config()).stderr
    assert "which takes everything network=10.50.0.0/16 other=other" in said
    assert "cli0" in world.client.sh(f"ip route get {INNER}")
    world.client.run(VPN, "down", "cli0")
    quiet = world.client.run(VPN, "up", world.client_config("AllowLan = 10.50.0.0/16, 10.8.0.0/24")).stderr
    assert quiet == "" and "other" in world.client.sh(f"ip route get {INNER}")


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


def test_an_address_that_another_interface_has_too_is_not_cut_off(world: World) -> None:
    """Whichever had it first; but a LAN that gives it to the host to get at a full tunnel's connections gets nothing."""
    def config(allowed: str) -> str:
        path = pathlib.Path(world.client_config(allowed=allowed))
        path.write_text(path.read_text().replace(f"{TUNNEL_CLIENT}/24", f"{TUNNEL_CLIENT}/32, {CLIENT}/32"))
        return str(path)

    def reaches(address: str) -> bool:
        return world.rogue.run("ping", "-c1", "-W1", address, check=False).returncode == 0

    world.rogue.sh(f"ip route add {TUNNEL_CLIENT}/32 via {CLIENT}")
    world.client.run(VPN, "up", config("10.50.0.0/16"))
    assert reaches(CLIENT) and not reaches(TUNNEL_CLIENT)
    world.client.sh(f"ip addr add {TUNNEL_CLIENT}/32 dev eth0")
    wait_for(lambda: reaches(TUNNEL_CLIENT), "the address to be left to the other interface")
    world.client.sh(f"ip addr del {TUNNEL_CLIENT}/32 dev eth0")
    wait_for(lambda: not reaches(TUNNEL_CLIENT), "it to be the tunnel's alone again")
    world.client.run(VPN, "reload", config("0.0.0.0/0"))
    guarded = world.client.sh("nft list table inet vpn_cli0 | grep 'fib saddr type != local drop'")
    assert CLIENT in guarded and TUNNEL_CLIENT in guarded
