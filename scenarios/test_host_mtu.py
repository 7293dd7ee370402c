"""What fits the tunnel: by the route, by asking through a black hole, and in the SYN of every TCP connection (M4.4, M5.2)."""
import collections
import hashlib
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from host_net import CLIENT, ROGUE, SERVER, SERVER6, TUNNEL_SERVER, VPN, WEB, WEB6, Daemon, World, make_world, wait_for

pytestmark = [pytest.mark.lab]

MEBIBYTES = int(os.environ.get("VPN_HOST_DOWNLOAD_MIB", "64"))

# Sends so many MiB to who calls on port 8080, and says the hash of all that comes on port 8081.
TRANSFERS = """
import hashlib, socket, sys, threading
piece = bytes(range(256)) * 4096
def give(connection):
    wanted = int(connection.recv(16))
    for _ in range(wanted):
        connection.sendall(piece)
    connection.close()
def take(connection):
    hash = hashlib.sha256()
    while data := connection.recv(1 << 16):
        hash.update(data)
    connection.sendall(hash.hexdigest().encode())
    connection.close()
for port, serve in ((8080, give), (8081, take)):
    listener = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True)
    def run(listener=listener, serve=serve):
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=run, daemon=True).start()
print('ready', flush=True)
threading.Event().wait()
"""

# Transfers so many MiB; after the first it says so, and waits for a line. The last it says is the hash.
TRANSFER = """
import hashlib, socket, sys
direction, address, mebibytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
connection = socket.create_connection((address, 8080 if direction == 'download' else 8081), 20)
connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)  # else all of it may have come before the first is read
connection.settimeout(None)
piece = bytes(range(256)) * 4096
hash, got = hashlib.sha256(), 0
if direction == 'download':
    connection.sendall(str(mebibytes).encode())
    while data := connection.recv(1 << 16):
        hash.update(data)
        before, got = got, got + len(data)
        if before < len(piece) <= got:
            print('begun', flush=True)
            sys.stdin.readline()
    print(hash.hexdigest())
else:
    for index in range(mebibytes):
        connection.sendall(piece)
        if index == 0:
            print('begun', flush=True)
            sys.stdin.readline()
    connection.shutdown(socket.SHUT_WR)
    print(connection.recv(100).decode())
"""


def hash_of(mebibytes: int) -> str:
    total = hashlib.sha256()
    for _ in range(mebibytes):
        total.update(bytes(range(256)) * 4096)
    return total.hexdigest()


@pytest.fixture
def world() -> Iterator[World]:
    with make_world() as made:
        made.internet.start("/usr/bin/python3", "-c", TRANSFERS, ready="ready")
        yield made


def begin_transfer(world: World, direction: str, address: str, mebibytes: int) -> "subprocess.Popen[str]":
    process = world.client.adopt(subprocess.Popen(
        world.client.lasting("/usr/bin/python3", "-c", TRANSFER, direction, address, str(mebibytes)), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True))
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    return process


def finish_transfer(process: "subprocess.Popen[str]", seconds: float) -> str:
    return process.communicate("go on\n", timeout=seconds)[0].strip()


def make_black_hole(world: World, bytes_: int) -> None:
    """The router passes no longer packet of the tunnel, and tells nobody. What is counted are packets as they are on a wire."""
    for host in (world.client, world.server):
        host.sh("ip link set eth0 gso_max_segs 1")
    world.router.sh("nft add table inet hole; nft add chain inet hole f '{ type filter hook forward priority 0; }'; "
                    f"nft add rule inet hole f udp dport 51820 meta length gt {bytes_} drop; "
                    f"nft add rule inet hole f udp sport 51820 meta length gt {bytes_} drop")


def mtu_of(world: World, interface: str = "cli0") -> int:
    found = re.search(r"mtu (\d+)", world.client.sh(f"ip link show {interface}"))
    assert found
    return int(found[1])


