"""Every reason to drop a packet is reached by a script, is what the call returned, and is counted once."""
import os
from collections.abc import Callable

import pytest
from meeting import Meeting
from vpnlab import CookieChecker, CookieReply, Drop, Initiation, Initiator, Keypair, Responder, Suite, ok, packets, parse, with_macs

pytestmark = [pytest.mark.sim, pytest.mark.req("S5")]
INNER = packets.udp("10.77.0.1", "10.77.0.2", b"in")
NEVER_RETURNED = {Drop.STAGED_OVERFLOW, Drop.HANDSHAKE_GAVE_UP, Drop.INTERFACE_DOWN, Drop.PEER_REMOVED}  # they befall packets that were staged before


def initiation_of(meeting: Meeting, initiator: Initiator, later: float = 0) -> Initiation:
    return ok(initiator.initiate(meeting.wall_clock() + later))


def stranger(meeting: Meeting) -> Initiator:
    return Initiator(Keypair(), meeting.public_key)


def no_private_key(meeting: Meeting) -> object:
    meeting.node.set_keypair(None, now=meeting.now)
    return meeting.receive(initiation_of(meeting, meeting.initiator, 1).encode())


def bad_mac1(meeting: Meeting) -> object:
    message = initiation_of(meeting, meeting.initiator, 1)
    message.mac1 = bytes(16)
    return meeting.receive(message.encode())


def flood(meeting: Meeting, wanted: Drop, a_source: int) -> object:
    """Initiations of a stranger from ever new sources, each with the cookie it was given."""
    initiator = stranger(meeting)
    for source in (f"198.51.{number >> 8}.{number & 255}:4000" for number in range(2000)):
        first = initiation_of(meeting, initiator)
        verdict = meeting.receive(first.encode(), source)
        if verdict == wanted:
            return verdict
        if verdict != Drop.COOKIE_REQUIRED:
            continue
        reply = parse(meeting.answers()[-1])
        assert isinstance(reply, CookieReply)
        message = with_macs(first, meeting.public_key, cookie=ok(initiator.open_cookie(reply, first.mac1))).encode()
        for _ in range(a_source):
            verdict = meeting.receive(message, source)
            if verdict == wanted:
                return verdict
    return None


def begin_handshake(meeting: Meeting) -> tuple[Keypair, Initiation]:
    """Bob's node, with a new peer, sends an initiation: the peer's keys, and the initiation."""
    carol = Keypair()
    meeting.node.add_peer(carol.public, allowed_ips=["10.78.0.0/16"], endpoint="192.0.2.8:8")
    assert meeting.node.send_packet(packets.udp("10.77.0.2", "10.78.0.1"), now=meeting.now) is None
    message = parse(meeting.answers()[-1])
    assert isinstance(message, Initiation)
    return carol, message


def wrong_index_kind(meeting: Meeting) -> object:
    datagram = bytearray(meeting.session.seal(INNER))
    datagram[4:8] = begin_handshake(meeting)[1].sender.to_bytes(4, "little")
    return meeting.receive(bytes(datagram))


def handshake_auth(meeting: Meeting) -> object:
    message = initiation_of(meeting, meeting.initiator, 1)
    message.sealed_static = bytes(48)
    return meeting.receive(with_macs(message, meeting.public_key).encode())


def low_order_key(meeting: Meeting) -> object:
    message = initiation_of(meeting, meeting.initiator, 1)
    message.ephemeral = bytes(32)
    return meeting.receive(with_macs(message, meeting.public_key).encode())


def wrong_suite(meeting: Meeting) -> object:
    alice = Keypair()
    meeting.node.add_peer(alice.public)
    return meeting.receive(initiation_of(meeting, Initiator(alice, meeting.public_key, suite=Suite.AES256_GCM)).encode())


def initiation_too_soon(meeting: Meeting) -> object:
    meeting.now += 1
    meeting.receive(initiation_of(meeting, meeting.initiator).encode())
    meeting.now += 0.001
    return meeting.receive(initiation_of(meeting, meeting.initiator, 1).encode())


def unexpected_response(meeting: Meeting) -> object:
    """A second response to an initiation that was answered."""
    carol, initiation = begin_handshake(meeting)
    responder = Responder(carol)
    response, _ = ok(responder.respond(ok(responder.open(initiation))))
    assert meeting.receive(response.encode()) == b""
    return meeting.receive(response.encode())


def unexpected_cookie(meeting: Meeting) -> object:
    """A second cookie reply to one message."""
    carol, initiation = begin_handshake(meeting)
    reply = CookieChecker(carol.public).reply(initiation, "192.0.2.2:2").encode()
    assert meeting.receive(reply) == b""
    return meeting.receive(reply)


def bad_cookie(meeting: Meeting) -> object:
    forged = CookieReply()
    forged.receiver = begin_handshake(meeting)[1].sender
    return meeting.receive(forged.encode())


def session_expired(meeting: Meeting) -> object:
    datagram = meeting.session.seal(INNER)
    meeting.now += 181
    return meeting.receive(datagram)


