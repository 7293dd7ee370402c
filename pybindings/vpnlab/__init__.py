"""Script the VPN's protocol, break its network, read what happened.

The protocol engine (`Keypair`, `Initiator`, `Responder`, `Session`, `Node`, …) is compiled code that opens no socket and reads no
clock: bytes and times go in, bytes and verdicts come out. `Lab` drives the command `lab`: real daemons in network namespaces.
`packets` builds the inner IP packets that a test sends through a tunnel, `pcapng` reads captures, `story` tells what happened in a
world or a lab, and `diagram` draws it.
"""
from vpnlab import diagram, packets, pcapng, story
from vpnlab._core import (
    CookieChecker,
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
from vpnlab.adversary import Adversary, LabAdversary, Seen, SimulatedAdversary
from vpnlab.lab import Capture, Daemon, Host, Lab, LabError, Link
from vpnlab.verdicts import ok

__all__ = [
    "Adversary",
    "Capture",
    "CookieChecker",
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
    "LabAdversary",
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
    "Seen",
    "SeenDatagram",
    "SeenEvent",
    "Session",
    "SessionStatus",
    "SimulatedAdversary",
    "Suite",
    "Transmit",
    "World",
    "diagram",
    "ok",
    "packets",
    "parse",
    "pcapng",
    "story",
    "with_macs",
]
