"""What happened: who sent which message when, and what became of it. Read from a world's log or from captures of hosts.

    story = of_world(world)
    print(story.timeline())
    pathlib.Path("story.svg").write_text(diagram.draw(story))
"""
import hashlib
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from vpnlab import pcapng
from vpnlab._core import CookieReply, Data, Drop, Initiation, Response, World, parse

ADVERSARY = "adversary"
_KEEPALIVE_BYTES = 32
_CLOCK_SKEW = 0.005  # seconds between the clocks of a capture and of the lab
_TAKEN_LATE = 0.5    # seconds after its arrival that a busy daemon takes up a packet
_LOSSES = {"down": "link down", "mtu": "longer than the path's MTU", "list": "on the drop list", "loss": "random loss",
           "burst": "burst loss", "queue": "queue full", "adversary": "dropped by the adversary", "refused": "not taken by the receiving kernel",
           "changed": "the adversary sends something else"}
# What arrives that the daemon may drop for each of its reasons; "" where the reason befalls packets to be sent.
DROPPED_KINDS = {"unknown type": "other", "bad length": "other", "no private key": "initiation response cookie",
                 "bad mac1": "initiation response", "handshake overload": "initiation response", "cookie required": "initiation response",
                 "rate limited": "initiation response", "unknown index": "response cookie data keepalive",
                 "wrong index kind": "response cookie data keepalive", "handshake auth": "initiation response",
                 "low order key": "initiation response", "unknown peer": "initiation", "wrong suite": "initiation",
                 "old timestamp": "initiation", "initiation too soon": "initiation", "unexpected response": "response",
                 "unexpected cookie": "cookie", "bad cookie": "cookie", "session expired": "data keepalive",
                 "counter limit": "data keepalive", "data auth": "data keepalive", "replayed": "data keepalive",
                 "inner not ip": "data", "inner length": "data", "source not allowed": "data",
                 "outbound not ip": "", "no route": "", "no endpoint": "", "too large": "", "staged overflow": "", "handshake gave up": "",
                 "interface down": "", "peer removed": ""}


@dataclass
class Arrival:
    at: float
    verdict: str = ""   # "accepted", why it was dropped, or nothing where only the wire was watched
    copy: bool = False  # it had arrived before

    @property
    def dropped(self) -> bool:
        return self.verdict not in ("", "accepted")


@dataclass
class Message:
    """One datagram on its way."""
    at: float
    sender: str
    receiver: str
    kind: str
    detail: str
    size: int
    lost: str = ""  # why
    marks: list[str] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)

    @property
    def plain(self) -> bool:
        """Data that arrived once and in order, as data should."""
        return (self.kind in ("data", "keepalive") and ADVERSARY not in (self.sender, self.receiver) and not self.lost and not self.marks and len(self.arrivals) == 1
                and not self.arrivals[0].dropped)


@dataclass
class Note:
    """Something that happened at a host, or (where `host` is empty) to the network."""
    at: float
    host: str
    text: str
    bad: bool = False


@dataclass
class Fate:
    """What a link did to a message, as a lab's fates.jsonl tells, or an adversary's host."""
    BYTES: ClassVar[int] = 32  # of a message, which tell it from others

    at: float
    where: str
    what: str         # "loss", "burst", "list", "queue", "mtu", "down", "refused", "adversary", "changed"; "duplicated", "corrupted"
    beginning: bytes  # of the message


@dataclass
class Dropped:
    """So many packets that a host's daemon counted as dropped for one reason, some time in between."""
    since: float
    until: float
    host: str
    reason: str
    count: int


