"""Inner IP packets, made byte by byte: what a host would hand to the tunnel."""
import ipaddress
import struct

UDP = 17


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp(source: str, destination: str, payload: bytes = b"", *, ports: tuple[int, int] = (4000, 5000), ecn: int = 0) -> bytes:
    """An IPv4 or IPv6 packet (by the addresses) with one UDP datagram; `ports` are source and destination."""
    one, other = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if one.version != other.version:
        raise ValueError(f"{source} and {destination} are of different families")
    length = 8 + len(payload)
    pseudo = one.packed + other.packed + struct.pack("!II", length, UDP)
    header = struct.pack("!HHHH", *ports, length, 0)
    segment = struct.pack("!HHHH", *ports, length, _checksum(pseudo + header + payload) or 0xFFFF) + payload
    if one.version == 6:
        return struct.pack("!IHBB", 6 << 28 | ecn << 20, length, UDP, 64) + one.packed + other.packed + segment
    ip = struct.pack("!BBHHHBBH", 0x45, ecn, 20 + length, 0, 0x4000, 64, UDP, 0) + one.packed + other.packed
    return ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:] + segment
