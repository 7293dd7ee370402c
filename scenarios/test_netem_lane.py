"""On the kernel's own netem, and against the kernel's own WireGuard: `make test-netem` runs these where this kernel has neither.

The weather of a link is netem's, so what the tunnel meets here is no code of ours; and the other end is, in the interoperation
tests, the WireGuard that most of the world runs.
"""
import hashlib
import os
import pathlib
import random
import subprocess
import time
from collections.abc import Callable

import pytest

from daemon_support import BUILD
from vpnlab import Lab

pytestmark = pytest.mark.netem

TOPOLOGY = """
[[host]]
name = "left"
[[host]]
name = "right"
[[link]]
name = "wan"
ends = ["left", "right"]
subnet = ["192.0.2.0/24", "2001:db8::/64"]
engine = "netem"
impair = "{weather}"
[[tunnel]]
name = "wg0"
kind = "vpn"
kind_of = {{ right = "{other}" }}
mesh = ["left", "right"]
subnet = ["10.77.0.0/24", "fd77::/64"]
preshared_key = true
"""

SEND_FILE = """
import random, socket, sys
listener = socket.create_server(("10.77.0.1", 7000))
print("ready", flush=True)
connection, _ = listener.accept()
connection.sendall(random.Random(5).randbytes(int(sys.argv[1])))
connection.close()
"""
HASH_FILE = """
import hashlib, socket
connection = socket.create_connection(("10.77.0.1", 7000), timeout=120)
digest, count = hashlib.sha256(), 0
while part := connection.recv(65536):
    digest.update(part)
    count += len(part)
print(digest.hexdigest(), count)
"""


@pytest.fixture(scope="session", autouse=True)
def needs_netem() -> None:
    said = subprocess.run([BUILD / "bin" / "lab", "doctor"], capture_output=True, text=True, check=False).stdout
    for needed in ("netem", "WireGuard in the kernel"):
        if f"ok       {needed}" not in said:
            assert "LAB_REQUIRE_NETEM" not in os.environ, f"the netem lane has no {needed}: {said}"
            pytest.skip(f"by design: this kernel has no {needed}; 'make test-netem' runs this test under one that has")


@pytest.fixture
def make_pair(make_lab: Callable[..., Lab], tmp_path: pathlib.Path) -> Callable[..., Lab]:
    def make(other: str, weather: str) -> Lab:
        file = tmp_path / "pair.toml"
        file.write_text(TOPOLOGY.format(other=other, weather=weather))
        return make_lab(str(file))

    return make


def lab_command(lab: Lab, host: str, *command: str) -> list[str]:
    return [str(BUILD / "bin" / "lab"), "exec", "--name", lab.name, host, "--", *command]


def reaches(lab: Lab, host: str, address: str, patience: float = 60) -> None:
    """One answered ping within a deadline: weather may take some."""
    deadline = time.monotonic() + patience
    while subprocess.run(lab_command(lab, host, "ping", "-c", "1", "-W", "2", address), capture_output=True,
                         check=False).returncode != 0:
        assert time.monotonic() < deadline, f"{host} does not reach {address}"


def carries_a_file(lab: Lab, size: int) -> None:
    """So many bytes cross the tunnel from left to right by TCP and have their hash there."""
    content = random.Random(5).randbytes(size)
    with subprocess.Popen(lab_command(lab, "left", "/usr/bin/python3", "-c", SEND_FILE, str(size)),
                          stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdout is not None and sender.stdout.readline() == "ready\n"
        received = subprocess.run(lab_command(lab, "right", "/usr/bin/python3", "-c", HASH_FILE), capture_output=True,
                                  text=True, timeout=150, check=True)
    assert received.stdout.split() == [hashlib.sha256(content).hexdigest(), str(size)]


@pytest.mark.parametrize("initiator", ["left", "right"])
def test_our_daemon_and_the_kernels_wireguard_understand_each_other(make_pair: Callable[..., Lab], initiator: str) -> None:
    """N1: either may begin; IPv4 and IPv6; with a preshared key."""
    lab = make_pair("kernel", "clear")
    other = {"left": 2, "right": 1}[initiator]
    reaches(lab, initiator, f"10.77.0.{other}")
    reaches(lab, initiator, f"fd77::{other}")
    shown = subprocess.run(lab_command(lab, "right", "wg", "show", "wg0", "latest-handshakes"), capture_output=True,
                           text=True, check=True).stdout
    assert int(shown.split()[1]) > 0, "the kernel's WireGuard says that it shook hands"


@pytest.mark.req("C5")
@pytest.mark.parametrize("other", ["kernel", "vpn"])
def test_a_file_comes_through_bad_weather_whole(make_pair: Callable[..., Lab], other: str) -> None:
    """Loss in bursts, jitter, reordering, duplicates and damage, all by netem: TCP inside gets through, and nothing is false."""
    lab = make_pair(other, "delay=10ms±2ms loss=1% reorder=5%/5ms duplicate=2% corrupt=1%")
    reaches(lab, "left", "10.77.0.2")
    carries_a_file(lab, 300_000)


@pytest.mark.req("C5")
def test_a_file_comes_through_a_slow_link_and_its_full_queue(make_pair: Callable[..., Lab]) -> None:
    """A rate with a short queue drops what TCP offers too much; the counters say so."""
    lab = make_pair("kernel", "delay=10ms rate=8mbit queue=20")
    reaches(lab, "left", "10.77.0.2")
    carries_a_file(lab, 1_000_000)
    assert lab.status()["links"][0]["engine"] == "netem"
    assert lab.status()["links"][0]["directions"][0]["counters"]["queue_full"] > 0


def test_handshakes_get_through_half_of_all_packets_lost(make_pair: Callable[..., Lab]) -> None:
    """A try comes through one time in four, and there is one every five seconds: forty of them fail once in 100,000 runs."""
    lab = make_pair("kernel", "delay=10ms loss=50%")
    reaches(lab, "right", "10.77.0.1", patience=240)


def set_clock(step: float) -> None:
    """The wall clock of the whole machine goes on by so many seconds."""
    time.clock_settime(time.CLOCK_REALTIME, time.time() + step)


@pytest.mark.req("W2")
@pytest.mark.parametrize("other", ["kernel", "vpn"])
def test_a_clock_step_locks_nobody_out(make_pair: Callable[..., Lab], request: pytest.FixtureRequest, other: str) -> None:
    """The machine's clock goes back a day, and then forward a year: the session goes on, and a daemon that begins anew, so that it has to
    shake hands, is not older than the timestamp that the other end has seen."""
    if not os.uname().release.endswith("-lab"):
        pytest.skip("by design: the clock of this machine belongs to all that runs on it; 'make test-netem' runs this test where nothing else does")
    lab = make_pair(other, "clear")
    offset = time.time() - time.monotonic()
    request.addfinalizer(lambda: set_clock(offset - (time.time() - time.monotonic())))
    reaches(lab, "left", "10.77.0.2")
    for step in (-86_400, 366 * 86_400):
        set_clock(step)
        assert lab.host("left").ping("10.77.0.2", count=3) == 3 and lab.host("right").ping("10.77.0.1", count=3) == 3
        daemon = lab.host("left").daemon()
        configuration = daemon.configuration()
        daemon.stop()
        daemon.start(configuration)
        reaches(lab, "left", "10.77.0.2")
        assert lab.host("right").ping("10.77.0.1", count=3) == 3
    assert "woke up" not in (lab.state_folder / "logs" / "left-wg0.log").read_text(), "a clock that is set is no sleep"
