"""What `lab capture` writes, as other programs read it (issue 5, item 2: Wireshark decrypts)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import PROGRAMS, LabProgram

pytestmark = pytest.mark.needs_root

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark; run 'sudo ci/install-deps'")


class Capture:
    """`lab capture` at work, which hears everything from the moment this is made."""

    def __init__(self, lab: LabProgram, target: str, file: Path) -> None:
        self.file = file
        self.process = subprocess.Popen(
            [str(PROGRAMS / "lab"), "capture", target, "-o", str(file)],
            env=lab.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        assert self.process.stderr is not None
        assert "capturing" in self.process.stderr.readline()

    def end(self) -> str:
        self.process.terminate()
        output, _ = self.process.communicate(timeout=10)
        assert self.process.returncode == 0
        return output


def tshark(file: Path, display_filter: str, *fields: str, options: Sequence[str] = ()) -> list[list[str]]:
    """The given fields of every packet that matches, as tshark shows them without any setting of its own."""
    command = ["tshark", "-r", str(file), *options, "-Y", display_filter, "-T", "fields"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


@needs_tshark
def test_wireshark_decrypts_what_was_captured(lab: LabProgram, tmp_path: Path) -> None:
    """Handshake, then data both ways: the inner packets are there, in one pass over the file."""
    lab("up", "pair", "--set", "loss=0%", "--set", "reorder=0%")
    capture = Capture(lab, "wan", tmp_path / "wan.pcapng")
    lab("exec", "left", "--", "ping", "-c", "3", "-i", "0.05", "-s", "77", "-W", "5", "10.77.0.2")
    assert int(capture.end().split()[0]) >= 8
    inner = tshark(capture.file, "wg && icmp", "icmp.type", "ip.src", "data.len")
    assert sorted((row[0], row[1].split(",")[-1]) for row in inner) == [("0", "10.77.0.2")] * 3 + [("8", "10.77.0.1")] * 3
    assert tshark(capture.file, "wg.timestamp.value", "wg.timestamp.value"), "long-term keys open the initiation"


@needs_tshark
def test_of_a_link_to_a_switch_both_ends_are_heard(lab: LabProgram, tmp_path: Path) -> None:
    """Each packet once, as it was sent: what a host hears comes from the switch's port, before the link's weather."""
    lab("up", "hub", "--set", "clients=1", "--set", "kind=vpn")
    name = next(link["name"] for link in lab.status()["links"] if link["name"].startswith("access"))
    server = next(host["interfaces"][0]["addresses"][0].partition("/")[0] for host in lab.status()["hosts"] if host["name"] == "server")
    capture = Capture(lab, name, tmp_path / "access.pcapng")
    client = next(host["name"] for host in lab.status()["hosts"] if host["name"] != "server")
    lab("exec", client, "--", "ping", "-c", "3", "-i", "0.05", "-W", "5", server)
    capture.end()
    assert sorted(row[0] for row in tshark(capture.file, f"icmp && ip.addr == {server} && !wg", "icmp.type")) == ["0"] * 3 + ["8"] * 3


@needs_tshark
def test_wireshark_decrypts_with_a_preshared_key_and_after_a_rekeying(lab: LabProgram, tmp_path: Path) -> None:
    topology = tmp_path / "psk.toml"
    topology.write_text(
        '[[host]]\nname = "a"\n[[host]]\nname = "b"\n[[link]]\nname = "wan"\nends = ["a", "b"]\nsubnet = "192.0.2.0/24"\n'
        '[[tunnel]]\nname = "wg0"\nkind = "vpn"\nmesh = ["a", "b"]\nsubnet = "10.7.0.0/24"\npreshared_key = true\n'
    )
    lab("up", str(topology))
    capture = Capture(lab, "wan", tmp_path / "wan.pcapng")
    lab("exec", "a", "--", "ping", "-c", "1", "-W", "5", "10.7.0.2")
    # The other side begins the second session: its daemon has forgotten the first.
    key = lab("exec", "b", "--", "wg", "show", "wg0", "private-key").strip()
    lab("exec", "b", "--", "sh", "-c", f"echo {key} | wg set wg0 private-key /dev/stdin")
    lab("exec", "b", "--", "ping", "-c", "1", "-W", "10", "10.7.0.1")
    capture.end()
    sources = [row[0].split(",")[-1] for row in tshark(capture.file, "wg && icmp.type == 8", "ip.src")]
    assert sources == ["10.7.0.1", "10.7.0.2"]


@needs_tshark
def test_a_capture_holds_each_packet_of_a_link_once_and_no_plain_text(lab: LabProgram, tmp_path: Path) -> None:
    lab("up", "pair", "--set", "loss=0%", "--set", "reorder=0%")
    capture = Capture(lab, "wan", tmp_path / "wan.pcapng")
    marker = "c0ffee77c0ffee77"
    lab("exec", "left", "--", "ping", "-c", "2", "-i", "0.05", "-p", marker, "-W", "5", "10.77.0.2")
    count = int(capture.end().split()[0])
    assert bytes.fromhex(marker) not in capture.file.read_bytes()
    counters = [d["counters"] for d in lab.status()["links"][0]["directions"]]
    assert count <= sum(c["offered"] for c in counters)
    times = [float(row[0]) for row in tshark(capture.file, "frame", "frame.time_epoch")]
    assert times == sorted(times)
    assert (capture.file.stat().st_mode & 0o777) == 0o600


def test_a_host_is_heard_on_its_tunnel_too(lab: LabProgram, tmp_path: Path) -> None:
    lab("up", "pair", "--set", "loss=0%")
    capture = Capture(lab, "left", tmp_path / "left.pcapng")
    marker = "c0ffee77c0ffee77"
    lab("exec", "left", "--", "ping", "-c", "1", "-p", marker, "-W", "5", "10.77.0.2")
    capture.end()
    assert bytes.fromhex(marker) in capture.file.read_bytes()


def test_the_key_log_is_for_the_owner_of_the_lab_alone(lab: LabProgram) -> None:
    lab("up", "pair", "--set", "loss=0%")
    lab("exec", "left", "--", "ping", "-c", "1", "-W", "5", "10.77.0.2")
    keys = lab.state / "lab" / "hosts" / "left" / "run" / "wg0.keys"
    assert "LOCAL_EPHEMERAL_PRIVATE_KEY=" in keys.read_text()
    assert (keys.stat().st_mode & 0o777) == 0o600
    log = (lab.state / "lab" / "logs" / "left-wg0.log").read_text()
    assert "KEYS ARE WRITTEN" in log
    assert keys.read_text().split("EPHEMERAL_PRIVATE_KEY=")[1].split("\n")[0] not in log


# Hands over so many times ten datagrams of 1300 bytes in one piece each, to be cut on the way (UDP_SEGMENT).
SEND_SEGMENTS = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(17, 103, 1300)
for _ in range(int(sys.argv[2])):
    s.sendto(b"x" * 13000, (sys.argv[1], 9))
"""
UNIMPAIRED = ["--seed", "1", *(f"--set={setting}" for setting in ("loss=0%", "delay=0ms", "reorder=0%", "kind=vpn"))]


