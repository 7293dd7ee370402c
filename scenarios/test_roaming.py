"""Ends that move, NATs that forget: the tunnel follows whoever authenticates, and nobody else."""
import pytest
from meeting import Meeting
from vpnlab import Drop, Keypair, World, packets
from worlds import deliveries, happened, two_nodes

pytestmark = pytest.mark.sim
INNER = packets.udp("10.77.0.1", "10.77.0.2", b"here I am")


@pytest.mark.req("M2.3")
@pytest.mark.parametrize("mover", ["alice", "bob"])
def test_the_tunnel_follows_whoever_moves_and_speaks(mover: str) -> None:
    world = two_nodes(1)
    stayer = "bob" if mover == "alice" else "alice"
    world.send("alice", "bob")
    world.run_for(1)
    world.change_address(mover)
    there = world.send(mover, stayer)
    world.run_for(1)
    assert world.status(stayer, mover).endpoint == world.address(mover)
    back = world.send(stayer, mover)
    world.run_for(1)
    assert deliveries(world, [there, back]) == [1, 1]
    assert happened(world, "roamed", stayer) == 1


@pytest.mark.req("M2.3")
def test_a_rebound_nat_costs_nothing_once_the_inside_speaks() -> None:
    world = two_nodes(1, second_knows_first=False)
    world.put_behind_nat("alice")
    world.send("alice", "bob")
    world.run_for(1)
    world.rebind_nat("alice")
    there = world.send("alice", "bob")
    world.run_for(1)
    back = world.send("bob", "alice")
    world.run_for(1)
    assert deliveries(world, [there, back]) == [1, 1]


@pytest.mark.req("M2.3")
@pytest.mark.parametrize("keepalive, arrives", [(0, 0), (25, 1)], ids=["without-keepalive", "with-keepalive"])
def test_a_nat_that_forgets_after_60_s(keepalive: int, arrives: int) -> None:
    world = two_nodes(1, second_knows_first=False, first_keepalive=keepalive)
    world.put_behind_nat("alice", timeout=60, restricted=True)
    world.send("alice", "bob")
    world.run_for(100)
    packet = world.send("bob", "alice")
    world.run_for(3)
    assert deliveries(world, [packet]) == [arrives]


@pytest.mark.req("N1")
def test_two_hosts_behind_one_nat_each_keep_their_tunnel() -> None:
    world = World(1)
    for name in ("server", "one", "other"):
        world.add_node(name)
    for name in ("one", "other"):
        world.connect("server", name, first_knows_second=False)
        world.put_behind_nat(name)
    there = [world.send(name, "server") for name in ("one", "other")]
    world.run_for(1)
    back = [world.send("server", name) for name in ("one", "other")]
    world.run_for(1)
    assert deliveries(world, there + back) == [1] * 4


@pytest.mark.req("M2.3")
def test_an_authentic_packet_with_a_forbidden_source_still_roams(meeting: Meeting) -> None:
    spoofed = meeting.session.seal(packets.udp("10.99.0.1", "10.77.0.2"))
    assert meeting.receive(spoofed, source="203.0.113.9:9999") == Drop.SOURCE_NOT_ALLOWED
    assert meeting.status().endpoint == "203.0.113.9:9999"


@pytest.mark.req("M2.3", "M4.2")
def test_a_forgery_moves_nobody(meeting: Meeting) -> None:
    datagram = bytearray(meeting.session.seal(INNER))
    datagram[-1] ^= 1
    assert meeting.receive(bytes(datagram), source="203.0.113.9:9999") == Drop.DATA_AUTH
    assert meeting.status().endpoint == meeting.address


def test_allowed_ips_spoof_by_a_less_specific_prefix(meeting: Meeting) -> None:
    meeting.node.allow(meeting.peer, "10.77.0.0/16")
    meeting.node.add_peer(Keypair().public, allowed_ips=["10.77.5.0/24"])
    assert meeting.receive(meeting.session.seal(packets.udp("10.77.5.1", "10.77.0.2"))) == Drop.SOURCE_NOT_ALLOWED
    assert isinstance(meeting.receive(meeting.session.seal(packets.udp("10.77.6.1", "10.77.0.2"))), bytes)
