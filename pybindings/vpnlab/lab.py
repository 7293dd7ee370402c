"""Labs: hosts, links and daemons made by the command `lab`, which this wraps. Needs root.

    with Lab("pair") as lab:
        lab.link("wan").impair("loss=5%")
        lab.host("left").run("ping", "-c", "3", "10.77.0.2")
"""
import base64
import itertools
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from vpnlab import pcapng
from vpnlab.story import Fate

_numbers = itertools.count(1)


class LabError(RuntimeError):
    """A command in a lab, or the lab itself, failed; the text is what it printed."""


def find_program() -> str:
    """The `lab` command: $VPNLAB_LAB, the one of the build that this package belongs to, or the one installed."""
    beside = pathlib.Path(__file__).parent.parent.parent / "bin" / "lab"
    named = os.environ.get("VPNLAB_LAB")
    program = named or (str(beside) if beside.is_file() else shutil.which("lab"))
    if program is None:
        raise LabError("the command lab is not there; remedy: make build")
    return program


def _state_root() -> pathlib.Path:
    """The folder of all labs, by the rule of the command (lab/run/state_directory.cc): an empty variable is none."""
    if given := os.environ.get("LAB_STATE"):
        return pathlib.Path(given)
    if os.geteuid() == 0:
        return pathlib.Path("/run/vpn-lab")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return pathlib.Path(runtime, "vpn-lab") if runtime else pathlib.Path(f"/tmp/vpn-lab-{os.geteuid()}")


def _run(command: list[str], timeout: float, check: bool,
         environment: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, stdin=subprocess.DEVNULL,
                              env={**os.environ, **(environment or {})})
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(command)}: no end within {timeout} s") from error
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done


