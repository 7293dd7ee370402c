"""Reads the pcapng files that `lab capture` writes (draft-ietf-opsawg-pcapng), as far as it writes them."""
import ipaddress
import pathlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_OPTION_FLAGS, _OPTION_NAME = 2, 2
_OUTGOING = 2
ETHERNET = 1


@dataclass(frozen=True)
class Packet:
    """One packet of a capture. `when` is in Unix seconds; `data` begins with the Ethernet or (on a tunnel) the IP header."""
    when: float
    host: str
    interface: str
    outgoing: bool
    link_type: int
    data: bytes

    @property
    def ip(self) -> bytes:
        """The packet without its Ethernet header; empty when it carries no IP."""
        if self.link_type != ETHERNET:
            return self.data
        return self.data[14:] if self.data[12:14] in (b"\x08\x00", b"\x86\xdd") else b""


@dataclass(frozen=True)
class Udp:
    """A UDP datagram and where it goes; addresses as 192.0.2.1:51820 or [2001:db8::1]:51820."""
    source: str
    destination: str
    payload: bytes


def read(file: "str | pathlib.Path") -> Iterator[Packet]:
    """The packets of a file, in order. One that is still being written is read as far as its blocks are whole."""
    interfaces: list[tuple[str, str, int]] = []
    for kind, body in _blocks(pathlib.Path(file).read_bytes()):
        if kind == _INTERFACE:
            host, _, name = _options(body[8:]).get(_OPTION_NAME, b"").decode().partition(":")
            interfaces.append((host, name, struct.unpack_from("<H", body)[0]))
        elif kind == _PACKET:
            number, high, low, length = struct.unpack_from("<IIII", body)
            data = body[20:20 + length]
            flags = struct.unpack("<I", _options(body[20 + (length + 3) // 4 * 4:]).get(_OPTION_FLAGS, bytes(4)))[0]
            host, name, link_type = interfaces[number]
            yield Packet((high << 32 | low) / 1e9, host, name, flags == _OUTGOING, link_type, data)


def _blocks(content: bytes) -> Iterator[tuple[int, bytes]]:
    if content and int.from_bytes(content[:4], "little") != _SECTION:
        raise ValueError("no pcapng file of a machine with this byte order")
    at = 0
    while at + 12 <= len(content):
        kind, length = struct.unpack_from("<II", content, at)
        if length < 12 or at + length > len(content):
            return
        yield kind, content[at + 8:at + length - 4]
        at += length


def _options(body: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(body):
        code, length = struct.unpack_from("<HH", body, at)
        if code == 0:
            break
        found[code] = body[at + 4:at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    return found


def udp_of(ip: bytes) -> Udp | None:
    """The UDP datagram of an IP packet without options and extension headers; None when it carries none, or a part of one."""
    if len(ip) >= 28 and ip[0] == 0x45 and ip[9] == 17 and not struct.unpack_from("!H", ip, 6)[0] & 0x3FFF:
        source, destination, at = ip[12:16], ip[16:20], 20
    elif len(ip) >= 48 and ip[0] >> 4 == 6 and ip[6] == 17:
        source, destination, at = ip[8:24], ip[24:40], 40
    else:
        return None
    from_port, to_port, length = struct.unpack_from("!HHH", ip, at)
    if length < 8 or at + length > len(ip):
        return None

    def text(address: bytes, port: int) -> str:
        parsed = ipaddress.ip_address(address)
        return f"{parsed}:{port}" if parsed.version == 4 else f"[{parsed}]:{port}"

    return Udp(text(source, from_port), text(destination, to_port), ip[at + 8:at + length])
