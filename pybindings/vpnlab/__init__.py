"""Script the VPN's protocol, break its network, read what happened.

The protocol engine (`Keypair`, `Initiator`, `Responder`, `Session`, `Node`, …) is compiled code that opens no socket and reads no
clock: bytes and times go in, bytes and verdicts come out. `Lab` drives the command `lab`: real daemons in network namespaces.
`packets` builds the inner IP packets that a test sends through a tunnel.
"""
from vpnlab import packets
from vpnlab._core import (
    CookieReply,
    Data,
    Drop,
    Event,
    Impairment,
    Initiation,
    Initiator,
    Keypair,
    Node,
    Opened,
    PacketRecord,
    PeerStatus,
    PrefixTable,
    ReplayWindow,
    Responder,
    Response,
    SeenDatagram,
    SeenEvent,
    Session,
    SessionStatus,
    Suite,
    Transmit,
    World,
    parse,
    with_macs,
)
from vpnlab.lab import Daemon, Host, Lab, LabError, Link
from vpnlab.verdicts import ok

__all__ = [
    "CookieReply",
    "Daemon",
    "Data",
    "Drop",
    "Event",
    "Host",
    "Impairment",
    "Initiation",
    "Initiator",
    "Keypair",
    "Lab",
    "LabError",
    "Link",
    "Node",
    "Opened",
    "PacketRecord",
    "PeerStatus",
    "PrefixTable",
    "ReplayWindow",
    "Responder",
    "Response",
    "SeenDatagram",
    "SeenEvent",
    "Session",
    "SessionStatus",
    "Suite",
    "Transmit",
    "World",
    "ok",
    "packets",
    "parse",
    "with_macs",
]
