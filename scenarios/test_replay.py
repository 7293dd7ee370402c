"""Replays: what was delivered once is never delivered again."""
import pytest
from meeting import Meeting
from vpnlab import Drop, packets

pytestmark = pytest.mark.sim
INNER = packets.udp("10.77.0.1", "10.77.0.2", b"once")


@pytest.mark.req("M4.3")
def test_replayed_data_packet_is_dropped(meeting: Meeting) -> None:
    datagram = meeting.session.seal(INNER)
    assert meeting.receive(datagram) == INNER
    assert meeting.receive(datagram) == Drop.REPLAYED
    assert meeting.answers() == [], "not a byte in answer"
    assert meeting.node.drops() == {"replayed": 1}


@pytest.mark.req("M4.3")
def test_a_replay_from_another_address_does_not_move_the_endpoint(meeting: Meeting) -> None:
    datagram = meeting.session.seal(INNER)
    assert meeting.receive(datagram) == INNER
    assert meeting.receive(datagram, source="203.0.113.66:6666") == Drop.REPLAYED
    assert meeting.status().endpoint == meeting.address
