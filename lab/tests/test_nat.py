"""What NATs do beside mapping and filtering by kind (test_topologies.py): neighbours that use one port, hairpin, and
time-outs (issue 5, item 1; N3)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from conftest import LabProgram

pytestmark = pytest.mark.needs_root

HOME = """
[[host]]
name = "alice"
routes = ["default via home"]
[[host]]
name = "bob"
routes = ["default via home"]
[[host]]
name = "home"
nat = {{ kind = "{kind}", inside = ["alicelan", "boblan"], outside = "up", hairpin = {hairpin}, udp_timeout = "{timeout}" }}
[[host]]
name = "server"
[[link]]
name = "alicelan"
ends = ["alice", "home"]
subnet = "192.168.1.0/24"
[[link]]
name = "boblan"
ends = ["bob", "home"]
subnet = "192.168.2.0/24"
[[link]]
name = "up"
ends = ["home", "server"]
subnet = "198.51.100.0/24"
"""
OUTSIDE = "198.51.100.1"
SERVER = "198.51.100.2"

# Sends so many datagrams from a port to an address.
SAY = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", int(sys.argv[1])))
for _ in range(int(sys.argv[4])):
    s.sendto(b"hello", (sys.argv[2], int(sys.argv[3])))
"""
# Prints who said something to port 4000, or nothing within its time. Where it is told whom to, it speaks from there five times a second.
HEAR = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 4000))
end = time.monotonic() + float(sys.argv[1])
who = "nothing",
while who == ("nothing",) and time.monotonic() < end:
    for address in sys.argv[2:]:
        s.sendto(b"hello", (address, 9))
    if not s.timeout:
        print("ready", flush=True)
    s.settimeout(0.2)
    try:
        who = s.recvfrom(100)[1]
    except TimeoutError:
        pass
print(*who)
"""


def say(lab: LabProgram, host: str, port: int, to: str, to_port: int, count: int = 1) -> None:
    lab("exec", host, "--", "/usr/bin/python3", "-c", SAY, str(port), to, str(to_port), str(count))


def heard(lab: LabProgram, host: str, seconds: float, speaker: str, to: str, *kept_open_to: str) -> str:
    """Who was heard on port 4000 of `host`, when `speaker` says something to port 4000 of `to`."""
    with lab.begin("exec", host, "--", "/usr/bin/python3", "-c", HEAR, str(seconds), *kept_open_to) as listener:
        assert listener.stdout is not None and listener.stdout.readline() == "ready\n"
        say(lab, speaker, 4001, to, 4000, 3)
        return listener.communicate(timeout=30)[0].strip()


def up(lab: LabProgram, folder: Path, kind: str, hairpin: bool, timeout: str = "2s") -> None:
    file = folder / "home.toml"
    file.write_text(HOME.format(kind=kind, hairpin=str(hairpin).lower(), timeout=timeout))
    lab("up", str(file))


# Two sockets of the server tell whoever writes to them by which address and port they see him; a third, which nobody
# has written to, says to an address what it is told to.
TELL = """
import select, socket
sockets = []
for port in (5000, 5001, 5002):
    sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sockets[-1].bind(("0.0.0.0", port))
print("ready", flush=True)
while True:
    for s in select.select(sockets, [], [])[0]:
        words, sender = s.recvfrom(200)
        if words == b"where":
            s.sendto(f"{sender[0]} {sender[1]}".encode(), sender)
        else:
            address, port, text = words.decode().split()
            sockets[2].sendto(text.encode(), (address, int(port)))
"""
# By which address and port each of the server's two sockets sees port 4000 of this host, in turn, three times over.
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 4000))
s.settimeout(0.5)
for _ in range(3):
    for port in (5000, 5001):
        for attempt in range(60):
            s.sendto(b"where", (sys.argv[1], port))
            try:
                answer, sender = s.recvfrom(100)
            except TimeoutError:
                continue
            if sender[1] == port:
                print(answer.decode(), flush=True)
                break
"""
# Has the server's third socket say a word to an address, and prints what comes from it, or nothing.
HAVE_SAID = """
import socket, sys
server, address, port, word, attempts = sys.argv[1:]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 4000))
s.settimeout(0.5)
for attempt in range(int(attempts)):
    s.sendto(f"{address} {port} {word}".encode(), (server, 5000))
    try:
        text, sender = s.recvfrom(100)
    except TimeoutError:
        continue
    if sender[1] == 5002:
        print(text.decode())
        break
else:
    print("nothing")
"""


