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
    Initiation,
    Initiator,
    Keypair,
    Node,
    Opened,
    PeerStatus,
    PrefixTable,
    ReplayWindow,
    Responder,
    Response,
    Session,
    SessionStatus,
    Suite,
    Transmit,
    parse,
    with_macs,
)
from vpnlab.lab import Host, Lab, LabError, Link
from vpnlab.verdicts import ok

__all__ = [
    "CookieReply",
    "Data",
    "Drop",
    "Event",
    "Host",
    "Initiation",
    "Initiator",
    "Keypair",
    "Lab",
    "LabError",
    "Link",
    "Node",
    "Opened",
    "PeerStatus",
    "PrefixTable",
    "ReplayWindow",
    "Responder",
    "Response",
    "Session",
    "SessionStatus",
    "Suite",
    "Transmit",
    "ok",
    "packets",
    "parse",
    "with_macs",
]