class Host:
    """One host of a lab: a network namespace with its daemons."""

    def __init__(self, lab: "Lab", name: str) -> None:
        self.lab = lab
        self.name = name

    def run(self, *command: str, timeout: float = 60, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Runs a command in the host to its end. Raises LabError when it fails, unless `check` is off, or takes too long."""
        return _run(self._argv(*command), timeout, check)

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Starts a command in the host; the caller ends it."""
        return subprocess.Popen(self._argv(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                stdin=subprocess.DEVNULL)

    def ping(self, address: str, *, count: int = 5, interval: float = 0.2, deadline: int = 30) -> int:
        """Pings until `count` answers have come, or the deadline (seconds) is over; how many came (0 without a route)."""
        done = self.run("ping", "-n", "-c", str(count), "-i", str(interval), "-w", str(deadline), address,
                        timeout=deadline + 30, check=False)
        for line in done.stdout.splitlines():
            if " received" in line:
                # More than asked for can come: ping goes on sending until the last answer is there.
                return min(count, int(line.split(" received")[0].split()[-1]))
        if "Network is unreachable" in done.stderr:
            return 0
        raise LabError(f"ping {address} in {self.name}: {done.stdout}{done.stderr}")

    def daemon(self, interface: str = "wg0") -> "Daemon":
        return Daemon(self, interface)

    def open_socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_DGRAM, protocol: int = 0) -> socket.socket:
        """A socket that lives in the host's network, for use right here: what it sends, the host sends. The caller closes it."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            made = subprocess.run(self._argv("/usr/bin/python3", "-c", _PASS_SOCKET, str(family), str(kind), str(protocol)),
                                  stdin=theirs.fileno(), capture_output=True, text=True, timeout=30)
            if made.returncode != 0:
                raise LabError(f"socket({family}, {kind}, {protocol}) in {self.name}: {made.stdout}{made.stderr}")
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        return socket.socket(fileno=descriptors[0])

    def capture(self, file: "str | os.PathLike[str]") -> "Capture":
        """Captures all that the host sends and receives, in its tunnels too."""
        return Capture(self.lab, self.name, file)

    def _argv(self, *command: str) -> list[str]:
        return [self.lab.program, "exec", "--name", self.lab.name, self.name, "--", *command]


class Daemon:
    """The VPN daemon of a host, as a process: to be killed, stopped and started again."""

    def __init__(self, host: Host, interface: str = "wg0") -> None:
        self.host = host
        self.interface = interface

    def pid(self) -> int | None:
        """Its number within the lab's own process numbers; None when it does not run."""
        lines = self.host.run("sh", "-c", _FIND_DAEMON, "sh", self.interface).stdout.splitlines()
        parents = {int(process): int(parent) for process, parent in (line.split() for line in lines)}
        # The daemon's own helpers are its children, and are called as it is.
        found = [process for process, parent in parents.items() if parent not in parents]
        if len(found) > 1:
            raise LabError(f"several daemons of {self.interface} in {self.host.name}: {' '.join(map(str, found))}")
        return found[0] if found else None

    def stop(self, signal: str = "TERM") -> None:
        """Ends it by a signal, "TERM" or "KILL", and waits until it is gone."""
        pid = self.pid()
        if pid is None:
            raise LabError(f"no daemon of {self.interface} runs in {self.host.name}")
        self.host.lab.stopped.add((self.host.name, self.interface))
        self.host.run("kill", f"-{signal}", str(pid))
        deadline = time.monotonic() + 20
        while self.pid() is not None:
            if time.monotonic() > deadline:
                raise LabError(f"daemon {pid} of {self.interface} in {self.host.name} goes on after SIG{signal}")
            time.sleep(0.02)

    def ask(self) -> list[tuple[str, str]]:
        """What the control socket answers to "get=1", line by line, the private key left out. The kernel's WireGuard, which has no
        socket, is asked by `wg`, and its answer told in the same words."""
        path = self.host.lab.state_folder / "hosts" / self.host.name / "run" / "wireguard" / f"{self.interface}.sock"
        if not path.exists():
            return _in_words_of_the_socket(self.host.run("wg", "show", self.interface, "dump").stdout)
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(10)
                # By the descriptor of its folder: a socket's address holds 107 bytes only.
                folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
                try:
                    control.connect(f"/proc/self/fd/{folder}/{path.name}")
                finally:
                    os.close(folder)
                control.sendall(b"get=1\n\n")
                while not answer.endswith(b"\n\n"):
                    part = control.recv(65536)
                    if not part:
                        break
                    answer += part
        except OSError as error:
            raise LabError(f"the control socket {path}: {error}") from error
        pairs = (line.partition("=")[::2] for line in answer.decode().splitlines() if line)
        return [(key, value) for key, value in pairs if key not in ("private_key", "preshared_key")]

    def counters(self) -> dict[str, int]:
        """The counters of the interface: "drop_replayed", "sent_datagrams" and so on. Empty for other daemons than ours."""
        return {key.removeprefix("count_"): int(value) for key, value in self.ask() if key.startswith("count_")}

    def drops(self) -> dict[str, int]:
        """How many packets it dropped, by reason; reasons that never occurred are left out."""
        return {key.removeprefix("drop_"): value for key, value in self.counters().items() if key.startswith("drop_") and value}

    def peers(self) -> dict[str, dict[str, list[str]]]:
        """What it tells of each peer, by public key in hex: every line's values by their key."""
        peers: dict[str, dict[str, list[str]]] = {}
        peer: dict[str, list[str]] | None = None
        for key, value in self.ask():
            if key == "public_key":
                peer = peers.setdefault(value, {})
            elif peer is not None and key != "errno":
                peer.setdefault(key, []).append(value)
        return peers

    def configuration(self) -> str:
        """A wg-quick file of what it runs with, the private key included."""
        addresses = json.loads(self.host.run("ip", "-json", "address", "show", "dev", self.interface).stdout)[0]["addr_info"]
        lines = self.host.run("wg", "showconf", self.interface).stdout.splitlines()
        place = lines.index("[Interface]") + 1
        lines[place:place] = [f"Address = {one['local']}/{one['prefixlen']}" for one in addresses if one["scope"] == "global"]
        return "\n".join(lines) + "\n"

    def start(self, configuration: str) -> None:
        """Starts our own daemon with a wg-quick file, and waits until it answers on its control socket."""
        # In the host's own /run, which it is sure to see.
        with tempfile.TemporaryDirectory(dir=self.host.lab.state_folder / "hosts" / self.host.name / "run") as folder:
            file = pathlib.Path(folder) / f"{self.interface}.conf"
            file.touch(mode=0o600)
            file.write_text(configuration)
            program = str(pathlib.Path(self.host.lab.program).parent / "vpn")
            log = self.host.lab.state_folder / "logs" / f"{self.host.name}-{self.interface}.log"
            with log.open("ab") as output:
                process = subprocess.Popen(self.host._argv(program, "daemon", f"/run/{file.parent.name}/{file.name}"), stdout=output, stderr=subprocess.STDOUT,
                                           stdin=subprocess.DEVNULL, env={**os.environ, **self.host.lab.environment})
            self.host.lab.processes.append(process)
            deadline = time.monotonic() + 20
            while self.host.run("wg", "show", self.interface, check=False).returncode != 0:
                if process.poll() is not None:
                    raise LabError(f"the daemon did not start: {log.read_text()[-1000:]}")
                if time.monotonic() > deadline:
                    raise LabError(f"the daemon does not answer on the control socket of {self.interface} within 20 s")
                time.sleep(0.02)


def _in_words_of_the_socket(dump: str) -> list[tuple[str, str]]:
    """Of `wg show INTERFACE dump`: a line of the interface, then one a peer, their fields parted by tabs."""
    own, *peers = (line.split("\t") for line in dump.splitlines())
    said = [("listen_port", own[2]), ("fwmark", str(int(own[3], 0) if own[3] != "off" else 0))]
    for public, _, endpoint, allowed_ips, handshake, received, sent, keepalive in peers:
        said.append(("public_key", base64.b64decode(public).hex()))
        said += [("endpoint", endpoint)] if endpoint != "(none)" else []
        said += [("last_handshake_time_sec", handshake), ("last_handshake_time_nsec", "0"), ("tx_bytes", sent), ("rx_bytes", received),
                 ("persistent_keepalive_interval", "0" if keepalive == "off" else keepalive)]
        said += [("allowed_ip", one) for one in allowed_ips.split(",") if one != "(none)"]
    return said


# Makes a socket and hands it out through standard input, which is a socket itself.
_PASS_SOCKET = """
import socket, sys
made = socket.socket(*map(int, sys.argv[1:]))
socket.send_fds(socket.socket(fileno=0), [b"s"], [made.fileno()])
"""

# Prints the processes, each with its parent's number, of this network namespace that were started as "… daemon …" or "… INTERFACE" for the interface $1.
_FIND_DAEMON = """
here=$(readlink /proc/self/ns/net)
for process in /proc/[0-9]*; do
  [ "$(readlink "$process/ns/net")" = "$here" ] || continue
  [ "${process#/proc/}" != $$ ] || continue
  words=$(tr '\\0' ' ' <"$process/cmdline" 2>/dev/null) || continue
  case "$words" in
    *"vpn daemon "*"$1 "*|*"vpn daemon "*"/$1.conf "*|*"wireguard-go "*"$1 "*)
      while read -r key value _; do
        [ "$key" != PPid: ] || echo "${process#/proc/} $value"
      done <"$process/status" ;;
  esac
done
"""


class Link:
    """One link of a lab."""

    def __init__(self, lab: "Lab", name: str) -> None:
        self.lab = lab
        self.name = name

    def impair(self, *changes: str, sender: str | None = None) -> None:
        """Changes the weather: "loss=5%", "delay=20ms", … or "clear"; both ways, or what one host sends."""
        place = self.name if sender is None else f"{self.name}:{sender}"
        self.lab.command("impair", place, *changes)

    def plug(self, state: bool) -> None:
        """Unplugs the link (False), or plugs it in again."""
        self.lab.command("link", self.name, "up" if state else "down")

    def up(self) -> None:
        """Plugs it in."""
        self.plug(True)

    def down(self) -> None:
        """Unplugs it."""
        self.plug(False)

    def capture(self, file: "str | os.PathLike[str]") -> "Capture":
        """Captures what both ends send, before the weather of the link."""
        return Capture(self.lab, self.name, file)


class Capture:
    """A capture of a link or a host, running from the moment it is made until stop(). A context manager. The pcapng file holds the
    keys that Wireshark needs to read it: keep it to yourself."""

    def __init__(self, lab: "Lab", target: str, file: "str | os.PathLike[str]", *, packets: int = 0) -> None:
        """Begins it; `packets` ends it after so many (0: never)."""
        self.target = target
        self.file = pathlib.Path(file)
        limit = ["-c", str(packets)] if packets else []
        self._process = subprocess.Popen([lab.program, "capture", "--name", lab.name, target, "-o", str(self.file), *limit],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        said = b""
        assert self._process.stderr is not None
        while b"capturing" not in said:
            ready, _, _ = select.select([self._process.stderr], [], [], 20)
            part = os.read(self._process.stderr.fileno(), 4096) if ready else b""
            said += part
            if not part:
                self._process.kill()
                self._process.communicate()
                raise LabError(f"capture of {target}: {said.decode(errors='replace').strip() or 'it did not begin within 20 s'}")

    def packets(self) -> Iterator[pcapng.Packet]:
        """What was captured so far."""
        return pcapng.read(self.file)

    def stop(self) -> None:
        """Ends it; what was captured is in the file. A second call does nothing. Raises LabError where it does not end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.communicate(timeout=20)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.communicate()
            raise LabError(f"capture of {self.target}: no end within 20 s of SIGINT") from error

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


class Lab:
    """A lab under a name of its own. A context manager: up on entry, down on exit."""

    def __init__(self, topology: str = "pair", *, name: str | None = None, seed: int | None = None,
                 settings: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None) -> None:
        """A topology that ships, or a file; `settings` are its parameters; `environment` is added to that of its daemons."""
        self.program = find_program()
        self.topology = topology
        self.name = name or f"s{os.getpid()}-{next(_numbers)}"
        self.seed = seed
        self.settings = dict(settings or {})
        self.environment = dict(environment or {})
        self.processes: list[subprocess.Popen[bytes]] = []
        self.fates: list[Fate] = []  # what an adversary of ours did to messages
        self.stopped: set[tuple[str, str]] = set()  # host and interface of daemons that were ended on purpose

    def command(self, verb: str, *arguments: str, timeout: float = 120) -> str:
        """Runs a verb of `lab` on this lab; what it printed."""
        return _run([self.program, verb, "--name", self.name, *arguments], timeout, True, self.environment).stdout

    def up(self) -> None:
        """Brings the lab up: when this returns, its tunnels answer."""
        options = [f"--set={key}={value}" for key, value in self.settings.items()]
        if self.seed is not None:
            options.append(f"--seed={self.seed}")
        self.command("up", self.topology, *options)

    def down(self) -> None:
        """Takes it down; nothing is left of it."""
        self.command("down")
        for process in self.processes:
            process.communicate(timeout=10)
        self.processes.clear()

    def status(self) -> Any:
        """What `lab status --json` tells."""
        return json.loads(self.command("status", "--json"))

    def events(self) -> list[dict[str, Any]]:
        """The lab's diary: {"at": seconds since it came up, "time": Unix seconds, "what", "about", "detail"}."""
        file = self.state_folder / "events.jsonl"
        if not file.exists():
            raise LabError(f"there is no lab {self.name}")
        return [json.loads(line) for line in file.read_text().splitlines()]

    @property
    def state_folder(self) -> pathlib.Path:
        """Where it keeps its logs, diary and control sockets while it stands."""
        return _state_root() / self.name

    def host(self, name: str) -> Host:
        return Host(self, name)

    def link(self, name: str) -> Link:
        return Link(self, name)

    def __enter__(self) -> "Lab":
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.down()
