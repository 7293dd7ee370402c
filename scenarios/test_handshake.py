"""Handshakes, message by message."""
import pytest
from vpnlab import Drop, Initiator, Keypair, Node, Responder, Response, ok, parse

NOW = 1_700_000_000.0
pytestmark = pytest.mark.sim


@pytest.mark.req("M3.1")
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
