"""Two hosts in network namespaces, and WireGuard daemons on them: ours or Debian's wireguard-go.

Everything has a name of this run's own, waits on conditions with a deadline, and is gone when its test ends.
"""
import contextlib
import itertools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from host_net import WITH_US

BUILD = pathlib.Path(os.environ.get("VPN_BUILD", pathlib.Path(__file__).parent.parent / "build")).absolute()
VPN = BUILD / "bin" / "vpn"
VPN_WIREGUARD = BUILD / "bin" / "vpn-wireguard"
CONTROL_FOLDER = pathlib.Path("/var/run/wireguard")
STATE_FOLDER = pathlib.Path("/var/lib/vpn")
LOG_FOLDER = pathlib.Path("/var/log/vpn")
JOURNAL_FOLDER = pathlib.Path("/run/vpn")
DEADLINE = 20.0

_PREFIX = f"vd{os.getpid():x}n"
_numbers = itertools.count()


def unique_name() -> str:
    """A name of at most 15 characters that no other run has, for a namespace or an interface."""
    return f"{_PREFIX}{next(_numbers)}"


def run(*command: object, check: bool = True, text_input: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(word) for word in command], input=text_input, capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL if text_input is None else None)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wait_until(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
    """Returns when `condition` is true; fails with `what` when it is not in time."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.02)


@dataclass
class Key:
    private: str
    public: str


def new_key() -> Key:
    private = run("wg", "genkey").stdout.strip()
    return Key(private, run("wg", "pubkey", text_input=private).stdout.strip())


def new_preshared_key() -> str:
    return run("wg", "genpsk").stdout.strip()


@dataclass
class Daemon:
    """A daemon at work for one interface on one host."""
    host: "Host"
    interface: str
    process: subprocess.Popen[str]
    log_path: pathlib.Path

    @property
    def socket_path(self) -> pathlib.Path:
        return CONTROL_FOLDER / f"{self.interface}.sock"

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket_path)) == 0

    def wait_ready(self) -> "Daemon":
        wait_until(lambda: self.answers() or self.process.poll() is not None, f"{self.interface} answers")
        assert self.process.poll() is None, self.log
        return self

    def wg(self, *words: object, check: bool = True, text_input: str | None = None) -> str:
        """`wg VERB INTERFACE …`"""
        return self.host.run("wg", words[0], self.interface, *words[1:], check=check, text_input=text_input).stdout

    def request(self, text: str) -> str:
        """One request on the control socket; its whole answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE)
            connection.connect(str(self.socket_path))
            connection.sendall(text.encode())
            answer = b""
            while not answer.endswith(b"\n\n"):
                more = connection.recv(65536)
                if not more:
                    break
                answer += more
            return answer.decode()

    def counter(self, name: str) -> int:
        found = re.search(rf"^count_{name}=(\d+)$", self.request("get=1\n\n"), re.MULTILINE)
        assert found, f"no counter {name}"
        return int(found[1])

    def handshake_times(self) -> list[int]:
        return [int(line.split("\t")[1]) for line in self.wg("show", "latest-handshakes").splitlines()]

    def wait_end(self) -> int:
        return self.process.wait(timeout=DEADLINE)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait_end()

    def kill(self) -> None:
        self.process.kill()
        self.wait_end()