@dataclass
class Story:
    hosts: list[str]
    messages: list[Message] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    start: float = 0.0  # times count from here

    def timeline(self) -> str:
        """All of it, one line an event, in order of time."""
        lines: list[tuple[float, str]] = []
        for message in self.messages:
            marks = "".join(f", {mark}" for mark in message.marks)
            fate = f", LOST: {message.lost}" if message.lost else ""
            lines.append((message.at, f"{message.sender} > {message.receiver}  {message.kind} {message.detail} {message.size} B{marks}{fate}"))
            for arrival in message.arrivals:
                again = ", a copy" if arrival.copy else ""
                verdict = f", DROPPED: {arrival.verdict}" if arrival.dropped else ""
                lines.append((arrival.at, f"{message.receiver} < {message.sender}  {message.kind} {message.detail}, "
                                          f"{(arrival.at - message.at) * 1000:.3f} ms later{again}{verdict}"))
        lines += [(note.at, f"{note.host}: {note.text}" if note.host else note.text) for note in self.notes]
        lines.sort(key=lambda line: line[0])
        return "".join(f"{at - self.start:14.6f}  {text}\n" for at, text in lines)


def describe(datagram: bytes) -> tuple[str, str]:
    """What a datagram is, and what of it tells it from others of its kind."""
    message = parse(datagram)
    if isinstance(message, Initiation):
        return "initiation", f"sender {message.sender:08x}"
    if isinstance(message, Response):
        return "response", f"sender {message.sender:08x} to {message.receiver:08x}"
    if isinstance(message, CookieReply):
        return "cookie", f"to {message.receiver:08x}"
    if isinstance(message, Data):
        return "keepalive" if len(datagram) == _KEEPALIVE_BYTES else "data", f"#{message.counter} to {message.receiver:08x}"
    assert isinstance(message, Drop)
    return "other", message.name.lower().replace("_", " ")


def mark_overtaken(messages: list[Message]) -> None:
    """Marks what arrived after something that its sender had sent later. Messages come in the order they were sent."""
    latest: dict[tuple[str, str], int] = {}
    numbered = [(one.arrivals[0].at, number, one) for number, one in enumerate(messages) if one.arrivals]
    for _, number, message in sorted(numbered, key=lambda one: one[:2]):
        way = message.sender, message.receiver
        if number < latest.get(way, -1):
            message.marks.append("overtaken")
        latest[way] = max(latest.get(way, -1), number)


_LINE = re.compile(r"(\d+\.\d+) (.*)")
_SENT = re.compile(r"(\S+) > (\S+) (\w+) (?:#\d+ )?(\d+)B (?:([0-9a-f]{16}) )?(.*)")
_CAME = re.compile(r"(\S+) < (\S+) (\w+) (\d+)B ([0-9a-f]{16}) (.*)")
_EVENT = re.compile(r"(\S+) event (\w+)(.*)")
_REFUSED = re.compile(r"(\S+) (refuses .*)")
_AT_NODE = re.compile(r"(\S+) (restarts|moves to .*|loses its NAT mapping|clock steps .*)")
_UNTOLD = re.compile(r"\S+ (?:packet \d+ to|delivers packet)")


