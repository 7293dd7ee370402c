"""The engines against the model: what is asked for is what packets meet, within confidence bounds (C5, issue 5, item 3).

The user-space wire is tested on any kernel; netem where the kernel has it, which `lab vm run -- pytest …` provides.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from conftest import PROGRAMS, LabProgram

pytestmark = pytest.mark.needs_root

# Sends `count` numbered datagrams, which look like WireGuard data messages (so that ARP and the like, which are of another
# class, have no influence on their fate), at `rate` a second from left to right. Prints by how many ms the last quarter of
# them was late.
SEND = """
import select, socket, struct, sys, time
count, rate = int(sys.argv[1]), float(sys.argv[2])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
start, late = time.monotonic(), []
for i in range(count):
    while (wait := start + i / rate - time.monotonic()) > 0:
        select.select([], [], [], wait)
    late.append(-wait)
    s.sendto(struct.pack("<IIQ", 4, i, time.monotonic_ns()) + bytes(100), ("192.0.2.2", 7000))
print(sorted(late)[count * 3 // 4] * 1000)
"""
# Prints as JSON for each arrival its number, when it was sent and when it came (both hosts read the same clock). When its
# input ends, so that a sender that stalls ends nothing, it waits for what is under way.
RECEIVE = """
import json, select, socket, struct, sys, time
data = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
data.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE: a busy receiver must not look like a lossy link
data.bind(("192.0.2.2", 7000))
print("ready", flush=True)
arrivals, ended = [], False
while ready := select.select([data] if ended else [data, sys.stdin], [], [], 2 if ended else None)[0]:
    if data not in ready:
        ended = True
        continue
    packet = data.recv(2000)
    now = time.monotonic_ns()
    kind, number, sent = struct.unpack("<IIQ", packet[:16])
    arrivals.append((number, sent, now, packet[16:] == bytes(100)))
print(json.dumps(arrivals))
"""

# Runs a program and answers its io_uring_setup with EPERM, as the seccomp filters of containers do. (The filter: load the
# number of the call; where it is 425, everywhere io_uring_setup, return the error; else allow.)
WITHOUT_IO_URING = """
import ctypes, os, struct, sys
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in (
    (0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000))))
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
assert ctypes.CDLL(None).prctl(22, 2, ctypes.byref(Filter(4, ctypes.addressof(code)))) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""
# Sends datagrams of 64 bytes without rest, 64 a system call, from the first processor.
FLOOD = """
import ctypes, os, socket, sys, time
class Piece(ctypes.Structure):
    _fields_ = [("start", ctypes.c_char_p), ("length", ctypes.c_size_t)]
class Message(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("pieces", ctypes.POINTER(Piece)),
                ("count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_int), ("sent", ctypes.c_uint)]
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("192.0.2.2", 7000))
piece = Piece(bytes(64), 64)
messages = (Message * 64)(*[Message(None, 0, ctypes.pointer(piece), 1, None, 0, 0, 0)] * 64)
send, end = ctypes.CDLL(None).sendmmsg, time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    send(s.fileno(), messages, 64, 0)
"""
# Has a socket that nobody reads.
SINK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("192.0.2.2", 7000))
print("ready", flush=True)
sys.stdin.read()
"""
# Takes a connection, then its own interface down, and says so by making a file.
TAKE_AND_GO_DOWN = """
import pathlib, socket, subprocess, sys
listener = socket.create_server(("192.0.2.2", 7000))
print("ready", flush=True)
connection, _ = listener.accept()
subprocess.run(["ip", "link", "set", "wan", "down"], check=True)
pathlib.Path({file!r}).touch()
sys.stdin.read()
"""
# Sends a connection's first flight when that file is there.
SEND_A_FLIGHT = """
import pathlib, socket, sys, time
s = socket.create_connection(("192.0.2.2", 7000))
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
s.send(bytes(10 * 1448))
"""


def engines(lab: LabProgram) -> list[str]:
    """The engines to try: in the netem lane only its own, since the wire is the same on every kernel."""
    has_netem = "ok       netem" in lab.call("doctor").stdout
    if "LAB_REQUIRE_NETEM" in os.environ:
        assert has_netem, "in the netem lane netem is what is tried"
        return ["netem"]
    return ["wire", "netem"] if has_netem else ["wire"]


class Arrival(NamedTuple):
    number: int
    sent: float  # by the clock that both hosts read, in ms
    came: float
    undamaged: bool

    @property
    def delay(self) -> float:
        return self.came - self.sent


def between(lab: LabProgram, receive: str, send: str, *arguments: object) -> tuple[str, str]:
    """What the program `receive` at the right end printed of what `send` sent it from the left, and what that one printed."""
    with subprocess.Popen([str(PROGRAMS / "lab"), "exec", "right", "--", "/usr/bin/python3", "-c", receive],
                          env=lab.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None and receiver.stdout.readline() == "ready\n"
        said = lab("exec", "left", "--", "/usr/bin/python3", "-c", send, *map(str, arguments))
        received, _ = receiver.communicate(timeout=60)
    return received, said


def offer_timed(lab: LabProgram, count: int, rate: float) -> tuple[list[Arrival], float]:
    """Every arrival, in the order of arriving, and by how many ms this machine was late for the last quarter of them. A slow
    machine sends more slowly than asked: what depends on the rate reads it off the times of sending."""
    received, late = between(lab, RECEIVE, SEND, count, rate)
    return [Arrival(number, sent / 1e6, came / 1e6, whole) for number, sent, came, whole in json.loads(received)], float(late)


def offer(lab: LabProgram, count: int, rate: float) -> list[Arrival]:
    return offer_timed(lab, count, rate)[0]


def up(lab: LabProgram, *arguments: str) -> None:
    """A pair whose neighbours know each other, so that no packet waits for ARP."""
    lab("up", "pair", "--set", "loss=0%", "--set", "reorder=0%", "--set", "delay=0ms", *arguments)
    lab("exec", "left", "--", "ping", "-c", "1", "-W", "5", "192.0.2.2")


def within(observed: int, count: int, share: float, engine: str) -> None:
    """A binomial count within five standard deviations: a sound engine fails one run in a million."""
    sigma = math.sqrt(count * share * (1 - share))
    assert abs(observed - count * share) <= 5 * sigma + 1, f"{engine}: {observed} of {count}, expected {share:.2%}"


COUNT = 4000


@pytest.mark.every_engine
def test_loss_duplication_and_reordering_are_as_asked(lab: LabProgram) -> None:
    for engine in engines(lab):
        up(lab, *(["--seed", "1"] if engine == "wire" else []))
        assert lab.status()["links"][0]["engine"] == engine
        lab("impair", "wan:left", "loss=5%", "duplicate=3%")
        numbers = [each.number for each in offer(lab, COUNT, 2000)]
        unique = set(numbers)
        within(COUNT - len(unique), COUNT, 0.05, engine)
        within(len(numbers) - len(unique), len(unique), 0.03, engine)

        lab("impair", "wan:left", "clear", "delay=20ms", "reorder=10%/10ms")
        expected, reordered = 0, 0
        for each in offer(lab, COUNT, 2000):
            reordered += each.number < expected
            expected = max(expected, each.number + 1)
        within(reordered, COUNT, 0.10, engine)
        lab("down")


@pytest.mark.every_engine
def test_delay_is_as_asked(lab: LabProgram) -> None:
    """Medians only: on a busy machine the tail belongs to the machine."""
    for engine in engines(lab):
        up(lab, *(["--seed", "1"] if engine == "wire" else []))
        lab("impair", "wan:left", "delay=20ms")
        constant = sorted(each.delay for each in offer(lab, 1000, 500))
        assert constant[0] >= 20, engine
        assert len(constant) == 1000
        lab("impair", "wan:left", "delay=20ms±10ms")
        arrivals, late = offer_timed(lab, 1000, 500)
        jittered = sorted(each.delay for each in arrivals)
        spread = jittered[750] - jittered[250]
        assert 8 < spread < 13 + late, f"{engine}: half of a uniform ±10 ms lies within 10 ms, not {spread:.1f} ({late=:.1f} ms)"
        lab("down")


# Two links from left to right, one with delay and one without, so that what the machine adds to both is known.
TWIN = """
[[host]]
name = "left"
[[host]]
name = "right"
[[link]]
name = "wan"
ends = ["left", "right"]
subnet = "192.0.2.0/24"
impair_from = { left = "delay=20ms" }
[[link]]
name = "twin"
ends = ["left", "right"]
subnet = "198.51.100.0/24"
"""
# Numbered datagrams, one over either link in turn, and for each arrival its link and how long it took until the kernel
# received it (SO_TIMESTAMPNS), in ns. The sender says by how many ms this machine's timers are late, at the median.
SEND_TWINS = """
import select, socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
late = []
for i in range(int(sys.argv[1])):
    for to in ("192.0.2.2", "198.51.100.2"):
        s.sendto(struct.pack("<Q", time.clock_gettime_ns(time.CLOCK_REALTIME)), (to, 7000))
        began = time.monotonic_ns()
        select.select([], [], [], 0.002)
        late.append(time.monotonic_ns() - began - 2_000_000)
