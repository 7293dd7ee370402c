"""What the command line shows of running daemons: the live view in a real terminal, JSON that keeps to its schema, and QR codes
that another program reads."""
import base64
import codecs
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import jsonschema  # type: ignore[import]  # Debian has no stubs of it
import pytest

from daemon_support import CONTROL_FOLDER, DEADLINE, VPN, Pair, Tunnel, configure, make_pair, missing_tools, new_key, run, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.skipif(missing_tools() is not None, reason=str(missing_tools()))]

SCHEMA = pathlib.Path(__file__).parent.parent / "vpn" / "docs" / "show.schema.json"


@pytest.fixture
def pair(tmp_path: pathlib.Path) -> Iterator[Pair]:
    with make_pair(tmp_path) as made:
        yield made


@pytest.fixture
def tunnel(pair: Pair) -> Tunnel:
    made = configure(pair.left.start_vpn(), pair.right.start_vpn())
    made.check()
    return made


# ── vpn watch ──

class Terminal:
    """A program in a terminal of its own, as a user has it: Ctrl-C, a change of the size and a hang-up are the kernel's."""

    def __init__(self, *command: object, width: int = 120, height: int = 40) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(width, height)
        self.before = termios.tcgetattr(self.slave)
        self.output = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a read may end within a character
        self.process = subprocess.Popen([str(word) for word in command], stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                        start_new_session=True, preexec_fn=self._own_terminal)

    def _own_terminal(self) -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def hear(self) -> None:
        """Takes what the program has written by now, without waiting long for it."""
        if select.select([self.master], [], [], 0.05)[0]:
            self.output += self.decoder.decode(os.read(self.master, 65536))

    def has_ended(self) -> bool:
        """Whether the program has ended and all that it wrote was heard."""
        ended = self.process.poll() is not None  # asked first: what it wrote before lies in the terminal by now
        before = len(self.output)
        self.hear()
        return ended and len(self.output) == before

    def pictures(self) -> list[str]:
        """The whole pictures so far, without colours: each begins at the upper left corner and ends by clearing what is below."""
        parts = self.output.split("\x1b[H")[1:]
        return [re.sub(r"\x1b\[[0-9;]*[mK]", "", part.split("\x1b[J")[0]).replace("\r", "") for part in parts if "\x1b[J" in part]

    def wait_picture(self, pattern: str) -> str:
        """The first picture from now on in which some line matches."""
        seen = len(self.pictures())
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            self.hear()
            for picture in self.pictures()[seen:]:
                if re.search(pattern, picture, re.MULTILINE):
                    return picture
        raise AssertionError(f"no picture with {pattern!r} within {DEADLINE} s; the last:\n" + (self.pictures() or [""])[-1])

    def expect_end(self) -> None:
        """It ends by itself, with 0, and leaves the terminal as it was: no alternate screen, a cursor, echo and lines."""
        wait_until(self.has_ended, "vpn watch ends")
        assert self.process.returncode == 0
        assert termios.tcgetattr(self.slave) == self.before
        assert self.output.count("\x1b[?1049h") == self.output.count("\x1b[?1049l") == 1
        assert self.output.rfind("\x1b[?1049l") > self.output.rfind("\x1b[J")
        assert self.output.rfind("\x1b[?25h") > self.output.rfind("\x1b[?25l")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for end in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(end)


@contextlib.contextmanager
def watching(*options: object, width: int = 120, height: int = 40) -> Iterator[Terminal]:
    terminal = Terminal(VPN, "watch", "--interval", "0.2", *options, width=width, height=height)
    try:
        yield terminal
    finally:
        terminal.close()


def test_watch_shows_what_happens(tunnel: Tunnel) -> None:
    """W5: peers with their endpoint, the age of the handshake, rates while traffic flows and none after it, and drops by reason as
    they come."""
    left, host = tunnel.left, tunnel.left.host
    stranger = new_key().public
    left.wg("set", "peer", stranger, "allowed-ips", "10.9.7.0/24")
    with watching(left.interface) as terminal:
        terminal.wait_picture(rf"^{left.interface}  vpn \S+  port 51820  2 peers  tun: \S+.*  udp: \S+")
        label = tunnel.right_key.public[:8]
        row = terminal.wait_picture(rf"^{re.escape(label)}…\S+ +192\.0\.2\.2:51821 +\d+m?s? .*B/s")
        assert re.search(rf"^{re.escape(stranger[:8])}…\S+ +- +never ", row, re.MULTILINE)
        assert "DROPPED" not in row or "bad_length" not in row
        traffic = host.begin("ping", "-i", "0.01", "-s", "1000", "-q", "10.9.0.2")
        terminal.wait_picture(rf"^{re.escape(label)}…\S+ +192\.0\.2\.2:51821 +\S.* \d+(\.\d+)? [KM]iB/s +\d+(\.\d+)? [KM]iB/s ")
        traffic.kill()
        terminal.wait_picture(rf"^{re.escape(label)}…\S+ +192\.0\.2\.2:51821 +\S.* 0 B/s +0 B/s ")
        tunnel.right.host.run("/usr/bin/python3", "-c", "import socket; s = socket.socket(type=socket.SOCK_DGRAM);"
                              "[s.sendto(b'\\x04\\0\\0\\0', ('192.0.2.1', 51820)) for _ in range(7)]")
        terminal.wait_picture(r"^DROPPED +PACKETS +NOW WHY\n(.*\n)*bad_length +7 ")
        terminal.type("q")
        terminal.expect_end()


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "q"])
def test_watch_ends_and_leaves_the_terminal_as_it_was(pair: Pair, how: str) -> None:
    daemon = pair.left.start_vpn()
    with watching(daemon.interface) as terminal:
        terminal.wait_picture(rf"^{daemon.interface} ")
        assert not termios.tcgetattr(terminal.slave)[3] & (termios.ICANON | termios.ECHO)
        if how == "SIGTERM":
            terminal.process.send_signal(signal.SIGTERM)
        else:
            terminal.type({"Ctrl-C": "\x03", "q": "q"}[how])
        terminal.expect_end()


