"""What every WireGuard does, seen from the middle of the link alone: sizes, headers, timers, and when it keeps silent.

Each case names its section of the WireGuard whitepaper (Donenfeld, 2020-06-01 edition). `make conformance` holds other implementations to
them; our own is held to them here too, in virtual time and for real. Lower bounds of times are exact, for no machine is early.
"""
from collections.abc import Callable

import pytest
from two_worlds import AttackedTunnel, RealTunnel
from vpnlab import parse, with_macs
from vpnlab.adversary import Seen

REKEY_TIMEOUT, REKEY_AFTER_TIME, KEEPALIVE_TIMEOUT = 5.0, 120.0, 10.0
SLOP = 0.02  # of a kernel's timers, which count in jiffies, and of when the adversary reads its clock
ELSEWHERE = "198.51.100.9:9999"


def seen(attacked: AttackedTunnel, message: str, sender: str) -> list[Seen]:
    return [one for one in attacked.adversary.seen if (one.message, one.sender) == (message, sender)]


def until(attacked: AttackedTunnel, condition: Callable[[], object], seconds: float) -> None:
    """Lets the world go on until the condition holds."""
    end = attacked.adversary.now() + seconds
    while not condition():
        assert attacked.adversary.now() < end, f"not within {seconds} s"
        attacked.settle()


@pytest.mark.req("M3.2", "N5")
def test_messages_have_their_sizes_and_reserved_bytes_of_zero(attacked: AttackedTunnel) -> None:
    """§5.4.2, 5.4.3, 5.4.6: 148, 92 and 32 bytes; data padded to a multiple of 16."""
    assert attacked.exchange("left", 3) == 3
    attacked.settle()
    sizes = {(one.message, len(one.datagram)) for one in attacked.adversary.seen if one.message != "data"}
    assert sizes <= {("initiation", 148), ("response", 92), ("keepalive", 32)}
    assert all(one.datagram[1:4] == bytes(3) for one in attacked.adversary.seen)
    data = seen(attacked, "data", "left") + seen(attacked, "data", "right")
    assert len(data) >= 6 and all(len(one.datagram) % 16 == 0 and len(one.datagram) > 32 for one in data)


@pytest.mark.req("M4.2", "N5")
def test_counters_begin_at_zero_and_indices_are_the_receivers(attacked: AttackedTunnel) -> None:
    """§5.4.6: each direction's counter is 0, 1, 2, …; a message names the session by the index that its receiver drew."""
    assert attacked.exchange("left", 4) == 4
    attacked.settle()
    (initiation,), (response,) = seen(attacked, "initiation", "left"), seen(attacked, "response", "right")
    assert response.datagram[8:12] == initiation.datagram[4:8]
    for sender, index in (("left", response.datagram[4:8]), ("right", initiation.datagram[4:8])):
        transport = [one.datagram for one in attacked.adversary.seen if one.sender == sender and one.message in ("data", "keepalive")]
        assert [int.from_bytes(datagram[8:16], "little") for datagram in transport] == list(range(len(transport)))
        assert {datagram[4:8] for datagram in transport} == {index}


@pytest.mark.req("M3.1", "M3.2")
def test_an_initiation_that_nobody_answers_comes_again_after_five_seconds_and_is_new(attacked: AttackedTunnel) -> None:
    """§5.4.2, 5.4.4, 6.1, 6.4: mac1 is right and mac2 zero; ephemeral and index are fresh; not before REKEY_TIMEOUT is over."""
    attacked.adversary.drop("initiation")
    assert attacked.exchange("left", 1) == 0
    until(attacked, lambda: len(seen(attacked, "initiation", "left")) >= 3, 60)
    tries = seen(attacked, "initiation", "left")
    assert all(later.at - earlier.at >= REKEY_TIMEOUT - SLOP for earlier, later in zip(tries, tries[1:]))
    assert len({one.datagram[4:8] for one in tries}) == len({one.datagram[8:40] for one in tries}) == len(tries)
    for one in tries:
        message = parse(one.datagram)
        assert one.datagram[132:] == bytes(16), "no cookie was ever sent"
        assert with_macs(message, attacked.adversary.public_key("right")).encode() == one.datagram  # type: ignore[arg-type]


