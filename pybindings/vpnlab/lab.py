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
        """Pings until `count` answers have come, or the deadline (seconds) is over; how many came."""
        done = self.run("ping", "-n", "-c", str(count), "-i", str(interval), "-w", str(deadline), address,
                        timeout=deadline + 30, check=False)
        for line in done.stdout.splitlines():
            if " received" in line:
                return int(line.split(" received")[0].split()[-1])
        raise LabError(f"ping {address} in {self.name}: {done.stdout}{done.stderr}")

    def _argv(self, *command: str) -> list[str]:
        return [self.lab.program, "exec", "--name", self.lab.name, self.name, "--", *command]


class Link:
    """One link of a lab."""

    def __init__(self, lab: "Lab", name: str) -> None:
        self.lab = lab
        self.name = name

    def impair(self, *changes: str, direction: str | None = None) -> None:
        """Changes the weather: "loss=5%", "delay=20ms", … or "clear"; both ways, or one ("forward", "backward")."""
        place = self.name if direction is None else f"{self.name}:{direction}"
        self.lab.command("impair", place, *changes)


class Lab:
    """A lab under a name of its own. A context manager: up on entry, down on exit."""

    def __init__(self, topology: str = "pair", *, name: str | None = None, seed: int | None = None,
                 settings: Mapping[str, str] | None = None) -> None:
        self.program = find_program()
        self.topology = topology
        self.name = name or f"s{os.getpid()}-{next(_numbers)}"
        self.seed = seed
        self.settings = dict(settings or {})

    def command(self, verb: str, *arguments: str, timeout: float = 120) -> str:
        """Runs a verb of `lab` on this lab; what it printed."""
        return _run([self.program, verb, "--name", self.name, *arguments], timeout, True).stdout

    def up(self) -> None:
        """Brings the lab up: when this returns, its tunnels answer."""
        options = [f"--set={key}={value}" for key, value in self.settings.items()]
        if self.seed is not None:
            options.append(f"--seed={self.seed}")
        self.command("up", *options, self.topology)

    def down(self) -> None:
        """Takes it down; nothing is left of it."""
        self.command("down")

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
