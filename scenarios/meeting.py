"""A scripted peer that meets a real node."""
from vpnlab import Drop, Initiator, Keypair, Node, PeerStatus, Response, Session, ok, parse


class Meeting:
    """A scripted initiator (alice) with a session at a real node (bob's): send it anything, see what it makes of it.

    Time stands still until a test moves `now` (seconds). Bob allows alice 10.77.0.1/32.
    """

    address = "192.0.2.1:1000"

    def __init__(self, alice: Keypair, bob: Keypair) -> None:
        self.now = 1.0
        self.public_key = bob.public
        self.node = Node(bob)
        self.peer = self.node.add_peer(alice.public, allowed_ips=["10.77.0.1/32"])
        self.initiator = Initiator(alice, bob.public)
        self.session = self.handshake()

    def handshake(self) -> Session:
        """A new session, confirmed by a keepalive."""
        initiation = ok(self.initiator.initiate(self.wall_clock()))
        ok(self.receive(initiation.encode()))
        (answer,) = self.answers()
        response = parse(answer)
        assert isinstance(response, Response)
        session = ok(self.initiator.consume(response))
        ok(self.receive(session.seal(b"")))
        return session

    def receive(self, datagram: bytes, source: str = address) -> bytes | Drop:
        """Bob's node receives a datagram: the inner packet, or why it was dropped."""
        return self.node.receive_datagram(source, datagram, now=self.now)

    def answers(self) -> list[bytes]:
        """What bob's node has sent since the last call."""
        sent = []
        while transmit := self.node.poll_transmit(now=self.now):
            sent.append(transmit.datagram)
        return sent

    def wall_clock(self) -> float:
        """The time that goes into a timestamp: seconds since 1970."""
        return self.node.unix_start + self.now

    def status(self) -> PeerStatus:
        return self.node.status(self.peer, now=self.now)