@pytest.mark.req("M4.4")
@pytest.mark.parametrize("endpoint, overhead", [(SERVER, 60), (f"[{SERVER6}]", 80)])
def test_the_mtu_is_that_of_the_route_and_follows_it(world: World, endpoint: str, overhead: int) -> None:
    world.client.run(VPN, "up", world.client_config(endpoint=f"{endpoint}:51820"))
    assert mtu_of(world) == 1500 - overhead
    six = "-6" if "[" in endpoint else ""
    via = "2001:db8:7::1" if six else "192.168.7.1"
    world.client.sh(f"ip {six} route replace default via {via} dev eth0 mtu 1400")
    wait_for(lambda: mtu_of(world) == 1400 - overhead, "the MTU to follow the route")
    world.client.sh(f"ip {six} route replace default via {via} dev eth0")
    wait_for(lambda: mtu_of(world) == 1500 - overhead, "the MTU to follow the route back")


def test_a_configured_mtu_stays(world: World) -> None:
    daemon = Daemon(world, world.client_config("MTU = 1300"))
    world.client.sh("ip route replace default via 192.168.7.1 dev eth0 mtu 1290")
    wait_for(lambda: "the network changed" in daemon.log, "the change to be followed")
    assert mtu_of(world) == 1300


@pytest.mark.req("M5.2")
@pytest.mark.parametrize("endpoint", [SERVER, f"[{SERVER6}]"])
@pytest.mark.parametrize("direction", ["download", "upload"])
def test_tcp_goes_on_through_a_path_that_became_narrow(world: World, direction: str, endpoint: str) -> None:
    """The path's MTU drops to 1280 in mid-flow, and no ICMP says so."""
    world.serve()
    world.client.run(VPN, "up", world.client_config("KillSwitch = on", endpoint=f"{endpoint}:51820"))
    process = begin_transfer(world, direction, WEB, 16)
    make_black_hole(world, 1280)
    assert finish_transfer(process, 120) == hash_of(16)
    fits = (1280 - (80 if "[" in endpoint else 60)) // 16 * 16  # packets are padded to 16
    sender = world.client if direction == "upload" else world.server
    table = "table all" if direction == "upload" else ""
    assert f"mtu {fits}" in sender.sh(f"ip route show {table}")


def test_a_new_connection_begins_small_on_a_narrow_path(world: World) -> None:
    """Both families inside, when the path is known to be narrow."""
    world.serve()
    world.client.run(VPN, "up", world.client_config())
    process = begin_transfer(world, "upload", WEB, 8)
    make_black_hole(world, 1280)
    assert finish_transfer(process, 120) == hash_of(8)
    for address in (WEB, WEB6):
        assert finish_transfer(begin_transfer(world, "upload", address, 2), 60) == hash_of(2)


# "Fragmentation needed" or "packet too big" without end, about a packet from a socket of the victim's that was never dropped. Anybody may send
# it who knows or guesses the ports.
FORGE = """
import socket, struct, sys, time
victim, port, target, target_port = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
udp = struct.pack('!HHHH', port, target_port, 1440, 0)
def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff
if ':' in victim:
    one = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    address = lambda text: socket.inet_pton(socket.AF_INET6, text)
    message = struct.pack('!BBHI', 2, 0, 0, 1280) + struct.pack('!IHBB', 6 << 28, 1440, 17, 64) + address(victim) + address(target) + udp
else:
    one = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    quoted = struct.pack('!BBHHHBBH', 0x45, 0, 1460, 7, 0x4000, 64, 17, 0) + socket.inet_aton(victim) + socket.inet_aton(target) + udp
    message = struct.pack('!BBHHH', 3, 4, 0, 0, 576) + quoted
    message = message[:2] + struct.pack('!H', checksum(message)) + message[4:]
print('ready', flush=True)
while True:
    one.sendto(message, (victim, 0))
    time.sleep(0.02)
"""


def too_big_heard(world: World, ipv6: bool) -> list[int]:
    """How often the kernels of client and server were told that a packet was too long."""
    if ipv6:
        return [int(host.sh("awk '/Icmp6InPktTooBigs/ {print $2}' /proc/net/snmp6")) for host in (world.client, world.server)]
    return [int(host.sh("awk '/^Icmp:/ {print $5}' /proc/net/snmp").split()[1]) for host in (world.client, world.server)]


