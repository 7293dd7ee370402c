"""One tunnel, two worlds: the same scenario in virtual time and between real daemons."""
import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from vpnlab import Adversary, Impairment, Lab, LabAdversary, SimulatedAdversary, World
from worlds import deliveries

DEADLINE = 20.0
QUIET = 0.15  # seconds in which nothing happened: then nothing is under way (packets that wait are the adversary's)
SETTLED = 2.0  # virtual seconds after which everything under way has arrived


class Tunnel(Protocol):
    """A tunnel between the hosts "left" and "right"."""

    counts: bool  # whether its ends tell what they drop, and why

    def send(self, sender: str, count: int, interval: float = 0.01, arriving: int | None = None) -> list[int]:
        """Sends so many packets; how often each of them was delivered, once nothing is under way any more. Of `arriving` of them (all,
        where nothing is said) it waits for the delivery first: quiet alone may be that of a machine too busy to deliver."""

    def state(self, host: str) -> dict[str, Any]:
        """What a message that proves nothing must leave as it is: "received_bytes", and more that the world tells."""

    def drops(self, host: str) -> dict[str, int]:
        """How many packets it dropped, by reason."""

    def sent(self, host: str) -> int:
        """How many datagrams it has sent."""

    def settle(self) -> None:
        """Returns when what was sent has arrived."""

    def exchange(self, sender: str, count: int) -> int:
        """Sends requests and waits for each answer; how many came."""

    def weather(self, loss: float = 0, delay: float = 0) -> None:
        """Both ways, a share and seconds."""

    def plug(self, state: bool) -> None:
        """Unplugs the link (False), or plugs it in again."""

    def restart(self, host: str) -> None:
        """The daemon dies without a word and comes back with its configuration."""


class AttackedTunnel(Tunnel, Protocol):
    """One with an adversary on the path."""

    adversary: Adversary


def other(host: str) -> str:
    return "right" if host == "left" else "left"


def answers_within(tunnel: Tunnel, sender: str, attempts: int) -> bool:
    """Whether one request out of so many, a second apart, is answered."""
    return any(tunnel.exchange(sender, 1) for _ in range(attempts))


def has_dropped(tunnel: Tunnel, host: str, count: int, *reasons: str) -> bool:
    """Whether a host has counted so many drops, for these reasons alone (none: for any), for which it is waited. Of one that tells no
    drops, nothing is held."""
    if not tunnel.counts:
        return True
    end = time.monotonic() + DEADLINE
    while sum((drops := tunnel.drops(host)).values()) < count and time.monotonic() < end:
        time.sleep(0.01)
    return sum(drops.values()) == count and (not reasons or set(drops) <= set(reasons))


@contextlib.contextmanager
def dropped_in_silence(tunnel: Tunnel, host: str, **drops: int) -> Iterator[None]:
    """Holds what comes within to this: `host` drops it for these reasons, sends not a byte in answer, and no state changes."""
    state, before, sent = tunnel.state(host), tunnel.drops(host) if tunnel.counts else {}, tunnel.sent(host)
    yield

    def dropped() -> dict[str, int]:
        return {reason: more for reason, count in tunnel.drops(host).items() if (more := count - before.get(reason, 0))}

    tunnel.settle()
    end = time.monotonic() + DEADLINE
    while tunnel.counts and sum(dropped().values()) < sum(drops.values()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not tunnel.counts or dropped() == drops
    assert tunnel.sent(host) == sent, "not a byte in answer"
    assert tunnel.state(host) == state, "no state changed"


class SimulatedTunnel:
    """In virtual time."""

    adversary: Adversary
    counts = True  # what it drops, by reason

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed)
        self.world.add_node("left")
        self.world.add_node("right")
        self.world.connect("left", "right")

    def exchange(self, sender: str, count: int) -> int:
        came = 0
        for _ in range(count):
            request = self.world.send(sender, other(sender))
            self.world.run_for(0.5)
            if deliveries(self.world, [request]) == [1]:
                answer = self.world.send(other(sender), sender)
                self.world.run_for(0.5)
                came += self.world.packet(answer).delivered_count
            else:
                self.world.run_for(0.5)
        return came

    def attack(self) -> None:
        """Puts an adversary between the two."""
        self.adversary = SimulatedAdversary(self.world, "left", "right")

    def send(self, sender: str, count: int, interval: float = 0.01, arriving: int | None = None) -> list[int]:
        packets = []
        for _ in range(count):
            packets.append(self.world.send(sender, other(sender)))
            self.world.run_for(interval)
        self.settle()
        return deliveries(self.world, packets)

    def settle(self) -> None:
        self.world.run_for(SETTLED)

    def state(self, host: str) -> dict[str, Any]:
        status = self.world.status(host, other(host))
        indices = [(slot.local, slot.remote) for slot in (status.previous, status.current, status.next) if slot]
        return {"endpoint": status.endpoint, "last_handshake": status.last_handshake, "received_bytes": status.received_bytes,
                "sent_bytes": status.sent_bytes, "roamed_count": status.roamed_count, "sessions": indices}

    def drops(self, host: str) -> dict[str, int]:
        return self.world.drops(host)

    def sent(self, host: str) -> int:
        return sum(seen.node == host for seen in self.world.sent())

    def weather(self, loss: float = 0, delay: float = 0) -> None:
        for sender in ("left", "right"):
            self.world.impair(sender, other(sender), Impairment(loss=loss, delay=delay))

    def plug(self, state: bool) -> None:
        for sender in ("left", "right"):
            self.world.plug(sender, other(sender), state)

    def restart(self, host: str) -> None:
        self.world.restart(host)


