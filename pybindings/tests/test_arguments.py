"""Whatever Python passes in, the bindings answer with a value or raise: no crash, nothing half done."""
import inspect
import itertools
import math
import random
import subprocess
import sys
import threading
from typing import Any

import pytest
import vpnlab
from vpnlab import (
    Capture,
    CookieChecker,
    CookieReply,
    Data,
    Drop,
    Impairment,
    Initiation,
    Initiator,
    Keypair,
    Lab,
    LabError,
    Node,
    PrefixTable,
    ReplayWindow,
    Responder,
    Response,
    Session,
    World,
    parse,
    pcapng,
)

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


def world() -> World:
    made = World(1)
    made.add_node("a")
    made.add_node("b")
    made.connect("a", "b")
    return made


MAKERS: dict[str, Any] = {
    "CookieChecker": lambda: CookieChecker(bytes(32)), "Data": Data, "Impairment": Impairment, "Initiation": Initiation,
    "Initiator": lambda: Initiator(Keypair(), Keypair().public), "Keypair": Keypair, "Node": lambda: Node(Keypair()), "PrefixTable": PrefixTable,
    "ReplayWindow": ReplayWindow, "Responder": lambda: Responder(Keypair()), "Response": Response,
    "Session": lambda: Session(bytes(32), bytes(32), 1, 2), "World": world, "CookieReply": CookieReply,
}
VALUES = [*HOSTILE, "a", "b", "10.0.0.0/8", "192.0.2.1:1", 0, 1, 5, 64, 1e9, 1e300, -0.0, 2**63, "response:1", [("x",)], lambda *a: [(0, b"")]]
# Everything that a script may be given may fail in these ways, and in no other.
REFUSALS = (TypeError, ValueError, KeyError, IndexError, OverflowError, RuntimeError, AttributeError)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_any_method_of_any_class_survives_any_arguments(name: str) -> None:
    """Drawn from hostile values; the seed is fixed."""
    draw = random.Random(name)
    subject = MAKERS[name]()
    # (World.run_for takes a time that may be long; hours are enough.)
    methods = [method for method, _ in inspect.getmembers(subject, callable) if not method.startswith("__") or method in ("__init__", "__len__")]
    members = [member for member in dir(type(subject)) if not member.startswith("_") and member not in methods]
    for _ in range(2000):
        method = draw.choice(methods)
        arguments = [draw.choice(VALUES) for _ in range(draw.randrange(5))]
        if method == "run_for":
            arguments = [draw.choice([value for value in VALUES if not isinstance(value, (int, float)) or not 3600 < value])]
        try:
            getattr(subject, method)(*arguments)
        except REFUSALS:
            pass
        if members:
            try:
                setattr(subject, draw.choice(members), draw.choice(VALUES))
            except REFUSALS:
                pass


def test_every_class_that_scripts_use_is_there_and_documented() -> None:
    asked = ["Keypair", "Initiator", "Responder", "Session", "ReplayWindow", "PrefixTable", "CookieChecker", "Node", "World", "Lab", "Host", "Link",
             "Capture", "Daemon"]
    for name in asked:
        kind = getattr(vpnlab, name)
        assert (kind.__doc__ or "").strip(), name
        if kind.__module__ == "vpnlab._core":
            continue
        for method, function in inspect.getmembers(kind, inspect.isfunction):
            assert method.startswith("_") or function.__doc__ or method in ("host", "link", "daemon"), f"{name}.{method}"


def test_a_running_world_refuses_other_threads_and_its_own_callback() -> None:
    subject = world()
    for _ in range(3000):
        subject.send("a", "b")
    outcomes: set[str] = set()
    done = threading.Event()

    def disturb() -> None:
        while not done.is_set():
            for call in (subject.sent, lambda: subject.now, lambda: subject.run_for(0.1), lambda: subject.send("a", "b"), subject.log):
                try:
                    call()
                    outcomes.add("answered")
                except RuntimeError as error:
                    outcomes.add(str(error))

    others = [threading.Thread(target=disturb) for _ in range(3)]
    for other in others:
        other.start()
    while not any("running" in outcome for outcome in outcomes):
        try:
            subject.run_for(50)
        except RuntimeError:
            pass  # another thread was faster
    done.set()
    for other in others:
        other.join()

    said = []

    def callback(sender: str, message: str, datagram: bytes) -> None:
        try:
            subject.run_for(1)
        except RuntimeError as error:
            said.append(str(error))

    subject.intercept("a", "b", callback)
    subject.send("a", "b")
    subject.run_for(10)
    assert said and all("running" in text for text in said)


def test_an_error_in_a_callback_comes_out_where_the_world_was_run() -> None:
    subject = world()
    subject.intercept("a", "b", lambda *seen: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        subject.send("a", "b")
    subject.intercept("a", "b", lambda *seen: ["nonsense"])  # type: ignore[arg-type,return-value]
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        subject.run_for(60)
    subject.intercept("a", "b", None)
    packet = subject.send("a", "b")
    subject.run_for(60)
    assert subject.packet(packet).delivered_count == 1, "and the world goes on"


def test_a_lab_that_does_not_stand_says_so() -> None:
    try:
        lab = Lab("pair", name="never-was")
    except LabError as error:
        pytest.skip(f"by design: {error}")
    for call in (lab.status, lab.events, lambda: lab.host("left").run("true"), lambda: lab.link("wan").impair("loss=1%"),
                 lambda: lab.link("wan").down(), lambda: lab.host("left").daemon().drops(), lambda: lab.host("left").open_socket(),
                 lambda: Capture(lab, "wan", "/dev/null")):
        with pytest.raises(LabError):
            call()


@pytest.mark.parametrize("content", [b"", b"\x0a\x0d\x0d\x0a", b"\x0a\x0d\x0d\x0a" + bytes(8), bytes(100)])
def test_a_broken_capture_is_read_as_far_as_it_goes_or_refused(tmp_path: Any, content: bytes) -> None:
    file = tmp_path / "broken.pcapng"
    file.write_bytes(content)
    try:
        assert list(pcapng.read(file)) == []
    except ValueError as error:
        assert "pcapng" in str(error)


def test_objects_outlive_the_interpreter_in_peace() -> None:
    """At exit, with a world that still has a callback into Python."""
    script = ("import sys; sys.path.insert(0, sys.argv[1]); import vpnlab; w = vpnlab.World(1); w.add_node('a'); w.add_node('b'); "
              "w.connect('a', 'b'); w.intercept('a', 'b', lambda *x: w and None); w.send('a', 'b'); w.run_for(1)")
    folder = str(vpnlab.__path__[0]).rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
