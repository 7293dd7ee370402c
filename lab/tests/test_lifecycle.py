"""Labs come up, run programs, and go without a trace, whatever happened to them (C1, C5, issue 5: nothing left)."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import LabProgram

pytestmark = pytest.mark.needs_root


def test_pair_carries_a_ping_through_its_tunnel(lab: LabProgram) -> None:
    lab("up", "pair", "--set", "loss=0%")
    output = lab("exec", "left", "--", "ping", "-c", "3", "-i", "0.05", "-W", "5", "10.77.0.2")
    assert " 0% packet loss" in output
    lab("exec", "left", "--", "ping", "-c", "1", "-W", "5", "fd77::2")
    daemon = next(one for one in lab.status()["daemons"] if one["host"] == "right")
    assert daemon["peers"][0]["last_handshake"] > 0


def test_programs_see_their_host(lab: LabProgram) -> None:
    lab("up", "pair")
    assert lab("exec", "left", "--", "hostname").strip() == "left"
    assert lab("exec", "right", "--", "sh", "-c", "ls /sys/class/net").split() == ["lo", "wan", "wg0"]
    assert "192.0.2.2" in lab("exec", "left", "--", "getent", "ahostsv4", "right")
    assert lab("exec", "left", "--", "pwd").strip() == os.getcwd()
    assert lab.call("exec", "left", "--", "sh", "-c", "exit 7").returncode == 7
    assert lab.call("exec", "left", "--", "sh", "-c", "kill -9 $$").returncode == 128 + signal.SIGKILL


def test_a_host_keeps_its_changes_of_etc_to_itself(lab: LabProgram) -> None:
    lab("up", "pair")
    lab("exec", "left", "--", "sh", "-c", "echo nameserver 192.0.2.9 >/etc/r && mv /etc/r /etc/resolv.conf")
    assert "192.0.2.9" in lab("exec", "left", "--", "cat", "/etc/resolv.conf")
    assert "192.0.2.9" not in lab("exec", "right", "--", "cat", "/etc/resolv.conf")
    assert "192.0.2.9" not in Path("/etc/resolv.conf").read_text()


def test_two_labs_stand_side_by_side(lab: LabProgram) -> None:
    lab("up", "pair", "--name", "one")
    lab("up", "pair", "--name", "two", "--set", "loss=0%")
    lab("exec", "--name", "one", "left", "--", "ip", "link", "set", "wan", "down")
    lab("exec", "--name", "two", "left", "--", "ping", "-c", "1", "-W", "5", "192.0.2.2")
    lab("down", "--name", "one")
    assert [line.split()[0] for line in lab("list").splitlines()] == ["two"]


def test_down_after_the_keeper_was_killed(lab: LabProgram) -> None:
    lab("up", "pair")
    lab("exec", "left", "--", "sh", "-c", "sleep 1000 >/dev/null 2>&1 &")
    lab.kill_keeper()
    lab("down")
    assert not (lab.state / "lab").exists()


def test_up_clears_away_what_a_crash_left(lab: LabProgram) -> None:
    lab("up", "pair")
    lab.kill_keeper()
    lab("up", "pair")
    lab("exec", "left", "--", "true")


def test_cleanup_removes_crashed_labs_and_leaves_standing_ones(lab: LabProgram) -> None:
    lab("up", "pair", "--name", "crashed")
    lab("up", "pair", "--name", "standing")
    lab.kill_keeper("crashed")
    assert "'crashed'" in lab("cleanup")
    assert sorted(os.listdir(lab.state)) == ["standing"]


def test_up_that_fails_half_way_undoes_itself(lab: LabProgram, tmp_path: Path) -> None:
    topology = tmp_path / "broken.toml"
    topology.write_text(
        '[[host]]\nname = "a"\n[[host]]\nname = "b"\n[[link]]\nname = "wan"\nends = ["a", "b"]\n'
        '[[tunnel]]\nname = "wg0"\nkind = "command"\ncommand = ["false"]\nmesh = ["a", "b"]\nsubnet = "10.7.0.0/24"\n'
    )
    line = lab.refused("up", str(topology))
    assert "ended while starting" in line
    assert not lab.state.exists()


def test_any_command_line_is_a_kind_of_daemon(lab: LabProgram) -> None:
    lab("up", "pair", "--set", "loss=0%", "--set", "reorder=0%", "--set", "kind=wireguard-go --foreground {interface}")
    lab("exec", "left", "--", "ping", "-c", "3", "-i", "0.2", "-w", "20", "10.77.0.2")
    assert [daemon["kind"] for daemon in lab.status()["daemons"]] == ["wireguard-go --foreground {interface}"] * 2
    lab("down")
    assert "no-such-program" in lab.refused("up", "pair", "--set", "kind=no-such-program {interface}")
    assert not lab.state.exists()


# Its daemon never makes a control socket: `lab up` waits ten seconds for that, and then undoes everything.
NEVER_UP = """
[[host]]
name = "a"
[[host]]
name = "b"
[[link]]
name = "wan"
ends = ["a", "b"]
[[tunnel]]
name = "wg0"
kind = "command"
command = ["sleep", "1000"]
mesh = ["a", "b"]
subnet = "10.7.0.0/24"
"""


def until(what: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def coming_up(lab: LabProgram, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`lab up`, whose lab has a keeper already and does not stand yet."""
    topology = tmp_path / "never.toml"
    topology.write_text(NEVER_UP)
    with lab.begin("up", str(topology)) as process:
        until((lab.state / "lab" / "logs" / "a-wg0.log").exists)
        yield process


