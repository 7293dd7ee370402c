"""Fixtures: the program `lab` with a state directory of its own, and proof after every test that nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "ci"))
from no_skips import pytest_runtest_makereport  # noqa: E402, F401
from sanitizers import reporting_to  # noqa: E402

PROGRAMS = Path(os.environ.get("LAB_PROGRAMS", ROOT / "build" / "bin"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if "needs_root" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs root: namespaces and /dev/net/tun; run 'sudo make test'"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_root: makes namespaces and interfaces")
    config.addinivalue_line("markers", "every_engine: tries each engine that there is; what the netem lane runs")


def cannot_look_for_leaks(report: str) -> bool:
    """Whether a sanitizer says no more than that: a daemon that has given up its rights lets nobody trace it, not even itself."""
    return "LeakSanitizer has encountered a fatal error" in report and "ERROR: " not in report and "runtime error" not in report


class LabProgram:
    """Calls the program `lab`; every call has a deadline."""

    def __init__(self, state: Path, reports: Path) -> None:
        """`reports`: a folder for what sanitizers have to say, which no log of a daemon shows once its lab is gone."""
        self.state = state
        self.runner: list[str] = []  # a program, and its arguments, that runs `lab`
        self.environment = {**os.environ, **reporting_to(reports), "LAB_STATE": str(state)}

    def call(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.runner, str(PROGRAMS / "lab"), *arguments],
            env=self.environment, text=True, capture_output=True, timeout=timeout, check=False,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """A call that goes on while the test does."""
        return subprocess.Popen([str(PROGRAMS / "lab"), *arguments], env=self.environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def __call__(self, *arguments: str, timeout: float = 60) -> str:
        done = self.call(*arguments, timeout=timeout)
        assert done.returncode == 0, f"lab {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def refused(self, *arguments: str) -> str:
        """The one line that a call with bad input prints, after checking that it is one and has a remedy."""
        done = self.call(*arguments)
        assert done.returncode == 1, done
        assert done.stdout == ""
        lines = done.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith("lab: "), done.stderr
        assert "; remedy: " in lines[0], done.stderr
        return lines[0]

    def status(self, name: str = "lab") -> dict:
        return json.loads(self("status", "--name", name, "--json"))

    def kill_keeper(self, name: str = "lab") -> None:
        """As a crash would: without a word. Returns once the kernel has begun to take it away."""
        os.kill(int((self.state / name / "keeper").read_text().split()[0]), signal.SIGKILL)
        deadline = time.monotonic() + 10
        while f"{name}  left behind" not in self("list"):
            assert time.monotonic() < deadline


def _processes_with(text: str) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if text.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


# Interfaces that topologies make; other tests may make others in the machine's own namespace meanwhile.
LAB_INTERFACES = {"wan", "lan", "homeup", "serverup", "office", "uplink", "access", "wifi", "cell", "internet"}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LabProgram]:
    state = tmp_path / "labs"
    reports = tmp_path / "reports"
    reports.mkdir(mode=0o1777)
    reports.chmod(0o1777)
    links_before = set(os.listdir("/sys/class/net"))
    program = LabProgram(state, reports)
    yield program
    for name in sorted(os.listdir(state)) if state.exists() else []:
        program("down", "--name", name)
    said = {file.name: file.read_text(errors="replace") for file in reports.iterdir()}
    assert {name: text[:4000] for name, text in said.items() if not cannot_look_for_leaks(text)} == {}
    # Every process of a lab has its environment from the command that brought it up, LAB_STATE included.
    assert _processes_with(f"LAB_STATE={state}") == []
    assert not state.exists(), sorted(state.rglob("*"))
    assert not (set(os.listdir("/sys/class/net")) - links_before) & LAB_INTERFACES
    assert str(state) not in Path("/proc/self/mountinfo").read_text()
