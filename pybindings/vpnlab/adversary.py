"""An adversary in the middle of a link: it observes, drops, delays, reorders, duplicates, corrupts, truncates and splices what
passes, and sends what it likes from whatever address: replays, forgeries, floods. It knows every public key, and no secret.

    adversary = SimulatedAdversary(world, "alice", "bob")     # in virtual time
    adversary = LabAdversary(lab, {"left": "west", "right": "east"}, host="middle")      # on a lab, from a host on the path
    adversary.drop("response", last=2)
    adversary.delay("data", 0.2, sender="alice")
    adversary.replay(adversary.seen[-1], to="bob", source="203.0.113.9:99")
"""
import abc
import heapq
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from vpnlab import packets, pcapng
from vpnlab._core import Initiation, World, with_macs
from vpnlab.lab import Lab
from vpnlab.story import Fate, describe

HEADER_BYTES = 16  # of a data message: type, receiver, counter

Act = Callable[[bytes], "list[tuple[float, bytes]]"]


@dataclass(frozen=True)
class Seen:
    """A datagram that passed."""
    sender: str
    message: str  # initiation, response, cookie, data, keepalive or other
    datagram: bytes
    at: float  # seconds, of the world's clock or of time.monotonic()


@dataclass
class _Rule:
    message: str
    sender: str | None
    first: int
    last: int | None
    act: Act
    count: int = 0

    def takes(self, message: str, sender: str) -> bool:
        if message != self.message or self.sender not in (None, sender):
            return False
        self.count += 1
        return self.first <= self.count and (self.last is None or self.count <= self.last)


class Adversary(abc.ABC):
    """What both worlds' adversaries can do. A rule holds for one kind of message ("initiation", "response", "cookie", "data" or
    "keepalive"), from one sender or from all; of these for number `first` to `last`, counted from 1 since the rule was made. The
    first rule that takes a datagram decides."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._rules: list[_Rule] = []

    # ── What passes ──

    def on(self, message: str, act: Act, sender: str | None = None, first: int = 1, last: int | None = None) -> None:
        """A rule of one's own: `act` gets the datagram, and returns what goes on instead, each after so many seconds."""
        self._rules.append(_Rule(message, sender, first, last, act))

    def drop(self, message: str, sender: str | None = None, first: int = 1, last: int | None = None) -> None:
        self.on(message, lambda datagram: [], sender, first, last)

    def delay(self, message: str, seconds: float, sender: str | None = None, first: int = 1, last: int | None = None) -> None:
        self.on(message, lambda datagram: [(seconds, datagram)], sender, first, last)

    def duplicate(self, message: str, sender: str | None = None, copies: int = 1, after: float = 0.001) -> None:
        self.on(message, lambda datagram: [(number * after, datagram) for number in range(copies + 1)], sender)

    def reorder(self, message: str, sender: str | None = None, hold: float = 0.05) -> None:
        """Every second one is held back."""
        count = [0]

        def hold_every_second(datagram: bytes) -> "list[tuple[float, bytes]]":
            count[0] += 1
            return [(hold * (count[0] % 2), datagram)]

        self.on(message, hold_every_second, sender)

    def corrupt(self, message: str, position: int = -1, bit: int = 0, sender: str | None = None, last: int | None = None) -> None:
        """One bit of the byte at `position` is flipped."""
        self.on(message, lambda datagram: [(0, flipped(datagram, position, bit))], sender, 1, last)

    def truncate(self, message: str, length: int, sender: str | None = None, last: int | None = None) -> None:
        """The first `length` bytes go on (a negative length: all but so many)."""
        self.on(message, lambda datagram: [(0, datagram[:length])], sender, 1, last)

    def splice(self, message: str = "data", sender: str | None = None) -> None:
        """The header of each on the body of the one before it. The first passes."""
        before: list[bytes] = []

        def exchange(datagram: bytes) -> "list[tuple[float, bytes]]":
            body = before[-1][HEADER_BYTES:] if before else datagram[HEADER_BYTES:]
            before[:] = [datagram]
            return [(0, datagram[:HEADER_BYTES] + body)]

        self.on(message, exchange, sender)

    def let_pass(self) -> None:
        """All rules are gone."""
        self._rules.clear()

    @abc.abstractmethod
    def now(self) -> float:
        """Seconds, by the clock of `Seen.at`."""

    # ── What it sends ──

    @abc.abstractmethod
    def send(self, datagram: bytes, to: str, source: str | None = None) -> None:
        """A UDP datagram to a host's VPN port, as if from `source` (address:port; None: from the true peer)."""

    @abc.abstractmethod
    def answers(self) -> list[bytes]:
        """What the hosts sent to the sources that the adversary made up."""

    @abc.abstractmethod
    def public_key(self, host: str) -> bytes:
        """Of a host: what the adversary needs for a right mac1."""

    def last_seen(self, message: str, sender: str) -> Seen:
        """The last that passed of this kind."""
        return next(one for one in reversed(self.seen) if (one.message, one.sender) == (message, sender))

    def replay(self, seen: Seen, to: str, source: str | None = None) -> None:
        self.send(seen.datagram, to, source)

    def forged_initiation(self, to: str) -> bytes:
        """An initiation with a right mac1, and nothing else right."""
        forged = Initiation()
        forged.sender = int.from_bytes(os.urandom(4), "little")
        forged.ephemeral = os.urandom(32)
        forged.sealed_static, forged.sealed_timestamp = os.urandom(48), os.urandom(28)
        return with_macs(forged, self.public_key(to)).encode()

    def flood(self, to: str, count: int) -> None:
        """So many forged initiations, made first and then sent in one go, from addresses of a /24 in turn: a host that answers more of them
        at once than its kernel holds neighbours loses the answers."""
        forged = [self.forged_initiation(to) for _ in range(count)]
        for number, datagram in enumerate(forged):
            self.send(datagram, to, f"198.51.100.{1 + number % 200}:4000")

    def _decide(self, sender: str, message: str, datagram: bytes) -> "list[tuple[float, bytes]] | None":
        self.seen.append(Seen(sender, message, datagram, self.now()))
        for rule in self._rules:
            if rule.takes(message, sender):
                return rule.act(datagram)
        return None