print(sorted(late)[len(late) // 2] / 1e6)
"""
RECEIVE_TWINS = """
import json, select, socket, struct, sys
data = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
data.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
data.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
data.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
data.bind(("0.0.0.0", 7000))
print("ready", flush=True)
took, ended = {"wan": [], "twin": []}, False
while ready := select.select([data] if ended else [data, sys.stdin], [], [], 2 if ended else None)[0]:
    if data not in ready:
        ended = True
        continue
    packet, extra, _, _ = data.recvmsg(100, 1000)
    said = {(level, kind): value for level, kind, value in extra}
    seconds, ns = struct.unpack("qq", said[socket.SOL_SOCKET, 35])
    link = "wan" if said[socket.IPPROTO_IP, 8][8:] == bytes([192, 0, 2, 2]) else "twin"
    took[link].append(seconds * 10**9 + ns - struct.unpack("<Q", packet)[0])
print(json.dumps(took))
"""


@pytest.mark.every_engine
def test_delay_is_accurate_to_a_fifth_of_a_millisecond(lab: LabProgram, tmp_path: Path) -> None:
    """The median of what the delay adds, over a link beside it that adds none in the same run, is within 0.2 ms of what was
    asked: refuted only where it lies outside by 4.5 standard deviations of a median's rank. A machine whose timers are late
    by more than a tenth of a millisecond is allowed what is beyond."""
    topology = tmp_path / "twin.toml"
    topology.write_text(TWIN)
    for engine in engines(lab):
        lab("up", str(topology), *(["--seed", "1"] if engine == "wire" else []))
        assert {link["engine"] for link in lab.status()["links"]} == {engine}
        for address in ("192.0.2.2", "198.51.100.2"):
            lab("exec", "left", "--", "ping", "-c", "1", "-W", "5", address)
        received, said = between(lab, RECEIVE_TWINS, SEND_TWINS, 1000)
        took, late = {link: sorted(all) for link, all in json.loads(received).items()}, float(said)
        assert len(took["wan"]) == len(took["twin"]) == 1000
        without = took["twin"][500]
        rank = round(4.5 * math.sqrt(1000) / 2)
        low, middle, high = ((took["wan"][500 + off] - without) / 1e6 - 20 for off in (-rank, 0, rank))
        allowed = 0.2 + max(0, late - 0.1)
        assert low <= allowed and high >= -0.2, f"{engine}: off by {middle:.3f} ms at the median ({low:.3f} to {high:.3f}, {allowed=:.3f})"
        print(f"{engine}: {middle:+.3f} ms at the median, timers {late:.3f} late, {took['wan'][990] / 1e6 - without / 1e6 - 20:+.3f} ms at p99")
        lab("down")


def ways(lab: LabProgram) -> Iterator[str]:
    """The two ways in which the wire reads and writes, the kernel lending io_uring or not, as `lab doctor` says."""
    for runner in ([], ["/usr/bin/python3", "-c", WITHOUT_IO_URING]):
        lab.runner = runner
        verdict = next(line for line in lab.call("doctor").stdout.splitlines() if "io_uring (engine wire)" in line)
        assert verdict.startswith("missing") or not runner
        yield "io_uring" if verdict.startswith("ok") else "read and write"
    lab.runner = []


def test_the_wire_carries_alike_without_io_uring(lab: LabProgram) -> None:
    """Where the kernel lends none, frames go one by one: in order, and the same seed loses the same."""
    count = 400  # no more than waits unread at an end, so that a busy machine loses none
    arrived = []
    for way in ways(lab):
        up(lab, "--seed", "5")
        assert lab.status()["links"][0]["carried_by"] == way
        assert f"engine wire by {way}," in lab("status")
        lab("impair", "wan:left", "loss=10%", "duplicate=5%")
        arrived.append(sorted(each.number for each in offer(lab, count, 2000)))
        lab("impair", "wan:left", "clear")
        numbers = [each.number for each in offer(lab, count, 50000)]
        assert numbers == [*range(count)], "a clear link keeps all, and their order"
        lab("down")
    assert arrived[0] == arrived[1] and len({*arrived[0]}) < count


def test_a_flood_of_small_packets_goes_through_an_unimpaired_wire(lab: LabProgram, pytestconfig: pytest.Config) -> None:
    """Of what one core carries, -s prints the figures, of three rounds: issue 5 asks for 300,000 packets/s of 64 bytes. Where
    the sender is the slower one, the wire's core has time left, and the figure for the whole of it counts."""
    figures: dict[str, list[str]] = {}
    rounds = 3 if pytestconfig.getoption("capture") == "no" else 1
    for way in [*ways(lab)] * rounds:
        lab.runner = [] if way == "io_uring" else ["/usr/bin/python3", "-c", WITHOUT_IO_URING]
        up(lab, "--seed", "1")
        keeper = int((lab.state / "lab" / "keeper").read_text().split()[0])
        os.sched_setaffinity(keeper, {max(os.sched_getaffinity(0))})

        def spent() -> tuple[float, int]:
            """The processor time that the wire has used, in s, and how many packets it has delivered."""
            fields = Path(f"/proc/{keeper}/stat").read_text().rpartition(")")[2].split()
            counters = lab.status()["links"][0]["directions"][0]["counters"]
            assert counters["refused"] == 0
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), counters["delivered"]
        before, seconds = spent(), 2
        between(lab, SINK, FLOOD, seconds)
        processor, packets = (after - early for after, early in zip(spent(), before, strict=True))
        assert packets > 0
        figures.setdefault(way, []).append(f"{packets / seconds:,.0f} packets/s by {processor / seconds:.0%} of a core, "
                                           f"{processor / packets * 1e6:.2f} µs each: {packets / processor:,.0f}/s by the whole")
        lab("down")
    for way, all_of_it in figures.items():
        print(f"by {way}: {'; '.join(all_of_it)}")


def test_what_the_receiving_kernel_refuses_is_counted_in_packets(lab: LabProgram, tmp_path: Path) -> None:
    """Also where it comes as one frame, as it does over an unimpaired wire."""
    up(lab, "--seed", "1")
    down = str(tmp_path / "down")
    between(lab, TAKE_AND_GO_DOWN.format(file=down), SEND_A_FLIGHT, down)
    deadline = time.monotonic() + 10
    while True:
        counters = lab.status()["links"][0]["directions"][0]["counters"]
        if counters["offered"] - counters["delivered"] >= 10:
            break
        assert time.monotonic() < deadline, counters
    assert counters["offered"] == counters["delivered"] + counters["refused"]


@pytest.mark.every_engine
def test_bursts_are_longer_than_chance(lab: LabProgram) -> None:
    for engine in engines(lab):
        up(lab, *(["--seed", "3"] if engine == "wire" else []))
        lab("impair", "wan:left", "burst=2%/25%")
        arrived = {each.number for each in offer(lab, COUNT, 2000)}
        lost = [number not in arrived for number in range(COUNT)]
        bursts = sum(1 for i in range(COUNT) if lost[i] and (i == 0 or not lost[i - 1]))
        share = sum(lost) / COUNT
        assert 0.03 < share < 0.13, f"{engine}: the chain's equilibrium is 2/27 = 7.4 %, not {share:.1%}"
        assert 2.5 < sum(lost) / bursts < 6.5, f"{engine}: bursts last four packets on average"
        lab("down")


def test_corruption_reaches_the_receiver_on_the_wire(lab: LabProgram) -> None:
    up(lab, "--seed", "4")
    lab("impair", "wan:left", "corrupt=10%")
    arrivals = offer(lab, COUNT, 2000)
    assert len(arrivals) == COUNT, "damage must not become loss"
    # A bit of the number or the time may be hit too: then the padding is whole.
    damaged = sum(not each.undamaged for each in arrivals)
    within(damaged, COUNT, 0.10 * 100 / 116, "wire")


def test_one_seed_loses_the_same_packets_at_any_speed(lab: LabProgram) -> None:
    lost = []
    for seed, rate in ((7, 1000), (7, 8000), (8, 8000)):
        up(lab, "--seed", str(seed), "--set", "kind=wireguard-go")
        lab("impair", "wan:left", "loss=10%")
        arrived = {each.number for each in offer(lab, 500, rate)}
        lost.append([number for number in range(500) if number not in arrived])
        lab("down")
    assert lost[0], "nothing was lost"
    assert lost[0] == lost[1]
    assert lost[0] != lost[2]


def counters_of(lab: LabProgram) -> dict[str, int]:
    return lab.status()["links"][0]["directions"][0]["counters"]


@pytest.mark.every_engine
def test_rate_holds_and_its_queue_is_bounded(lab: LabProgram) -> None:
    each_takes = 158 * 8 / 250  # ms at 250 kbit/s: slower than the slowest sender, or there is nothing to hold
    for engine in engines(lab):
        up(lab, *(["--seed", "1"] if engine == "wire" else []))
        lab("impair", "wan:left", "rate=250kbit", "queue=20")
        arrivals = offer(lab, 1000, 1000)
        refused = counters_of(lab)["queue_full"]
        assert 1000 <= refused + len(arrivals) <= 1010, f"{engine}: ARP and the like meet the queue too"
        longest = max(each.delay for each in arrivals)
        assert longest >= 20 * each_takes * 0.8, f"{engine}: a full queue of 20 such frames takes 101 ms, not {longest:.1f}"
        # No more than its rate while it was offered frames, and at the end what had queued. tbf lets a bucketful pass at once.
        carried = 1 + 20 + (max(each.sent for each in arrivals) - arrivals[0].sent) / each_takes
        bucket = 20 if engine == "netem" else 1
        assert len(arrivals) <= 1.05 * carried + bucket, f"{engine}: {carried:.0f} could arrive"
        # By the median, how long it takes for twenty frames to come: a machine that stalls is late for some, not for most.
        came = [each.came for each in arrivals[20:]]
        takes = statistics.median(later - earlier for earlier, later in zip(came, came[20:])) / 20
        print(f"{engine}: a frame of {each_takes:.3f} ms took {takes:.3f}; {len(arrivals)} came")
        assert 0.95 * each_takes <= takes <= 1.05 * each_takes, f"{engine}: frames take {takes:.3f} ms, not {each_takes:.3f}"
        lab("down")


@pytest.mark.every_engine
def test_status_counts_what_the_engine_did(lab: LabProgram) -> None:
    """What was offered was delivered or lost, under every weather there was, on either engine."""
    for engine in engines(lab):
        up(lab, *(["--seed", "1"] if engine == "wire" else []))
        before = counters_of(lab)
        lab("impair", "wan:left", "loss=20%")
        arrived = len(offer(lab, 1000, 4000))
        lab("impair", "wan:left", "loss=40%")
        arrived += len(offer(lab, 1000, 4000))
        after = counters_of(lab)
        lost = after["lost"] - before["lost"]
        offered = after["offered"] - before["offered"]
        assert 2000 <= offered <= 2020, f"{engine}: {offered} offered; ARP and the like besides"
        assert 2000 - arrived <= lost <= 2000 - arrived + 20, engine
        assert after["delivered"] - before["delivered"] == offered - lost, engine
        lab("down")


@pytest.mark.every_engine
def test_slots_let_packets_through_in_bursts(lab: LabProgram) -> None:
    for engine in engines(lab):
        up(lab, *(["--seed", "1"] if engine == "wire" else []))
        lab("impair", "wan:left", "slot=200ms")
        arrivals = offer(lab, 500, 250)
        assert len(arrivals) == 500, engine
        delays = sorted(each.delay for each in arrivals)
        assert delays[250] > 50, f"{engine}: the middle of a slot of 200 ms waits some 100 ms, not {delays[250]:.1f}"
        # Silence for most of a slot, then the packets of four milliseconds each, all at once.
        bursts = 1 + sum(1 for one, next in zip(arrivals, arrivals[1:]) if next.came > one.came + 60)
        slots = (arrivals[-1].came - arrivals[0].came) / 200
        assert 0.6 * slots <= bursts <= 1.2 * slots + 2, f"{engine}: {bursts} bursts in {slots:.1f} slots"
        lab("down")


@pytest.mark.every_engine
def test_too_small_a_share_of_reordering_goes_by_wire(lab: LabProgram, tmp_path) -> None:
    """netem's table of delays holds 16,384 entries: what it would round away is not left to it."""
    has_netem = "netem" in engines(lab)
    for share, engine in (("5%", "netem" if has_netem else "wire"), ("0.001%", "wire")):
        lab("up", "pair", "--set", f"reorder={share}")
        assert lab.status()["links"][0]["engine"] == engine
        lab("down")
    if has_netem:
        lab("up", "pair", "--set", "reorder=0%")
        assert "so small a share" in lab.refused("impair", "wan", "delay=20ms", "reorder=0.001%")


@pytest.mark.parametrize("weather", ["corrupt=1%", "mtu=1400"])
@pytest.mark.every_engine
def test_what_netem_does_in_a_way_of_its_own_goes_by_wire(lab: LabProgram, tmp_path: Path, weather: str) -> None:
    """Unless netem is asked for by name."""
    file = tmp_path / "pair.toml"
    for engine in ("auto", "netem") if "netem" in engines(lab) else ("auto",):
        file.write_text('[[host]]\nname = "left"\n[[host]]\nname = "right"\n[[link]]\nname = "wan"\nends = ["left", "right"]\n'
                        f'subnet = "192.0.2.0/24"\nengine = "{engine}"\nimpair = "{weather}"\n')
        lab("up", str(file))
        assert lab.status()["links"][0]["engine"] == {"auto": "wire", "netem": "netem"}[engine]
        lab("down")


def test_an_mtu_is_answered_by_icmp_or_is_a_black_hole(lab: LabProgram) -> None:
    up(lab, "--seed", "1")
    ping = ["exec", "left", "--", "ping", "-c", "1", "-W", "1", "-M", "do", "-s", "1400"]
    lab("impair", "wan", "mtu=1300", "icmp=off")
    silent = lab.call(*ping, "192.0.2.2")
    assert silent.returncode != 0 and "Frag needed" not in silent.stdout
    lab("impair", "wan", "icmp=on")
    answered = lab.call(*ping, "192.0.2.2")
    assert answered.returncode != 0 and "mtu = 1300" in answered.stdout
    # Both kernels learn it, the answering one by its first answer: then what may be fragmented passes in pieces.
    lab("exec", "left", "--", "ping", "-c", "4", "-i", "0.2", "-W", "5", "-M", "want", "-s", "1400", "192.0.2.2")


def test_the_second_response_is_dropped_by_name(lab: LabProgram) -> None:
    """A drop list hits one WireGuard message: the handshake needs another try, and then succeeds."""
    up(lab, "--seed", "1")
    lab("impair", "wan", "drop=response:1")
    lab("exec", "left", "--", "ping", "-c", "1", "-W", "15", "10.77.0.2")
    directions = lab.status()["links"][0]["directions"]
    assert sum(direction["counters"]["dropped_by_list"] for direction in directions) == 1


def test_a_schedule_changes_the_weather_by_itself(lab: LabProgram, tmp_path) -> None:
    topology = tmp_path / "storm.toml"
    topology.write_text(
        '[[host]]\nname = "left"\n[[host]]\nname = "right"\n[[link]]\nname = "wan"\nends = ["left", "right"]\n'
        'subnet = "192.0.2.0/24"\nschedule = [{ at = "200ms", impair = "loss=100%" }, { at = "400ms", impair = "clear" }, '
        '{ at = "400ms", impair = "delay=1ms" }]\n'
    )
    lab("up", str(topology))
    diary = lab.state / "lab" / "events.jsonl"
    deadline = time.monotonic() + 10
    while diary.read_text().count('"impair"') < 6:
        assert time.monotonic() < deadline
    details = [json.loads(line).get("detail") for line in diary.read_text().splitlines() if '"impair"' in line]
    assert details == ["loss=100%", "loss=100%", "clear", "delay=1ms", "clear", "delay=1ms"]
