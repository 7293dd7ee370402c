"""MTU: the tunnel's leaves room for every layer, whatever the link's, so no outer packet is ever split; and what becomes of a flow
when the path's shrinks. On the lab alone: in virtual time there are neither fragments nor TCP."""
import hashlib
import os
import pathlib
import socket
import struct
import threading
from collections.abc import Callable

import pytest
from vpnlab import Lab, pcapng

from running import CALM

pytestmark = pytest.mark.lab
LEFT, RIGHT, RIGHT6 = "10.77.0.1", "10.77.0.2", "fd77::2"
OVERHEAD = {4: 20 + 8 + 32, 6: 40 + 8 + 32}  # outer IP, UDP, and what a data message adds
TOPOLOGY = """
about = "Two hosts on a link of some MTU"
[[host]]
name = "left"
[[host]]
name = "right"
[[link]]
name = "wan"
ends = ["left", "right"]
subnet = {subnet}
mtu = {mtu}
engine = "wire"
impair = "delay=1ms"
[[tunnel]]
name = "wg0"
kind = "vpn"
mesh = ["left", "right"]
subnet = ["10.77.0.0/24", "fd77::/64"]
mtu = {tunnel_mtu}
"""


def is_fragment(packet: pcapng.Packet) -> bool:
    ip = packet.ip
    if not ip:
        return False
    if ip[0] >> 4 == 4:
        return bool(struct.unpack_from("!H", ip, 6)[0] & 0x3FFF)
    return ip[6] == 44


def transfer(lab: Lab, size: int, midway: Callable[[], None] = lambda: None, deadline: float = 60) -> None:
    """Sends so many bytes by TCP through the tunnel, left to right, and holds them to be the same; `midway` happens in between."""
    content = os.urandom(size)
    with lab.host("right").open_socket(kind=socket.SOCK_STREAM) as listener, lab.host("left").open_socket(kind=socket.SOCK_STREAM) as caller:
        listener.settimeout(deadline)
        caller.settimeout(deadline)
        listener.bind((RIGHT, 5001))
        listener.listen()
        received = hashlib.sha256()

        def receive() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(deadline)
                while part := connection.recv(65536):
                    received.update(part)

        receiver = threading.Thread(target=receive)
        receiver.start()
        caller.connect((RIGHT, 5001))
        caller.sendall(content[:size // 2])
        midway()
        caller.sendall(content[size // 2:])
        caller.shutdown(socket.SHUT_WR)
        receiver.join(deadline)
        assert not receiver.is_alive(), "the flow stalls"
    assert received.digest() == hashlib.sha256(content).digest()


@pytest.mark.req("M4.4")
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("mtu", [1280, 1500, 9000])
def test_full_size_packets_leave_in_one_piece(make_lab: Callable[..., Lab], tmp_path: pathlib.Path, mtu: int, outer: int) -> None:
    """M4.4: with the tunnel's MTU at the link's less the overhead, the longest inner packets fill the link, and none is split."""
    tunnel_mtu = mtu - OVERHEAD[outer]
    file = tmp_path / "link.toml"
    subnet = '"192.0.2.0/24"' if outer == 4 else '"fd00:c000:2::/64"'
    file.write_text(TOPOLOGY.format(subnet=subnet, mtu=mtu, tunnel_mtu=tunnel_mtu))
    lab = make_lab(str(file))
    inner = RIGHT if tunnel_mtu < 1280 else RIGHT6  # IPv6 needs an MTU of 1280
    headers = 28 if tunnel_mtu < 1280 else 48
    with lab.link("wan").capture(tmp_path / "wan.pcapng") as capture:
        done = lab.host("left").run("ping", "-M", "do", "-c", "3", "-i", "0.05", "-W", "10", "-s", str(tunnel_mtu - headers), inner)
        assert " 3 received" in done.stdout
        transfer(lab, 300_000)
    sent = list(capture.packets())
    assert not [packet for packet in sent if is_fragment(packet)]
    lengths = [len(packet.ip) for packet in sent if packet.ip]
    assert mtu - 16 < max(lengths) <= mtu, "full packets, to the last padding"


@pytest.mark.req("M4.4")
def test_the_default_mtu_leaves_room_on_ethernet_for_ipv6_outside(pair: Lab, tmp_path: pathlib.Path) -> None:
    pair.link("wan").impair("delay=1ms")  # with weather, frames are as on a cable
    with pair.link("wan").capture(tmp_path / "wan.pcapng") as capture:
        transfer(pair, 500_000)
    sent = [packet for packet in capture.packets() if packet.ip]
    assert len(sent) > 300 and not any(map(is_fragment, sent))
    assert max(len(packet.ip) for packet in sent) <= 1500 - (OVERHEAD[6] - OVERHEAD[4])


@pytest.fixture
def wire_pair(make_lab: Callable[..., Lab]) -> Lab:
    """The lab `pair` with a seed: its link goes by wire, which can do all weather, and loses the same messages every time."""
    return make_lab("pair", settings=CALM, seed=1)


@pytest.mark.req("S5")
@pytest.mark.slow
def test_a_flow_survives_a_smaller_path_mtu(wire_pair: Lab) -> None:
    """The path shrinks to 1280 while TCP flows; the router on it answers, and splits what may be split."""
    transfer(wire_pair, 2_000_000, midway=lambda: wire_pair.link("wan").impair("mtu=1280"))


@pytest.mark.req("S5")
@pytest.mark.slow
def test_a_flow_survives_a_black_hole_where_hosts_probe(wire_pair: Lab) -> None:
    """Long packets vanish without a word (ICMP filtered). No end of a tunnel can learn of that by itself, since its packets are not
    acknowledged; the hosts' TCP does (RFC 4821, tcp_mtu_probing), and then the flow goes on."""
    for name in ("left", "right"):
        wire_pair.host(name).run("sysctl", "-q", "-w", "net.ipv4.tcp_mtu_probing=1")
    transfer(wire_pair, 2_000_000, midway=lambda: wire_pair.link("wan").impair("mtu=1280", "icmp=off"))


@pytest.mark.req("S5")
@pytest.mark.slow
@pytest.mark.parametrize("loss, size", [(1, 4_000_000), (10, 400_000), (30, 40_000)])
def test_tcp_over_loss(wire_pair: Lab, loss: int, size: int) -> None:
    """The second half of what flows meets the loss: neither the tunnel's handshake nor TCP's does."""
    transfer(wire_pair, size, midway=lambda: wire_pair.link("wan").impair(f"loss={loss}%", "delay=1ms"), deadline=300)