def test_watch_follows_the_size_of_its_terminal(tunnel: Tunnel) -> None:
    """Nothing is ever wider or higher than the terminal, which would scroll the picture away."""
    with watching(tunnel.left.interface) as terminal:
        terminal.wait_picture(r"^PEER .* SENT$")
        for width, height in ((30, 6), (10, 1), (200, 50)):
            terminal.resize(width, height)

            def fits() -> bool:
                terminal.hear()
                lines = terminal.pictures()[-1].split("\n")
                return len(lines) <= height and max(map(len, lines)) <= width and (width < 200 or "PEER" in terminal.pictures()[-1])

            wait_until(fits, f"it fits {width} × {height}")
            for _ in range(3):
                terminal.wait_picture(r"^" if width < 20 else rf"^{tunnel.left.interface} ")
                assert fits()
        terminal.type("q")
        terminal.expect_end()


def test_watch_of_all_interfaces_sees_them_come_and_go(pair: Pair) -> None:
    first = pair.left.start_vpn()
    with watching() as terminal:
        terminal.wait_picture(rf"^{first.interface}  vpn ")
        second = pair.left.start_vpn()
        terminal.wait_picture(rf"^{second.interface}  vpn ")
        assert first.stop() == 0
        assert first.interface not in terminal.wait_picture(rf"\A(?!(.*\n)*{first.interface} )")
    with watching(second.interface) as terminal:
        terminal.wait_picture(rf"^{second.interface}  vpn ")
        assert second.stop() == 0
        terminal.wait_picture(rf"^{second.interface}: no daemon serves this interface")
        third = pair.left.start_vpn(interface=second.interface)
        terminal.wait_picture(rf"^{third.interface}  vpn ")
        terminal.type("q")
        terminal.expect_end()


def test_watch_in_a_pipe_is_one_plain_picture(tunnel: Tunnel) -> None:
    done = run(VPN, "watch", tunnel.left.interface)
    assert done.stdout.startswith(f"{tunnel.left.interface}  vpn ") and "192.0.2.2:51821" in done.stdout
    assert "\x1b" not in done.stdout and done.stderr == ""
    assert run("sh", "-c", f"{VPN} watch | head -n 1 >/dev/null").returncode == 0


# ── vpn show --json ──

def check_schema(text: str) -> dict[str, list[dict[str, object]]]:
    """What `vpn show --json` printed, which keeps to the schema."""
    shown: dict[str, list[dict[str, object]]] = json.loads(text)
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(shown, schema, cls=jsonschema.Draft202012Validator)
    return shown


# Shows all interfaces to a `vpn` that sees no more of the folder $0 than what is also in the folder $1.
SHOW_OF = """
for socket in "$1"/*; do mount --bind "$0/${socket##*/}" "$socket"; done
mount --rbind "$1" "$0"
exec "$2" show --json
"""


