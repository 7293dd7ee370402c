"""Floods: under load a node asks for cookies, answers less than it is asked, and serves who is known already."""
import os

import pytest
from meeting import Meeting
from vpnlab import CookieReply, Drop, Initiation, Initiator, Keypair, ok, packets, parse, with_macs

pytestmark = pytest.mark.sim
INNER = packets.udp("10.77.0.1", "10.77.0.2", b"established")
CAROL = "192.0.2.77:7777"


def flood(meeting: Meeting, count: int) -> list[Drop | bytes]:
    """Initiations with a right mac1 and nothing else right, each from an address of its own."""
    verdicts = []
    for number in range(count):
        forged = Initiation()
        forged.ephemeral = os.urandom(32)
        datagram = with_macs(forged, meeting.public_key).encode()
        verdicts.append(meeting.receive(datagram, source=f"198.51.{number // 250}.{number % 250 + 1}:4000"))
    return verdicts


@pytest.mark.req("S5")
def test_an_established_flow_keeps_every_packet_under_a_flood(meeting: Meeting) -> None:
    for _ in range(20):
        flood(meeting, 200)
        assert meeting.receive(meeting.session.seal(INNER)) == INNER
        meeting.now += 0.01
    assert meeting.node.under_load(meeting.now)


def test_a_flood_is_answered_by_less_than_it_sends(meeting: Meeting) -> None:
    flood(meeting, 1000)
    answers = meeting.answers()
    assert 0 < len(answers) <= 1000
    assert {len(answer) for answer in answers} == {64}, "cookie replies, and nothing else"


def cookie_of_carol(meeting: Meeting) -> tuple[Initiator, bytes]:
    """Carol, whom the node knows, and the cookie that she was sent under load."""
    carol = Keypair()
    meeting.node.add_peer(carol.public)
    initiator = Initiator(carol, meeting.public_key)
    flood(meeting, 1000)
    meeting.answers()
    first = ok(initiator.initiate(meeting.wall_clock()))
    assert meeting.receive(first.encode(), source=CAROL) == Drop.COOKIE_REQUIRED
    (answer,) = meeting.answers()
    reply = parse(answer)
    assert isinstance(reply, CookieReply) and reply.receiver == first.sender
    return initiator, ok(initiator.open_cookie(reply, first.mac1))


def test_under_load_a_cookie_opens_the_door(meeting: Meeting) -> None:
    initiator, cookie = cookie_of_carol(meeting)
    meeting.now += 0.1
    second = ok(initiator.initiate(meeting.wall_clock(), cookie=cookie))
    assert meeting.receive(second.encode(), source="192.0.2.77:7778") == Drop.COOKIE_REQUIRED, "a cookie is of one port"
    meeting.answers()
    assert meeting.receive(second.encode(), source=CAROL) == b""
    assert [len(answer) for answer in meeting.answers()] == [92]


def test_a_right_cookie_still_meets_the_rate_limit(meeting: Meeting) -> None:
    initiator, cookie = cookie_of_carol(meeting)
    verdicts = [meeting.receive(ok(initiator.initiate(meeting.wall_clock() + number, cookie=cookie)).encode(), source=CAROL)
                for number in range(10)]
    assert verdicts.count(Drop.RATE_LIMITED) == 5, "a burst of five, then nothing within the same instant"


def test_a_forged_cookie_reply_is_dropped(alice: Keypair, bob: Keypair) -> None:
    meeting = Meeting(alice, bob)
    forged = CookieReply()
    forged.receiver = meeting.session.remote_index
    assert isinstance(meeting.receive(forged.encode(), source="203.0.113.5:5"), Drop)
    assert meeting.answers() == [] and meeting.status().endpoint == meeting.address