@dataclass
class Host:
    """A network namespace."""
    name: str
    folder: pathlib.Path
    daemons: list[Daemon] = field(default_factory=list)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def run(self, *command: object, check: bool = True,
            text_input: str | None = None) -> subprocess.CompletedProcess[str]:
        return run("ip", "netns", "exec", self.name, *command, check=check, text_input=text_input)

    def ip(self, *words: object, check: bool = True) -> str:
        return run("ip", "-n", self.name, *words, check=check).stdout

    def ip_batch(self, *lines: str) -> None:
        """The same, many at once."""
        run("ip", "-n", self.name, "-batch", "-", text_input="\n".join(lines))

    def begin(self, *command: object, log: pathlib.Path | None = None,
              environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Starts a process on this host that ends with the test at the latest, or with a run that dies."""
        with open(log or os.devnull, "a", encoding="utf-8") as output:
            process = subprocess.Popen(
                [*WITH_US, "ip", "netns", "exec", self.name, *map(str, command)], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, text=True, env={**os.environ, **(environment or {})})
        self.processes.append(process)
        return process

    def _daemon(self, interface: str, *command: object, environment: dict[str, str] | None = None) -> Daemon:
        log = self.folder / f"{interface}.log"
        daemon = Daemon(self, interface, self.begin(*command, log=log, environment=environment), log)
        self.daemons.append(daemon)
        return daemon

    def start_vpn(self, *options: object, interface: str | None = None, workers: int | None = None, under: Sequence[str] = ()) -> Daemon:
        """Our daemon, bare, run by the command `under`. With `workers`, or VPN_OFFLOADS=off in the environment, from a file that says
        so, which is as good as bare: whatever is set later takes the place of its key."""
        interface = interface or unique_name()
        keys = [f"Workers = {workers}"] if workers else []
        if os.environ.get("VPN_OFFLOADS") == "off":
            keys += ["TunOffload = off", "UdpOffload = off"]
        if keys:
            path = self.write_config("\n".join(["[Interface]", f"PrivateKey = {new_key().private}", "Table = off", *keys, ""]),
                                     interface)
            return self.start_vpn_file(path, *options, under=under)
        return self._daemon(interface, *under, VPN, "daemon", "--interface", interface, *options).wait_ready()

    def start_wireguard_go(self, interface: str | None = None) -> Daemon:
        interface = interface or unique_name()
        return self._daemon(interface, "wireguard-go", "-f", interface,
                            environment={"WG_PROCESS_FOREGROUND": "1", "LOG_LEVEL": "error"}).wait_ready()

    def write_config(self, text: str, interface: str | None = None) -> pathlib.Path:
        path = self.folder / f"{interface or unique_name()}.conf"
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def start_vpn_file(self, path: pathlib.Path, *options: object, under: Sequence[str] = ()) -> Daemon:
        """Our daemon, from a wg-quick file, run by the command `under`."""
        return self._daemon(path.stem, *under, VPN, "daemon", path, *options).wait_ready()

    def try_vpn_file(self, path: pathlib.Path, *options: object) -> subprocess.CompletedProcess[str]:
        """Our daemon, from a file that is to be refused."""
        return self.run(VPN, "daemon", path, *options, check=False)

    def ping(self, address: str, count: int = 1) -> bool:
        return self.run("ping", "-c", count, "-i", "0.05", "-W", "1", "-n", "-q", address, check=False).returncode == 0

    def wait_ping(self, address: str, deadline: float = DEADLINE) -> None:
        wait_until(lambda: self.ping(address), f"{self.name} reaches {address}", deadline)

    def is_settled(self) -> bool:
        """Whether the kernel will change nothing more by itself about `link0`, which it does some time after the command."""
        return "state UP" in self.ip("-o", "link", "show", "link0") and "fe80::" in self.ip("-6", "route", "show", "table", "local")

    def interfaces(self) -> list[str]:
        return re.findall(r"^\d+: ([^:@]+)", self.ip("link"), re.MULTILINE)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        run("ip", "netns", "delete", self.name)
        for left in (*CONTROL_FOLDER.glob(f"{_PREFIX}*.sock"), *STATE_FOLDER.glob(f"{_PREFIX}*.state"),
                     *LOG_FOLDER.glob(f"{_PREFIX}*.log"), *JOURNAL_FOLDER.glob(f"{_PREFIX}*.journal")):
            left.unlink(missing_ok=True)


@dataclass
class Pair:
    """Two hosts on one link: 192.0.2.1 and .2, 2001:db8::1 and ::2, on interface `link0`."""
    left: Host
    right: Host


@contextlib.contextmanager
def make_pair(folder: pathlib.Path) -> Iterator[Pair]:
    hosts = []
    try:
        for number in (1, 2):
            host = Host(unique_name(), folder / str(number))
            host.folder.mkdir()
            run("ip", "netns", "add", host.name)
            hosts.append(host)
            host.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        hosts[0].ip("link", "add", "link0", "type", "veth", "peer", "name", "link0", "netns", hosts[1].name)
        for number, host in enumerate(hosts, 1):
            host.ip_batch("link set lo up", f"address add 192.0.2.{number}/24 dev link0", f"address add 2001:db8::{number}/64 dev link0 nodad",
                          "link set link0 up")
        for host in hosts:
            wait_until(host.is_settled, "the link is up")
        yield Pair(hosts[0], hosts[1])
    finally:
        for host in hosts:
            host.close()


# An `ip` that knows no WireGuard, and no trace of the module: wg-quick would take the kernel's own, where there is one. All in the mounts
# of this one command. $0 is a folder for it.
WITHOUT_KERNEL_WIREGUARD = """
ip=$(readlink -f "$(command -v ip)")
touch "$0/real" "$0/ip" && chmod 755 "$0/ip"
cat >"$0/ip" <<END
#!/bin/sh
case " \\$* " in *" type wireguard "*) echo "Error: Unknown device type." >&2; exit 2 ;; esac
exec $0/real "\\$@"
END
mount --bind "$ip" "$0/real" && mount --bind "$0/ip" "$ip" && mount -t tmpfs none /sys/module
exec wg-quick "$@"
"""


def wg_quick(host: Host, *words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """wg-quick on a host, with our daemon in the place of the kernel's WireGuard."""
    folder = host.folder / "wg-quick"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["ip", "netns", "exec", host.name, "sh", "-ec", WITHOUT_KERNEL_WIREGUARD, str(folder), *map(str, words)],
                          env={**os.environ, "WG_QUICK_USERSPACE_IMPLEMENTATION": str(VPN_WIREGUARD)}, capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL)
    assert not check or done.returncode == 0, done.stderr
    return done


