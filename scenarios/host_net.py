"""A small world for tests of what a tunnel does to the host around it.

    client ──┐
             ├─ LAN ─ router ─┬─ server   198.51.100.10, a gateway for its peers
    rogue ───┘                └─ internet 203.0.113.80 (web), 203.0.113.53 (name server)

Every host has network and mount namespaces of its own, with its own /run, /var/lib/vpn and /etc: nothing that a daemon in there
changes is seen outside. Everything ends with the test run, be that by `kill -9`.
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

BUILD = pathlib.Path(os.environ.get("VPN_BUILD", pathlib.Path(__file__).parent.parent / "build"))
VPN = str(BUILD / "bin" / "vpn")
DEADLINE = 20.0

WEB, NAMES = "203.0.113.80", "203.0.113.53"
SERVER, SERVER6 = "198.51.100.10", "2001:db8:51::10"
CLIENT, ROUTER, ROGUE = "192.168.7.2", "192.168.7.1", "192.168.7.66"
WEB6 = "2001:db8:113::80"
TUNNEL_CLIENT, TUNNEL_SERVER = "10.9.0.2", "10.9.0.1"

# The holder of a host: private mounts, then it waits to be ended.
HOLD = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /var/lib/vpn /run/etc/up /run/etc/work
printf '%s\\n' 'own /var/lib/vpn tmpfs' 'own /etc overlay lowerdir=/etc,upperdir=/run/etc/up,workdir=/run/etc/work' 'own /sys sysfs' >/run/fstab
mount --all --fstab /run/fstab
rm -f /run/fstab /etc/resolv.conf
printf 'nameserver 192.168.7.1\\n' >/etc/resolv.conf
ip link set lo up
echo ready
exec sleep infinity
"""

# Answers TCP on 80 with the caller's address, and UDP on 53 and 9 with the same.
ANSWER = """
import selectors, socket, sys
chosen = selectors.DefaultSelector()
for address in sys.argv[1:]:
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    for kind, port in ((socket.SOCK_STREAM, 80), (socket.SOCK_DGRAM, 53), (socket.SOCK_DGRAM, 9)):
        one = socket.socket(family, kind)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((address, port))
        if kind == socket.SOCK_STREAM:
            one.listen()
        chosen.register(one, selectors.EVENT_READ)
print('ready', flush=True)
while True:
    for key, _ in chosen.select():
        if key.fileobj.type == socket.SOCK_STREAM:
            connection, caller = key.fileobj.accept()
            connection.sendall(caller[0].encode())
            connection.close()
        else:
            _, caller = key.fileobj.recvfrom(2048)
            key.fileobj.sendto(caller[0].encode(), caller)
"""

# Says what an answerer says; exit status 1 where nothing comes.
ASK = """
import socket, sys
kind, address, port, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
family = socket.AF_INET6 if ':' in address else socket.AF_INET
one = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
one.settimeout(seconds)
try:
    if len(sys.argv) > 5:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sys.argv[5].encode())
    one.connect((address, port))
    one.send(b'in the clear')
    print(one.recv(100).decode())
except OSError as error:
    print(error, file=sys.stderr)
    sys.exit(1)
"""


