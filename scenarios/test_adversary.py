"""An adversary on the path: what it can do to a tunnel, in virtual time and between real daemons alike."""
import pathlib
from collections.abc import Callable

import pytest
from daemon_support import wait_until
from two_worlds import AttackedTunnel, RealTunnel, dropped_in_silence, has_dropped
from vpnlab import Lab
from vpnlab.adversary import HEADER_BYTES, LabAdversary, flipped

ELSEWHERE = "198.51.100.9:9999"


@pytest.mark.req("M4.3")
@pytest.mark.parametrize("source", [None, ELSEWHERE], ids=["from-the-peer", "from-elsewhere"])
def test_replayed_data(attacked: AttackedTunnel, source: str | None) -> None:
    assert attacked.exchange("left", 3) == 3
    with dropped_in_silence(attacked, "right", replayed=5):
        for _ in range(5):
            attacked.adversary.replay(attacked.adversary.last_seen("data", "left"), "right", source)
    assert attacked.adversary.answers() == []
    assert attacked.exchange("right", 2) == 2


@pytest.mark.req("M4.3", "W2")
def test_a_replayed_initiation_begins_nothing(attacked: AttackedTunnel) -> None:
    assert attacked.exchange("left", 1) == 1
    with dropped_in_silence(attacked, "right", old_timestamp=1):
        attacked.adversary.replay(attacked.adversary.last_seen("initiation", "left"), "right", ELSEWHERE)
    assert attacked.exchange("left", 2) == 2


@pytest.mark.req("M3.3")
def test_a_replayed_response_begins_nothing(attacked: AttackedTunnel) -> None:
    assert attacked.exchange("left", 1) == 1
    answered = attacked.adversary.last_seen("response", "right")
    before = attacked.state("left")
    sent = attacked.sent("left")
    attacked.adversary.replay(answered, "left")
    attacked.settle()
    assert attacked.state("left") == before and attacked.sent("left") == sent
    assert has_dropped(attacked, "left", 1)
    assert attacked.exchange("left", 2) == 2


@pytest.mark.req("M3.2")
def test_the_first_response_is_lost(attacked: AttackedTunnel) -> None:
    attacked.adversary.drop("response", last=1)
    assert any(attacked.exchange("left", 1) for _ in range(12))
    kinds = [seen.message for seen in attacked.adversary.seen]
    assert kinds.count("initiation") == 2 and kinds.count("response") == 2


@pytest.mark.req("M3.2")
def test_a_handshake_over_1500_ms_of_delay_needs_one_initiation(attacked: AttackedTunnel) -> None:
    attacked.adversary.delay("initiation", 1.5)
    attacked.adversary.delay("response", 1.5)
    assert any(attacked.exchange("left", 1) for _ in range(10))
    assert [seen.message for seen in attacked.adversary.seen].count("initiation") == 1


@pytest.mark.req("S3", "M4.3")
def test_reordered_data_is_delivered_exactly_once(attacked: AttackedTunnel) -> None:
    assert attacked.exchange("left", 1) == 1
    attacked.adversary.reorder("data", hold=0.05)
    assert attacked.send("left", 50) == [1] * 50


@pytest.mark.req("M4.3")
def test_duplicated_data_is_delivered_exactly_once(attacked: AttackedTunnel) -> None:
    assert attacked.exchange("left", 1) == 1
    attacked.adversary.duplicate("data", sender="left", copies=2)
    assert attacked.send("left", 50) == [1] * 50
    assert has_dropped(attacked, "right", 100, "replayed")


@pytest.mark.req("M4.2", "S5")
@pytest.mark.parametrize("change", ["corrupt", "truncate", "splice"])
def test_changed_data_is_dropped_in_silence(attacked: AttackedTunnel, change: str) -> None:
    assert attacked.exchange("left", 1) == 1
    adversary = attacked.adversary
    adversary.drop("data", sender="left", last=1)
    assert attacked.send("left", 1, arriving=0) == [0], "the adversary keeps it"
    one, other = (adversary.last_seen("data", "left").datagram, adversary.last_seen("data", "right").datagram)
    changed = {"corrupt": flipped(one, -1), "truncate": one[:-1], "splice": one[:HEADER_BYTES] + other[HEADER_BYTES:]}[change]
    with dropped_in_silence(attacked, "right", data_auth=1):
        adversary.send(changed, "right", ELSEWHERE)
    assert adversary.answers() == []
    received = attacked.state("right")["received_bytes"]
    adversary.send(one, "right")
    attacked.settle()
    assert attacked.state("right")["received_bytes"] == received + len(one), "the forgery used up nothing"


