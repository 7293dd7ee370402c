"""Tampering and hostile bytes: dropped without a byte in answer, and nothing but counters changed."""
import pytest
from meeting import Meeting
from vpnlab import Drop, Initiation, Initiator, Keypair, Node, Responder, Response, ok, packets, parse, with_macs

NOW = 1_700_000_000.0
INNER = packets.udp("10.77.0.1", "10.77.0.2", bytes(64))
LOW_ORDER = [bytes(32), bytes([1] + [0] * 31), bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
             bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")]
pytestmark = pytest.mark.sim


@pytest.mark.req("M4.2", "S5")
def test_every_byte_of_a_data_message(meeting: Meeting) -> None:
    datagram = meeting.session.seal(INNER)
    for position in range(len(datagram)):
        broken = bytearray(datagram)
        broken[position] ^= 0x40
        assert isinstance(meeting.receive(bytes(broken)), Drop), position
    assert meeting.answers() == []
    assert meeting.receive(datagram) == INNER, "the forgeries used up nothing"


@pytest.mark.req("M4.2", "S5")
def test_every_byte_of_an_initiation(alice: Keypair, bob: Keypair) -> None:
    node = Node(bob, unix_start=NOW)
    node.add_peer(alice.public)
    datagram = ok(Initiator(alice, bob.public).initiate(NOW)).encode()
    for position in range(len(datagram) - 16):
        broken = bytearray(datagram)
        broken[position] ^= 1
        assert isinstance(node.receive_datagram("192.0.2.1:1", bytes(broken), now=1), Drop), position
    assert node.poll_transmit(now=1) is None
    assert node.receive_datagram("192.0.2.1:1", datagram, now=1) == b""


@pytest.mark.req("M4.2", "S5")
def test_every_byte_of_a_response(alice: Keypair, bob: Keypair) -> None:
    node = Node(alice, unix_start=NOW)
    node.add_peer(bob.public, allowed_ips=["10.77.0.2/32"], endpoint="192.0.2.2:2")
    assert node.send_packet(INNER, now=1) is None
    initiation = parse(ok(node.poll_transmit(now=1)).datagram)
    assert isinstance(initiation, Initiation)
    responder = Responder(bob)
    response, session = ok(responder.respond(ok(responder.open(initiation))))
    datagram = response.encode()
    for position in range(len(datagram) - 16):
        if 4 <= position < 8:
            continue  # the sender's index is free to choose; it is covered by mac1 below
        broken = bytearray(datagram)
        broken[position] ^= 1
        assert isinstance(node.receive_datagram("192.0.2.2:2", bytes(broken), now=1), Drop), position
    assert node.poll_transmit(now=1) is None
    assert node.receive_datagram("192.0.2.2:2", datagram, now=1) == b""
    assert ok(session.open(ok(node.poll_transmit(now=1)).datagram))[: len(INNER)] == INNER


@pytest.mark.req("S5")
@pytest.mark.parametrize("length", [0, 1, 3, 4, 31, 32, 63, 64, 65, 91, 92, 93, 147, 148, 149, 1500, 65_507])
def test_datagrams_of_any_length_and_type(meeting: Meeting, length: int) -> None:
    for kind in range(6):
        datagram = bytes([kind, 0, 0, 0] + [0xAB] * length)[:length]
        assert isinstance(meeting.receive(datagram), Drop)
    assert meeting.answers() == []


@pytest.mark.req("M3.1")
@pytest.mark.parametrize("key", LOW_ORDER, ids=["zero", "one", "p-1", "order-8"])
def test_a_low_order_key_makes_no_packet_leave(alice: Keypair, key: bytes) -> None:
    node = Node(alice)
    node.add_peer(key, allowed_ips=["10.77.0.2/32"], endpoint="192.0.2.2:2")
    node.send_packet(INNER, now=1)
    assert node.poll_transmit(now=1) is None


@pytest.mark.req("M3.1")
@pytest.mark.parametrize("key", LOW_ORDER, ids=["zero", "one", "p-1", "order-8"])
def test_a_low_order_ephemeral_is_refused(alice: Keypair, bob: Keypair, key: bytes) -> None:
    node = Node(bob, unix_start=NOW)
    node.add_peer(alice.public)
    initiation = ok(Initiator(alice, bob.public).initiate(NOW))
    initiation.ephemeral = key
    forged = with_macs(initiation, bob.public)
    assert node.receive_datagram("192.0.2.1:1", forged.encode(), now=1) in (Drop.LOW_ORDER_KEY, Drop.HANDSHAKE_AUTH)
    assert node.poll_transmit(now=1) is None


@pytest.mark.req("S1", "M3.1")
def test_a_stranger_gets_no_answer(bob: Keypair) -> None:
    node = Node(bob, unix_start=NOW)
    initiation = ok(Initiator(Keypair(), bob.public).initiate(NOW))
    assert node.receive_datagram("192.0.2.1:1", initiation.encode(), now=1) == Drop.UNKNOWN_PEER
    assert node.poll_transmit(now=1) is None


@pytest.mark.req("S1")
def test_one_who_has_the_wrong_key_of_ours_gets_no_answer(alice: Keypair, bob: Keypair) -> None:
    node = Node(bob, unix_start=NOW)
    node.add_peer(alice.public)
    initiation = ok(Initiator(alice, Keypair().public).initiate(NOW))
    assert node.receive_datagram("192.0.2.1:1", initiation.encode(), now=1) == Drop.BAD_MAC1


@pytest.mark.req("W2")
def test_replayed_and_older_initiations_are_dropped(alice: Keypair, bob: Keypair) -> None:
    node, initiator = Node(bob, unix_start=NOW), Initiator(alice, bob.public)
    node.add_peer(alice.public)
    older, newer = ok(initiator.initiate(NOW)), ok(initiator.initiate(NOW + 1))
    assert node.receive_datagram("192.0.2.1:1", newer.encode(), now=1) == b""
    assert len(ok(node.poll_transmit(now=1)).datagram) == 92
    for replayed in (newer, older):
        assert node.receive_datagram("192.0.2.1:1", replayed.encode(), now=2) == Drop.OLD_TIMESTAMP
    assert node.poll_transmit(now=2) is None


@pytest.mark.req("M4.4", "M4.1")
def test_no_plaintext_in_what_is_sent(meeting: Meeting) -> None:
    secret = b"the quick brown fox jumps over the lazy dog"
    sent = ok(meeting.node.send_packet(packets.udp("10.77.0.2", "10.77.0.1", secret), now=meeting.now))
    assert secret[:8] not in sent.datagram
    assert len(sent.datagram) % 16 == 0, "padded"
    assert secret in ok(meeting.session.open(sent.datagram))


@pytest.mark.req("S2")
def test_the_same_plaintext_twice_gives_different_ciphertext(meeting: Meeting) -> None:
    packet = packets.udp("10.77.0.2", "10.77.0.1", bytes(100))
    one, other = (ok(meeting.node.send_packet(packet, now=meeting.now)).datagram for _ in range(2))
    assert one[8:16] != other[8:16] and one[16:48] != other[16:48]


@pytest.mark.req("S7", "M4.2")
@pytest.mark.parametrize("counter, verdict", [(2**32 - 1, None), (2**32, None), (2**64 - 2**13 - 2, None),
                                              (2**64 - 2**13 - 1, Drop.COUNTER_LIMIT), (2**64 - 1, Drop.COUNTER_LIMIT)])
def test_counters_near_the_limits(meeting: Meeting, counter: int, verdict: Drop | None) -> None:
    assert meeting.receive(meeting.session.seal(INNER, counter=counter)) == (verdict or INNER)


@pytest.mark.req("S5")
@pytest.mark.parametrize("inner, verdict", [
    (b"\x00" * 32, Drop.INNER_NOT_IP),
    (INNER[:2] + b"\xff\xff" + INNER[4:], Drop.INNER_LENGTH),
    (INNER[:2] + b"\x00\x13" + INNER[4:], Drop.INNER_LENGTH),
    (packets.udp("fd77::1", "fd77::2")[:4] + b"\xff\xf0" + packets.udp("fd77::1", "fd77::2")[6:], Drop.INNER_LENGTH),
], ids=["no-ip", "longer-than-it-is", "shorter-than-its-header", "ipv6-length-that-wraps"])
def test_inner_packets_that_lie(meeting: Meeting, inner: bytes, verdict: Drop) -> None:
    assert meeting.receive(meeting.session.seal(inner)) == verdict


def test_a_response_out_of_the_blue(meeting: Meeting, bob: Keypair) -> None:
    forged = Response()
    forged.receiver = meeting.session.remote_index
    assert isinstance(meeting.receive(with_macs(forged, bob.public).encode()), Drop)
    assert meeting.answers() == []