def wait_for(condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


# What a command begins with that is to end when the test run dies.
WITH_US = ("setpriv", "--pdeathsig", "KILL")
# As root to its end: who becomes another user is no longer told that the run has died.
TCPDUMP = ("tcpdump", "-Z", "root")


class Host:
    """A host in namespaces of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._processes: list[subprocess.Popen[str]] = []
        # The holder is the first process of a PID namespace: with it ends all that `run` has left in the background.
        self._holder = subprocess.Popen([*WITH_US, "unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child",
                                         "--propagation", "private", "sh", "-c", HOLD], stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        try:
            assert self._holder.stdout.readline() == "ready\n", f"host {name} could not be made"
            self.pid = int(pathlib.Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text())
        except BaseException:
            kill(self._holder)
            raise

    def path(self, path: str) -> pathlib.Path:
        """A path of the host's own, from outside."""
        return pathlib.Path("/proc", str(self.pid), "root", path.lstrip("/"))

    def command(self, *words: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "--", *words]

    def lasting(self, *words: str) -> list[str]:
        """The same for what goes on until it is ended: at the latest it ends with the test run."""
        return [*WITH_US, *self.command(*words)]

    def run(self, *words: str, check: bool = True, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(["nsenter", "-t", str(self.pid), "-p", *self.command(*words)[3:]], capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})})
        assert not check or done.returncode == 0, f"{self.name}: {' '.join(words)}: {done.stdout}{done.stderr}"
        return done

    def sh(self, script: str) -> str:
        return self.run("sh", "-ec", script).stdout

    def adopt(self, process: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
        """A process that ends with the host."""
        self._processes.append(process)
        return process

    def start(self, *words: str, ready: str | None = None, env: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        process = subprocess.Popen(self.lasting(*words), stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        self._processes.append(process)
        if ready is not None:
            assert process.stdout is not None
            assert process.stdout.readline() == ready + "\n", f"{self.name}: {words[0]} did not start"
        return process

    def ask(self, kind: str, address: str, port: int, seconds: float = 5.0, device: str = "") -> str:
        """What the answerer there says: the address it saw; "" where nothing came back."""
        words = ["/usr/bin/python3", "-c", ASK, kind, address, str(port), str(seconds)] + ([device] if device else [])
        return self.run(*words, check=False).stdout.strip()

    def close(self) -> None:
        for process in [*self._processes, self._holder]:
            process.kill()
        for process in [*self._processes, self._holder]:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def ip_batch(lines: list[str], host: Host | None = None) -> None:
    """Has one `ip` do all of `lines`, on this host or on the machine itself."""
    command = ["ip", "-batch", "-"]
    done = subprocess.run(host.command(*command) if host else command, input="\n".join(lines), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{host.name if host else 'machine'}: ip: {done.stderr}"


class Capture:
    """What passes an interface, as tcpdump's lines, from when it is made."""

    def __init__(self, host: Host, interface: str, folder: pathlib.Path) -> None:
        self._host = host
        self._file = folder / f"{host.name}-{interface}-{time.monotonic_ns()}.txt"
        with self._file.open("w") as out:
            self._process = subprocess.Popen(host.lasting(*TCPDUMP, "-nn", "-l", "-i", interface, "--immediate-mode"), stdout=out,
                                             stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        while "listening on" not in self._process.stderr.readline():
            assert self._process.poll() is None, "tcpdump did not start"

    def lines(self, last: str) -> list[str]:
        """All there was until a line that holds `last`; then the capture ends."""
        wait_for(lambda: last in self._file.read_text(), f"'{last}' in the capture of {self._host.name}")
        self.close()
        return self._file.read_text().splitlines()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()


class Frames:
    """Every frame that passes an interface, byte for byte (4096 at most), from when it is made."""

    def __init__(self, host: Host, interface: str, folder: pathlib.Path) -> None:
        self._host = host
        self._file = folder / f"{host.name}-{interface}-{time.monotonic_ns()}.pcap"
        self._process = subprocess.Popen(host.lasting(*TCPDUMP, "-i", interface, "--immediate-mode", "-s", "4096", "-B", "65536", "-U", "-w", "-"), stdout=self._file.open("wb"),
                                         stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        while "listening on" not in self._process.stderr.readline():
            assert self._process.poll() is None, "tcpdump did not start"

    def so_far(self) -> list[bytes]:
        data, found, at = self._file.read_bytes(), [], 24
        while at + 16 <= len(data):
            length = int.from_bytes(data[at + 8:at + 12], "little")
            if at + 16 + length > len(data):
                break
            found.append(data[at + 16:at + 16 + length])
            at += 16 + length
        return found

    def frames(self, last: bytes) -> list[bytes]:
        """All there were until one that holds `last`; then the capture ends."""
        wait_for(lambda: any(last in frame for frame in self.so_far()), f"{last!r} in the capture of {self._host.name}")
        self.close()
        return self.so_far()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()


class World:
    """All the hosts, with addresses and routes, but no tunnel yet."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._captures: list[Capture | Frames] = []
        self.hosts: list[Host] = []
        try:
            self.client, self.rogue, self.router, self.server, self.internet = (
                self._add(name) for name in ("client", "rogue", "router", "server", "internet"))
            self._wire()
            self.keys = {name: self._key() for name in ("client", "server")}
            self.internet.start("/usr/bin/python3", "-c", ANSWER, WEB, NAMES, WEB6, ready="ready")
        except BaseException:
            self.close()
            raise

    def _add(self, name: str) -> Host:
        self.hosts.append(Host(name))
        return self.hosts[-1]

    def _wire(self) -> None:
        """Links, addresses, routes: each host is told all of it in one go, for a process a setting takes longer than most tests."""
        # Nor does one who is taken for a gateway give that away: a redirect would undo the route at once.
        ends = ("ipv6/conf/default/accept_dad=0", "ipv6/conf/all/accept_dad=0", "ipv4/conf/all/send_redirects=0",
                "ipv4/conf/default/send_redirects=0", "ipv6/conf/default/accept_redirects=0")
        passes_on = ("ipv4/ip_forward=1", "ipv6/conf/all/forwarding=1")  # whoever reads others' traffic does
        for host, settings in ((self.client, ends), (self.rogue, passes_on + ends), (self.router, passes_on), (self.server, ends),
                               (self.internet, ends)):
            host.sh("\n".join("echo {1} >/proc/sys/net/{0}".format(*setting.split("=")) for setting in settings))
        ip_batch(["link add lan type bridge", "link add wan type bridge", "link set lan up", "link set wan up",
                  "addr add 192.168.7.1/24 dev lan", "addr add 2001:db8:7::1/64 dev lan nodad",
                  "addr add 198.51.100.1/24 dev wan", "addr add 2001:db8:51::1/64 dev wan nodad",
                  "route add 203.0.113.0/24 via 198.51.100.20", "route add 2001:db8:113::/64 via 2001:db8:51::20"], self.router)
        ends_of_cables = (("client", self.client, "lan"), ("rogue", self.rogue, "lan"), ("server", self.server, "wan"),
                          ("internet", self.internet, "wan"))
        ip_batch([f"link add eth0 netns {host.pid} type veth peer name {port} netns {self.router.pid}" for port, host, _ in ends_of_cables])
        ip_batch([f"link set {port} master {bridge} up" for port, _, bridge in ends_of_cables], self.router)
        for host, v4, v6 in ((self.client, CLIENT, "2001:db8:7::2"), (self.rogue, ROGUE, "2001:db8:7::66")):
            ip_batch(["link set eth0 up", f"addr add {v4}/24 dev eth0", f"addr add {v6}/64 dev eth0 nodad",
                      "route add default via 192.168.7.1", "route add ::/0 via 2001:db8:7::1"], host)
        to_wan = ["route add default via 198.51.100.1", "route add ::/0 via 2001:db8:51::1"]
        ip_batch(["link set eth0 up", f"addr add {SERVER}/24 dev eth0", f"addr add {SERVER6}/64 dev eth0 nodad", *to_wan,
                  "route add 203.0.113.0/24 via 198.51.100.20", "route add 2001:db8:113::/64 via 2001:db8:51::20"], self.server)
        ip_batch(["link set eth0 up", "addr add 198.51.100.20/24 dev eth0", f"addr add {WEB}/32 dev eth0", f"addr add {NAMES}/32 dev eth0",
                  "addr add 2001:db8:51::20/64 dev eth0 nodad", f"addr add {WEB6}/128 dev eth0 nodad", *to_wan], self.internet)

    @staticmethod
    def _key() -> tuple[str, str]:
        private = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout.strip()
        public = subprocess.run(["wg", "pubkey"], input=private, capture_output=True, text=True, check=True).stdout.strip()
        return private, public

    def write_config(self, host: Host, interface: str, text: str) -> str:
        path = self.folder / host.name / f"{interface}.conf"
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        return str(path)

    def server_config(self, interface: str = "Gateway = on", peer: str = "") -> str:
        return self.write_config(self.server, "srv0", f"""[Interface]
PrivateKey = {self.keys['server'][0]}
ListenPort = 51820
Address = {TUNNEL_SERVER}/24, fd09::1/64
{interface}
[Peer]
PublicKey = {self.keys['client'][1]}
AllowedIPs = {TUNNEL_CLIENT}/32, fd09::2/128
{peer}""")

    def client_config(self, interface: str = "", peer: str = "", allowed: str = "0.0.0.0/0, ::/0", name: str = "cli0",
                      endpoint: str = f"{SERVER}:51820") -> str:
        return self.write_config(self.client, name, f"""[Interface]
PrivateKey = {self.keys['client'][0]}
Address = {TUNNEL_CLIENT}/24, fd09::2/64
{interface}
[Peer]
PublicKey = {self.keys['server'][1]}
AllowedIPs = {allowed}
Endpoint = {endpoint}
{peer}""")

    def serve(self, **options: str) -> None:
        self.server.run(VPN, "up", self.server_config(**options))

    def capture(self, host: Host, interface: str) -> Capture:
        capture = Capture(host, interface, self.folder)
        self._captures.append(capture)
        return capture

    def frames(self, host: Host, interface: str) -> Frames:
        frames = Frames(host, interface, self.folder)
        self._captures.append(frames)
        return frames

    def on_client_link(self) -> Capture:
        return self.capture(self.router, "client")

    def end_of_capture(self) -> str:
        """Sends a packet to the client that the capture of its link ends with; returns how it looks."""
        self.router.run("/usr/bin/python3", "-c",
                        f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'end', ('{CLIENT}', 4444))")
        return f"{CLIENT}.4444: UDP"

    def end_of_frames(self, capture: Frames, link: str) -> list[bytes]:
        """All that passed the router's port of this name until a packet that is sent now."""
        target = {"client": CLIENT, "rogue": ROGUE, "server": SERVER, "internet": "198.51.100.20"}[link]
        self.router.run("/usr/bin/python3", "-c",
                        f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'end of {link}', ('{target}', 4444))")
        return capture.frames(f"end of {link}".encode())

    def close(self) -> None:
        for log in sorted(self.folder.glob("*.log")):
            print(f"{log.name}:\n{log.read_text()}")  # which pytest shows of a test that failed
        for capture in self._captures:
            capture.close()
        for host in self.hosts:
            host.close()


class Daemon:
    """The client's daemon in the foreground, and what it says."""

    def __init__(self, world: "World", *options: str) -> None:
        self._log = world.folder / "client.log"
        with self._log.open("w") as log:
            self.process = world.client.adopt(subprocess.Popen(world.client.lasting(VPN, "daemon", *options), stdout=log, stderr=log, text=True))
        control = world.client.path("/run/wireguard/cli0.sock")
        wait_for(lambda: control.exists() or self.process.poll() is not None, "the daemon to serve")
        assert self.process.poll() is None, self.log

    @property
    def log(self) -> str:
        return self._log.read_text()


def bare_daemon(world: World, allowed: str = f"{TUNNEL_SERVER}/32", peer: str = "") -> Daemon:
    """The client's, as `wg-quick` or a program of its own would configure it: by `wg` and `ip`."""
    daemon = Daemon(world, "--interface", "cli0")
    path = world.write_config(world.client, "bare", f"""[Interface]
PrivateKey = {world.keys['client'][0]}
[Peer]
PublicKey = {world.keys['server'][1]}
AllowedIPs = {allowed}
Endpoint = {SERVER}:51820
{peer}""")
    world.client.sh(f"wg setconf cli0 {path}; ip addr add {TUNNEL_CLIENT}/24 dev cli0; ip link set cli0 up")
    return daemon


@contextlib.contextmanager
def make_world() -> Iterator[World]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vpn-host-"))
    try:
        world = World(folder)
        try:
            yield world
        finally:
            world.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# Of few processes, for it is asked some hundred times. Every part begins with a form feed and its name. Of sysctls some may only be
# written, for which sysctl(8) fails, and /run/vpn is not there before the first tunnel: both show as what they lack.
STATE = r"""
part() { printf '\f%s\n' "$1"; }
part ipv4; printf 'rule\nroute show table all\n' | ip -4 -batch -
part ipv6; printf 'rule\nroute show table all\n' | ip -6 -batch -
part addresses; ip -o addr
part nftables; nft list ruleset
part sysctls; sysctl -a -r '^net[.]' 2>/dev/null || true
part resolv.conf; stat -c '%F %a %N' /etc/resolv.conf; cat /etc/resolv.conf; echo /etc/*resolv*
part files; ls -A /run /run/vpn 2>/dev/null || true
"""


def state_of(host: Host) -> dict[str, str]:
    """What a tunnel must leave byte for byte as it was (M5.4)."""
    said = dict(part.split("\n", 1) for part in host.sh(STATE).split("\f")[1:])
    said["ipv6"] = re.sub(r" expires \d+sec", "", said["ipv6"])
    said["addresses"] = re.sub(r"valid_lft.*", "", said["addresses"])
    said["sysctls"] = "".join(line for line in said["sysctls"].splitlines(True) if not re.search(r"nf_conntrack_(count|buckets|max)|netdev_rss|[.]random|stable_secret", line))
    said["files"] = "".join(line for line in said["files"].splitlines(True) if "wireguard" not in line)
    return said


def client_packets_in_clear(lines: list[str]) -> list[str]:
    """Of a capture of the client's link: what the client sent that is not the tunnel's, ARP or neighbour discovery."""
    found = []
    for line in lines:
        words = line.split()
        if len(words) < 3 or words[1] not in ("IP", "IP6"):
            continue
        is_from_client = words[2].startswith((CLIENT, "2001:db8:7::2", "10.9.0.2", "fd09::2", "fe80::"))
        is_tunnel = f"> {SERVER}.51820: UDP" in line or f"> {SERVER6}.51820: UDP" in line
        is_end = "udp port 4444 unreachable" in line  # what end_of_capture() sends is answered
        is_neighbour ="ICMP6, neighbor" in line or "ICMP6, router" in line or "multicast listener report" in line
        if is_from_client and not (is_tunnel or is_neighbour or is_end):
            found.append(line)
    return found


def kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def differences(before: dict[str, str], after: dict[str, str]) -> str:
    """Of sysctls those count that there were before: a module of the kernel that a tunnel needs, as conntrack's, brings its own."""
    known = {line.partition(" = ")[0] for line in before["sysctls"].splitlines()}

    def of(state: dict[str, str], what: str) -> str:
        return state[what] if what != "sysctls" else "\n".join(line for line in state[what].splitlines() if line.partition(" = ")[0] in known)

    return "\n".join(f"{what}:\n- {of(before, what)}\n+ {of(after, what)}" for what in before if of(before, what) != of(after, what))
