"""The page of a run (--report): complete, readable offline, and shown by a real browser."""
import html
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import leftovers
import pytest
from daemon_support import unique_name, wait_until
from report import Recording
from running import BUILD, cannot_run, needs_root
from two_worlds import RealTunnel
from vpnlab import Drop, Impairment, Lab, diagram, packets, pcapng, story
from worlds import two_nodes

HERE = pathlib.Path(__file__).parent
A_RUN = '''
import pytest
from vpnlab import Impairment
from worlds import deliveries, two_nodes

@pytest.mark.sim
def test_lossy() -> None:
    """What a lossy link does."""
    world = two_nodes(5, weather=Impairment(loss=0.3, delay=0.02))
    packets = [world.send("alice", "bob") for _ in range(4)]
    world.run_for(20)
    assert deliveries(world, packets) == [1, 1, 1, 1]

@pytest.mark.sim
def test_calm() -> None:
    world = two_nodes(1)
    world.send("alice", "bob")
    world.run_for(1)

def test_elsewhere() -> None:
    pytest.skip("no such thing here; remedy: get one")
'''
ON_A_LAB = '''
@pytest.mark.lab
def test_lab(pair) -> None:
    assert pair.host("left").ping("10.77.0.2", count=3) == 3
'''

A_RUN_WHOSE_SET_UP_FAILS = '''
import pytest
from worlds import two_nodes

@pytest.fixture
def world(recording):
    print(f"folder={recording.folder}")
    made = two_nodes(1)
    made.send("alice", "bob")
    made.run_for(1)
    pytest.fail("it is not set up")

def test_never_begun(world) -> None:
    pass
'''


# Starts in hosts what goes on until it is ended, and is killed.
A_KILLED_RUN = """
import os, signal, sys
import daemon_support, host_net

with host_net.make_world() as world:
    world.capture(world.router, "client")
    world.frames(world.router, "client")
    host_net.Daemon(world, "--interface", "cli0")
    log = world.folder / "sleep.log"
    daemon_support.Host(sys.argv[1], world.folder).begin("sh", "-c", "echo asleep; exec sleep 600", log=log)
    daemon_support.wait_until(log.read_text, "it to begin")
    os.kill(os.getpid(), signal.SIGKILL)
"""


A_RUN_THAT_LEAVES = '''
import os, subprocess

def test_leaves() -> None:
    left = subprocess.run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"], stdout=subprocess.PIPE, text=True)
    print(f"left={left.stdout}")
    subprocess.run(["ip", "netns", "add", f"s{os.getpid()}-left"], check=True)
'''


def run(folder: pathlib.Path, *options: str, text: str = A_RUN + (ON_A_LAB if os.geteuid() == 0 else "")) -> "subprocess.CompletedProcess[str]":
    """Pytest on A_RUN, with the fixtures and hooks of this suite, and neither as in CI nor as a worker of this run."""
    file = folder / "test_a_run.py"
    file.write_text(text)
    left_out = ("CI", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST")
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    return subprocess.run([sys.executable, "-m", "pytest", "-c", str(HERE / "pytest.ini"), "-p", "conftest", str(file), *options],
                          env={**environment, "PYTHONPATH": str(HERE), "VPN_BUILD": str(BUILD)}, cwd=folder, capture_output=True, text=True,
                          timeout=120)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    folder = tmp_path_factory.mktemp("report")
    done = run(folder, "--report", str(folder / "report"))
    assert "1 failed, " in done.stdout, done.stdout + done.stderr
    yield folder / "report"


def test_the_page_links_everything_and_nothing_outside(report: pathlib.Path) -> None:
    page = html.unescape((report / "index.html").read_text())
    links = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert len(links) >= 6 and all((report / link).is_file() for link in links)
    files = {str(path.relative_to(report)) for path in report.rglob("*") if path.is_file() and path.name not in ("seeds.json", "index.html")}
    assert files == set(links)
    for path in report.rglob("*"):
        if path.suffix in (".html", ".svg"):
            assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", path.read_text()), f"{path.name} needs the network"
    assert "What a lossy link does." in page and "test_a_run.py::test_lossy' --replay 5" in page
    assert "no such thing here; remedy: get one" in page


@pytest.mark.lab
@pytest.mark.req("N5", "S5")
def test_the_folder_of_a_lab(report: pathlib.Path) -> None:
    needs_root()
    (lab,) = report.glob("tests/*/lab")
    assert {path.name for path in lab.iterdir()} == {"link-wan.pcapng", "host-left.pcapng", "host-right.pcapng", "events.jsonl", "fates.jsonl", "logs",
                                                     "lab.svg", "lab.timeline.txt"}
    timeline = (lab / "lab.timeline.txt").read_text()
    assert re.search(r"left > right  initiation .*\n(.*\n)*.*right > left  response ", timeline), "the wire"
    assert re.search(r"left: handshake made .*role=initiator", timeline), "the daemon"
    assert re.search(r"\d  up ", timeline), "the lab"
    on_the_link = [udp.payload for packet in pcapng.read(lab / "link-wan.pcapng") if (udp := pcapng.udp_of(packet.ip))]
    assert sum(len(payload) == 148 and payload[0] == 1 for payload in on_the_link) == 1
    assert b"WGKL"[::-1] in (lab / "link-wan.pcapng").read_bytes(), "the keys are in it"


def test_the_page_in_a_browser(report: pathlib.Path, tmp_path: pathlib.Path) -> None:
    browser = shutil.which("chromium") or cannot_run("chromium is missing", "sudo ci/install-deps")

    def shown(fragment: str) -> str:
        done = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom",
                               "--virtual-time-budget=10000", f"file://{report}/index.html{fragment}"],
                              capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    page = shown("")
    assert 'data-state="loaded"' in page and 'data-state="broken"' not in page, "the diagram of the failed test is drawn"
    assert not re.search(r'<details class="test \w+"[^>]* hidden', page)
    failed_only = shown("#failed")
    assert len(re.findall(r'<details class="test (?:passed|skipped)"[^>]* hidden', failed_only)) >= 2
    assert re.search(r'<details class="test failed"(?![^>]*hidden)', failed_only)


