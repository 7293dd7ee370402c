"""Commands under another kernel: `lab vm run` on both machines (issue 5, item 4). Run by `make test-netem`; it takes minutes
where a kernel must be built or fetched first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from conftest import PROGRAMS, LabProgram

pytestmark = pytest.mark.skipif("LAB_TEST_VM" not in os.environ, reason="by design: boots other kernels; 'make test-netem' runs it")

# What a lab finds there: root, netem, WireGuard in the kernel, and a lab with both.
INSIDE = """
set -e
echo "kernel $(uname -r) user $(id -u) argument $1" >artefact
tc qdisc add dev lo root netem delay 1ms
tc qdisc del dev lo root
export LAB_STATE=/run/labs
"$LAB" up pair --set kind=kernel --set loss=0% --set delay=1ms --set reorder=0% >&2
"$LAB" status
"$LAB" exec left -- ping -c 1 -W 30 10.77.0.2
"$LAB" down
ls /run/labs 2>/dev/null || echo "nothing left"
echo "to standard error" >&2
exit 7
"""


def cannot_run(why: str) -> NoReturn:
    """Skips the test; where the netem lane is to be run whole, that fails."""
    (pytest.fail if "LAB_REQUIRE_NETEM" in os.environ else pytest.skip)(why)


@pytest.mark.parametrize("machine", ["uml", "qemu"])
def test_a_lab_stands_under_another_kernel(lab: LabProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    """One boot: the exit status, both outputs and a file come back; the link is carried by netem, the tunnel by the kernel."""
    name = {"uml": "User-Mode Linux", "qemu": "QEMU"}[machine]
    verdict = next(line for line in lab.call("doctor").stdout.splitlines() if name in line)
    if not verdict.startswith("ok"):
        cannot_run(verdict)
    lab.environment["LAB"] = str(PROGRAMS / "lab")
    monkeypatch.chdir(tmp_path)
    done = lab.call("vm", "run", "--machine", machine, "--timeout", "500", "--", "bash", "-c", INSIDE, "bash", "a 'quoted' word",
                    timeout=900)
    assert done.returncode == 7, done.stdout + done.stderr
    assert "engine netem" in done.stdout and " 0% packet loss" in done.stdout and "nothing left" in done.stdout
    assert "to standard error" in done.stderr and "to standard error" not in done.stdout
    words = (tmp_path / "artefact").read_text().split()
    assert words[1] != os.uname().release and words[2:4] == ["user", "0"]
    assert words[4:] == ["argument", "a", "'quoted'", "word"]


@pytest.mark.parametrize("machine", ["uml", "qemu"])
def test_a_command_that_takes_too_long_is_ended(lab: LabProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    name = {"uml": "User-Mode Linux", "qemu": "QEMU"}[machine]
    if not any(line.startswith("ok") and name in line for line in lab.call("doctor").stdout.splitlines()):
        cannot_run(f"{name}: see 'lab doctor'")
    monkeypatch.chdir(tmp_path)
    done = lab.call("vm", "run", "--machine", machine, "--timeout", "5", "--", "sleep", "1000", timeout=900)
    assert done.returncode == 124 and "stopped after 5 s" in done.stderr
