"""Bad networks in virtual time: what is sent arrives, exactly once, whatever the weather."""
import pytest
from vpnlab import Impairment, Suite, World
from worlds import deliveries, two_nodes

pytestmark = pytest.mark.sim
SEEDS = range(10)


@pytest.mark.req("M3.1", "R4")
@pytest.mark.parametrize("suite", [Suite.CHACHA20_POLY1305, Suite.AES256_GCM], ids=["chacha", "aes"])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("psk", [False, True], ids=["plain", "psk"])
def test_either_end_begins(suite: Suite, ipv6: bool, psk: bool) -> None:
    for sender, receiver in ("alice", "bob"), ("bob", "alice"):
        world = two_nodes(1, suite=suite, preshared_key=psk)
        packets = [world.send(sender, receiver, ipv6=ipv6) for _ in range(3)]
        world.run_for(1)
        assert deliveries(world, packets) == [1, 1, 1]


@pytest.mark.req("M3.2")
def test_handshake_over_1500_ms_of_delay() -> None:
    world = two_nodes(1, weather=Impairment(delay=1.5))
    packet = world.send("alice", "bob")
    world.run_for(10)
    assert deliveries(world, [packet]) == [1]
    assert sum(seen.message == "initiation" for seen in world.sent()) == 1, "the answer comes before the first retransmission"


@pytest.mark.req("M3.2")
@pytest.mark.parametrize("seed", SEEDS)
def test_handshake_at_30_percent_loss_each_way(seed: int) -> None:
    world = two_nodes(seed, weather=Impairment(loss=0.3, delay=0.02))
    world.send("alice", "bob")
    world.run_for(90)
    assert any(seen.event.kind == "handshake_completed" for seen in world.events())


@pytest.mark.req("M3.2")
@pytest.mark.parametrize("lost", [1, 2, 5])
def test_the_first_responses_are_lost(lost: int) -> None:
    world = two_nodes(1)
    world.impair("bob", "alice", Impairment(drops=[f"response:1-{lost}"]))
    packet = world.send("alice", "bob")
    world.run_for(5.4 * lost + 1)
    assert deliveries(world, [packet]) == [1]
    initiations = [seen.datagram for seen in world.sent() if seen.message == "initiation"]
    assert len(initiations) == lost + 1
    assert len({datagram[8:40] for datagram in initiations}) == lost + 1, "a fresh ephemeral key each time"
    assert len({datagram[4:8] for datagram in initiations}) == lost + 1, "a fresh index each time"


@pytest.mark.req("S3", "M4.3")
@pytest.mark.parametrize("seed", SEEDS)
def test_reordered_and_duplicated_packets_arrive_exactly_once(seed: int) -> None:
    world = two_nodes(seed, weather=Impairment(reorder=0.5, duplicate=0.5, jitter=0.01, delay=0.01))
    packets = [world.send("alice", "bob") for _ in range(5)]
    world.run_for(1)
    for _ in range(200):
        packets.append(world.send("alice", "bob"))
        world.run_for(0.001)
    world.run_for(1)
    assert deliveries(world, packets) == [1] * len(packets)
    assert world.drops("bob")["replayed"] > 0


@pytest.mark.req("S5", "M2.4")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", [0.01, 0.1, 0.3])
def test_what_the_link_loses_is_all_that_is_lost(seed: int, loss: float) -> None:
    world = two_nodes(seed)
    world.send("alice", "bob")
    world.run_for(1)
    world.impair("alice", "bob", Impairment(loss=loss))
    packets = [world.send("alice", "bob") for _ in range(300)]
    world.run_for(1)
    lost = sum(count == 0 for count in deliveries(world, packets))
    assert abs(lost - 300 * loss) < 6 * (300 * loss * (1 - loss)) ** 0.5 + 1
    assert max(deliveries(world, packets)) == 1


@pytest.mark.req("M2.4")
@pytest.mark.parametrize("seed", SEEDS)
def test_blackhole_5_s_on_2_s_off(seed: int) -> None:
    world = two_nodes(seed)
    world.send("alice", "bob")
    world.run_for(1)
    for _ in range(20):
        for sender, receiver in ("alice", "bob"), ("bob", "alice"):
            world.plug(sender, receiver, False)
        world.run_for(5)
        for sender, receiver in ("alice", "bob"), ("bob", "alice"):
            world.plug(sender, receiver, True)
        packet = world.send("alice", "bob")
        world.run_for(2)
        assert deliveries(world, [packet]) == [1], "the session outlives the gap"


@pytest.mark.req("M3.2")
def test_simultaneous_initiation_loses_nothing() -> None:
    for seed in SEEDS:
        world = two_nodes(seed, weather=Impairment(delay=0.05))
        packets = [world.send("alice", "bob"), world.send("bob", "alice")]
        world.run_for(10)
        packets += [world.send("alice", "bob"), world.send("bob", "alice")]
        world.run_for(1)
        assert deliveries(world, packets) == [1, 1, 1, 1]


def test_the_same_seed_gives_the_same_world() -> None:
    def life(seed: int) -> str:
        world = two_nodes(seed, weather=Impairment(loss=0.2, reorder=0.2, jitter=0.005, delay=0.01))
        for _ in range(50):
            world.send("alice", "bob")
            world.run_for(1)
        return world.log_hash()

    assert life(7) == life(7) != life(8)


@pytest.mark.req("W4")
def test_a_hundred_peers() -> None:
    world = World(1)
    world.add_node("hub")
    names = [f"peer{number}" for number in range(100)]
    for name in names:
        world.add_node(name)
        world.connect("hub", name, first_knows_second=False)
    there = [world.send(name, "hub") for name in names]
    world.run_for(5)
    back = [world.send("hub", name) for name in names]
    world.run_for(5)
    assert deliveries(world, there + back) == [1] * 200
