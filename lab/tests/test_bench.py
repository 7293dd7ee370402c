"""`lab bench` measures what it is asked to, says what failed, and leaves nothing, however it ends. Never how fast."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from conftest import PROGRAMS, LabProgram, _processes_with

pytestmark = pytest.mark.needs_root

SHORT = ("--rounds", "2", "--seconds", "0.2", "--quick")


def run(lab: LabProgram, tmp_path: Path, *arguments: str) -> tuple[dict, str]:
    """The report of a run as JSON, and what it printed."""
    file = tmp_path / "bench.json"
    printed = lab("bench", "--json", str(file), *arguments, timeout=240)
    return json.loads(file.read_text()), printed


def test_plain_and_vpn_side_by_side(lab: LabProgram, tmp_path: Path) -> None:
    svg = tmp_path / "bench.svg"
    report, printed = run(lab, tmp_path, "--candidates", "vpn,plain", "--measures", "ping,tcp1",
                          "--rounds", "2", "--seconds", "0.5", "--svg", str(svg))
    assert report["schema"] == "lab-bench/1"
    assert report["rounds"] == 2 and report["measures"] == ["ping", "tcp1"]
    assert report["machine"]["cores"] == os.cpu_count()
    plain, vpn = report["candidates"]
    assert (plain["name"], vpn["name"]) == ("plain", "vpn")
    assert plain["failures"] == [] and vpn["failures"] == []
    assert vpn["version"].startswith("vpn ") and vpn["engine"].keys() >= {"TUN", "UDP"}
    for name, figure in [*plain["metrics"].items(), *vpn["metrics"].items()]:
        assert len(figure["samples"]) == 2, name
        assert figure["lowest"] <= figure["median"] <= figure["highest"], name
    tcp = vpn["metrics"]["tcp1_gbit"]
    assert tcp["median"] > 0
    assert tcp["of_plain"] == pytest.approx(tcp["median"] / plain["metrics"]["tcp1_gbit"]["median"])
    assert vpn["metrics"]["tcp1_cpu"]["median"] > 0 and "tcp1_cpu" not in plain["metrics"]
    assert vpn["metrics"]["memory_loaded"]["lowest"] >= vpn["metrics"]["memory_idle"]["lowest"] * 0.9
    assert vpn["metrics"]["ping_idle_p50"]["median"] <= vpn["metrics"]["ping_idle_p99"]["highest"]
    assert "TCP, 1 stream (Gbit/s)" in printed and "\n  vpn " in printed
    ElementTree.parse(svg)


def test_the_ceiling_and_the_other_cipher_carry_traffic(lab: LabProgram, tmp_path: Path) -> None:
    report, _ = run(lab, tmp_path, "--candidates", "plaintext,vpn-aes", "--measures", "tcp1,udp64", *SHORT)
    for candidate in report["candidates"]:
        assert candidate["failures"] == []
        assert candidate["metrics"]["tcp1_gbit"]["median"] > 0
        assert candidate["metrics"]["udp64_pps"]["median"] > 0
        assert candidate["metrics"]["udp64_loss"]["highest"] <= 1


@pytest.mark.parametrize(("curve", "xs"), [("peers", [1, 10, 100, 1000, 10000]), ("active", [1, 10, 100, 1000])])
def test_curves_have_all_their_points(lab: LabProgram, tmp_path: Path, curve: str, xs: list[int]) -> None:
    report, printed = run(lab, tmp_path, "--curve", curve, "--candidates", "vpn", "--quick")
    assert report["schema"] == "lab-bench-curve/1"
    (line,) = report["lines"]
    assert line["failures"] == []
    assert [point["x"] for point in line["points"]] == xs
    assert all(point["median"] > 0 for point in line["points"])
    assert line["points"][0]["of_first"] == 1
    assert "of the first" in printed


def test_a_curve_is_of_the_link_that_is_asked_for(lab: LabProgram, tmp_path: Path) -> None:
    """Told by an engine and a weather that do not go together."""
    report, printed = run(lab, tmp_path, "--curve", "active", "--candidates", "vpn", "--quick", "--engine", "veth",
                          "--impair", "delay=1ms")
    assert report["link"] == "veth, delay=1ms" and "link: veth, delay=1ms" in printed
    (line,) = report["lines"]
    assert len(line["failures"]) == 4 and all("no weather" in failure for failure in line["failures"])


def test_the_ceiling_is_out_of_reach_of_the_program() -> None:
    mark = b"no cryptography\0"
    assert mark in (PROGRAMS / "vpn_bench_plaintext").read_bytes()
    assert mark not in (PROGRAMS / "vpn").read_bytes()


def test_a_daemon_that_does_not_come_up_is_a_line_of_the_report(lab: LabProgram, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    broken = programs / "vpn"
    broken.write_text("#!/bin/sh\necho this daemon is broken\nexit 1\n")
    broken.chmod(0o755)
    lab.environment["LAB_PROGRAMS"] = str(programs)
    report, printed = run(lab, tmp_path, "--candidates", "plain,vpn", "--measures", "ping", *SHORT)
    plain, vpn = report["candidates"]
    assert plain["metrics"]["ping_idle_p50"]["samples"]
    assert vpn["metrics"] == {}
    assert len(vpn["failures"]) == 1 and "this daemon is broken" in vpn["failures"][0]
    assert "Not measured\n  vpn " in printed


def test_bad_arguments_are_refused_before_anything_is_made(lab: LabProgram, tmp_path: Path) -> None:
    assert "'tinc' is no candidate" in lab.refused("bench", "--candidates", "tinc")
    assert "'tcp9' is no measure" in lab.refused("bench", "--measures", "tcp9")
    assert "loss" in lab.refused("bench", "--impair", "loss=lots")
    assert "loss" in lab.refused("bench", "--curve", "size", "--impair", "loss=lots")
    assert "--measures excludes --curve" in lab.refused("bench", "--curve", "size", "--measures", "tcp1")
    assert "nowhere" in lab.call("bench", "--json", str(tmp_path / "nowhere" / "x.json")).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_it_is_cut_short(lab: LabProgram, number: signal.Signals) -> None:
    with subprocess.Popen(
        [str(PROGRAMS / "lab"), "bench", "--candidates", "vpn", "--measures", "tcp1", "--seconds", "60"],
        env=lab.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as bench:
        assert bench.stderr is not None
        for line in bench.stderr:  # measuring has begun
            if "tcp1" in line:
                break
        bench.send_signal(number)
        bench.wait(timeout=30)
        if number != signal.SIGKILL:
            assert bench.returncode == 128 + number
            assert not lab.state.exists()
    deadline = time.monotonic() + 30  # after SIGKILL it is another process that cleans up
    while _processes_with(f"LAB_STATE={lab.state}") or lab.state.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