@needs_tshark
@pytest.mark.parametrize("address", ["192.0.2.2", "10.77.0.2", "fd77::2"])
def test_a_super_packet_is_captured_as_the_packets_it_stands_for(lab: LabProgram, tmp_path: Path, address: str) -> None:
    """An unimpaired link carries it whole: what is captured has the lengths and checksums that a cable would have."""
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 2):
        pytest.skip("by design: before Linux 6.2 nobody is told how a UDP super-packet is to be cut")
    lab("up", "pair", *UNIMPAIRED)
    lab("exec", "left", "--", "ping", "-c", "1", "-W", "10", address)
    capture = Capture(lab, "left", tmp_path / "left.pcapng")
    lab("exec", "left", "--", "/usr/bin/python3", "-c", SEND_SEGMENTS, address, "3")
    lab("exec", "left", "--", "ping", "-c", "1", "-W", "10", address)
    capture.end()
    checked = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
    rows = tshark(capture.file, "udp.dstport == 9 && !wg && !icmp && !icmpv6", "udp.length", "udp.checksum.status", options=checked)
    assert rows == [["1308", "1"]] * 30
    outer = tshark(capture.file, "udp.dstport == 51820", "udp.length", "udp.checksum.status", options=checked)
    assert all(int(length.split(",")[0]) <= 1480 and status.split(",")[0] == "1" for length, status in outer)
    assert len(outer) >= 30 or address == "192.0.2.2"


def test_a_capture_says_what_it_lacks(lab: LabProgram, tmp_path: Path) -> None:
    lab("up", "pair", *UNIMPAIRED)
    lab("exec", "left", "--", "ping", "-c", "1", "-W", "10", "192.0.2.2")
    capture = Capture(lab, "wan", tmp_path / "wan.pcapng")
    capture.process.send_signal(signal.SIGSTOP)
    lab("exec", "left", "--", "/usr/bin/python3", "-c", SEND_SEGMENTS, "192.0.2.2", "10000")
    capture.process.send_signal(signal.SIGCONT)
    capture.process.terminate()
    _, said = capture.process.communicate(timeout=60)
    assert capture.process.returncode == 0 and "lab: the capture lacks " in said, said


def test_a_capture_can_go_to_standard_output(lab: LabProgram, tmp_path: Path) -> None:
    lab("up", "pair", *UNIMPAIRED)
    with subprocess.Popen([str(PROGRAMS / "lab"), "capture", "wan", "-o", "-", "-c", "2"], env=lab.environment, cwd=tmp_path,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None and b"capturing" in process.stderr.readline()
        lab("exec", "left", "--", "ping", "-c", "3", "-i", "0.2", "-W", "10", "192.0.2.2")
        written, said = process.communicate(timeout=60)
    assert written[:4] == b"\x0a\x0d\x0d\x0a" and b"2 packets" in said
    assert not (tmp_path / "-").exists()
