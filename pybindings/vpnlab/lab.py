"""Labs: hosts, links and daemons made by the command `lab`, which this wraps. Needs root.

    with Lab("pair") as lab:
        lab.link("wan").impair("loss=5%")
        lab.host("left").run("ping", "-c", "3", "10.77.0.2")
"""
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

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


def _run(command: list[str], timeout: float, check: bool) -> "subprocess.CompletedProcess[str]":
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, stdin=subprocess.DEVNULL)
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

    def _argv(self, *command: str) -> list[str]:
        return [self.lab.program, "exec", "--name", self.lab.name, self.name, "--", *command]


class Daemon:
    """The VPN daemon of a host, as a process: to be killed, stopped and started again."""

    def __init__(self, host: Host, interface: str = "wg0") -> None:
        self.host = host
        self.interface = interface

    def pid(self) -> int | None:
        """Its number within the lab's own process numbers; None when it does not run."""
        found = self.host.run("sh", "-c", _FIND_DAEMON, "sh", self.interface).stdout.split()
        if len(found) > 1:
            raise LabError(f"several daemons of {self.interface} in {self.host.name}: {' '.join(found)}")
        return int(found[0]) if found else None

    def stop(self, signal: str = "TERM") -> None:
        """Ends it by a signal, "TERM" or "KILL", and waits until it is gone."""
        pid = self.pid()
        if pid is None:
            raise LabError(f"no daemon of {self.interface} runs in {self.host.name}")
        self.host.run("kill", f"-{signal}", str(pid))
        deadline = time.monotonic() + 20
        while self.pid() is not None:
            if time.monotonic() > deadline:
                raise LabError(f"daemon {pid} of {self.interface} in {self.host.name} goes on after SIG{signal}")
            time.sleep(0.02)

    def configuration(self) -> str:
        """A wg-quick file of what it runs with, the private key included."""
        addresses = json.loads(self.host.run("ip", "-json", "address", "show", "dev", self.interface).stdout)[0]["addr_info"]
        lines = self.host.run("wg", "showconf", self.interface).stdout.splitlines()
        place = lines.index("[Interface]") + 1
        lines[place:place] = [f"Address = {one['local']}/{one['prefixlen']}" for one in addresses if one["scope"] == "global"]
        return "\n".join(lines) + "\n"

    def start(self, configuration: str) -> None:
        """Starts our own daemon with a wg-quick file, and waits until it answers on its control socket."""
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / f"{self.interface}.conf"
            file.touch(mode=0o600)
            file.write_text(configuration)
            process = self.host.start(str(pathlib.Path(self.host.lab.program).parent / "vpn"), "daemon", str(file))
            self.host.lab.processes.append(process)
            deadline = time.monotonic() + 20
            while self.host.run("wg", "show", self.interface, check=False).returncode != 0:
                if process.poll() is not None:
                    raise LabError(f"the daemon did not start: {process.communicate()[0]}")
                if time.monotonic() > deadline:
                    raise LabError(f"the daemon does not answer on the control socket of {self.interface} within 20 s")
                time.sleep(0.02)


# Prints the processes of this network namespace that were started as "… daemon …" or "… INTERFACE" for the interface $1.
_FIND_DAEMON = """
here=$(readlink /proc/self/ns/net)
for process in /proc/[0-9]*; do
  [ "$(readlink "$process/ns/net")" = "$here" ] || continue
  [ "${process#/proc/}" != $$ ] || continue
  words=$(tr '\\0' ' ' <"$process/cmdline" 2>/dev/null) || continue
  case "$words" in
    *"vpn daemon "*"$1 "*|*"wireguard-go "*"$1 "*) echo "${process#/proc/}" ;;
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


class Lab:
    """A lab under a name of its own. A context manager: up on entry, down on exit."""

    def __init__(self, topology: str = "pair", *, name: str | None = None, seed: int | None = None,
                 settings: Mapping[str, str] | None = None) -> None:
        self.program = find_program()
        self.topology = topology
        self.name = name or f"s{os.getpid()}-{next(_numbers)}"
        self.seed = seed
        self.settings = dict(settings or {})
        self.processes: list[subprocess.Popen[str]] = []

    def command(self, verb: str, *arguments: str, timeout: float = 120) -> str:
        """Runs a verb of `lab` on this lab; what it printed."""
        return _run([self.program, verb, "--name", self.name, *arguments], timeout, True).stdout

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

    def host(self, name: str) -> Host:
        return Host(self, name)

    def link(self, name: str) -> Link:
        return Link(self, name)

    def __enter__(self) -> "Lab":
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.down()
