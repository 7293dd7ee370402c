"""What happens by time, volume and silence: rekeying, keepalives, erasure, clocks, restarts."""
import pytest
from meeting import Meeting
from vpnlab import Drop, Impairment, Initiation, Keypair, Node, World, packets, parse
from worlds import count, deliveries, happened, two_nodes

pytestmark = pytest.mark.sim
INNER = packets.udp("10.77.0.1", "10.77.0.2", b"here I am")


def steady_flow(world: World, seconds: int, per_second: int = 10) -> list[int]:
    packets = []
    for _ in range(seconds * per_second):
        packets.append(world.send("alice", "bob"))
        world.run_for(1 / per_second)
    world.run_for(1)
    return packets


@pytest.mark.req("M4.5")
def test_rekey_by_time_loses_no_packet() -> None:
    world = two_nodes(1, weather=Impairment(delay=0.02))
    packets = steady_flow(world, 400)
    assert deliveries(world, packets) == [1] * len(packets)
    assert happened(world, "handshake_completed", "alice") == 4, "at 0, 120, 240 and 360 s"


@pytest.mark.req("M4.5")
def test_rekey_by_volume_loses_no_packet() -> None:
    world = two_nodes(1, weather=Impairment(delay=0.001), after_bytes=64_000)
    packets = []
    for _ in range(300):
        packets.append(world.send("alice", "bob", length=1000))
        world.run_for(0.1)
    world.run_for(1)
    assert deliveries(world, packets) == [1] * len(packets)
    assert happened(world, "handshake_completed", "alice") >= 4


@pytest.mark.req("M4.5")
def test_rekey_by_message_count_loses_no_packet() -> None:
    world = two_nodes(1, weather=Impairment(delay=0.001), after_messages=50)
    packets = steady_flow(world, 60)
    assert deliveries(world, packets) == [1] * len(packets)
    assert happened(world, "handshake_completed", "alice") >= 5


@pytest.mark.req("M4.2")
def test_no_nonce_is_used_twice_over_many_rekeys() -> None:
    world = two_nodes(1, after_messages=100)
    steady_flow(world, 100)
    nonces = [seen.datagram[4:16] for seen in world.sent() if seen.message in ("data", "keepalive")]
    assert len(nonces) > 1000 and len(set(nonces)) == len(nonces)


@pytest.mark.req("M3.3")
def test_after_540_s_of_silence_the_keys_are_gone_and_traffic_begins_anew() -> None:
    world = two_nodes(1)
    world.send("alice", "bob")
    world.run_for(600)
    assert happened(world, "session_expired", "alice") == 1
    status = world.status("alice", "bob")
    assert status.current is None and status.previous is None and status.next is None
    packet = world.send("bob", "alice")
    world.run_for(5)
    assert deliveries(world, [packet]) == [1]


@pytest.mark.req("M2.3")
def test_two_idle_peers_fall_silent() -> None:
    world = two_nodes(1)
    world.send("alice", "bob")
    world.run_for(30)
    before = len(world.sent())
    world.run_for(3600)
    assert len(world.sent()) == before, "no keepalive answers a keepalive"


@pytest.mark.req("M2.3")
def test_persistent_keepalive_every_25_s() -> None:
    world = two_nodes(1, first_keepalive=25)
    world.run_for(1000)
    times = [seen.when for seen in world.sent() if seen.node == "alice"]
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert max(gaps) <= 25.01
    assert len(times) <= 1000 / 25 + 3 * 1000 / 120 + 3, "and hardly more: a rekeying's initiation and confirmation in between"


@pytest.mark.req("M2.4")
@pytest.mark.parametrize("restarted", ["alice", "bob"])
@pytest.mark.parametrize("sender", ["alice", "bob"])
def test_a_restart_of_either_end_is_noticed_and_mended(restarted: str, sender: str) -> None:
    world = two_nodes(1)
    receiver = "bob" if sender == "alice" else "alice"
    world.send(sender, receiver)
    world.run_for(10)
    world.restart(restarted)
    for _ in range(30):
        world.send(sender, receiver)
        world.run_for(1)
    packet = world.send(sender, receiver)
    world.run_for(1)
    assert deliveries(world, [packet]) == [1]


@pytest.mark.req("W2")
@pytest.mark.parametrize("by", [-86_400.0, 365 * 86_400.0], ids=["a-day-back", "a-year-forward"])
@pytest.mark.parametrize("stepped", ["alice", "bob"])
def test_a_clock_step_locks_nobody_out(by: float, stepped: str) -> None:
    world = two_nodes(1)
    world.send("alice", "bob")
    world.run_for(1)
    world.step_clock(stepped, by)
    packets = steady_flow(world, 300, per_second=1)
    assert deliveries(world, packets) == [1] * len(packets)
    world.step_clock(stepped, -by)
    packets = steady_flow(world, 300, per_second=1)
    assert deliveries(world, packets) == [1] * len(packets)


