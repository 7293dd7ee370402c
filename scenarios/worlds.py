"""Small worlds to begin a scenario with, and questions to ask of them."""
from vpnlab import Impairment, Suite, World


def two_nodes(seed: int, *, weather: Impairment | None = None, suite: Suite = Suite.CHACHA20_POLY1305, preshared_key: bool = False,
              after_seconds: int = 120, after_bytes: int = 0, after_messages: int = 1 << 60, first_keepalive: int = 0,
              second_knows_first: bool = True) -> World:
    """Alice and bob on one link, each other's peers; the weather holds both ways."""
    world = World(seed)
    world.add_node("alice")
    world.add_node("bob")
    world.connect("alice", "bob", suite=suite, preshared_key=preshared_key, after_seconds=after_seconds, after_bytes=after_bytes,
                  after_messages=after_messages, first_keepalive=first_keepalive, second_knows_first=second_knows_first)
    if weather is not None:
        set_weather(world, weather)
    return world


def set_weather(world: World, weather: Impairment) -> None:
    world.impair("alice", "bob", weather)
    world.impair("bob", "alice", weather)


def deliveries(world: World, packets: list[int]) -> list[int]:
    """How often each packet was delivered: all ones is what it should be."""
    return [world.packet(number).delivered_count for number in packets]


def happened(world: World, kind: str, node: str | None = None) -> int:
    """How many events of this kind there were, at one node or at all."""
    return sum(seen.event.kind == kind and node in (None, seen.node) for seen in world.events())


def count(world: World, message: str, node: str) -> int:
    """How many datagrams of this kind a node has sent."""
    return sum(seen.message == message and seen.node == node for seen in world.sent())