@pytest.mark.req("M2.3")
def test_who_has_heard_data_and_has_nothing_to_say_sends_a_keepalive_after_ten_seconds(attacked: AttackedTunnel) -> None:
    """§6.5: once, of no data, and not before KEEPALIVE_TIMEOUT is over."""
    assert attacked.send("left", 1) == [1]
    heard = seen(attacked, "data", "left")[0].at
    until(attacked, lambda: seen(attacked, "keepalive", "right"), 60)
    (keepalive,) = seen(attacked, "keepalive", "right")
    assert keepalive.at - heard >= KEEPALIVE_TIMEOUT - SLOP
    assert len(keepalive.datagram) == 32


@pytest.mark.req("M3.3")
def test_a_responder_sends_no_data_before_it_has_received_some(attacked: AttackedTunnel) -> None:
    """§5.1, 5.4.3 (key confirmation): until then it cannot know that the initiator has the keys."""
    for message in ("data", "keepalive"):
        attacked.adversary.drop(message, sender="left")
    attacked.adversary.drop("initiation", sender="right")
    assert attacked.send("left", 1, arriving=0) == [0]
    until(attacked, lambda: seen(attacked, "response", "right"), 30)
    assert attacked.send("right", 3, arriving=0) == [0] * 3
    assert not seen(attacked, "data", "right") and not seen(attacked, "keepalive", "right")


@pytest.mark.req("M2.3")
def test_answers_go_to_where_the_last_authentic_data_came_from(attacked: AttackedTunnel) -> None:
    """§2.1, 6.5: roaming needs no handshake, and no other proof than the packet's own."""
    assert attacked.exchange("left", 2) == 2
    attacked.adversary.drop("data", sender="left", last=1)
    assert attacked.send("left", 1, arriving=0) == [0]
    attacked.adversary.send(attacked.adversary.last_seen("data", "left").datagram, "right", ELSEWHERE)
    attacked.settle()
    assert attacked.send("right", 2, arriving=0) == [0] * 2
    assert [answer[0] for answer in attacked.adversary.answers()].count(4) >= 2
    assert attacked.exchange("left", 2) == 2, "and back, by the same rule"


@pytest.mark.req("M3.1", "S1")
def test_with_a_preshared_key_at_one_end_alone_no_data_ever_passes(attacked: AttackedTunnel) -> None:
    """§5.2, 5.4.3: it is mixed in with the response, which the initiator then cannot open, and says nothing of."""
    if not isinstance(attacked, RealTunnel):
        pytest.skip("by design: a world's keys do not change; test_tunnel.py holds virtual time to the same")
    left = attacked.lab.host("left")
    (peer,) = left.run("wg", "show", "wg0", "peers").stdout.split()
    left.run("sh", "-c", f"wg genpsk | wg set wg0 peer {peer} preshared-key /dev/stdin")
    assert attacked.exchange("left", 2) == 0 and attacked.exchange("right", 1) == 0
    assert seen(attacked, "response", "right") or seen(attacked, "response", "left")
    assert not seen(attacked, "data", "left") and not seen(attacked, "data", "right")
    left.run("wg", "set", "wg0", "peer", peer, "preshared-key", "/dev/null")
    assert any(attacked.exchange("left", 1) for _ in range(20))


@pytest.mark.slow
@pytest.mark.req("M4.5")
def test_the_initiator_makes_new_keys_after_two_minutes_and_loses_nothing(attacked: AttackedTunnel, request: pytest.FixtureRequest) -> None:
    """§6.2: on sending, not before REKEY_AFTER_TIME, and the initiator alone, so that both do not begin at once."""
    if isinstance(attacked, RealTunnel) and request.config.getoption("--conformance") is None:
        pytest.skip("by design: two minutes of real time, for which there is make conformance")
    assert attacked.exchange("left", 1) == 1
    lost = 0
    while not (again := seen(attacked, "initiation", "left")[1:] + seen(attacked, "initiation", "right")):
        lost += 1 - attacked.exchange("left", 1)
        assert attacked.adversary.now() - seen(attacked, "initiation", "left")[0].at < REKEY_AFTER_TIME + 30
        attacked.settle()
    assert lost == 0 and [one.sender for one in again] == ["left"]
    assert again[0].at - seen(attacked, "response", "right")[0].at >= REKEY_AFTER_TIME - SLOP
    assert attacked.exchange("left", 2) == 2