@pytest.mark.req("M4.2")
@pytest.mark.parametrize("change", ["corrupt", "truncate", "splice"])
def test_a_flow_survives_what_is_changed_in_it(attacked: AttackedTunnel, change: str) -> None:
    assert attacked.exchange("left", 1) == 1
    if change == "corrupt":
        attacked.adversary.corrupt("data", sender="left", last=10)
    elif change == "truncate":
        attacked.adversary.truncate("data", -5, sender="left", last=10)
    else:
        attacked.adversary.splice("data", sender="left")
    expected = 19 if change == "splice" else 10
    lost = sum(count == 0 for count in attacked.send("left", 20, arriving=20 - expected))
    assert lost == expected and has_dropped(attacked, "right", lost, "data_auth")
    attacked.adversary.let_pass()
    assert attacked.send("left", 5) == [1] * 5


@pytest.mark.req("M4.2", "S5")
def test_every_byte_of_a_data_message_changed(attacked: AttackedTunnel) -> None:
    assert attacked.exchange("left", 1) == 1
    attacked.adversary.drop("data", sender="left", last=1)
    assert attacked.send("left", 1, arriving=0) == [0]
    datagram = attacked.adversary.last_seen("data", "left").datagram
    before = attacked.state("right")
    for position in range(len(datagram)):
        attacked.adversary.send(flipped(datagram, position, 6), "right", ELSEWHERE)
    attacked.settle()
    assert has_dropped(attacked, "right", len(datagram), "unknown_type", "unknown_index", "wrong_index_kind", "data_auth", "bad_length", "counter_limit")
    assert attacked.state("right") == before and attacked.adversary.answers() == []
    assert attacked.exchange("left", 2) == 2


@pytest.mark.req("M4.2", "S5")
@pytest.mark.parametrize("message, sender, receiver", [("initiation", "left", "right"), ("response", "right", "left")])
def test_every_byte_of_a_handshake_message_changed(attacked: AttackedTunnel, message: str, sender: str, receiver: str) -> None:
    attacked.adversary.drop(message)  # retransmissions too, however long all this takes
    assert attacked.exchange("left", 1) == 0
    datagram = attacked.adversary.last_seen(message, sender).datagram
    lasting = ("endpoint", "received_bytes", "sessions")
    before = [attacked.state(receiver)[key] for key in lasting]
    for position in range(len(datagram) - 16):  # mac2 is not looked at while there is no load
        attacked.adversary.send(flipped(datagram, position), receiver, ELSEWHERE)
    attacked.settle()
    assert has_dropped(attacked, receiver, len(datagram) - 16, "bad_mac1", "unknown_type", "bad_length")
    assert [attacked.state(receiver)[key] for key in lasting] == before and attacked.adversary.answers() == []
    attacked.adversary.let_pass()
    assert any(attacked.exchange("left", 1) for _ in range(12))


@pytest.mark.req("M3.1", "S1")
def test_an_initiation_forged_from_the_public_key(attacked: AttackedTunnel) -> None:
    assert attacked.exchange("left", 1) == 1
    with dropped_in_silence(attacked, "right", handshake_auth=1):
        attacked.adversary.send(attacked.adversary.forged_initiation("right"), "right", ELSEWHERE)
    assert attacked.adversary.answers() == []


@pytest.mark.lab
def test_an_adversary_whose_rule_fails_is_closed_all_the_same(make_lab: Callable[..., Lab]) -> None:
    def fail(datagram: bytes) -> list[tuple[float, bytes]]:
        raise ZeroDivisionError

    real = RealTunnel(make_lab(str(pathlib.Path(__file__).parent / "middle.toml")))
    real.attack()
    adversary = real.adversary
    assert isinstance(adversary, LabAdversary)
    errors = adversary.errors
    adversary.on("initiation", fail)
    real.exchange("left", 1)
    wait_until(lambda: errors, "the rule to fail")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            adversary.close()
        assert [side.cable.fileno() for side in adversary._sides] == [-1, -1]


@pytest.mark.req("S5")
@pytest.mark.parametrize("length", [0, 1, 4, 31, 32, 64, 92, 148, 149, 1400])
def test_garbage_of_any_length(attacked: AttackedTunnel, length: int) -> None:
    assert attacked.exchange("left", 1) == 1
    before = attacked.state("right")
    for kind in range(6):
        attacked.adversary.send(bytes([kind, 0, 0, 0] + [0xAB] * length)[:length], "right", ELSEWHERE)
    attacked.settle()
    assert attacked.state("right") == before and has_dropped(attacked, "right", 6)
    assert attacked.adversary.answers() == []


@pytest.mark.req("S5")
def test_an_established_flow_keeps_its_packets_under_a_flood(attacked: AttackedTunnel) -> None:
    """The node handles a thousand handshakes a second, and is under load while more than 512 wait: so many come, and more, at once."""
    assert attacked.exchange("left", 1) == 1
    came = []
    for _ in range(5):
        attacked.adversary.flood("right", 2000)
        came += attacked.send("left", 10, interval=0.001, arriving=8)
    assert sum(came) >= 40 and max(came) == 1
    answers = attacked.adversary.answers()
    assert len(answers) <= 10_000 and {len(answer) for answer in answers} <= {64}, "cookie replies alone, none longer than its question"
    if attacked.counts:
        assert answers and attacked.drops("right")["cookie_required"] >= len(answers), "it was under load"
