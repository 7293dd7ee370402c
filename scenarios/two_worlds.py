"""One tunnel, two worlds: the same scenario in virtual time and between real daemons."""
import time
from typing import Protocol

from vpnlab import Impairment, Lab, World
from worlds import deliveries


class Tunnel(Protocol):
    """A tunnel between the hosts "left" and "right"."""

    def exchange(self, sender: str, count: int) -> int:
        """Sends requests and waits for each answer; how many came."""

    def weather(self, loss: float = 0, delay: float = 0) -> None:
        """Both ways, a share and seconds."""

    def plug(self, state: bool) -> None:
        """Unplugs the link (False), or plugs it in again."""

    def restart(self, host: str) -> None:
        """The daemon dies without a word and comes back with its configuration."""


def other(host: str) -> str:
    return "right" if host == "left" else "left"


def answers_within(tunnel: Tunnel, sender: str, attempts: int) -> bool:
    """Whether one request out of so many, a second apart, is answered."""
    return any(tunnel.exchange(sender, 1) for _ in range(attempts))


class SimulatedTunnel:
    """In virtual time."""

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

    def weather(self, loss: float = 0, delay: float = 0) -> None:
        for sender in ("left", "right"):
            self.world.impair(sender, other(sender), Impairment(loss=loss, delay=delay))

    def plug(self, state: bool) -> None:
        for sender in ("left", "right"):
            self.world.plug(sender, other(sender), state)

    def restart(self, host: str) -> None:
        self.world.restart(host)


class RealTunnel:
    """Between two daemons in the lab `pair`."""

    ADDRESSES = {"left": "10.77.0.1", "right": "10.77.0.2"}

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

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
        daemon = self.lab.host(host).daemon()
        configuration = daemon.configuration()
        daemon.stop("KILL")
        daemon.start(configuration)