def data_auth(meeting: Meeting) -> object:
    datagram = bytearray(meeting.session.seal(INNER))
    datagram[-1] ^= 1
    return meeting.receive(bytes(datagram))


def replayed(meeting: Meeting) -> object:
    datagram = meeting.session.seal(INNER)
    meeting.receive(datagram)
    return meeting.receive(datagram)


def old_timestamp(meeting: Meeting) -> object:
    meeting.now += 1
    return meeting.receive(initiation_of(meeting, meeting.initiator, -60).encode())


def staged(meeting: Meeting, count: int) -> int:
    """Packets for a peer that does not answer; its number."""
    peer = meeting.node.add_peer(Keypair().public, allowed_ips=["10.80.0.0/16"], endpoint="192.0.2.6:6")
    for _ in range(count):
        assert meeting.node.send_packet(packets.udp("10.77.0.2", "10.80.0.1"), now=meeting.now) is None
    return peer


def handshake_gave_up(meeting: Meeting) -> None:
    staged(meeting, 1)
    while Drop.HANDSHAKE_GAVE_UP.name.lower() not in meeting.node.drops() and meeting.now < 200:
        meeting.answers()  # the initiations, which nobody answers
        meeting.now += 1
        meeting.node.handle_timeout(now=meeting.now)


def interface_down(meeting: Meeting) -> None:
    staged(meeting, 1)
    meeting.node.go_down()


def no_endpoint(meeting: Meeting) -> object:
    meeting.node.add_peer(Keypair().public, allowed_ips=["10.81.0.0/16"])
    return meeting.node.send_packet(packets.udp("10.77.0.2", "10.81.0.1"), now=meeting.now)


SCRIPTS: dict[Drop, Callable[[Meeting], object]] = {
    Drop.UNKNOWN_TYPE: lambda m: m.receive(b"\x05" + bytes(31)),
    Drop.BAD_LENGTH: lambda m: m.receive(b"\x01\0\0\0" + bytes(10)),
    Drop.NO_PRIVATE_KEY: no_private_key,
    Drop.BAD_MAC1: bad_mac1,
    Drop.HANDSHAKE_OVERLOAD: lambda m: flood(m, Drop.HANDSHAKE_OVERLOAD, 5),
    Drop.COOKIE_REQUIRED: lambda m: flood(m, Drop.COOKIE_REQUIRED, 0),
    Drop.RATE_LIMITED: lambda m: flood(m, Drop.RATE_LIMITED, 6),
    Drop.UNKNOWN_INDEX: lambda m: m.receive(b"\x04\0\0\0" + os.urandom(40)),
    Drop.WRONG_INDEX_KIND: wrong_index_kind,
    Drop.HANDSHAKE_AUTH: handshake_auth,
    Drop.LOW_ORDER_KEY: low_order_key,
    Drop.UNKNOWN_PEER: lambda m: m.receive(initiation_of(m, stranger(m)).encode()),
    Drop.WRONG_SUITE: wrong_suite,
    Drop.OLD_TIMESTAMP: old_timestamp,
    Drop.INITIATION_TOO_SOON: initiation_too_soon,
    Drop.UNEXPECTED_RESPONSE: unexpected_response,
    Drop.UNEXPECTED_COOKIE: unexpected_cookie,
    Drop.BAD_COOKIE: bad_cookie,
    Drop.SESSION_EXPIRED: session_expired,
    Drop.COUNTER_LIMIT: lambda m: m.receive(m.session.seal(INNER, counter=2**64 - 1)),
    Drop.DATA_AUTH: data_auth,
    Drop.REPLAYED: replayed,
    Drop.INNER_NOT_IP: lambda m: m.receive(m.session.seal(bytes(32))),
    Drop.INNER_LENGTH: lambda m: m.receive(m.session.seal(INNER[:2] + b"\xff\xff" + INNER[4:])),
    Drop.SOURCE_NOT_ALLOWED: lambda m: m.receive(m.session.seal(packets.udp("10.99.0.1", "10.77.0.2"))),
    Drop.OUTBOUND_NOT_IP: lambda m: m.node.send_packet(bytes(40), now=m.now),
    Drop.NO_ROUTE: lambda m: m.node.send_packet(packets.udp("10.77.0.2", "172.16.0.1"), now=m.now),
    Drop.NO_ENDPOINT: no_endpoint,
    Drop.TOO_LARGE: lambda m: m.node.send_packet(packets.udp("10.77.0.2", "10.77.0.1", bytes(65_470)), now=m.now),
    Drop.STAGED_OVERFLOW: lambda m: staged(m, 129),
    Drop.HANDSHAKE_GAVE_UP: handshake_gave_up,
    Drop.INTERFACE_DOWN: interface_down,
    Drop.PEER_REMOVED: lambda m: m.node.remove_peer(staged(m, 1)),
}


@pytest.mark.parametrize("name", sorted(Drop.__members__))
def test_every_reason(meeting: Meeting, name: str) -> None:
    drop: Drop = getattr(Drop, name)
    verdict = SCRIPTS[drop](meeting)
    if drop not in NEVER_RETURNED:
        assert verdict == drop
    assert meeting.node.drops().get(name.lower()) == 1
