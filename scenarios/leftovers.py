"""What a lab, or a whole run, has left on the machine: namespaces, interfaces, nftables, files, processes, sanitizers' reports."""
import os
import pathlib
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator

from sanitizers import reporting_to

# Every process of a run inherits this, also one that has left its parents.
_MARK = "VPN_SCENARIO_RUN"
_FOLDERS = ("/run/vpn-lab", "/run/vpn", "/run/wireguard", "/var/lib/vpn", "/var/log/vpn")
_GRACE = 5.0  # seconds that killed processes may take to be gone
SANITIZER = re.compile(r"(?:Address|Thread|Leak|Memory|UndefinedBehavior)Sanitizer|runtime error: |VPN_CHECK")


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _named(pattern: "re.Pattern[str]") -> Iterator[str]:
    """What is outside of processes and has such a name."""
    for what, command in (("namespace", ("ip", "netns", "list")), ("interface", ("ip", "-o", "link")), ("nft", ("nft", "list", "tables"))):
        yield from (f"{what} {line}" for line in _lines(*command) if pattern.search(line))
    for folder in _FOLDERS:
        yield from (f"file {path}" for path in pathlib.Path(folder).glob("*") if pattern.search(path.name))


def processes() -> Iterator[tuple[int, list[str], bytes]]:
    """Number, command line and environment of each that can be looked at."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        yield int(process.name), words, environment


def of_lab(name: str) -> list[str]:
    """What of the lab with this name is still on the machine."""
    found = list(_named(re.compile(re.escape(name))))
    found += [f"process {number}: {' '.join(words)}" for number, words, _ in processes() if name in words and number != os.getpid()]
    return found


class Run:
    """All that this process and its children make, from now on."""

    def __init__(self) -> None:
        self._mark = f"{_MARK}={os.getpid()}-{time.monotonic_ns()}"
        os.environ[_MARK] = self._mark.partition("=")[2]
        self._reports = tempfile.TemporaryDirectory(prefix="vpn-sanitizers-")
        os.environ.update(reporting_to(self._reports.name))

    def leftovers(self) -> list[str]:
        """What is left. Processes that have been told to end get some time."""
        end = time.monotonic() + _GRACE
        while (processes := self._processes()) and time.monotonic() < end:
            time.sleep(0.05)
        # The names of labs (vpnlab.Lab) and of hosts and interfaces (daemon_support) begin with the number of this process.
        names = re.compile(rf"\bs{os.getpid()}-|\bvd{os.getpid():x}n")
        reports = [f"report of a sanitizer:\n{path.read_text(errors='replace')[:4000]}" for path in pathlib.Path(self._reports.name).iterdir()]
        self._reports.cleanup()
        return [*processes, *(_named(names) if os.geteuid() == 0 else ()), *reports]

    def _processes(self) -> list[str]:
        mark = self._mark.encode()
        return [f"process {number}: {' '.join(words)}" for number, words, environment in processes()
                if number != os.getpid() and mark in environment.split(b"\0")]
