"""`vpn bench` measures both suites, and leaves nothing, however it ends. Needs root or user namespaces; never judges speed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

PROGRAM = Path(os.environ.get("VPN_PROGRAMS", Path(__file__).parents[2] / "build" / "bin")) / "vpn"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: namespaces and /dev/net/tun; run 'sudo make test'")


def marked(mark: str) -> list[str]:
    """The processes that have the mark in their environment: those of one run of the benchmark."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_both_suites_are_measured() -> None:
    done = subprocess.run([PROGRAM, "bench", "--json", "--seconds", "0.2"], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["schema"] == "vpn-bench/1"
    assert report["plain"]["tcp_gbit"] > 0
    assert [one["suite"] for one in report["tunnels"]] == ["AES-256-GCM", "ChaCha20-Poly1305"]
    for tunnel in report["tunnels"]:
        assert tunnel["tcp_gbit"] > 0 and tunnel["udp64_per_second"] > 0
        assert tunnel["ping_ms"] > 0 and tunnel["memory_mb"] > 0 and tunnel["threads"] >= 1
        assert tunnel["tun_offload"] and tunnel["udp_offload"]
    assert not {"wire", "bench0", "bench1"} & set(os.listdir("/sys/class/net"))
    assert " /var/lib " not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_it_is_cut_short(number: signal.Signals, tmp_path: Path) -> None:
    mark = f"VPN_BENCH_TEST={tmp_path}"
    environment = {**os.environ, "VPN_BENCH_TEST": str(tmp_path)}
    with subprocess.Popen([PROGRAM, "bench", "--seconds", "60"], env=environment, stdout=subprocess.DEVNULL) as bench:
        deadline = time.monotonic() + 120
        while len(marked(mark)) < 3:  # itself, and the two that make the sandbox
            assert bench.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        bench.send_signal(number)
        bench.wait(timeout=30)
    deadline = time.monotonic() + 30
    while left := marked(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
