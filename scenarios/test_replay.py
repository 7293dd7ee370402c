"""Replays: what was delivered once is never delivered again."""
import pytest
from meeting import Meeting
from vpnlab import Drop, ReplayWindow, packets

pytestmark = pytest.mark.sim
INNER = packets.udp("10.77.0.1", "10.77.0.2", b"once")


@pytest.mark.req("C6", "M4.3")
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


@pytest.mark.req("M4.3")
def test_the_edges_of_the_window(meeting: Meeting) -> None:
    behind = ReplayWindow.USABLE_BITS
    assert meeting.receive(meeting.session.seal(INNER, counter=20_000)) == INNER
    assert meeting.receive(meeting.session.seal(INNER, counter=20_000 - behind)) == INNER, "the oldest that may still come"
    assert meeting.receive(meeting.session.seal(INNER, counter=20_000 - ReplayWindow.BITS - 64)) == Drop.REPLAYED
    for counter in (20_000, 20_000 - behind):
        assert meeting.receive(meeting.session.seal(INNER, counter=counter)) == Drop.REPLAYED
    assert meeting.receive(meeting.session.seal(INNER, counter=20_001)) == INNER


@pytest.mark.req("M4.3")
def test_a_window_takes_each_counter_once_in_any_order() -> None:
    window = ReplayWindow()
    order = [number * 7919 % 4096 for number in range(4096)]
    assert all(window.accept(counter) for counter in order)
    assert not any(window.accept(counter) for counter in order)


@pytest.mark.req("M4.3")
def test_a_replay_across_a_rekey_is_dropped(meeting: Meeting) -> None:
    old = meeting.session.seal(INNER)
    assert meeting.receive(old) == INNER
    meeting.now += 1
    meeting.handshake()
    assert meeting.receive(old) == Drop.REPLAYED, "the session before is remembered with its window"