def flipped(datagram: bytes, position: int, bit: int = 0) -> bytes:
    """The datagram with one bit changed."""
    changed = bytearray(datagram)
    changed[position] ^= 1 << bit
    return bytes(changed)


class SimulatedAdversary(Adversary):
    """Between two nodes of a world. What it sends arrives while the world runs."""

    def __init__(self, world: World, first: str, second: str) -> None:
        super().__init__()
        self.world = world
        self._ends = {first: second, second: first}
        self._sources: set[str] = set()
        world.intercept(first, second, self._decide)

    def now(self) -> float:
        return self.world.now

    def send(self, datagram: bytes, to: str, source: str | None = None) -> None:
        if source is not None:
            self._sources.add(source)
        true = self.world.address(self._ends[to])
        self.world.inject(to, source or true or "192.0.2.9:9", datagram)

    def answers(self) -> list[bytes]:
        return [seen.datagram for seen in self.world.sent() if seen.other in self._sources]

    def public_key(self, host: str) -> bytes:
        return self.world.public_key(host)


@dataclass
class _Side:
    """One of the two cables of a host in the middle, and what is known of the host at its far end."""
    host: str
    cable: socket.socket
    mac: bytes = bytes(6)
    address: str = ""
    other: "_Side | None" = field(default=None, repr=False)


