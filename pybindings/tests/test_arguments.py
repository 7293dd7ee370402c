"""Whatever Python passes in, the bindings answer with a value or raise: no crash, nothing half done."""
import itertools
import math
from typing import Any

import pytest
from vpnlab import CookieReply, Data, Drop, Initiation, Initiator, Keypair, Node, PrefixTable, Responder, Response, Session, parse

HOSTILE: list[Any] = [None, -1, 2**64, 1.5, math.nan, math.inf, "", "é", "192.0.2.1", b"", bytes(31), bytes(33), bytes(70_000), [], {},
                      object(), Keypair, True]


@pytest.mark.parametrize("field, length", [("ephemeral", 32), ("sealed_static", 48), ("sealed_timestamp", 28), ("mac1", 16)])
def test_fields_take_their_length_alone(field: str, length: int) -> None:
    message = Initiation()
    setattr(message, field, bytes(range(length)))
    assert getattr(message, field) == bytes(range(length))
    for wrong in (b"", bytes(length - 1), bytes(length + 1)):
        with pytest.raises(ValueError, match=f"{field}: {length} bytes wanted, {len(wrong)} given"):
            setattr(message, field, wrong)
    assert getattr(message, field) == bytes(range(length)), "a refused value changes nothing"


@pytest.mark.parametrize("kind, length", [(Initiation, 148), (Response, 92), (CookieReply, 64), (Data, 32)])
def test_encode_and_parse_are_inverse(kind: Any, length: int) -> None:
    datagram = kind().encode()
    assert len(datagram) == length
    again = parse(datagram)
    assert isinstance(again, kind) and again.encode() == datagram
    assert parse(datagram[:-1]) == Drop.BAD_LENGTH


def test_keys_of_wrong_length_raise() -> None:
    for wrong in (b"", bytes(31), bytes(33)):
        for make in (lambda: Keypair(wrong), lambda: Initiator(Keypair(), wrong), lambda: Node(Keypair()).add_peer(wrong),
                     lambda: Session(wrong, bytes(32), 1, 2)):
            with pytest.raises(ValueError, match="32 bytes wanted"):
                make()


def test_time_does_not_go_backwards() -> None:
    node = Node(Keypair())
    node.handle_timeout(now=5)
    with pytest.raises(ValueError, match="backwards"):
        node.handle_timeout(now=4)
    for wrong in (-1.0, math.nan, math.inf, 1e10):
        with pytest.raises(ValueError):
            node.handle_timeout(now=wrong)


def test_a_refused_peer_leaves_nothing_behind() -> None:
    node, peer = Node(Keypair()), Keypair()
    with pytest.raises(ValueError, match="is no prefix"):
        node.add_peer(peer.public, allowed_ips=["10.0.0.0/8", "nonsense"])
    assert node.add_peer(peer.public) is not None, "the key is still free"
    with pytest.raises(ValueError):
        node.add_peer(peer.public)


CALLS: list[tuple[str, Any, int]] = [
    ("Keypair", Keypair, 1),
    ("parse", parse, 1),
    ("Initiator", lambda *a: Initiator(Keypair(), *a), 2),
    ("Responder", Responder, 1),
    ("respond", lambda *a: Responder(Keypair()).respond(*a), 2),
    ("initiate", lambda *a: Initiator(Keypair(), Keypair().public).initiate(*a), 3),
    ("consume", lambda *a: Initiator(Keypair(), Keypair().public).consume(*a), 1),
    ("Session", Session, 4),
    ("seal", lambda *a: Session(bytes(32), bytes(32), 1, 2).seal(*a), 2),
    ("open", lambda *a: Session(bytes(32), bytes(32), 1, 2).open(*a), 1),
    ("insert", lambda *a: PrefixTable().insert(*a), 2),
    ("find", lambda *a: PrefixTable().find(*a), 1),
    ("Node", Node, 3),
    ("add_peer", lambda *a: Node(Keypair()).add_peer(*a), 3),
    ("receive_datagram", lambda *a: Node(Keypair()).receive_datagram(*a), 3),
    ("send_packet", lambda *a: Node(Keypair()).send_packet(*a), 2),
    ("status", lambda *a: Node(Keypair()).status(*a), 2),
    ("remove_peer", lambda *a: Node(Keypair()).remove_peer(*a), 1),
    ("set_rekey_limits", lambda *a: Node(Keypair()).set_rekey_limits(*a), 3),
]


@pytest.mark.parametrize("call, count", [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])
def test_hostile_arguments_raise_or_return(call: Any, count: int) -> None:
    for arguments in itertools.product(HOSTILE, repeat=count) if count < 4 else zip(*[HOSTILE] * count):
        try:
            call(*arguments)
        except (TypeError, ValueError, KeyError):
            pass