@pytest.mark.sim
def test_replay_makes_the_same_world_again(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, "--replay", "11", "-k", "calm or lossy", "--report", str(tmp_path / "one"))
    assert "--replay 11" in (tmp_path / "one" / "index.html").read_text(), done.stdout
    run(tmp_path, "--replay", "11", "-k", "calm or lossy", "--report", str(tmp_path / "other"))
    logs = [sorted(path.read_text() for path in (tmp_path / name).rglob("world1.log")) for name in ("one", "other")]
    assert len(logs[0]) == 2 and logs[0] == logs[1]


@pytest.mark.lab
@pytest.mark.req("N5")
def test_the_story_of_a_lab_says_why(make_lab: Callable[..., Lab], recording: Recording) -> None:
    """What a link loses or changes it tells itself, the adversary too; what the daemon drops is told by its counters."""
    lab = make_lab(str(HERE / "middle.toml"))
    real = RealTunnel(lab)
    real.attack()
    (watch,) = recording.watches

    def told(host: str, reason: str) -> bool:
        return any(dropped.host == host and dropped.reason == reason for dropped in watch.drops)

    assert real.exchange("left", 2) == 2
    real.adversary.replay(real.adversary.last_seen("data", "left"), "right")
    wait_until(lambda: told("right", "replayed"), "the replay to be counted")
    real.adversary.corrupt("data", sender="left", last=1)
    real.exchange("left", 1)
    wait_until(lambda: told("right", "data auth"), "the damage to be counted")
    real.adversary.drop("data", sender="left", last=1)
    real.exchange("left", 1)
    for weather in (["drop=data"], ["clear", "loss=100%"], ["clear", "duplicate=100%"], ["clear", "queue=1", "rate=8kbit"]):
        lab.link("west").impair(*weather, sender="left")
        lab.host("left").run("ping", "-c", "20", "-i", "0.01", "-W", "1", "-n", RealTunnel.ADDRESSES["right"], check=False)
    real.close()
    recording.finish(lab)
    watch.write()
    text, svg = (watch.folder / "lab.timeline.txt").read_text(), (watch.folder / "lab.svg").read_text()
    for words in ("dropped by the adversary (middle)", "the adversary sends something else (middle)", "on the drop list (west)",
                  "random loss (west)", "queue full (west)"):
        assert f"LOST: {words}" in text and f"lost: {words}" in svg
    assert re.search(r"right < left  data #\d+ .* a copy, DROPPED: replayed", text)
    assert re.search(r"right < adversary  data .*, DROPPED: data auth", text)
    assert "duplicated (west)" in svg and "dropped: replayed" in svg and "dropped: data auth" in svg