class _WorldReader:
    """Reads a world's log line by line."""

    def __init__(self, world: World) -> None:
        self.story = Story([])
        self.sent = iter(world.sent())
        self.by_digest: dict[tuple[str, str], list[Message]] = {}
        self.details: dict[str, str] = {}  # of what nodes sent, by digest
        self.corrupted: list[tuple[float, Message]] = []
        for line in world.log():
            found = _LINE.match(line.strip())
            assert found, line
            self.read(float(found[1]), found[2])
        mark_overtaken(self.story.messages)

    def host(self, name: str) -> str:
        if name not in self.story.hosts and name != ADVERSARY:
            self.story.hosts.append(name)
        return name

    def read(self, at: float, text: str) -> None:
        if found := _SENT.fullmatch(text):
            self.read_sent(at, *found.groups())
        elif found := _CAME.fullmatch(text):
            self.read_came(at, *found.groups())
        elif found := _EVENT.fullmatch(text):
            rest = found[3].split()[2:]  # without the peer's number
            where = " to " + rest[0] if found[2] == "roamed" and rest else ""
            self.note(at, self.host(found[1]), found[2].replace("_", " ") + where, "gave_up" in found[2])
        elif found := _REFUSED.fullmatch(text):
            self.note(at, self.host(found[1]), found[2].replace("_", " "), True)
        elif found := _AT_NODE.fullmatch(text):
            self.note(at, self.host(found[1]), found[2])
        elif not _UNTOLD.match(text):
            self.note(at, "", text)

    def note(self, at: float, host: str, text: str, bad: bool = False) -> None:
        self.story.notes.append(Note(at, host, text, bad))

    def read_sent(self, at: float, sender: str, receiver: str, kind: str, size: str, digest: str | None, fate: str) -> None:
        if sender in ("injected", ADVERSARY):
            sender, detail = ADVERSARY, self.details.get(digest or "", "")
        else:
            kind, detail = describe(next(self.sent).datagram)
            self.details.setdefault(digest or "", detail)
        if receiver[0].isdigit() or receiver[0] == "[":
            fate, receiver = "lost: nobody there", self.host(sender)
        message = Message(at, self.host(sender), self.host(receiver), kind, detail, int(size))
        self.story.messages.append(message)
        if fate.startswith("lost: "):
            message.lost = _LOSSES.get(fate[6:], fate[6:])
        elif fate == "taken":
            message.receiver = ADVERSARY
            message.arrivals.append(Arrival(at))
        else:
            if " from " in fate:
                message.marks.append("from " + fate.split(" from ")[1])
            if sender == ADVERSARY:
                message.marks.append("as it was sent" if detail else "forged or changed")
            if fate.endswith(" corrupt"):
                message.marks.append("corrupted")
                delay = int(fate.split()[0][1:]) / 1e9
                self.corrupted.append((at + delay, message))
        self.by_digest.setdefault((message.receiver, digest or ""), []).append(message)

    def read_came(self, at: float, receiver: str, source: str, kind: str, size: str, digest: str, verdict: str) -> None:
        candidates = [one for one in self.by_digest.get((receiver, digest), []) if not one.lost]
        fresh = [one for one in candidates if not one.arrivals]
        broken = [one for due, one in self.corrupted if one.receiver == receiver and not one.arrivals and abs(due - at) < 1e-6]
        if fresh or broken or candidates:
            message = (fresh or broken or candidates)[0]
        else:
            message = Message(at, ADVERSARY, self.host(receiver), kind, "", int(size), marks=["from " + source])
            self.story.messages.append(message)
        if verdict.startswith("lost: "):
            message.lost = {"nat": "no NAT mapping", "nat filter": "the NAT lets nobody else in",
                            "moved": "the receiver has moved"}[verdict[6:]]
        else:
            message.arrivals.append(Arrival(at, verdict.replace("_", " "), copy=bool(message.arrivals)))


def of_world(world: World) -> Story:
    """What happened in a world so far."""
    return _WorldReader(world).story


