"""Fixtures and rules of the scenario suite.

- Every lab has a name of its own, so `pytest -n auto` is safe, and is proved to have left nothing behind.
- A test that cannot run here is skipped with the reason and the remedy; in continuous integration (CI=true) it fails instead.
  A test that by its nature does not apply says so with a reason that begins with "by design: ".
"""
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

BUILD = pathlib.Path(os.environ.get("VPN_BUILD", pathlib.Path(__file__).parent.parent / "build"))
sys.path.insert(0, str(BUILD / "python"))

from meeting import Meeting  # noqa: E402
from vpnlab import Keypair, Lab, LabError  # noqa: E402

IN_CI = os.environ.get("CI") == "true"


CALM = {"delay": "0ms", "loss": "0%", "reorder": "0%", "kind": "vpn"}


def cannot_run(reason: str, remedy: str) -> None:
    pytest.skip(f"{reason}; remedy: {remedy}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Iterator[None]:
    """In CI nothing may be skipped but what does not apply by design."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if IN_CI and report.skipped and not hasattr(report, "wasxfail") and "by design: " not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped where it should have run: {report.longrepr}"


@pytest.fixture
def alice() -> Keypair:
    return Keypair()


@pytest.fixture
def bob() -> Keypair:
    return Keypair()


@pytest.fixture
def meeting(alice: Keypair, bob: Keypair) -> Meeting:
    return Meeting(alice, bob)


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def leftovers(name: str) -> list[str]:
    """What of the lab with this name is still on the machine: namespaces, interfaces, tables, processes."""
    found = [f"namespace {line}" for line in _lines("ip", "netns", "list") if name in line]
    found += [f"interface {line}" for line in _lines("ip", "-o", "link") if name in line]
    found += [f"nft {line}" for line in _lines("nft", "list", "tables") if name in line]
    found += [f"file {path}" for path in pathlib.Path("/run/vpn-lab").glob(f"{name}*")]
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if name in words and int(process.name) != os.getpid():
            found.append(f"process {process.name}: {' '.join(words)}")
    return found


@pytest.fixture
def make_lab() -> Iterator[Callable[..., Lab]]:
    """Makes labs: make_lab("pair", settings={"loss": "5%"}). They are down, and nothing is left of them, when the test ends."""
    if os.geteuid() != 0:
        cannot_run("network namespaces need root", "sudo pytest scenarios")
    labs: list[Lab] = []

    def make(topology: str = "pair", **options: object) -> Lab:
        try:
            lab = Lab(topology, **options)  # type: ignore[arg-type]
        except LabError as error:
            cannot_run(str(error), "make build")
            raise
        lab.up()
        labs.append(lab)
        return lab

    yield make
    problems = []
    for lab in labs:
        try:
            lab.down()
        except LabError as error:
            problems.append(str(error))
        problems += leftovers(lab.name)
    assert not problems, "left behind:\n" + "\n".join(problems)


@pytest.fixture
def pair(make_lab: Callable[..., Lab]) -> Lab:
    """Two hosts, left (10.77.0.1) and right (10.77.0.2), and a tunnel between them over a perfect link."""
    return make_lab("pair", settings=CALM)