def missing_tools() -> str | None:
    """What keeps these tests from running here, with its remedy."""
    if os.geteuid() != 0:
        return "network namespaces need root; remedy: sudo pytest scenarios"
    if not VPN.exists():
        return "the daemon is not built; remedy: make build"
    for tool in ("wg", "wireguard-go", "iperf3", "ping"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed; remedy: sudo ci/install-deps"
    return None


@dataclass
class Tunnel:
    """A daemon on either host and a tunnel between them: 10.9.0.1 and .2, fd09::1 and ::2 inside."""
    left: Daemon
    right: Daemon
    left_key: Key
    right_key: Key

    def check(self) -> None:
        self.left.host.wait_ping("10.9.0.2")
        self.left.host.wait_ping("fd09::2")
        self.right.host.wait_ping("10.9.0.1")
        self.right.host.wait_ping("fd09::1")


def give_addresses(daemon: Daemon, number: int, mtu: int = 1420) -> None:
    daemon.host.ip_batch(f"address add 10.9.0.{number}/24 dev {daemon.interface}", f"address add fd09::{number}/64 dev {daemon.interface} nodad",
                         f"link set {daemon.interface} mtu {mtu} up")


def configure(left: Daemon, right: Daemon, family: int = 4, preshared: bool = True) -> Tunnel:
    """Makes a tunnel of two bare daemons by `wg setconf`; the left one knows where the right one is."""
    keys = new_key(), new_key()
    secret = f"PresharedKey = {new_preshared_key()}\n" if preshared else ""
    address = "192.0.2.2:51821" if family == 4 else "[2001:db8::2]:51821"
    for number, daemon, own, other in ((1, left, keys[0], keys[1]), (2, right, keys[1], keys[0])):
        text = (f"[Interface]\nPrivateKey = {own.private}\nListenPort = {51819 + number}\n[Peer]\nPublicKey = {other.public}\n"
                f"{secret}AllowedIPs = 10.9.0.{3 - number}/32, fd09::{3 - number}/128\n")
        if number == 1:
            text += f"Endpoint = {address}\n"
        path = daemon.host.write_config(text)
        daemon.wg("setconf", path)
        give_addresses(daemon, number)
    return Tunnel(left, right, keys[0], keys[1])