def test_a_lab_whose_up_was_killed_undoes_itself(lab: LabProgram, coming_up: subprocess.Popen[str]) -> None:
    coming_up.kill()
    until(lambda: not (lab.state / "lab").exists())


def test_while_a_lab_comes_up_nobody_else_may_have_its_name(lab: LabProgram, coming_up: subprocess.Popen[str]) -> None:
    assert "lab  is coming up" in lab("list")
    assert "stands already" in lab.refused("up", "pair")
    assert lab("cleanup") == ""
    lab("down")
    assert coming_up.wait(60) == 1
    assert not (lab.state / "lab").exists()


def test_of_two_labs_with_one_name_one_comes_up(lab: LabProgram) -> None:
    """Started at once, over and over: whatever the order, one stands, and nothing is left of the other."""
    for _ in range(5):
        both = [lab.begin("up", "pair", "--set", f"kind={kind}") for kind in ("vpn", "wireguard-go")]
        assert sorted(process.wait(60) for process in both) == [0, 1]
        for process in both:
            process.stdout.close() if process.stdout else None
        assert {daemon["running"] for daemon in lab.status()["daemons"]} == {True}
        keeper = int((lab.state / "lab" / "keeper").read_text().split()[0])
        assert _keepers_of(lab) == [keeper]
        lab("down")


def test_a_lab_comes_up_while_others_remove_the_last(lab: LabProgram) -> None:
    """Whoever takes down the last lab removes their common directory; another may be on its way into it."""
    ended = threading.Event()

    def remove() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                lab.state.rmdir()

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        for _ in range(10):
            lab("up", "pair")
            lab("down")
    finally:
        ended.set()
        remover.join()


def _keepers_of(lab: LabProgram) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            if (process / "comm").read_text() == "lab-keeper\n" and str(lab.state).encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_a_name_that_no_lab_can_have_is_nobody_s_directory(lab: LabProgram, tmp_path: Path) -> None:
    lab("up", "pair")
    (tmp_path / "precious").write_text("kept")
    (lab.state / "notes").mkdir()
    (lab.state / "notes" / "precious").write_text("kept")
    for name in ("..", ".", "", "lab/..", "notes"):
        for verb in (["down"], ["status"], ["events"], ["exec", "left"]):
            assert "lab '" in lab.refused(*verb, "--name", name, *(["--", "true"] if verb[0] == "exec" else [])), (verb, name)
    assert "in the way" in lab.refused("up", "pair", "--name", "notes")
    assert lab("cleanup") == ""
    assert (tmp_path / "precious").exists() and (lab.state / "notes" / "precious").exists()
    assert lab.status()["name"] == "lab"
    shutil.rmtree(lab.state / "notes")


@pytest.mark.parametrize("request_text", ['{"do":1}', '{"do":"link","link":[]}', '{"do":"impair","link":"wan","from":{}}', "[]", "{", "\xff"])
def test_a_request_of_the_wrong_shape_is_answered(lab: LabProgram, request_text: str) -> None:
    lab("up", "pair")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(lab.state / "lab" / "control.sock"))
        client.sendall(request_text.encode("latin-1") + b"\n")
        assert b'"error"' in client.recv(65536)
    assert lab.status()["name"] == "lab"


def test_an_ended_daemon_is_told(lab: LabProgram) -> None:
    lab("up", "pair")
    lab("exec", "left", "--", "sh", "-c", "kill -9 $(pgrep -x 'vpn|wireguard-go')")
    deadline = time.monotonic() + 10
    while all(daemon["running"] for daemon in lab.status()["daemons"]):
        assert time.monotonic() < deadline
    assert "daemon ended" in (lab.state / "lab" / "events.jsonl").read_text()


