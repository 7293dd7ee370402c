"""Not one packet in clear, on captures of every link from before `up` to after `down` (M5.3, M4.4).

What "from before up to after down" means where somebody sends all the time: while no tunnel is wanted, before `up` is asked for and after
`down` is, packets leave in clear and are no leak, they are what the user asked for. So there are two tests. In one the applications speak
only while the tunnel is wanted, and whatever of theirs is in clear, at whatever time, is a leak: also what their connections send again after
`down`. In the other they never stop, and number what they send. From the first number of a flow that was refused or came out of the tunnel,
which is while `up` still works, to the last one before `down` was asked for, none may be in clear.
"""
import ipaddress
import json
import re
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from host_net import (CLIENT, DEADLINE, NAMES, ROGUE, ROUTER, SERVER, SERVER6, TUNNEL_CLIENT, VPN, WEB, WEB6, Frames, World, make_world, wait_for)

pytestmark = [pytest.mark.lab, pytest.mark.req("M5.3", "M4.4")]

# Speaks while /run/go exists, numbered, in every way that an application may. /run/sent tells the numbers, /run/refused those that the kernel
# did not take, /run/again how often TCP's connections have sent again what nobody acknowledged, a lost connection counting 1000.
APPLICATION = f"""
import json, os, socket, struct, time
def udp(address, port, device='', source='', multicast=''):
    six = ':' in address
    one = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if device:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    if source:
        one.bind((source, 0))
    if multicast and six:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(multicast))
    elif multicast:
        one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack('@4s4si', bytes(4), bytes(4), socket.if_nametoindex(multicast)))
    return lambda text: one.sendto(text, (address, port))
def ping(address):
    one = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    def send(text):
        text += bytes(len(text) % 2)
        packet = struct.pack('!BBHHH', 8, 0, 0, 77, 1) + text
        total = sum(struct.unpack('!%dH' % (len(packet) // 2), packet))
        total = (total & 0xffff) + (total >> 16)
        one.sendto(packet[:2] + struct.pack('!H', ~(total + (total >> 16)) & 0xffff) + packet[4:], (address, 0))
    return send
connections = {{}}
lost = set()
def tcp(name, address):
    def send(text):
        if name not in connections:
            connections[name] = socket.create_connection((address, 7), 2)
            connections[name].setblocking(False)
        try:
            connections[name].send(text)
        except BlockingIOError:
            pass
    return send
def sent_again(name):
    if name in lost or connections[name].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0:
        lost.add(name)
        return 1000
    return connections[name].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[2]
flows = {{'udp4': udp('{WEB}', 9), 'udp6': udp('{WEB6}', 9), 'lan': udp('{ROGUE}', 9), 'resolver': udp('{ROUTER}', 53), 'far-resolver': udp('{WEB}', 53),
         'device4': udp('{WEB}', 9, device='eth0'), 'device6': udp('{WEB6}', 9, device='eth0'), 'source': udp('{WEB}', 9, source='{CLIENT}'),
         'broadcast': udp('255.255.255.255', 9, device='eth0'), 'mdns4': udp('224.0.0.251', 5353, multicast='eth0'),
         'mdns6': udp('ff02::fb', 5353, multicast='eth0'), 'ping': ping('{WEB}'), 'tcp4': tcp('tcp4', '{WEB}'), 'tcp6': tcp('tcp6', '{WEB6}')}}
numbers = dict.fromkeys(flows, 0)
refused = {{name: [] for name in flows}}
def write(path, value):
    with open(path + '.new', 'w') as file:
        json.dump(value, file)
    os.rename(path + '.new', path)
print('ready', flush=True)
while True:
    going = os.path.exists('/run/go')
    for name, send in flows.items() if going else ():
        try:
            send(b'<flow %s %08d>' % (name.encode(), numbers[name]))
        except OSError:
            refused[name].append(numbers[name])
        numbers[name] += 1
    write('/run/sent', [going, numbers])
    write('/run/refused', refused)
    write('/run/again', {{name: sent_again(name) for name in connections}})
    time.sleep(0.01)
"""