@pytest.mark.sim
def test_a_story_tells_what_was_lost_delayed_replayed_and_dropped() -> None:
    world = two_nodes(1, weather=Impairment(delay=0.02))
    world.send("alice", "bob")
    world.run_for(1)
    world.impair("alice", "bob", Impairment(drops=["data:2"]))
    world.send("alice", "bob")
    seen = next(one for one in world.sent() if one.message == "data")
    world.inject("bob", "203.0.113.9:99", seen.datagram)
    world.intercept("alice", "bob", lambda sender, message, datagram: [(0.5, datagram[:-1])])
    world.send("alice", "bob")
    world.run_for(1)
    told = story.of_world(world)
    text = told.timeline()
    assert "data #1 to" in text and "LOST: on the drop list" in text
    assert "from 203.0.113.9:99, as it was sent" in text and "DROPPED: replayed" in text
    assert "alice > adversary  data #2" in text and "forged or changed" in text and "DROPPED: data auth" in text
    assert "initiation" in text and "20.000 ms later" in text
    svg = diagram.draw(told)
    for words in ("lost: on the drop list", "dropped: replayed", "dropped: data auth", ">adversary<"):
        assert words in svg


@pytest.mark.sim
def test_the_story_has_a_place_for_every_reason_to_drop() -> None:
    assert set(story.DROPPED_KINDS) == {name.lower().replace("_", " ") for name in Drop.__members__}


@pytest.mark.sim
@pytest.mark.parametrize("reason, verdict", [("replayed", "replayed"), ("no private key", ""), ("no route", ""), ("interface down", "")])
def test_data_that_arrived_is_blamed_for_its_own_drops_alone(reason: str, verdict: str) -> None:
    datagram = b"\x04" + bytes(63)
    frame = bytes(12) + b"\x08\x00" + packets.udp("192.0.2.1", "192.0.2.2", datagram)
    seen = [pcapng.Packet(1.0, host, "wan", host == "left", pcapng.ETHERNET, frame) for host in ("left", "right")]
    told = story.of_captures(seen, drops=[story.Dropped(0.9, 1.1, "right", reason, 1)])
    assert [[arrival.verdict for arrival in message.arrivals] for message in told.messages] == [[verdict]]


@pytest.mark.sim
def test_a_test_whose_set_up_fails_keeps_its_folder(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, text=A_RUN_WHOSE_SET_UP_FAILS)
    found = re.search(r"^folder=(.*)", done.stdout, re.MULTILINE)
    assert found and "1 error" in done.stdout, done.stdout
    folder = pathlib.Path(found[1])
    kept = folder.is_dir() and {path.name for path in folder.iterdir()}
    shutil.rmtree(folder, ignore_errors=True)
    assert kept == {"world1.log", "world1.timeline.txt", "world1.svg", "seeds.json"}


@pytest.mark.lab
def test_a_run_that_leaves_something_behind_fails(tmp_path: pathlib.Path) -> None:
    """A process that has left its parents, and a namespace; its one test passes."""
    needs_root()
    done = run(tmp_path, "-rP", text=A_RUN_THAT_LEAVES)
    for number in re.findall(r"^left=(\d+)", done.stdout, re.MULTILINE):
        os.kill(int(number), signal.SIGKILL)
    for namespace in set(re.findall(r"namespace (s\d+-left)", done.stdout)):
        subprocess.run(["ip", "netns", "delete", namespace], check=True)
    assert done.returncode == 1 and "1 passed, 1 error" in done.stdout, done.stdout
    assert re.search(r"left behind by the run:\nE +process \d+: sleep 600.*\nE +namespace s\d+-left", done.stdout), done.stdout


@pytest.mark.lab
def test_nothing_goes_on_when_a_run_is_killed(tmp_path: pathlib.Path) -> None:
    needs_root()
    mark = f"TMPDIR={tmp_path}"

    def going_on() -> list[int]:
        return [number for number, _, environment in leftovers.processes() if mark.encode() in environment.split(b"\0")]

    namespace = unique_name()
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        done = subprocess.run(["env", mark, f"VPN_BUILD={BUILD}", sys.executable, "-c", A_KILLED_RUN, namespace], cwd=HERE)
        assert done.returncode == -signal.SIGKILL
        wait_until(lambda: not going_on(), "all of it to end")
    finally:
        for number in going_on():
            os.kill(number, signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", namespace], check=True)
