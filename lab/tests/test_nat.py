"""What NATs do beside mapping and filtering by kind (test_topologies.py): hairpin and time-outs (issue 5, item 1)."""

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
nat = {{ kind = "{kind}", inside = ["alicelan", "boblan"], outside = "up", hairpin = {hairpin}, udp_timeout = "2s" }}
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
# Prints who said something to port 4000, or nothing within its time.
HEAR = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 4000))
s.settimeout(float(sys.argv[1]))
print("ready", flush=True)
try:
    print(*s.recvfrom(100)[1])
except TimeoutError:
    print("nothing")
"""


def say(lab: LabProgram, host: str, port: int, to: str, to_port: int, count: int = 1) -> None:
    lab("exec", host, "--", "/usr/bin/python3", "-c", SAY, str(port), to, str(to_port), str(count))


def heard(lab: LabProgram, host: str, seconds: float, speaker: str, to: str) -> str:
    """Who was heard on port 4000 of `host`, when `speaker` says something to port 4000 of `to`."""
    with lab.begin("exec", host, "--", "/usr/bin/python3", "-c", HEAR, str(seconds)) as listener:
        assert listener.stdout is not None and listener.stdout.readline() == "ready\n"
        say(lab, speaker, 4001, to, 4000, 3)
        return listener.communicate(timeout=30)[0].strip()


def up(lab: LabProgram, folder: Path, kind: str, hairpin: bool) -> None:
    file = folder / "home.toml"
    file.write_text(HOME.format(kind=kind, hairpin=str(hairpin).lower()))
    lab("up", str(file))


@pytest.mark.parametrize("kind", ["full-cone", "restricted", "port-restricted"])
def test_hairpin_lets_neighbours_meet_by_their_outside_address(lab: LabProgram, tmp_path: Path, kind: str) -> None:
    up(lab, tmp_path, kind, hairpin=True)
    say(lab, "alice", 4000, SERVER, 9)
    assert heard(lab, "alice", 10, "bob", OUTSIDE).split()[0] == OUTSIDE, "bob is seen by his outside address"


def test_without_hairpin_they_do_not(lab: LabProgram, tmp_path: Path) -> None:
    up(lab, tmp_path, "full-cone", hairpin=False)
    say(lab, "alice", 4000, SERVER, 9)
    assert heard(lab, "alice", 10, "server", OUTSIDE).split()[0] == SERVER, "a stranger is let in"
    assert heard(lab, "alice", 1, "bob", OUTSIDE) == "nothing"


def test_a_mapping_lasts_as_long_as_it_is_said_to(lab: LabProgram, tmp_path: Path) -> None:
    """Two seconds after the last datagram the port is nobody's; before, a stranger gets in."""
    up(lab, tmp_path, "full-cone", hairpin=False)
    say(lab, "alice", 4000, SERVER, 9)
    assert heard(lab, "alice", 10, "server", OUTSIDE).split()[0] == SERVER
    deadline = time.monotonic() + 30
    while "4000 : " in (rules := lab("exec", "home", "--", "nft", "list", "map", "ip", "lab_nat", "users")):
        assert time.monotonic() < deadline, rules
    # Conntrack remembers what came in as long as the mapping; it has as many seconds.
    while lab("exec", "home", "--", "sh", "-c", "grep -c dport=4000 /proc/net/nf_conntrack || true").strip() not in ("0", ""):
        assert time.monotonic() < deadline
    assert heard(lab, "alice", 1, "server", OUTSIDE) == "nothing"