# Takes what comes on TCP port 7, and says nothing.
SINK = """
import socket, threading
listener = socket.create_server(('::', 7), family=socket.AF_INET6, dualstack_ipv6=True)
print('ready', flush=True)
def take(connection):
    while connection.recv(65536):
        pass
while True:
    threading.Thread(target=take, args=(listener.accept()[0],), daemon=True).start()
"""
# With a word of its own: TCP may cut a record anywhere, and its time stamps before the rest may be any bytes, "<y" say.
SAID = re.compile(rb"<flow ([a-z0-9-]+) (\d{8})>")
THROUGH = ("udp4", "udp6", "ping")  # what a full tunnel carries
LINKS = ("client", "rogue", "server", "internet")


@pytest.fixture
def world() -> Iterator[World]:
    with make_world() as made:
        made.internet.start("/usr/bin/python3", "-c", SINK, ready="ready")
        yield made


def is_let_out(frame: bytes, endpoint: str) -> bool:
    """Whether the client may send this frame while its kill switch stands: by what it is made of, to the last byte that tells."""
    kind = struct.unpack("!H", frame[12:14])[0]
    if kind == 0x0806:  # ARP
        return True
    if kind == 0x0800:
        header = (frame[14] & 15) * 4
        protocol, target, payload = frame[23], frame[30:34], frame[14 + header:14 + struct.unpack("!H", frame[16:18])[0]]
    elif kind == 0x86dd:
        protocol, target, payload = frame[20], frame[38:54], frame[54:54 + struct.unpack("!H", frame[18:20])[0]]
        if protocol == 58:  # router solicitation, neighbour solicitation and advertisement, from the link itself
            return payload[0] in (133, 135, 136) and frame[21] == 255
    else:
        return False
    if protocol != 17:
        return False
    ports = struct.unpack("!HH", payload[:4])
    if ports in ((68, 67), (546, 547)):
        return True
    lengths = {1: 148, 2: 92, 3: 64}
    message, inside = payload[8], payload[8:]
    is_wireguard = 1 <= message <= 4 and inside[1:4] == bytes(3) and (len(inside) == lengths.get(message) or (message == 4 and len(inside) % 16 == 0))
    return target == ipaddress.ip_address(endpoint.strip("[]")).packed and ports[1] == 51820 and is_wireguard


def mac_of(world: World) -> bytes:
    return bytes.fromhex(world.client.sh("cat /sys/class/net/eth0/address").strip().replace(":", ""))


def source_of(frame: bytes) -> bytes:
    """The IP address it comes from; empty where it is no IP packet."""
    return {b"\x08\x00": frame[26:30], b"\x86\xdd": frame[22:38]}.get(frame[12:14], b"")


def is_from(frame: bytes, *addresses: str) -> bool:
    return source_of(frame) in [ipaddress.ip_address(address).packed for address in addresses]


def is_from_client(frame: bytes) -> bool:
    """By its addresses, on any link: the LAN's or the tunnel's, of either family."""
    return is_from(frame, CLIENT, "2001:db8:7::2", TUNNEL_CLIENT, "fd09::2")


def end_of(world: World, captures: "dict[str, Frames]") -> dict[str, list[bytes]]:
    """All that passed the links until a packet that is sent now."""
    return {name: world.end_of_frames(capture, name) for name, capture in captures.items()}


def numbers_in(frames: list[bytes]) -> dict[str, list[int]]:
    said: dict[str, set[int]] = {}
    for frame in frames:
        for name, number in SAID.findall(frame):
            said.setdefault(name.decode(), set()).add(int(number))
    return {name: sorted(numbers) for name, numbers in said.items()}


def read_json(world: World, name: str) -> Any:
    path = world.client.path(f"/run/{name}")
    wait_for(path.exists, f"the application's {name}")
    return json.loads(path.read_text())


def sent(world: World) -> dict[str, int]:
    """The number of each flow that comes next."""
    return dict(read_json(world, "sent")[1])


def sent_again(world: World) -> dict[str, int]:
    return dict(read_json(world, "again"))


def is_carried(captures: "dict[str, Frames]", flows: tuple[str, ...], since: dict[str, int]) -> bool:
    """Whether every one of the flows has come out beyond the server, of what was sent since."""
    said = numbers_in([frame for frame in captures["internet"].so_far() if is_from(frame, SERVER, SERVER6)])
    return all(any(number >= since.get(name, 0) for number in said.get(name, [])) for name in flows)


def stall(world: World) -> None:
    """From now on nothing of the tunnel passes the router, so that what TCP has sent waits for its acknowledgement."""
    world.router.sh("nft add table inet stall; nft add chain inet stall f '{ type filter hook forward priority 0; }'; "
                    "nft add rule inet stall f udp sport 51820 drop; nft add rule inet stall f udp dport 51820 drop")