def outer_packets(world: World, mebibytes: int) -> list[bytes]:
    """What passes the client's link for an upload and a download, as IP packets."""
    capture = world.frames(world.router, "client")
    for direction in ("upload", "download"):
        assert finish_transfer(begin_transfer(world, direction, WEB, mebibytes), 120) == hash_of(mebibytes)
    return [frame[14:] for frame in world.end_of_frames(capture, "client") if frame[12:14] in (b"\x08\x00", b"\x86\xdd")]


def length_of_data(packets: list[bytes]) -> int:
    """Of the longest packets of a transfer, of which there are thousands: not of a probe of the path, which may come beside it."""
    return max(length for length, count in collections.Counter(map(len, packets)).items() if count > 500)


def is_fragment(packet: bytes) -> bool:
    return packet[6] == 44 if packet[0] >> 4 == 6 else int.from_bytes(packet[6:8], "big") & 0x3fff != 0


@pytest.mark.req("M5.3")
@pytest.mark.parametrize("endpoint", [SERVER, f"[{SERVER6}]"])
def test_forged_icmp_neither_shrinks_nor_stalls_the_tunnel(world: World, endpoint: str) -> None:
    """Both ends are told, without end, that the path takes 576 bytes, or 1280, and go on as before: no smaller packets, nor more of them."""
    world.serve()
    daemon = Daemon(world, world.client_config("KillSwitch = on", endpoint=f"{endpoint}:51820"))
    for host in (world.client, world.server):
        host.sh("ip link set eth0 gso_max_segs 1")  # what is counted are packets as they are on a wire
    before = outer_packets(world, 4)
    ipv6 = "[" in endpoint
    client, server = ("2001:db8:7::2", SERVER6) if ipv6 else (CLIENT, SERVER)
    port = world.client.run("wg", "show", "cli0", "listen-port").stdout.strip()
    heard = too_big_heard(world, ipv6)
    world.rogue.start("/usr/bin/python3", "-c", FORGE, client, port, server, "51820", ready="ready")
    world.rogue.start("/usr/bin/python3", "-c", FORGE, server, "51820", client, port, ready="ready")
    wait_for(lambda: all(now > then + 2 for now, then in zip(too_big_heard(world, ipv6), heard)), "both ends to hear the forgeries")
    during = outer_packets(world, 4)
    assert not any(is_fragment(packet) for packet in during)
    longest = length_of_data(before)
    # TCP's acknowledgements, and what it sends again, are never the same twice; the packets of data hardly differ in number.
    full = [sum(len(packet) > longest - 32 for packet in packets) for packets in (before, during)]
    assert full[0] > 5000 and 0.9 * full[0] < full[1] < 1.1 * full[0], f"of {longest} bytes: {full[0]} packets before, {full[1]} during the attack"
    assert length_of_data(during) == longest
    assert {len(packet) for packet in during if len(packet) > longest} <= {1500}, "nothing is longer but a probe, which fills the path"
    # A change of the network has the MTU computed anew, from the routes alone, though the forgeries go on.
    changes = daemon.log.count("the network changed")
    world.client.sh(f"ip route replace default via {ROGUE} dev eth0; ip -6 route replace default via 2001:db8:7::66 dev eth0")
    wait_for(lambda: daemon.log.count("the network changed") > changes, "the change to be followed")
    assert mtu_of(world) == 1500 - (80 if ipv6 else 60)


@pytest.mark.req("M4.4")
@pytest.mark.parametrize("endpoint, fits", [(SERVER, 1440), (f"[{SERVER6}]", 1408)])
def test_an_mtu_that_is_too_large_splits_no_outer_packet(world: World, endpoint: str, fits: int) -> None:
    """The user has both ends believe in 1500 bytes, as much as the link itself takes. It is said what fits (packets are padded to 16), the
    routes say so to applications, and not one fragment leaves."""
    world.serve(interface="Gateway = on\nMTU = 1500")
    daemon = Daemon(world, world.client_config("MTU = 1500", endpoint=f"{endpoint}:51820"))
    for host in (world.client, world.server):
        host.sh("ip link set eth0 gso_max_segs 1")  # what is counted are packets as they are on a wire
    sent = outer_packets(world, 4)
    assert [packet[:48].hex() for packet in sent if is_fragment(packet)] == []
    assert 1500 - 32 < max(map(len, sent)) <= 1500, "and full packets"
    assert mtu_of(world) == 1500 and f"mtu {fits}" in world.client.sh("ip route show table all")
    assert f"mtu=1500 fits={fits}" in daemon.log