def of_captures(packets: Iterable[pcapng.Packet], start: float = 0.0, fates: Iterable[Fate] = (), drops: Iterable[Dropped] = ()) -> Story:
    """What went over the links between hosts, by captures of these hosts: of WireGuard's messages, outside of the tunnels.

    The same bytes leaving one host and reaching another are one message. What left and reached nobody is lost, and `fates` tell
    why. What reached a host and left none came from the adversary. Of what arrived, `drops` tell what the daemon made of it, as far
    as it is certain which messages these were.
    """
    story = Story([], start=start)
    under_way: dict[bytes, list[Message]] = {}
    beginnings: dict[bytes, list[Message]] = {}
    seen: dict[tuple[str, bytes], Message] = {}
    addresses: dict[str, str] = {}
    for packet in sorted(packets, key=lambda one: one.when):
        udp = pcapng.udp_of(packet.ip) if packet.link_type == pcapng.ETHERNET else None
        if udp is None:
            continue
        kind, detail = describe(udp.payload)
        if kind == "other" and len(udp.payload) < _KEEPALIVE_BYTES:
            continue
        if packet.host not in story.hosts:
            story.hosts.append(packet.host)
        name = hashlib.blake2s(udp.payload, digest_size=16).digest()
        addresses[udp.source if packet.outgoing else udp.destination] = packet.host
        if packet.outgoing:
            message = Message(packet.when, packet.host, udp.destination, kind, detail, len(udp.payload))
            story.messages.append(message)
            under_way.setdefault(name, []).append(message)
            beginnings.setdefault(udp.payload[:Fate.BYTES], []).append(message)
            continue
        waiting = [one for one in under_way.get(name, []) if one.sender != packet.host]
        fresh = [one for one in waiting if not one.arrivals]
        if (packet.host, name) in seen and not fresh:
            earlier = seen[packet.host, name]
            earlier.arrivals.append(Arrival(packet.when, copy=True))
            continue
        if waiting:
            message = (fresh or waiting)[0]
            message.receiver = packet.host
        else:
            message = Message(packet.when, ADVERSARY, packet.host, kind, detail, len(udp.payload), marks=["from " + udp.source])
            story.messages.append(message)
        message.arrivals.append(Arrival(packet.when))
        seen[packet.host, name] = message
    for message in story.messages:
        if message.receiver not in story.hosts:
            message.lost = "on the way"
            if message.receiver not in addresses:
                message.marks.append("to " + message.receiver)
            message.receiver = addresses.get(message.receiver, message.sender)
    for fate in fates:
        _tell_fate(story, beginnings.get(fate.beginning, []), fate)
    for dropped in drops:
        _tell_drop(story, dropped)
    mark_overtaken(story.messages)
    return story


def _tell_fate(story: Story, candidates: list[Message], fate: Fate) -> None:
    """Says of the message what a link did to it: of the same message sent again and again, of the latest before."""
    before = [one for one in candidates if one.at <= fate.at + _CLOCK_SKEW]
    if fate.what in _LOSSES:
        lost = [one for one in before if one.lost == "on the way"]
        if lost:
            lost[-1].lost = f"{_LOSSES[fate.what]} ({fate.where})"
    elif before:
        message = before[-1]
        message.marks.append(f"{fate.what} ({fate.where})")
        if fate.what == "corrupted" and message.lost == "on the way":
            _join_corrupted(story, message)


def _join_corrupted(story: Story, message: Message) -> None:
    """What arrived of it has other bytes than what left, and looks as if an adversary had sent it."""
    for other in story.messages:
        if other.sender == ADVERSARY and other.receiver == message.receiver and other.size == message.size and other.at >= message.at:
            story.messages.remove(other)
            message.arrivals, message.lost = other.arrivals, ""
            return


def _tell_drop(story: Story, dropped: Dropped) -> None:
    """Says of arrivals that the daemon dropped them: where all that may be meant are as many as were counted, those that no honest sender
    sends before others."""
    kinds = DROPPED_KINDS.get(dropped.reason, "").split()
    if not kinds:
        return
    open_ = [(one, arrival) for one in story.messages if one.receiver == dropped.host and one.kind in kinds for arrival in one.arrivals
             if arrival.at <= dropped.until and not arrival.verdict]
    for since in (dropped.since, dropped.since - _TAKEN_LATE):
        arrivals = [(one, arrival) for one, arrival in open_ if arrival.at >= since]
        odd = [(one, arrival) for one, arrival in arrivals if arrival.copy or one.marks or one.sender == ADVERSARY]
        for chosen in (odd, arrivals):
            if len(chosen) == dropped.count:
                for _, arrival in chosen:
                    arrival.verdict = dropped.reason
                return


def counter_of(datagram: bytes) -> int:
    """The nonce counter of a data message."""
    return int(struct.unpack_from("<Q", datagram, 8)[0])