@pytest.mark.parametrize("endpoint", [SERVER, f"[{SERVER6}]"])
def test_what_is_said_through_the_tunnel_is_never_in_clear(world: World, endpoint: str) -> None:
    """The applications speak between `up` and `down` only. Their TCP connections still have something to say when the tunnel goes down."""
    world.serve()
    mac, captures = mac_of(world), {name: world.frames(world.router, name) for name in LINKS}
    world.client.start("/usr/bin/python3", "-c", APPLICATION, ready="ready")
    world.client.run(VPN, "up", world.client_config(f"KillSwitch = on\nDNS = {NAMES}", endpoint=f"{endpoint}:51820"))
    world.client.sh("touch /run/go")
    wait_for(lambda: is_carried(captures, (*THROUGH, "tcp4", "tcp6"), {}), "everything to be carried", 3 * DEADLINE)
    stall(world)
    before = sent(world)
    wait_for(lambda: sent(world)["tcp6"] > before["tcp6"] + 5, "more to be sent")
    world.client.sh("rm /run/go")
    wait_for(lambda: read_json(world, "sent")[0] is False, "the application to pause")
    world.client.run(VPN, "down", "cli0")
    again = sent_again(world)
    wait_for(lambda: all(count > again[name] or count >= 1000 for name, count in sent_again(world).items()), "TCP to try again", 3 * DEADLINE)
    seen = end_of(world, captures)
    from_client = [frame for frame in seen["client"] if frame[6:12] == mac and b"end of" not in frame]  # that packet is answered
    assert numbers_in(from_client) == {}
    assert [frame.hex() for frame in from_client if is_from_client(frame) and not is_let_out(frame, endpoint)] == []
    for name in ("rogue", "server", "internet"):
        assert numbers_in([frame for frame in seen[name] if is_from_client(frame)]) == {}


@pytest.mark.parametrize("endpoint", [SERVER, f"[{SERVER6}]"])
def test_who_never_stops_is_in_clear_only_while_no_tunnel_is_wanted(world: World, endpoint: str) -> None:
    world.serve()
    mac, captures = mac_of(world), {name: world.frames(world.router, name) for name in LINKS}
    world.client.sh("touch /run/go")
    world.client.start("/usr/bin/python3", "-c", APPLICATION, ready="ready")

    def in_clear(name: str = "client") -> dict[str, list[int]]:
        return numbers_in([frame for frame in captures[name].so_far() if frame[6:12] == mac])
    # The captures see every flow, and would see it again.
    flows = set(sent(world))
    wait_for(lambda: set(in_clear()) == flows, "every flow to be seen in clear")
    world.client.run(VPN, "up", world.client_config(f"KillSwitch = on\nDNS = {NAMES}", endpoint=f"{endpoint}:51820"))
    up = sent(world)
    wait_for(lambda: is_carried(captures, THROUGH, up), "new packets to be carried", 3 * DEADLINE)
    world.client.run(VPN, "reload", world.client_config(f"KillSwitch = on\nDNS = {NAMES}\nAllowLan = 172.16.0.0/16", endpoint=f"{endpoint}:51820"))
    down = sent(world)
    world.client.run(VPN, "down", "cli0")
    after = sent(world)
    wait_for(lambda: all(numbers[-1] > after[name] for name, numbers in in_clear().items() if not name.startswith("tcp")), "everything in clear again",
             3 * DEADLINE)
    refused = read_json(world, "refused")
    seen = end_of(world, captures)
    from_client = [frame for frame in seen["client"] if frame[6:12] == mac]
    clear, carried = numbers_in(from_client), numbers_in([frame for frame in seen["internet"] if is_from(frame, SERVER, SERVER6)])
    for name in flows:
        if name.startswith("tcp"):
            continue  # a connection that began in clear goes on in clear
        shut = min([up[name], *refused[name], *carried.get(name, [])])
        assert shut > clear[name][0], f"{name} was not in clear before the tunnel"
        assert [number for number in clear[name] if shut <= number < down[name]] == [], f"{name}: while a tunnel was wanted, from {shut} to {down[name]}"
    tunnels = [frame for frame in from_client if is_from(frame, TUNNEL_CLIENT, "fd09::2")]
    assert [frame.hex() for frame in tunnels] == [], "from the tunnel's address, past it"