class RealTunnel:
    """Between two daemons in the lab `pair`, or in middle.toml, which has room for an adversary."""

    ADDRESSES = {"left": "10.77.0.1", "right": "10.77.0.2"}
    PORT = 5000
    adversary: Adversary
    TOLD = ("endpoint", "last_handshake_time_sec", "last_handshake_time_nsec", "tx_bytes", "rx_bytes", "roamed_count", "staged_packets")

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.counts = bool(lab.host("left").daemon().counters())  # ours alone
        self._sockets: dict[str, socket.socket] = {}
        self._numbers = 0

    def attack(self) -> None:
        """Lets the adversary in the middle carry the frames between the two."""
        self.adversary = LabAdversary(self.lab, {"left": "west", "right": "east"})

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()
        if isinstance(adversary := getattr(self, "adversary", None), LabAdversary):
            adversary.close()

    def socket_of(self, host: str) -> socket.socket:
        """A UDP socket at the tunnel's address of a host."""
        if host not in self._sockets:
            made = self.lab.host(host).open_socket()
            made.bind((self.ADDRESSES[host], self.PORT))
            made.setblocking(False)
            self._sockets[host] = made
        return self._sockets[host]

    def send(self, sender: str, count: int, interval: float = 0.01, arriving: int | None = None) -> list[int]:
        receiver = other(sender)
        there, here = self.socket_of(receiver), self.socket_of(sender)
        numbers = range(self._numbers, self._numbers + count)
        self._numbers += count
        came = dict.fromkeys(numbers, 0)

        def collect() -> None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    number = int.from_bytes(there.recv(2048)[:8], "big")
                    if number in came:
                        came[number] += 1

        for number in numbers:
            here.sendto(number.to_bytes(8, "big") + bytes(92), (self.ADDRESSES[receiver], self.PORT))
            time.sleep(interval)
            collect()
        end = time.monotonic() + DEADLINE
        while sum(map(bool, came.values())) < (count if arriving is None else arriving) and time.monotonic() < end:
            time.sleep(0.01)
            collect()
        self.settle()
        collect()
        return list(came.values())

    def settle(self) -> None:
        end = time.monotonic() + DEADLINE
        while isinstance(adversary := getattr(self, "adversary", None), LabAdversary) and not adversary.is_idle():
            assert time.monotonic() < end, "the adversary still holds packets"
            time.sleep(0.01)
        quiet_since, last = time.monotonic(), self._numbers_of_both()
        while time.monotonic() - quiet_since < QUIET:
            assert time.monotonic() < end, "the daemons do not come to rest"
            time.sleep(0.02)
            if (now := self._numbers_of_both()) != last:
                quiet_since, last = time.monotonic(), now

    def _numbers_of_both(self) -> list[object]:
        """What changes whenever one of the daemons handles a packet."""
        return [(self.counts and self.drops(host), self.sent(host), self.state(host)) for host in self.ADDRESSES]

    def state(self, host: str) -> dict[str, Any]:
        (peer,) = self.lab.host(host).daemon().peers().values()
        sessions = [line.split()[:2] for line in peer.get("session", [])]
        return {**{key: peer.get(key) for key in self.TOLD}, "received_bytes": int(peer["rx_bytes"][0]), "sessions": sessions}

    def drops(self, host: str) -> dict[str, int]:
        if not self.counts:
            pytest.skip("by design: this implementation does not tell what it drops, and why")
        return self.lab.host(host).daemon().drops()

    def sent(self, host: str) -> int:
        if self.counts:
            return self.lab.host(host).daemon().counters()["sent_datagrams"]
        adversary: Adversary | None = getattr(self, "adversary", None)  # who sees all that passes
        return sum(seen.sender == host for seen in adversary.seen) + len(adversary.answers()) if adversary else 0

    def exchange(self, sender: str, count: int) -> int:
        begin = time.monotonic()
        came = self.lab.host(sender).ping(self.ADDRESSES[other(sender)], count=count, interval=0.05, deadline=count)
        if came < count == 1:
            time.sleep(max(0.0, begin + 1 - time.monotonic()))  # ping ends at once where there is no route
        return came

    def weather(self, loss: float = 0, delay: float = 0) -> None:
        self.lab.link("wan").impair(f"loss={loss:.2%}", f"delay={delay * 1000:.0f}ms")

    def plug(self, state: bool) -> None:
        self.lab.link("wan").plug(state)

    def restart(self, host: str) -> None:
        if not self.counts:
            pytest.skip("by design: the suite starts no daemon but ours anew")
        daemon = self.lab.host(host).daemon()
        configuration = daemon.configuration()
        daemon.stop("KILL")
        daemon.start(configuration)