@pytest.mark.parametrize("kind", ["full-cone", "restricted", "port-restricted", "symmetric"])
def test_neighbours_with_one_port_have_a_mapping_each(lab: LabProgram, tmp_path: Path, kind: str) -> None:
    """RFC 4787, REQ-1 and REQ-3: behind a cone a socket has one outside port, whomever it speaks to, and has it alone."""
    up(lab, tmp_path, kind, hairpin=False, timeout="300s")
    with lab.begin("exec", "server", "--", "/usr/bin/python3", "-c", TELL) as server:
        assert server.stdout is not None and server.stdout.readline() == "ready\n"
        seen: dict[str, set[str]] = {}
        for _ in range(2):  # the second time each finds what it had, though its neighbour spoke in between
            for host in ("alice", "bob"):
                answers = lab("exec", host, "--", "/usr/bin/python3", "-c", ASK, SERVER).splitlines()
                assert len(answers) == 6, f"{host}: every question is answered"
                seen.setdefault(host, set()).update(answers)
        assert not seen["alice"] & seen["bob"], "no two sockets have one port"
        if kind == "symmetric":
            assert [len(ports) for ports in seen.values()] == [2, 2], "one for each whom it speaks to"
        else:
            assert [len(ports) for ports in seen.values()] == [1, 1], "one, whomever it speaks to"
            assert seen["alice"] == {f"{OUTSIDE} 4000"}, "its own port, where that is free"
        let_in = kind in ("full-cone", "restricted")  # restricted: by the address, of which another port has been spoken to
        for host in ("alice", "bob", "alice"):
            word = f"for-{host}"
            heard = lab("exec", host, "--", "/usr/bin/python3", "-c", HAVE_SAID, SERVER, *sorted(seen[host])[0].split(), word,
                        "40" if let_in else "3")
            assert heard.strip() == (word if let_in else "nothing"), host
        server.terminate()


# Says something to port 4000 of an address, and prints what the kernel hears of it: "refused", or nothing.
IS_REFUSED = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5000))
s.connect((sys.argv[1], 4000))
s.settimeout(1)
s.send(b"hello")
try:
    s.recv(100)
except ConnectionRefusedError:
    print("refused")
except TimeoutError:
    print("nothing")
"""


@pytest.mark.parametrize("kind", ["full-cone", "restricted", "port-restricted", "symmetric"])
def test_a_stranger_is_not_answered_and_takes_no_port(lab: LabProgram, tmp_path: Path, kind: str) -> None:
    """Who knocks where nothing has been mapped yet hears nothing; and whoever inside then speaks to him from that port keeps it."""
    up(lab, tmp_path, kind, hairpin=False, timeout="300s")
    assert lab("exec", "server", "--", "/usr/bin/python3", "-c", IS_REFUSED, OUTSIDE) == "nothing\n"
    if kind != "symmetric":
        with lab.begin("exec", "server", "--", "/usr/bin/python3", "-c", TELL) as server:
            assert server.stdout is not None and server.stdout.readline() == "ready\n"
            seen = lab("exec", "alice", "--", "/usr/bin/python3", "-c", ASK, SERVER).splitlines()
            server.terminate()
        assert set(seen) == {f"{OUTSIDE} 4000"}


@pytest.mark.parametrize("kind", ["full-cone", "restricted", "port-restricted"])
def test_hairpin_lets_neighbours_meet_by_their_outside_address(lab: LabProgram, tmp_path: Path, kind: str) -> None:
    up(lab, tmp_path, kind, hairpin=True, timeout="300s")
    say(lab, "alice", 4000, SERVER, 9)
    assert heard(lab, "alice", 10, "bob", OUTSIDE).split()[0] == OUTSIDE, "bob is seen by his outside address"


def test_without_hairpin_they_do_not(lab: LabProgram, tmp_path: Path) -> None:
    up(lab, tmp_path, "full-cone", hairpin=False, timeout="300s")
    say(lab, "alice", 4000, SERVER, 9)
    assert heard(lab, "alice", 10, "server", OUTSIDE).split()[0] == SERVER, "a stranger is let in"
    assert heard(lab, "alice", 1, "bob", OUTSIDE) == "nothing"


def test_a_mapping_lasts_as_long_as_it_is_said_to(lab: LabProgram, tmp_path: Path) -> None:
    """Two seconds after the last datagram the port is nobody's; before, a stranger gets in."""
    up(lab, tmp_path, "full-cone", hairpin=False)
    assert heard(lab, "alice", 10, "server", OUTSIDE, SERVER).split()[0] == SERVER
    deadline = time.monotonic() + 30
    while "4000 : " in (rules := lab("exec", "home", "--", "nft", "list", "map", "ip", "lab_nat", "users")):
        assert time.monotonic() < deadline, rules
    # Conntrack remembers what came in as long as the mapping; it has as many seconds, and is asked no more often than it forgets.
    while heard(lab, "alice", 1, "server", OUTSIDE) != "nothing":
        assert time.monotonic() < deadline
        time.sleep(3)
