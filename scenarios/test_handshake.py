"""Handshakes, message by message."""
import pytest
from vpnlab import Drop, Initiator, Keypair, Node, Responder, Response, World, ok, parse
from worlds import deliveries, happened, two_nodes

NOW = 1_700_000_000.0
pytestmark = pytest.mark.sim


@pytest.mark.req("C6", "M3.1")
def test_scripted_handshake_gives_both_ends_the_same_keys(alice: Keypair, bob: Keypair) -> None:
    initiator, responder = Initiator(alice, bob.public), Responder(bob)
    initiation = ok(initiator.initiate(NOW))
    assert len(initiation.encode()) == 148
    opened = ok(responder.open(initiation))
    assert opened.remote == alice.public
    response, theirs = ok(responder.respond(opened))
    ours = ok(initiator.consume(response))
    assert theirs.open(ours.seal(b"from initiator")) == b"from initiator"
    assert ours.open(theirs.seal(b"from responder")) == b"from responder"


@pytest.mark.req("M3.1")
def test_a_node_answers_a_scripted_initiator(alice: Keypair, bob: Keypair) -> None:
    node = Node(bob, unix_start=NOW)
    node.add_peer(alice.public)
    initiator = Initiator(alice, bob.public)
    initiation = ok(initiator.initiate(NOW))
    assert node.receive_datagram("192.0.2.1:1000", initiation.encode(), now=1) == b""
    answer = ok(node.poll_transmit(now=1))
    assert answer.to == "192.0.2.1:1000" and len(answer.datagram) == 92
    response = parse(answer.datagram)
    assert isinstance(response, Response) and response.receiver == initiation.sender
    session = ok(initiator.consume(response))
    assert node.receive_datagram("192.0.2.1:1000", session.seal(b""), now=1) == b""


@pytest.mark.req("M3.1")
@pytest.mark.parametrize("psk", [bytes(32), bytes([7] * 32)], ids=["none", "another"])
def test_wrong_preshared_key_ends_at_the_initiator(alice: Keypair, bob: Keypair, psk: bytes) -> None:
    initiator, responder = Initiator(alice, bob.public, preshared_key=bytes([1] * 32)), Responder(bob)
    opened = ok(responder.open(ok(initiator.initiate(NOW))))
    response, _ = ok(responder.respond(opened, preshared_key=psk))
    assert initiator.consume(response) == Drop.HANDSHAKE_AUTH


@pytest.mark.req("M3.1")
@pytest.mark.parametrize("one, other", [(True, False), (False, True)], ids=["initiator-alone", "responder-alone"])
def test_a_one_sided_preshared_key_makes_no_session(one: bool, other: bool) -> None:
    world = two_nodes(1)
    for node, peer, has in (("alice", "bob", one), ("bob", "alice", other)):
        if has:
            world.set_preshared_key(node, peer, bytes([7] * 32))
    packet = world.send("alice", "bob")
    world.run_for(60)
    assert deliveries(world, [packet]) == [0] and happened(world, "handshake_completed") == 0
    assert set(world.drops("alice")) == {"handshake_auth"}, "the response does not verify, and nothing worse happens"


@pytest.mark.req("M3.1")
def test_a_preshared_key_changed_in_mid_session_counts_from_the_next_handshake() -> None:
    world = two_nodes(1, preshared_key=True)
    for _ in range(10):
        assert delivered(world)
    world.set_preshared_key("alice", "bob", bytes([9] * 32))
    assert delivered(world), "the session was made with the old key, and goes on"
    world.run_for(200)
    packet = world.send("alice", "bob")
    world.run_for(30)
    assert deliveries(world, [packet]) == [0], "one end alone has the new key"
    world.set_preshared_key("bob", "alice", bytes([9] * 32))
    world.run_for(10)
    assert delivered(world)


def delivered(world: World) -> bool:
    packet = world.send("alice", "bob")
    world.run_for(1)
    return deliveries(world, [packet]) == [1]