def test_json_keeps_to_its_schema(pair: Pair, tmp_path: pathlib.Path) -> None:
    """W5: of a bare daemon; of one with every key, sessions and a history; and of another WireGuard, which knows less."""
    bare = pair.left.start_vpn()
    (shown,) = check_schema(run(VPN, "show", bare.interface, "--json").stdout)["interfaces"]
    assert shown["public_key"] is None and shown["peers"] == []
    other = pair.right.start_wireguard_go()
    keys = new_key(), new_key()
    left = pair.left.start_vpn_file(pair.left.write_config(
        f"[Interface]\nPrivateKey = {keys[0].private}\nListenPort = 51820\nFwMark = 0x77\nAddress = 10.9.0.1/24\n[Peer]\n"
        f"Name = Büro \"1\"\nPublicKey = {keys[1].public}\nPresharedKey = {base64.b64encode(bytes(range(32))).decode()}\n"
        "AllowedIPs = 10.9.0.2/32, fd09::/64\nEndpoint = 192.0.2.2:51821\nPersistentKeepalive = 5\nRekeyAfterBytes = 1G\n"
        f"[Peer]\nPublicKey = {new_key().public}\nCipher = aes-256-gcm\nEndpoint = [2001:db8::2]:1\nAllowedIPs = 10.9.0.3/32\n"))
    right = pair.right.start_vpn_file(pair.right.write_config(
        f"[Interface]\nPrivateKey = {keys[1].private}\nListenPort = 51821\nAddress = 10.9.0.2/24\n[Peer]\nPublicKey = "
        f"{keys[0].public}\nPresharedKey = {base64.b64encode(bytes(range(32))).decode()}\nAllowedIPs = 10.9.0.1/32\n"))
    pair.left.wait_ping("10.9.0.2")
    pair.left.ip("address", "delete", "192.0.2.1/24", "dev", "link0")
    pair.left.ip("address", "add", "192.0.2.77/24", "dev", "link0")
    wait_until(lambda: pair.left.ping("10.9.0.2") and "192.0.2.77:" in right.wg("show", "endpoints"), "it goes on after a move")
    other.wg("set", "private-key", pair.right.write_config(new_key().private), "peer", keys[0].public, "endpoint",
             "192.0.2.1:7", "allowed-ips", "10.8.0.0/16")
    for daemon in (left, right, other):
        (shown,) = check_schema(run(VPN, "show", daemon.interface, "--json").stdout)["interfaces"]
        assert shown["name"] == daemon.interface and shown["public_key"] == daemon.wg("show", "public-key").strip()
    # All there are: of these three alone, for any other daemon of the machine may be one that its test has stopped.
    folder = tmp_path / "all"
    folder.mkdir()
    for daemon in (left, right, other):
        (folder / daemon.socket_path.name).touch()
    shown_all = run("unshare", "--mount", "sh", "-ec", SHOW_OF, CONTROL_FOLDER, folder, VPN).stdout
    assert {one["name"] for one in check_schema(shown_all)["interfaces"]} >= {left.interface, right.interface, other.interface}


# ── vpn invite ──

def modules(drawn: str) -> list[list[bool]]:
    """The dark and light modules of a QR code drawn in half blocks, black on white."""
    halves = {"█": (True, True), "▀": (True, False), "▄": (False, True), " ": (False, False)}
    rows: list[list[bool]] = []
    for line in drawn.splitlines():
        found = re.fullmatch("\x1b\\[30;47m([█▀▄ ]+)\x1b\\[0m", line)
        if found:
            for half in (0, 1):
                rows.append([halves[character][half] for character in found[1]])
    return rows


def decode(drawn: str, image: pathlib.Path) -> bytes:
    """What a camera would read from the terminal; zbar is the independent reader."""
    rows = modules(drawn)
    pixels = 4
    lines = [b"".join((b"\0" if dark else b"\xff") * pixels for dark in row) * pixels for row in rows]
    image.write_bytes(b"P5 %d %d 255\n" % (len(rows[0]) * pixels, len(rows) * pixels) + b"".join(lines))
    return subprocess.run(["zbarimg", "--quiet", "--raw", "--oneshot", "-Sdisable", "-Sqrcode.enable", "-Sbinary", str(image)],
                          capture_output=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("options", [[], ["--name", "Ann's phone", "--full-tunnel", "--dns", "9.9.9.9,2620:fe::fe"],
                                     ["--no-preshared-key", "--allowed-ips", ",".join(f"10.{n}.0.0/16" for n in range(60))],
                                     ["--name", "Büro №1"]])
def test_the_qr_code_of_an_invitation_is_its_file(tmp_path: pathlib.Path, options: list[str]) -> None:
    server = tmp_path / "wg0.conf"
    server.touch(mode=0o600)
    server.write_text(f"[Interface]\nPrivateKey = {new_key().private}\nListenPort = 51820\nAddress = 10.9.0.1/24, fd09::1/64\n")
    client = tmp_path / "client.conf"
    said = run(VPN, "invite", server, "--endpoint", "vpn.example.org", "--only-file", "--qr", "always", "--output", client,
               *options).stdout
    assert decode(said, tmp_path / "code.pgm") == client.read_bytes()
    assert run(VPN, "check", client).returncode == 0


def test_a_terminal_is_shown_the_code_and_a_pipe_is_not(tmp_path: pathlib.Path) -> None:
    server = tmp_path / "wg0.conf"
    server.touch(mode=0o600)
    server.write_text(f"[Interface]\nPrivateKey = {new_key().private}\nListenPort = 51820\nAddress = 10.9.0.1/24\n")
    words = (VPN, "invite", server, "--endpoint", "192.0.2.1", "--only-file", "--output")
    assert modules(run(*words, tmp_path / "piped.conf").stdout) == []
    terminal = Terminal(*words, tmp_path / "shown.conf", width=200, height=100)
    try:
        wait_until(terminal.has_ended, "it has drawn the code")
        assert terminal.process.returncode == 0
        assert decode(terminal.output.replace("\r", ""), tmp_path / "code.pgm") == (tmp_path / "shown.conf").read_bytes()
    finally:
        terminal.close()
