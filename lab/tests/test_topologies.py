"""Every topology that ships carries traffic as it says (issue 5, item 1; N1, N4)."""

from __future__ import annotations

import subprocess
import time
import xml.dom.minidom

import pytest

from conftest import PROGRAMS, LabProgram

SHIPPED = sorted(path.stem for path in (PROGRAMS / "../../lab/topologies").resolve().glob("*.toml"))


@pytest.mark.parametrize("topology", SHIPPED)
def test_is_sound_and_can_be_drawn(lab: LabProgram, topology: str) -> None:
    assert "sound" in lab("check", topology)
    picture = xml.dom.minidom.parseString(lab("graph", topology))
    assert picture.documentElement.tagName == "svg"


def reaches(lab: LabProgram, host: str, address: str, seconds: float = 30) -> None:
    """One answered ping from `host` within a deadline; a tunnel may still be coming up."""
    deadline = time.monotonic() + seconds
    while lab.call("exec", host, "--", "ping", "-c", "1", "-W", "1", address).returncode != 0:
        assert time.monotonic() < deadline, f"{host} does not reach {address}"


@pytest.mark.needs_root
@pytest.mark.parametrize(
    ("topology", "host", "address"),
    [
        ("road-warrior", "client", "10.1.0.2"),
        ("double-nat", "alice", "10.77.0.3"),
        ("hub", "client1", "10.77.0.3"),
        ("mesh", "node1", "fd77::4"),
        ("multi-hop", "client", "10.1.0.2"),
        ("multi-homed", "client", "10.77.0.1"),
    ],
)
def test_tunnel_carries_traffic(lab: LabProgram, topology: str, host: str, address: str) -> None:
    lab("up", topology)
    reaches(lab, host, address)


@pytest.mark.needs_root
def test_the_office_web_server_is_reached_through_the_tunnel_only(lab: LabProgram) -> None:
    lab("up", "road-warrior")
    reaches(lab, "client", "10.1.0.2")
    fetch = "import urllib.request as r; print(r.urlopen('http://10.1.0.2/GPL-3', timeout=10).status)"
    assert lab("exec", "client", "--", "/usr/bin/python3", "-c", fetch).strip() == "200"
    lab("exec", "client", "--", "ip", "link", "set", "wg0", "down")
    assert lab.call("exec", "client", "--", "ping", "-c", "1", "-W", "1", "10.1.0.2").returncode != 0


@pytest.mark.needs_root
@pytest.mark.parametrize(
    ("kind", "same_mapping", "other_port", "other_host"),
    [
        ("full-cone", True, True, True),
        ("restricted", True, True, False),
        ("port-restricted", True, False, False),
        ("symmetric", False, False, False),
    ],
)
def test_nat_kinds_map_and_filter(
    lab: LabProgram, kind: str, same_mapping: bool, other_port: bool, other_host: bool
) -> None:
    """RFC 3489's four kinds: who is let in, and whether a second destination sees the same source port."""
    lab("up", "road-warrior", "--set", f"nat={kind}", "--set", "kind=wireguard-go")
    # Echoes the sender's address from each socket, and on demand sends from one of them to an address.
    server = (
        "import socket,sys,select\n"
        "host=sys.argv[1]\n"
        "socks=[]\n"
        "for port in (5000,5001):\n"
        "  s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind((host,port)); socks.append(s)\n"
        "while True:\n"
        "  for s in select.select(socks,[],[])[0]:\n"
        "    data,peer=s.recvfrom(200)\n"
        "    words=data.decode().split()\n"
        "    if words[0]=='where': s.sendto(f'{peer[0]} {peer[1]}'.encode(),peer)\n"
        "    if words[0]=='send': socks[1].sendto(b'stranger',(words[1],int(words[2])))\n"
    )
    for host, address in (("server", "203.0.113.1"), ("isp", "198.51.100.2")):
        lab("exec", host, "--", "sh", "-c", 'python3 -c "$0" "$1" >/dev/null 2>&1 &', server, address)
    client = (
        "import socket,sys\n"
        "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('0.0.0.0',4000))\n"
        "def ask(to,text,wait):\n"
        "  s.settimeout(wait)\n"
        "  for _ in range(20):\n"
        "    s.sendto(text.encode(),to)\n"
        "    try: return s.recvfrom(200)[0].decode()\n"
        "    except TimeoutError: pass\n"
        "server=('203.0.113.1',5000)\n"
        "first=ask(server,'where',0.5)\n"
        "s.settimeout(1)\n"
        "s.sendto(('send '+first).encode(),server)\n"
        "def stranger():\n"
        "  s.settimeout(1)\n"
        "  while True:\n"
        "    try: data=s.recvfrom(200)[0].decode()\n"
        "    except TimeoutError: return False\n"
        "    if data=='stranger': return True\n"
        "port_passes=stranger()\n"
        "open(sys.argv[1],'w').write(first)\n"
        "print('waiting',flush=True)\n"
        "sys.stdin.readline()\n"
        "host_passes=stranger()\n"
        "second=ask(('198.51.100.2',5000),'where',0.5)\n"
        "print(second==first,port_passes,host_passes)\n"
    )
    where = lab.state / "where"
    process = subprocess.Popen(
        [str(PROGRAMS / "lab"), "exec", "client", "--", "/usr/bin/python3", "-c", client, str(where)],
        env=lab.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline().strip() == "waiting"
    address, port = where.read_text().split()
    where.unlink()
    send = "import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.sendto(b'stranger',(sys.argv[1],int(sys.argv[2])))"
    lab("exec", "isp", "--", "/usr/bin/python3", "-c", send, address, port)
    verdict, _ = process.communicate("go\n", timeout=30)
    assert verdict.split() == [str(same_mapping), str(other_port), str(other_host)]


@pytest.mark.needs_root
def test_a_hub_of_a_hundred_hosts_comes_up(lab: LabProgram) -> None:
    lab("up", "hub", "--set", "clients=99", "--set", "kind=vpn", timeout=300)  # under a sanitizer, and beside another test, too
    assert len(lab.status()["hosts"]) == 100
    reaches(lab, "client99", "10.77.0.1")