class LabAdversary(Adversary):
    """On a lab: in a host whose two links have no addresses, it carries every frame from one to the other itself, IPv4 alone.
    Close it before the lab goes down."""

    MAC = bytes.fromhex("020000000066")
    PORT = 51820

    def __init__(self, lab: Lab, links: dict[str, str], host: str = "middle") -> None:
        """`links`: for each of the two hosts the link between it and the adversary's."""
        super().__init__()
        self.lab = lab
        self._host = host
        self._sides = [_Side(name, self._open(lab, host, link)) for name, link in links.items()]
        one, two = self._sides
        one.other, two.other = two, one
        for side, link in zip(self._sides, links.values()):
            shown = lab.host(side.host).run("ip", "-o", "-4", "address", "show", "dev", link).stdout.split()
            side.address = shown[shown.index("inet") + 1].partition("/")[0]
            side.mac = bytes.fromhex(lab.host(side.host).run("cat", f"/sys/class/net/{link}/address").stdout.strip().replace(":", ""))
        self._due: list[tuple[float, int, socket.socket, bytes]] = []
        self._lock = threading.Lock()
        self._answers: list[bytes] = []
        self._public_keys: dict[str, bytes] = {}
        self._sequence = 0
        self.errors: list[BaseException] = []
        self._closed = False
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    @staticmethod
    def _open(lab: Lab, host: str, link: str) -> socket.socket:
        cable = lab.host(host).open_socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        cable.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        cable.bind((link, 0x0003))  # ETH_P_ALL
        cable.setblocking(False)
        return cable

    def close(self) -> None:
        """Nothing passes any more. Raises what went wrong in a rule."""
        if not self._closed:
            self._closed = True
            self._waker.send(b"x")  # which nobody reads where the thread ended by itself
            self._thread.join()
            for one in (*(side.cable for side in self._sides), self._wake, self._waker):
                one.close()
        if self.errors:
            raise self.errors[0]

    def now(self) -> float:
        return time.monotonic()

    def is_idle(self) -> bool:
        """Whether nothing waits to be sent on."""
        with self._lock:
            return not self._due

    def send(self, datagram: bytes, to: str, source: str | None = None) -> None:
        side = next(one for one in self._sides if one.host == to)
        assert side.other is not None
        address, _, port = (source or f"{side.other.address}:{self.PORT}").rpartition(":")
        frame = side.mac + self.MAC + b"\x08\x00" + packets.udp(address, side.address, datagram, ports=(int(port), self.PORT))
        self._put_on(side.cable, frame)

    def answers(self) -> list[bytes]:
        return list(self._answers)

    def public_key(self, host: str) -> bytes:
        if host not in self._public_keys:
            side = next(one for one in self._sides if one.host == host)
            assert side.other is not None
            (key,) = self.lab.host(side.other.host).daemon().peers()
            self._public_keys[host] = bytes.fromhex(key)
        return self._public_keys[host]

    def _put_on(self, cable: socket.socket, frame: bytes) -> None:
        while True:
            try:
                cable.send(frame)
                return
            except (BlockingIOError, OSError) as error:
                if not isinstance(error, BlockingIOError) and error.errno != 105:  # ENOBUFS: the queue of the cable is full
                    raise
                select.select([], [cable], [], 0.01)

    def _carry(self) -> None:
        cables = {side.cable: side for side in self._sides}
        try:
            while True:
                with self._lock:
                    wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
                ready, _, _ = select.select([*cables, self._wake], [], [], wait)
                if self._wake in ready:
                    return
                for cable in ready:
                    frame, address = cable.recvfrom(65536)
                    if address[2] != socket.PACKET_OUTGOING:
                        self._handle(frame, cables[cable])
                while self._due and self._due[0][0] <= time.monotonic():
                    with self._lock:
                        _, _, cable, frame = heapq.heappop(self._due)
                    self._put_on(cable, frame)
        except BaseException as error:
            self.errors.append(error)

    def _handle(self, frame: bytes, side: _Side) -> None:
        assert side.other is not None
        kind = frame[12:14]
        if kind == b"\x08\x06":
            asked = ".".join(map(str, frame[38:42]))
            if frame[20:22] == b"\x00\x01" and asked != side.other.address:  # an address of the adversary's
                self._put_on(side.cable, frame[6:12] + self.MAC + b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02" + self.MAC + frame[38:42]
                             + frame[22:32])
                return
        udp = pcapng.udp_of(frame[14:]) if kind == b"\x08\x00" else None
        if frame[:6] == self.MAC:
            if udp:
                self._answers.append(udp.payload)
            return
        instead = self._decide(side.host, describe(udp.payload)[0], udp.payload) if udp else None
        if udp is None or instead is None:
            self._put_on(side.other.cable, frame)
            return
        if udp.payload not in [datagram for _, datagram in instead]:
            self.lab.fates.append(Fate(time.time(), self._host, "changed" if instead else "adversary", udp.payload[:Fate.BYTES]))
        address, _, port = udp.source.rpartition(":")
        to, _, to_port = udp.destination.rpartition(":")
        for seconds, datagram in instead:
            self._sequence += 1
            packet = packets.udp(address, to, datagram, ports=(int(port), int(to_port)))
            with self._lock:
                heapq.heappush(self._due, (time.monotonic() + seconds, self._sequence, side.other.cable, frame[:14] + packet))