# Sends an inner packet of 1280 bytes, whatever the route's MTU, and says what is answered.
SEND_1280 = """
import socket, sys
six = ':' in sys.argv[1]
one = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(*((socket.IPPROTO_IPV6, 23) if six else (socket.IPPROTO_IP, 10)), 3)  # IP_MTU_DISCOVER: IP_PMTUDISC_PROBE
one.settimeout(10)
one.sendto(bytes(1280 - (48 if six else 28)), (sys.argv[1], 9))
print(one.recv(100).decode())
"""


@pytest.mark.req("M4.4")
@pytest.mark.parametrize("endpoint, fits", [(SERVER, 1216), (f"[{SERVER6}]", 1200)])
def test_a_link_of_1280_bytes_carries_all_that_ipv6_needs(world: World, endpoint: str, fits: int) -> None:
    """IPv6 inside needs 1280 bytes, which with the tunnel's own is more than such a link takes. TCP is told of less, so that nothing is split; a
    packet of 1280 bytes that comes all the same is not lost."""
    for host in (world.client, world.server):
        host.sh("ip link set eth0 mtu 1280 gso_max_segs 1")
    world.serve()
    world.client.run(VPN, "up", world.client_config(endpoint=f"{endpoint}:51820"))
    assert mtu_of(world) == 1280
    wait_for(lambda: f"mtu {fits}" in world.client.sh("ip route show table all"), "the routes to say what fits")
    assert [packet[:48].hex() for packet in outer_packets(world, 2) if is_fragment(packet)] == []
    for address in (WEB, WEB6):
        capture = world.frames(world.router, "client")
        assert world.client.run("/usr/bin/python3", "-c", SEND_1280, address).stdout != ""
        sent = [frame[14:] for frame in world.end_of_frames(capture, "client") if frame[12:14] in (b"\x08\x00", b"\x86\xdd")]
        assert sum(is_fragment(packet) for packet in sent) == 2


def mss_in(lines: list[str], flags: str) -> set[int]:
    return {int(found[1]) for line in lines if f"Flags [{flags}]" in line and (found := re.search(r"mss (\d+)", line))}


@pytest.mark.req("M5.2")
@pytest.mark.parametrize("address, headers", [(WEB, 40), (WEB6, 60)])
def test_mss_in_the_syn_fits_the_tunnel_at_both_ends(world: World, address: str, headers: int) -> None:
    """The server's interface has 1420 bytes; what passes it says so, the SYN from inside and the SYN-ACK from outside."""
    world.serve()
    world.client.run(VPN, "up", world.client_config())
    beyond, inside = world.capture(world.internet, "eth0"), world.capture(world.client, "cli0")
    assert world.client.ask("tcp", address, 80) != ""
    world.internet.run("ping", "-c1", "-W5", "198.51.100.1")
    assert mss_in(beyond.lines("ICMP echo reply"), "S") == {1420 - headers}
    world.client.run("ping", "-c1", "-W5", TUNNEL_SERVER)
    assert mss_in(inside.lines("ICMP echo reply"), "S.") == {1420 - headers}


@pytest.mark.slow
def test_a_long_download_is_whole(world: World) -> None:
    """VPN_HOST_DOWNLOAD_MIB MiB, 64 by default."""
    world.serve()
    world.client.run(VPN, "up", world.client_config())
    assert finish_transfer(begin_transfer(world, "download", WEB, MEBIBYTES), 60 + 2 * MEBIBYTES) == hash_of(MEBIBYTES)