def test_an_unplugged_link_carries_nothing(lab: LabProgram) -> None:
    lab("up", "pair", "--set", "loss=0%")
    lab("exec", "left", "--", "ping", "-c", "1", "-W", "5", "192.0.2.2")
    lab("link", "wan", "down")
    assert lab.call("exec", "left", "--", "ping", "-c", "1", "-W", "1", "192.0.2.2").returncode != 0
    assert lab.status()["links"][0]["up"] is False
    lab("link", "wan", "up")
    lab("exec", "left", "--", "ping", "-c", "1", "-W", "5", "192.0.2.2")


def test_a_client_that_says_nothing_keeps_nobody_waiting(lab: LabProgram) -> None:
    """The keeper carries packets and answers others meanwhile, however long somebody holds his line."""
    lab("up", "pair", "--set", "loss=0%", "--set", "delay=0ms", "--set", "reorder=0%")
    silent, slow = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    for client in (silent, slow):
        client.connect(str(lab.state / "lab" / "control.sock"))
    slow.sendall(b'{"do":')
    began = time.monotonic()
    lab("exec", "left", "--", "ping", "-c", "20", "-i", "0.01", "-W", "5", "192.0.2.2")
    lab.status()
    took = time.monotonic() - began
    slow.sendall(b'"status"}\n')
    assert b'"ok"' in slow.recv(65536)
    began = time.monotonic()
    lab("exec", "left", "--", "ping", "-c", "20", "-i", "0.01", "-W", "5", "192.0.2.2")
    lab.status()
    alone = time.monotonic() - began
    silent.close()
    assert took < alone + 5, "a stalled client must not cost its ten seconds"


def test_many_clients_at_once_and_those_who_do_not_listen(lab: LabProgram) -> None:
    lab("up", "pair")
    deaf = []
    for _ in range(200):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(lab.state / "lab" / "control.sock"))
        client.sendall(b'{"do":"status"}\n')
        deaf.append(client)
    assert lab.status()["name"] == "lab"
    for client in deaf:
        client.close()


BAD_INPUT = [
    (["up", "nowhere"], "no such topology"),
    (["up", "./no-such.toml"], "there is no such file"),
    (["up", "pair", "--set", "los=1%"], "no such parameter"),
    (["up", "pair", "--set", "loss"], "no assignment"),
    (["up", "pair", "--name", "no/name"], "no name for a lab"),
    (["up", "pair", "--name", "bad"], "stands already"),
    (["up", "pair", "--colour"], "--colour"),
    (["up", "pair", "--seed", "-1"], "'-1' is no whole number"),
    (["bring"], "no verb 'bring'"),
    (["graph", "pair", "-o", "/nonexistent/pair.svg"], "/nonexistent/pair.svg"),
    (["exec"], "lab exec --help"),
    (["vm", "run", "--memory", "much", "--", "true"], "'much' is no size"),
    (["vm", "run"], "lab vm run --help"),
    (["bench", "--engine", "rope"], "rope"),
    (["capture", "--name", "bad", "wan", "-o", "x.pcapng", "-s", "-1"], "'-1' is no number above 0"),
    (["capture", "--name", "bad", "lan", "-o", "x.pcapng"], "no link or host 'lan'"),
    (["impair", "--name", "bad", "wan:", "loss=1%"], "no end of it"),
    (["down", "--name", "none"], "there is no lab"),
    (["status", "--name", "none"], "no lab 'none' stands"),
    (["exec", "--name", "bad", "middle", "--", "true"], "no host 'middle'"),
    (["exec", "--name", "bad", "left", "--", "no-such-program"], "no-such-program"),
    (["impair", "--name", "bad", "lan", "loss=1%"], "no link 'lan'"),
    (["impair", "--name", "bad", "wan:middle", "loss=1%"], "no end of it"),
    (["impair", "--name", "bad", "wan", "loss=200%"], "out of range"),
    (["impair", "--name", "bad", "wan", "weight=1"], "no impairment is called"),
    (["link", "--name", "bad", "lan", "down"], "no link 'lan'"),
    (["link", "--name", "bad", "wan", "sideways"], "sideways"),
]


def test_bad_input_is_one_line_with_a_remedy_and_changes_nothing(lab: LabProgram) -> None:
    lab("up", "pair", "--name", "bad")
    before = [one["directions"] for one in lab.status("bad")["links"]]
    for arguments, expected in BAD_INPUT:
        assert expected in lab.refused(*arguments), arguments
    after = [one["directions"] for one in lab.status("bad")["links"]]
    assert [d["impairment"] for one in before for d in one] == [d["impairment"] for one in after for d in one]
    assert sorted(os.listdir(lab.state)) == ["bad"]
