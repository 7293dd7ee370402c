"""Paths between real daemons: through NATs and several hops, over links that flap, to ends that move.

On the lab alone, because what is tried is the kernel's work too: address translation, routes, a tunnel's packets within a tunnel.
test_roaming.py and test_weather.py hold the protocol to the same in virtual time. Not here: a wall clock stepped back a day or
forward a year (test_time.py, virtual; test_netem_lane.py), for a machine's clock belongs to all that runs on it.
"""
import base64
import pathlib
import socket
import struct
import time
from collections.abc import Callable

import pytest
from two_worlds import Tunnel, answers_within
from vpnlab import Lab, pcapng

HERE = pathlib.Path(__file__).parent
DEADLINE = 30.0


def answers(lab: Lab, sender: str, address: str, attempts: int = 40) -> bool:
    """Whether one ping out of so many, a second apart at most, is answered."""
    return any(lab.host(sender).ping(address, count=1, deadline=1) == 1 for _ in range(attempts))


@pytest.mark.lab
@pytest.mark.req("N1", "M2.3")
def test_two_hosts_behind_one_nat(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(str(HERE / "one-nat.toml"))
    assert lab.host("one").ping("10.77.0.1", count=3) == 3
    assert lab.host("other").ping("10.77.0.1", count=3) == 3
    assert lab.host("server").ping("10.77.0.2", count=3) == 3
    assert lab.host("server").ping("10.77.0.3", count=3) == 3
    ports = {peer["endpoint"][0] for peer in lab.host("server").daemon().peers().values()}
    assert len(ports) == 2, "one address, two ports"


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.req("M2.3")
@pytest.mark.parametrize("keepalive, arrives", [(0, False), (1, True)], ids=["without-keepalive", "with-keepalive"])
def test_a_nat_forgets_after_three_seconds(make_lab: Callable[..., Lab], keepalive: int, arrives: bool) -> None:
    lab = make_lab(str(HERE / "one-nat.toml"), settings={"udp_timeout": "3s", "keepalive": str(keepalive), "nat": "restricted"})
    assert lab.host("one").ping("10.77.0.1", count=2) == 2
    before = lab.host("one").daemon().counters()["sent_datagrams"]
    time.sleep(4)  # of silence; ten seconds after the last answer, the one inside sends a keepalive of its own accord
    assert (lab.host("one").daemon().counters()["sent_datagrams"] > before) == arrives, "the keepalives are what keeps it open"
    assert (lab.host("server").ping("10.77.0.2", count=1, deadline=2) == 1) == arrives


@pytest.mark.lab
@pytest.mark.req("M2.3", "S5")
def test_a_nat_that_gets_another_address_costs_nothing_once_the_inside_speaks(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(str(HERE / "one-nat.toml"))
    assert lab.host("one").ping("10.77.0.1", count=2) == 2
    lab.host("home").run("sh", "-c", "ip address del 203.0.113.1/24 dev uplink && ip address add 203.0.113.77/24 dev uplink")
    assert answers(lab, "one", "10.77.0.1")
    assert any(peer["endpoint"][0].startswith("203.0.113.77:") for peer in lab.host("server").daemon().peers().values() if "endpoint" in peer)
    assert lab.host("server").ping("10.77.0.2", count=2) == 2


def introduce(lab: Lab, clients: dict[str, str]) -> None:
    """Tells each of two clients of the server how the server sees the other: what a rendezvous server would."""
    seen = {peer["allowed_ip"][0]: (key, peer["endpoint"][0]) for key, peer in lab.host("server").daemon().peers().items()}
    for client in clients:
        (address,) = (address for name, address in clients.items() if name != client)
        key, endpoint = seen[f"{address}/32"]
        lab.host(client).run("wg", "set", "wg0", "peer", base64.b64encode(bytes.fromhex(key)).decode(), "endpoint", endpoint,
                             "allowed-ips", f"{address}/32", "persistent-keepalive", "1")


@pytest.mark.lab
@pytest.mark.req("N3")
@pytest.mark.parametrize("nat, meet", [("full-cone", True), ("restricted", True), ("port-restricted", True), ("symmetric", False)])
def test_two_hosts_behind_nats_of_their_own_meet(make_lab: Callable[..., Lab], nat: str, meet: bool) -> None:
    """Each begins at once towards where the server sees the other, which opens its own NAT; a symmetric NAT shows every host another port."""
    lab = make_lab("double-nat", settings={"nat": nat, "delay": "1ms"})
    clients = {"alice": "10.77.0.2", "bob": "10.77.0.3"}
    for client in clients:
        assert lab.host(client).ping("10.77.0.1", count=2) == 2

    def heard_by_server() -> int:
        return sum(int(peer["rx_bytes"][0]) for peer in lab.host("server").daemon().peers().values())

    introduce(lab, clients)
    assert answers(lab, "alice", clients["bob"], attempts=40 if meet else 8) == meet
    before = heard_by_server()
    count = 20 if meet else 1
    assert lab.host("bob").ping(clients["alice"], count=count, interval=0.05, deadline=30 if meet else 1) == (count if meet else 0)
    assert heard_by_server() - before < 20 * 100, "not by way of the server, of which only keepalives are heard"


def forget_mappings(lab: Lab, router: str) -> None:
    """The router forgets every flow, and which inside socket had which of its ports; it still knows which ports are taken."""
    for table in lab.host(router).run("nft", "list", "tables").stdout.splitlines():
        for name in ("mapped", "users"):
            lab.host(router).run("nft", "flush", "map", *table.split()[1:], name, check=False)
    # As `conntrack -F` does: IPCTNL_MSG_CT_DELETE (0x102) for all of IPv4 (2), acknowledged.
    with lab.host(router).open_socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as conntrack:
        conntrack.settimeout(DEADLINE)
        conntrack.send(struct.pack("=IHHIIBBH", 20, 0x102, 0x5, 1, 0, 2, 0, 0))
        assert struct.unpack_from("=i", conntrack.recv(1024), 16) == (0,)


@pytest.mark.lab
@pytest.mark.req("M2.3", "S5")
@pytest.mark.parametrize("nat", ["port-restricted", "symmetric"])
def test_a_nat_that_gives_another_port_costs_nothing_once_the_inside_speaks(make_lab: Callable[..., Lab], nat: str) -> None:
    """In mid-session, without a new handshake, and for the other host behind it too."""
    lab = make_lab(str(HERE / "one-nat.toml"), settings={"nat": nat})

    def seen_by_server() -> dict[str, tuple[str, list[str]]]:
        return {key: (peer["endpoint"][0], peer["last_handshake_time_nsec"]) for key, peer in lab.host("server").daemon().peers().items()}

    clients = {"one": "10.77.0.2", "other": "10.77.0.3"}
    for client in clients:
        assert lab.host(client).ping("10.77.0.1", count=2) == 2
    before = seen_by_server()
    forget_mappings(lab, "home")
    for client, address in clients.items():
        assert answers(lab, client, "10.77.0.1")
        assert lab.host("server").ping(address, count=2) == 2
    after = seen_by_server()
    for key, (endpoint, handshake) in before.items():
        assert after[key][0] != endpoint and after[key][0].startswith("203.0.113.1:")
        assert after[key][1] == handshake, "the session goes on"


@pytest.mark.lab
@pytest.mark.req("M2.3", "S5")
@pytest.mark.parametrize("mover, addresses", [("left", ["192.0.2.11"]), ("right", ["192.0.2.12"]), ("both", ["192.0.2.11", "192.0.2.12"])])
def test_the_tunnel_follows_whoever_moves_and_speaks(pair: Lab, mover: str, addresses: list[str]) -> None:
    old = {"left": "192.0.2.1", "right": "192.0.2.2"}
    assert pair.host("left").ping("10.77.0.2", count=2) == 2
    for host, address in zip(["left", "right"] if mover == "both" else [mover], addresses):
        pair.host(host).run("sh", "-c", f"ip address del {old[host]}/24 dev wan; ip address add {address}/24 dev wan")
        # The mover speaks first: nobody else knows where it is.
        assert answers(pair, host, "10.77.0.2" if host == "left" else "10.77.0.1")
    assert pair.host("right").ping("10.77.0.1", count=2) == 2 and pair.host("left").ping("10.77.0.2", count=2) == 2
    for host, other in (("left", "right"), ("right", "left")):
        (peer,) = pair.host(other).daemon().peers().values()
        moved = dict(zip(["left", "right"] if mover == "both" else [mover], addresses)).get(host, old[host])
        assert peer["endpoint"][0].startswith(f"{moved}:")


@pytest.mark.lab
@pytest.mark.req("N4", "M4.4")
def test_three_hops_deep(make_lab: Callable[..., Lab], tmp_path: pathlib.Path) -> None:
    lab = make_lab(str(HERE / "three-hops.toml"))
    with lab.host("client").capture(tmp_path / "client.pcapng") as capture:
        assert answers(lab, "client", "10.1.0.2")
        assert lab.host("client").ping("10.1.0.2", count=3) == 3
    packets = list(capture.packets())

    def partners(interface: str) -> set[str]:
        found = (pcapng.udp_of(packet.ip) for packet in packets if packet.interface == interface and packet.outgoing)
        return {udp.destination for udp in found if udp}

    assert partners("link1") == {"198.51.100.2:51820"}, "the first hop is all that the client's network sees"
    assert partners("wg0") == {"203.0.113.2:51821"} and partners("wg1") == {"198.18.0.2:51822"}
    web = lab.host("web").run("ip", "-s", "-json", "link", "show", "dev", "last").stdout
    assert '"packets":0' not in web.replace(" ", "")


@pytest.mark.req("S5", "M2.4")
def test_a_link_that_flaps(tunnel: Tunnel) -> None:
    assert tunnel.exchange("left", 1) == 1
    for _ in range(10):
        tunnel.plug(False)
        tunnel.plug(True)
    assert answers_within(tunnel, "left", attempts=10)
    assert tunnel.exchange("right", 3) == 3


@pytest.mark.slow
@pytest.mark.req("S5", "M2.4")
def test_a_black_hole_of_5_s_with_2_s_of_light(tunnel: Tunnel) -> None:
    assert tunnel.exchange("left", 1) == 1
    for _ in range(2):
        tunnel.plug(False)
        assert tunnel.exchange("left", 5) == 0, "five seconds"
        tunnel.plug(True)
        assert tunnel.exchange("left", 2) >= 1, "the session outlives the gap"