@pytest.mark.req("M2.4", "M3.3")
@pytest.mark.parametrize("slept", [181, 100_000])
def test_a_host_that_wakes_up_uses_no_stale_session(meeting: Meeting, slept: float) -> None:
    """None of its timers ran while it slept, so that the old keys are still there; the packets are what finds out that they are too old."""
    old = meeting.session.seal(INNER)
    meeting.now += slept
    assert meeting.receive(old) == Drop.SESSION_EXPIRED
    assert meeting.node.send_packet(packets.udp("10.77.0.2", "10.77.0.1"), now=meeting.now) is None, "staged, not sealed"
    (sent,) = meeting.answers()
    assert isinstance(parse(sent), Initiation), "and it asks for a new session at once"
    session = meeting.handshake()
    (waited,) = meeting.answers()
    assert isinstance(session.open(waited), bytes)
    assert meeting.receive(session.seal(INNER)) == INNER


@pytest.mark.req("M3.3", "M2.4")
def test_nobody_there_gives_up_after_90_s_and_begins_anew_with_the_next_packet() -> None:
    world = two_nodes(1)
    world.plug("alice", "bob", False)
    lost = world.send("alice", "bob")
    world.run_for(120)
    assert happened(world, "handshake_gave_up", "alice") == 1
    tries = count(world, "initiation", "alice")
    assert 17 <= tries <= 20
    world.run_for(600)
    assert count(world, "initiation", "alice") == tries, "silence until there is something to send"
    world.plug("alice", "bob", True)
    packet = world.send("alice", "bob")
    world.run_for(5)
    assert deliveries(world, [lost, packet]) == [0, 1]


@pytest.mark.slow
@pytest.mark.req("W3", "M4.2", "S5")
def test_a_week_of_a_packet_a_minute_through_loss() -> None:
    """Every packet finds the keys too old to go on with, or nearly so, and one in fifty round trips of the handshake is lost."""
    week, loss = 7 * 24 * 60, 0.01
    world = two_nodes(1, weather=Impairment(loss=loss, delay=0.02))
    packets = []
    for minute in range(week):
        packets.append(world.send(*(("alice", "bob") if minute % 2 else ("bob", "alice"))))
        world.run_for(60)
    came = deliveries(world, packets)
    assert set(came) == {0, 1}, "none comes twice"
    assert came.count(0) < 2 * loss * week, "a lost handshake delays a packet, and loses none"
    nonces = [seen.datagram[4:16] for seen in world.sent() if seen.message in ("data", "keepalive")]
    assert len(nonces) >= week and len(set(nonces)) == len(nonces)
    handshakes = happened(world, "handshake_completed", "alice")
    assert week / 4 < handshakes <= week, "every two or three minutes, not every packet"
    assert count(world, "initiation", "alice") + count(world, "initiation", "bob") < 1.2 * handshakes


@pytest.mark.slow
@pytest.mark.req("M4.2", "S2", "S7")
def test_nonces_are_unique_over_a_million_packets_and_many_rekeyings() -> None:
    """Only handshakes reach the other node; nonces are told by key (the receiver's index) and counter."""
    alice, bob = Keypair(), Keypair()
    sender, receiver = Node(alice), Node(bob, seed=2)
    peer = sender.add_peer(bob.public, allowed_ips=["10.77.0.2/32"], endpoint="192.0.2.2:2")
    receiver.add_peer(alice.public, allowed_ips=["10.77.0.1/32"])
    sender.set_rekey_limits(peer, after_messages=50_000)
    packet, now = packets.udp("10.77.0.1", "10.77.0.2"), 1.0
    last: dict[bytes, int] = {}
    sent = 0

    def exchange() -> None:
        while transmit := sender.poll_transmit(now):
            note(transmit.datagram)
            receiver.receive_datagram("192.0.2.1:1", transmit.datagram, now)
        while transmit := receiver.poll_transmit(now):
            sender.receive_datagram("192.0.2.2:2", transmit.datagram, now)

    def note(datagram: bytes) -> None:
        nonlocal sent
        if datagram[0] == 4:
            counter = int.from_bytes(datagram[8:16], "little")
            assert counter > last.get(datagram[4:8], -1), "counters of one key only grow"
            last[datagram[4:8]] = counter
            sent += 1

    while sent < 1_000_000:
        result = sender.send_packet(packet, now)
        assert not isinstance(result, Drop)
        if result is not None:
            note(result.datagram)
        if sent % 10_000 < 2:
            now += 1
            sender.handle_timeout(now)
            for _ in range(3):
                exchange()
    assert len(last) >= 15, "it was rekeyed again and again"
