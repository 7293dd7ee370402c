"""The daemon's life: how it starts, what ends it, what it keeps to itself, and what it survives."""
import base64
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
from collections.abc import Iterator

import pytest

from daemon_support import (CONTROL_FOLDER, DEADLINE, LOG_FOLDER, VPN, Host, Key, Pair, Tunnel, configure, make_pair,
                            missing_tools, new_key, run, unique_name, wait_until)

pytestmark = [pytest.mark.lab, pytest.mark.skipif(missing_tools() is not None, reason=str(missing_tools()))]

CAP_NET_BIND_SERVICE, CAP_NET_ADMIN = 1 << 10, 1 << 12
IDLE_BYTES = 3 << 20  # of a daemon with two workers; 2.1 MB was measured
PEER_BYTES = 4096  # of a configured peer; 1.4 KB was measured


@pytest.fixture
def pair(tmp_path: pathlib.Path) -> Iterator[Pair]:
    with make_pair(tmp_path) as made:
        yield made


@pytest.fixture
def tunnel(pair: Pair) -> Tunnel:
    made = configure(pair.left.start_vpn(), pair.right.start_vpn())
    made.check()
    return made


# ── How it ends ──

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it(pair: Pair, number: signal.Signals) -> None:
    """M1.1: the interface and the socket go with the daemon."""
    daemon = pair.left.start_vpn()
    daemon.process.send_signal(number)
    assert daemon.wait_end() == 0
    assert daemon.interface not in pair.left.interfaces()
    assert not daemon.socket_path.exists()


def test_removal_of_the_interface_ends_it(pair: Pair) -> None:
    daemon = pair.left.start_vpn()
    pair.left.ip("link", "delete", daemon.interface)
    assert daemon.wait_end() == 0
    assert not daemon.socket_path.exists()


def test_the_interface_may_move_to_another_namespace(tunnel: Tunnel) -> None:
    """The packets are the other namespace's, the sockets stay where they are; removed there, it ends the daemon too."""
    left, other = tunnel.left, unique_name()
    run("ip", "netns", "add", other)
    try:
        left.host.ip("link", "set", left.interface, "netns", other)
        run("ip", "-n", other, "address", "add", "10.9.0.1/24", "dev", left.interface)
        run("ip", "-n", other, "link", "set", left.interface, "up")
        run("ip", "netns", "exec", other, "ping", "-c", "1", "-W", "10", "10.9.0.2")
        run("ip", "-n", other, "link", "delete", left.interface)
        assert left.wait_end() == 0
    finally:
        run("ip", "netns", "delete", other)


def test_removal_of_the_socket_file_ends_it(pair: Pair) -> None:
    daemon = pair.left.start_vpn()
    daemon.socket_path.unlink()
    assert daemon.wait_end() == 0
    assert daemon.interface not in pair.left.interfaces()


def test_a_file_of_another_takes_its_place_and_stays(pair: Pair) -> None:
    """The socket's file was replaced: the daemon ends, and leaves the other's file alone."""
    daemon = pair.left.start_vpn()
    daemon.socket_path.unlink()
    daemon.socket_path.write_text("another's")
    assert daemon.wait_end() == 0
    assert daemon.socket_path.read_text() == "another's"


def test_up_and_down(pair: Pair, tmp_path: pathlib.Path) -> None:
    """`vpn up` returns when it serves, `vpn down` when everything is undone; commands run, as root, with %i."""
    trace = tmp_path / "trace"
    hooks = "".join(f"{phase} = echo {phase} %i >> {trace}\n" for phase in ("PreUp", "PostUp", "PreDown", "PostDown"))
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nAddress = 10.9.0.1/24\n{hooks}"
                                  f"[Peer]\nPublicKey = {new_key().public}\nAllowedIPs = 0.0.0.0/0, ::/0\n")
    before = pair.left.ip("rule"), pair.left.ip("-6", "rule"), pair.left.ip("route", "show", "table", "all")
    pair.left.run(VPN, "up", path)
    assert "lookup 51820" in pair.left.ip("rule")
    assert "default dev " + path.stem in pair.left.ip("route", "show", "table", "51820")
    assert run("wg", "show", path.stem, "fwmark").stdout.strip() == "0xca6c"
    run(VPN, "down", path.stem)
    assert trace.read_text().split() == [word for phase in ("PreUp", "PostUp", "PreDown", "PostDown")
                                         for word in (phase, path.stem)]
    assert (pair.left.ip("rule"), pair.left.ip("-6", "rule"), pair.left.ip("route", "show", "table", "all")) == before
    assert path.stem not in pair.left.interfaces()
    assert not (CONTROL_FOLDER / f"{path.stem}.sock").exists()


def has_ended(pid: int) -> bool:
    """Whether it has, though nobody may have asked how."""
    try:
        return " Z " in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


def host_state(host: Host) -> tuple[list[str], str, str]:
    return host.interfaces(), host.ip("rule"), host.ip("route", "show", "table", "all")


def test_what_a_command_leaves_running_can_be_ended(pair: Pair, tmp_path: pathlib.Path) -> None:
    """M5.4: the commands, and what they begin, listen to the signals that the daemon keeps to itself."""
    number = tmp_path / "number"
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nPostUp = sleep 1000 & echo $! > {number}\n"
                                  f"PreDown = kill $(cat {number})\n")
    daemon = pair.left.start_vpn_file(path)
    wait_until(lambda: "serving" in daemon.log, "it serves")
    pid = int(number.read_text())
    assert not has_ended(pid)
    assert daemon.stop() == 0
    wait_until(lambda: has_ended(pid), "what the command began has ended")


@pytest.mark.parametrize("end", ["INT", "TERM", "down"])
@pytest.mark.parametrize("phase", ["PreUp", "PostUp", "PreDown", "PostDown"])
def test_a_command_that_hangs_is_ended_by_who_ends_the_tunnel(pair: Pair, phase: str, end: str, tmp_path: pathlib.Path) -> None:
    """M5.4: when it is asked to end; where it goes down already, when it is asked again. The host is as before."""
    number = tmp_path / "number"
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nAddress = 10.9.0.1/24\n{phase} = echo $$ > {number}; sleep 600\n"
                                  f"[Peer]\nPublicKey = {new_key().public}\nAllowedIPs = 0.0.0.0/0\n")
    before = host_state(pair.left)
    log = tmp_path / "log"
    process = pair.left.begin(VPN, "daemon", path, log=log)

    def ask() -> None:
        if end != "down":
            process.send_signal(getattr(signal, f"SIG{end}"))
        elif phase in ("PreUp", "PostDown"):  # when there is no control socket yet, or nobody hears it any more
            process.terminate()
        else:
            pair.left.begin(VPN, "down", path.stem)

    if phase.endswith("Down"):
        wait_until(lambda: "serving" in log.read_text(), "it serves")
        ask()
    wait_until(lambda: number.exists() and number.read_text(), "the command runs")
    ask()
    assert process.wait(timeout=DEADLINE) == 0
    assert has_ended(int(number.read_text())) and host_state(pair.left) == before


def test_up_tells_the_daemons_error(pair: Pair) -> None:
    """The process that waits for the background prints what went wrong there, and exits 1."""
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nPostUp = exit 5\n")
    done = pair.left.run(VPN, "up", path, check=False)
    assert done.returncode == 1 and "the command 'exit 5' failed: exit status 5; remedy: " in done.stderr
    assert path.stem not in pair.left.interfaces()


def test_tells_the_service_manager(pair: Pair, tmp_path: pathlib.Path) -> None:
    """Type=notify: READY when it serves, STOPPING when it ends, also from behind the filter."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        log = tmp_path / "log"
        name = unique_name()
        process = pair.left.begin(VPN, "daemon", "--interface", name, log=log,
                                  environment={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert manager.recv(1000) == b"READY=1"
        assert (CONTROL_FOLDER / f"{name}.sock").exists()
        process.send_signal(signal.SIGTERM)
        assert manager.recv(1000) == b"STOPPING=1"
        assert process.wait(timeout=10) == 0


def test_save_config(pair: Pair) -> None:
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nSaveConfig = true\nAddress = 10.9.0.1/24\n")
    daemon = pair.left.start_vpn_file(path)
    peer = new_key().public
    daemon.wg("set", "peer", peer, "allowed-ips", "10.9.0.2/32", "persistent-keepalive", "25")
    assert daemon.stop() == 0
    saved = path.read_text()
    assert f"PublicKey = {peer}" in saved and "AllowedIPs = 10.9.0.2/32" in saved and "Address = 10.9.0.1/24" in saved
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_save_config_keeps_what_was_set(pair: Pair) -> None:
    peer, named = new_key().public, new_key().public
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nSaveConfig = true\n[Peer]\nPublicKey = {peer}\n"
                                  f"Endpoint = 192.0.2.2:1\n[Peer]\nPublicKey = {named}\nEndpoint = localhost:2\n")
    daemon = pair.left.start_vpn_file(path)
    daemon.wg("set", "fwmark", "0x77", "peer", peer, "endpoint", "192.0.2.2:9", "peer", named, "endpoint", "192.0.2.2:8")
    assert daemon.stop() == 0
    saved = path.read_text()
    assert "Endpoint = 192.0.2.2:9" in saved and "Endpoint = localhost:2" in saved and "FwMark = " in saved


def test_a_file_named_from_its_own_folder_is_found_again(pair: Pair) -> None:
    """W4: one in the background leaves that folder, and still reloads its file and saves it there."""
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nSaveConfig = true\nAddress = 10.9.0.1/24\n")
    astray = pathlib.Path("/") / path.name
    peer = new_key().public
    try:
        pair.left.run("env", "-C", path.parent, VPN, "up", path.name)
        path.write_text(path.read_text().replace("10.9.0.1/24", "10.9.0.7/24"))
        pair.left.run(VPN, "reload", path.stem)
        assert "10.9.0.7/24" in pair.left.ip("address", "show", "dev", path.stem)
        pair.left.run("wg", "set", path.stem, "peer", peer, "allowed-ips", "10.9.0.2/32")
        pair.left.run(VPN, "down", path.stem)
        assert f"PublicKey = {peer}" in path.read_text() and not astray.exists()
    finally:
        astray.unlink(missing_ok=True)


# ── What it keeps to itself ──

def process_of(path: pathlib.Path) -> int:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
        return int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little")


def status_of(pid: int) -> dict[str, str]:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


def test_gives_privileges_away(pair: Pair) -> None:
    """W5: two capabilities, none to regain, a filter on system calls in every thread, no core dumps."""
    daemon = pair.left.start_vpn()
    assert stat.S_IMODE(daemon.socket_path.stat().st_mode) == 0o600
    pid = process_of(daemon.socket_path)
    wait_until(lambda: status_of(pid)["Seccomp"] == "2", "the filter is on")
    status = status_of(pid)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == CAP_NET_ADMIN | CAP_NET_BIND_SERVICE
    assert int(status["CapBnd"], 16) == 0 and int(status["CapInh"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        assert re.search(r"^Seccomp:\s+2$", (thread / "status").read_text(), re.MULTILINE), thread
    assert re.search(r"^Max core file size\s+0\s+0\s", pathlib.Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)


def own_memory(pid: int) -> int:
    """The bytes that are this process's alone: its heap, its stacks, what it changed of its program's and libraries' data."""
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.findall(r"^Anonymous:\s+(\d+) kB$", rollup, re.MULTILINE)[0]) * 1024


def test_takes_little_memory(pair: Pair) -> None:
    """W4: no buffer is there before it is used, nothing is kept of the start, and a peer costs what is known of it."""
    daemon = pair.left.start_vpn(workers=2)
    pid = process_of(daemon.socket_path)
    wait_until(lambda: "serving" in daemon.log, "it serves")
    assert own_memory(pid) < IDLE_BYTES
    peers = [os.urandom(32).hex() for _ in range(2000)]
    before = own_memory(pid)
    daemon.request("set=1\n" + "".join(f"public_key={peer}\nallowed_ip=10.{number >> 8}.{number & 255}.1/32\n"
                                       for number, peer in enumerate(peers)) + "\n")
    assert (own_memory(pid) - before) / len(peers) < PEER_BYTES


def test_own_user(pair: Pair) -> None:
    """W5: with `User` it serves as that user, and still takes down what it made."""
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nAddress = 10.9.0.1/24\nUser = nobody\n"
                                  f"[Peer]\nPublicKey = {new_key().public}\nAllowedIPs = 0.0.0.0/0\n")
    daemon = pair.left.start_vpn_file(path)
    pid = process_of(daemon.socket_path)
    wait_until(lambda: status_of(pid)["Seccomp"] == "2", "the filter is on")
    status = status_of(pid)
    assert status["Uid"].split()[1] != "0" and int(status["CapEff"], 16) == CAP_NET_ADMIN | CAP_NET_BIND_SERVICE
    assert int(status["CapBnd"], 16) == 0 and status["NoNewPrivs"] == "1"
    assert re.search(r"^Max core file size\s+0\s+0\s", pathlib.Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
    daemon.wg("set", "listen-port", "443", "peer", new_key().public, "allowed-ips", "10.9.0.7/32")
    assert daemon.stop() == 0
    assert "lookup 51820" not in pair.left.ip("rule")
    assert not daemon.socket_path.exists()


def test_a_port_below_1024_is_opened_whenever_it_is_asked_for(pair: Pair) -> None:
    """As wg-quick asks for it, of a daemon that runs already; and again when the link comes up."""
    daemon = pair.left.start_vpn()
    assert pair.left.run("sysctl", "-n", "net.ipv4.ip_unprivileged_port_start").stdout == "1024\n"
    pair.left.ip("link", "set", daemon.interface, "up")

    def is_open() -> bool:
        return {"0.0.0.0:443", "[::]:443"} <= set(pair.left.run("ss", "-luHn").stdout.split())

    daemon.wg("set", "listen-port", "443")
    assert is_open()
    pair.left.ip("link", "set", daemon.interface, "down")
    wait_until(lambda: not is_open(), "the port to be free")
    pair.left.ip("link", "set", daemon.interface, "up")
    wait_until(is_open, "the port to be open again")


def test_without_the_right_to_a_port_below_1024_the_errno_says_so(pair: Pair) -> None:
    """EACCES, where whoever started it had not that right to give."""
    daemon = pair.left.start_vpn(under=("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"))
    assert daemon.request("set=1\nlisten_port=443\n\n") == "errno=-13\n\n"
    assert daemon.request("set=1\nlisten_port=52443\n\n") == "errno=0\n\n"


def test_warns_of_a_readable_file(pair: Pair) -> None:
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\n")
    path.chmod(0o644)
    daemon = pair.left.start_vpn_file(path)
    assert "readable by others" in daemon.log


def forms_of(key: str) -> list[str]:
    """A key as it could be written: whole or the beginning of it, base64 or hexadecimal."""
    digits = base64.b64decode(key).hex()
    return [key, key[:16], digits, digits[:16], digits.upper()[:16]]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_is_in_a_log(pair: Pair, log_format: str) -> None:
    """R5, S5: at the level that says most, over every event that this tunnel can have: no key, nothing of a packet. Each line
    is an event that a program reads."""
    secret, other_secret = run("wg", "genpsk").stdout.strip(), run("wg", "genpsk").stdout.strip()
    keys = new_key(), new_key()
    paths = [host.write_config(
        f"[Interface]\nPrivateKey = {keys[number - 1].private}\nListenPort = {51819 + number}\nAddress = 10.9.0.{number}/24\n"
        f"[Peer]\nPublicKey = {keys[2 - number].public}\nPresharedKey = {secret}\nRekeyAfterTime = 1s\n"
        f"AllowedIPs = 10.9.0.{3 - number}/32\nEndpoint = 192.0.2.{3 - number}:{51822 - number}\n")
        for number, host in ((1, pair.left), (2, pair.right))]
    left, right = (host.start_vpn_file(path, "--log-level", "debug", "--log-format", log_format)
                   for host, path in zip((pair.left, pair.right), paths))
    pair.left.wait_ping("10.9.0.2")
    pair.left.run("ping", "-c", "3", "-s", "1000", "-p", "5ec7e75ec7e75ec7", "-i", "0.6", "10.9.0.2")
    wait_until(lambda: "session rekeyed" in left.log, "the keys are renewed")
    pair.left.ip("address", "delete", "192.0.2.1/24", "dev", "link0")
    pair.left.ip("address", "add", "192.0.2.77/24", "dev", "link0")
    wait_until(lambda: pair.left.ping("10.9.0.2") and "peer roamed" in right.log, "the move is told")
    paths[0].write_text(paths[0].read_text().replace(secret, other_secret))
    pair.left.run(VPN, "reload", left.interface)
    paths[0].write_text(paths[0].read_text().replace("PrivateKey = ", "PrivateKey "))
    assert pair.left.run(VPN, "reload", left.interface, check=False).returncode == 1

    def failure_is_told() -> bool:
        pair.left.ping("10.9.0.2")  # keys are renewed when something is sent, and not sooner than 5 s after the last handshake
        return "handshake failed" in left.log

    wait_until(failure_is_told, "the failure is told")
    left.request(f"set=1\nprivate_key={base64.b64decode(keys[0].private).hex()[:-1]}\n\n")
    for daemon in (left, right):
        assert daemon.stop() == 0
        for wanted in ("serving", "handshake begun" if daemon is left else "peer roamed", "handshake made", "ending"):
            assert wanted in daemon.log
        for key in (secret, other_secret, keys[0].private, keys[1].private):
            assert not [form for form in forms_of(key) if form in daemon.log]
        assert "5ec7e75e" not in daemon.log.lower() and "\\x5e" not in daemon.log
        if log_format == "json":
            lines = [json.loads(line) for line in daemon.log.splitlines()]
            assert all(line["interface"] == daemon.interface and line["level"] and line["time"] for line in lines)
    assert "the preshared keys differ" in left.log and "not reloaded" in left.log and "control request refused" in left.log


def test_silence_and_return_are_told(pair: Pair) -> None:
    """M2.4: a peer that stops answering, and that comes back, is an event each."""
    tunnel = configure(pair.left.start_vpn(), pair.right.start_vpn())
    tunnel.check()
    pair.right.ip("link", "set", "link0", "down")
    pair.left.ping("10.9.0.2")
    wait_until(lambda: "peer went silent" in tunnel.left.log, "the silence is noticed", deadline=60)
    pair.right.ip("link", "set", "link0", "up")
    pair.left.wait_ping("10.9.0.2", deadline=60)
    assert "peer reconnected" in tunnel.left.log
    assert tunnel.left.log.count("handshake made") == 2


def test_who_is_refused_is_counted_not_listed(pair: Pair) -> None:
    """Initiations from nobody known, and with a wrong key of ours, are one line each, however many come."""
    right = pair.right.start_vpn()
    own, wrong = new_key(), new_key()
    right.wg("set", "private-key", pair.right.write_config(own.private), "listen-port", "51821")
    left = pair.left.start_vpn()
    left.wg("set", "private-key", pair.left.write_config(new_key().private))
    for key in (own.public, wrong.public):
        for _ in range(3):  # each time the first packet to the peer begins a handshake
            left.wg("set", "peer", key, "endpoint", "192.0.2.2:51821", "persistent-keepalive", "1", "allowed-ips", "10.9.0.2/32")
            before = right.counter("drop_unknown_peer") + right.counter("drop_bad_mac1")
            pair.left.ip("link", "set", left.interface, "up")
            wait_until(lambda: right.counter("drop_unknown_peer") + right.counter("drop_bad_mac1") > before, "it is refused")
            left.wg("set", "peer", key, "remove")
    lines = [line for line in right.log.splitlines() if "handshakes refused" in line]
    assert len(lines) == 2
    assert "the initiator's public key is not configured" in lines[0] and "does not know our public key" in lines[1]


def test_without_a_journal_the_log_is_a_file(pair: Pair) -> None:
    """`vpn up` says on the terminal what goes wrong until it serves; what comes after is where vpn(8) says."""
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\n")
    path.chmod(0o644)
    hide_journal = "if [ -d /run/systemd ]; then mount -t tmpfs none /run/systemd; fi"
    done = pair.left.run("unshare", "-m", "sh", "-c", f"{hide_journal}; exec {VPN} up {path}")
    assert "readable by others" in done.stderr and "serving" not in done.stderr
    pair.left.run(VPN, "down", path.stem)
    log = LOG_FOLDER / f"{path.stem}.log"
    text = log.read_text()
    assert "readable by others" in text and f"{path.stem}: serving" in text and "ending" in text
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


# ── The control socket ──

@pytest.mark.parametrize(("request_text", "answer"), [
    ("rubbish\n\n", "errno=71\n\n"),
    ("set=2\n\n", "errno=71\n\n"),
    ("frobnicate=1\n\n", "errno=71\n\n"),
    ("x" * 100, "errno=71\n\n"),
    ("\0" * 100, "errno=71\n\n"),
    ("set=1\nrubbish\n\n", "errno=-71\n\n"),
    ("set=1\nlisten_port=70000\n\n", "errno=-22\n\n"),
    ("set=1\nprivate_key=12\n\n", "errno=-22\n\n"),
])
def test_rubbish_gets_an_errno_and_changes_nothing(tunnel: Tunnel, request_text: str, answer: str) -> None:
    before = tunnel.left.wg("showconf")
    assert tunnel.left.request(request_text) == answer
    assert tunnel.left.wg("showconf") == before
    assert tunnel.left.host.ping("10.9.0.2")


def test_a_request_with_one_bad_line_applies_none_of_it(tunnel: Tunnel) -> None:
    before = tunnel.left.wg("showconf")
    assert tunnel.left.request("set=1\nlisten_port=51999\nreplace_peers=true\npublic_key=zz\n\n") == "errno=-22\n\n"
    assert tunnel.left.wg("showconf") == before


def test_many_requests_on_one_connection_and_many_connections(tunnel: Tunnel) -> None:
    assert tunnel.left.request("get=1\n\n" * 1).count("errno=0") == 1
    held = []
    for _ in range(200):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(tunnel.left.socket_path))
        held.append(connection)
    held[0].sendall(b"get=1\n\nset=1\n\nget=1\n\n")
    answers = b""
    held[0].settimeout(10)
    while answers.count(b"errno=0\n\n") < 3:
        answers += held[0].recv(65536)
    for connection in held:
        connection.close()
    assert tunnel.left.host.ping("10.9.0.2")
    wait_until(lambda: tunnel.left.request("get=1\n\n").endswith("errno=0\n\n"), "others are served again")


def test_two_thousand_peers_at_once(pair: Pair) -> None:
    daemon = pair.left.start_vpn()
    keys = [os.urandom(32) for _ in range(2000)]
    peers = "".join(f"[Peer]\nPublicKey = {base64.b64encode(key).decode()}\nAllowedIPs = 10.{n // 250}.{n % 250}.0/24\n"
                    for n, key in enumerate(keys))
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\n" + peers)
    daemon.wg("setconf", path)
    assert len(daemon.wg("show", "peers").splitlines()) == 2000
    shown = pair.left.write_config(daemon.wg("showconf"))
    daemon.wg("syncconf", shown)
    assert pair.left.write_config(daemon.wg("showconf")).read_text() == shown.read_text()


def test_wg_set_every_key(tunnel: Tunnel, tmp_path: pathlib.Path) -> None:
    """What `wg set` sets, `wg show` shows."""
    daemon = tunnel.left
    peer = new_key().public
    secret = daemon.host.write_config(run("wg", "genpsk").stdout)
    daemon.wg("set", "listen-port", "51999", "fwmark", "0x77", "peer", peer, "preshared-key", secret, "endpoint",
              "[2001:db8::9]:7", "persistent-keepalive", "25", "allowed-ips", "10.7.0.0/16,fd07::/64")
    assert daemon.wg("show", "listen-port").strip() == "51999"
    assert daemon.wg("show", "fwmark").strip() == "0x77"
    dump = [line.split("\t") for line in daemon.wg("show", "dump").splitlines() if line.startswith(peer)][0]
    assert dump[1] == secret.read_text().strip()
    assert dump[2:4] == ["[2001:db8::9]:7", "10.7.0.0/16,fd07::/64"] and dump[7] == "25"
    daemon.wg("set", "peer", peer, "remove")
    assert peer not in daemon.wg("show", "peers")
    daemon.wg("set", "fwmark", "0")
    assert daemon.host.ping("10.9.0.2")


def test_an_allowed_ip_moves_to_the_peer_that_is_given_it(tunnel: Tunnel) -> None:
    thief = new_key().public
    tunnel.left.wg("set", "peer", thief, "allowed-ips", "10.9.0.2/32")
    shown = dict(line.split("\t") for line in tunnel.left.wg("show", "allowed-ips").splitlines())
    assert shown[thief] == "10.9.0.2/32" and shown[tunnel.right_key.public] == "fd09::2/128"
    assert not tunnel.left.host.ping("10.9.0.2")
    assert tunnel.left.host.ping("fd09::2")


# ── Reload ──

def file_pair(pair: Pair) -> tuple[pathlib.Path, Key, Key, Tunnel]:
    keys = new_key(), new_key()
    paths = []
    daemons = []
    for number, host in ((1, pair.left), (2, pair.right)):
        paths.append(host.write_config(
            f"[Interface]\nPrivateKey = {keys[number - 1].private}\nListenPort = {51819 + number}\n"
            f"Address = 10.9.0.{number}/24, fd09::{number}/64\n[Peer]\nPublicKey = {keys[2 - number].public}\n"
            f"AllowedIPs = 10.9.0.{3 - number}/32, fd09::{3 - number}/128\nEndpoint = 192.0.2.{3 - number}:{51822 - number}\n"))
        daemons.append(host.start_vpn_file(paths[-1]))
    made = Tunnel(daemons[0], daemons[1], keys[0], keys[1])
    made.check()
    return paths[0], keys[0], keys[1], made


@pytest.mark.parametrize("how", ["verb", "signal"])
def test_reload_applies_exactly_the_difference(pair: Pair, how: str) -> None:
    """W4: a new peer, address and route come, an old address goes, and the running session is not touched."""
    path, _, _, tunnel = file_pair(pair)
    other = new_key().public
    handshakes = tunnel.left.handshake_times()
    text = path.read_text().replace("fd09::1/64", "fd09::9/64")
    path.write_text(text + f"[Peer]\nPublicKey = {other}\nAllowedIPs = 198.51.100.0/24\n")
    if how == "verb":
        pair.left.run(VPN, "reload", tunnel.left.interface)
    else:
        tunnel.left.process.send_signal(signal.SIGHUP)
        wait_until(lambda: other in tunnel.left.wg("show", "peers"), "the new peer is there")
    assert "198.51.100.0/24" in pair.left.ip("route", "show", "dev", tunnel.left.interface)
    addresses = pair.left.ip("address", "show", "dev", tunnel.left.interface)
    assert "fd09::9/64" in addresses and "fd09::1/64" not in addresses and "10.9.0.1/24" in addresses
    assert tunnel.left.handshake_times()[0] == handshakes[0], "the session went on"
    assert pair.left.ping("10.9.0.2", count=5)
    assert tunnel.left.log.count("handshake made") == 1
    path.write_text(text.replace("fd09::9/64", "fd09::1/64"))
    pair.left.run(VPN, "reload", path)
    assert other not in tunnel.left.wg("show", "peers")
    assert "198.51.100.0/24" not in pair.left.ip("route", "show", "dev", tunnel.left.interface)


@pytest.mark.parametrize(("addition", "says"), [
    ("Nonsense = 1\n", "Nonsense: unknown key"),
    ("[Peer]\nPublicKey = short\n", "PublicKey: 5 characters where a key has 44"),
    ("[Peer]\nAllowedIPs = 192.0.2.0/24\n", "PublicKey: missing"),
])
def test_reload_with_an_error_keeps_everything(pair: Pair, addition: str, says: str) -> None:
    path, _, _, tunnel = file_pair(pair)
    before = tunnel.left.wg("showconf"), pair.left.ip("address"), pair.left.ip("route")
    path.write_text(path.read_text().replace("10.9.0.1/24", "10.9.0.99/24") + addition)
    done = pair.left.run(VPN, "reload", path, check=False)
    assert done.returncode == 1 and says in done.stderr and f"{path}:" in done.stderr and "remedy: " in done.stderr
    assert (tunnel.left.wg("showconf"), pair.left.ip("address"), pair.left.ip("route")) == before
    assert pair.left.ping("10.9.0.2")


def test_reload_whose_port_is_taken_keeps_everything(pair: Pair) -> None:
    path, _, _, tunnel = file_pair(pair)
    with_port = pair.left.start_vpn()
    with_port.wg("set", "listen-port", "52000")
    before = tunnel.left.wg("showconf"), pair.left.ip("address"), pair.left.ip("route")
    path.write_text(path.read_text().replace("51820", "52000").replace("10.9.0.1/24", "10.9.0.99/24"))
    done = pair.left.run(VPN, "reload", path, check=False)
    assert done.returncode == 1 and "52000" in done.stderr and "taken" in done.stderr
    assert (tunnel.left.wg("showconf"), pair.left.ip("address"), pair.left.ip("route")) == before


def test_a_peer_that_is_this_host_itself_has_no_routes(pair: Pair) -> None:
    """W1: Linux ignores such a peer, so that wg-quick makes no routes for it; else what it claims would go nowhere."""
    own = new_key()
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {own.private}\nAddress = 10.9.0.1/24\n"
                                  f"[Peer]\nPublicKey = {own.public}\nAllowedIPs = 198.51.100.0/24\n")
    daemon = pair.left.start_vpn_file(path)
    assert daemon.wg("show", "peers") == "" and "198.51.100.0/24" not in pair.left.ip("route")
    assert f"a peer has the interface's own key, and is ignored file={path} line=4" in daemon.log
    path.write_text(path.read_text().replace("198.51.100", "203.0.113"))
    pair.left.run(VPN, "reload", daemon.interface)
    assert "203.0.113.0/24" not in pair.left.ip("route")


# ── What it survives ──

def test_network_that_goes_and_comes_back(tunnel: Tunnel) -> None:
    """ENETUNREACH: counted, survived, and the tunnel is back when the network is."""
    left = tunnel.left.host
    left.ip("link", "set", "link0", "down")
    assert not left.ping("10.9.0.2")
    assert tunnel.left.counter("send_unreachable") > 0
    left.ip("link", "set", "link0", "up")
    left.wait_ping("10.9.0.2")


def test_firewall_that_forbids_and_allows_again(tunnel: Tunnel) -> None:
    """EPERM from send: counted, survived."""
    left = tunnel.left.host
    left.run("nft", "add table inet no; add chain inet no out { type filter hook output priority 0; }; "
                    "add rule inet no out udp dport 51821 reject")
    left.run("nft", "add rule inet no out udp dport 51821 drop")
    assert not left.ping("10.9.0.2")
    assert tunnel.left.counter("send_refused") > 0
    left.run("nft", "delete table inet no")
    left.wait_ping("10.9.0.2")


def test_path_mtu_smaller_than_the_packets(tunnel: Tunnel) -> None:
    """The outer packets are larger than the link: fragmented, as WireGuard's are, not lost."""
    for host in (tunnel.left.host, tunnel.right.host):
        host.ip("link", "set", "link0", "mtu", "1300")
    assert tunnel.left.host.run("ping", "-c", "3", "-i", "0.05", "-s", "1392", "10.9.0.2").returncode == 0


# ── Bad input at the start ──

def refused(host: Host, text: str, says: str) -> None:
    """The file is refused with one line that says so, and nothing is left behind."""
    path = host.write_config(text)
    before = host.interfaces()
    done = host.try_vpn_file(path)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if not line.startswith("2")]  # log lines begin with the year
    assert len(lines) == 1 and lines[0].startswith("vpn: ") and says in lines[0] and "remedy: " in lines[0], done.stderr
    assert host.interfaces() == before
    assert not (CONTROL_FOLDER / f"{path.stem}.sock").exists()


GOOD = "[Interface]\nPrivateKey = {key}\n"


@pytest.mark.parametrize(("text", "says"), [
    (GOOD + "Colour = red\n", ":3: Colour: unknown key"),
    ("[Interface]\nPrivateKey = abc\n", ":2: PrivateKey: 3 characters where a key has 44"),
    (GOOD + "[Peer]\nPublicKey = {peer}\nAllowedIPs = 10.0.0.5/33\n", ":5: AllowedIPs: '10.0.0.5/33': the prefix length of an IPv4"),
    (GOOD + "Address = 10.0.0.1/0\n", ":3: Address: '10.0.0.1/0' would make every address there is a neighbour"),
    (GOOD + "Address = 10.0.0.1/64\n", ":3: Address: '10.0.0.1/64': the prefix length of an IPv4 address is 0 to 32"),
    (GOOD + "[Peer]\nPublicKey = {peer}\n[Peer]\nPublicKey = {peer}\n", ":5: PublicKey: the peer at line 3 has this key too"),
    (GOOD + "[Peer]\nPublicKey = {peer}\nEndpoint = nowhere.invalid:1\n", ":5: Endpoint: 'nowhere.invalid:1' does not resolve"),
    (GOOD + "User = nobody-of-this-name\n", "User: there is no user 'nobody-of-this-name'"),
    (GOOD + "PreUp = exit 3\n", "the command 'exit 3' failed: exit status 3"),
    (GOOD + "PostUp = exit 4\n", "the command 'exit 4' failed: exit status 4"),
])
def test_bad_file_is_refused(pair: Pair, text: str, says: str) -> None:
    refused(pair.left, text.format(key=new_key().private, peer=new_key().public), says)


def test_taken_port_is_refused(pair: Pair) -> None:
    pair.left.start_vpn().wg("set", "listen-port", "52001")
    refused(pair.left, GOOD.format(key=new_key().private) + "ListenPort = 52001\n",
            ":3: ListenPort: UDP port 52001 (IPv4) is taken by another program")


def test_taken_interface_is_refused(pair: Pair) -> None:
    name = unique_name()
    pair.left.ip("link", "add", name, "type", "bridge")
    path = pair.left.write_config(GOOD.format(key=new_key().private), name)
    done = pair.left.try_vpn_file(path)
    assert done.returncode == 1 and f"{name}: an interface of this name exists already; remedy: " in done.stderr
    assert name in pair.left.interfaces(), "it was another's"


def test_second_daemon_for_an_interface_is_refused(pair: Pair) -> None:
    daemon = pair.left.start_vpn()
    done = pair.right.run(VPN, "daemon", "--interface", daemon.interface, check=False)
    assert done.returncode == 1 and "another daemon serves this interface; remedy: " in done.stderr
    assert daemon.answers() and daemon.interface not in pair.right.interfaces()


def test_routes_that_exist_are_refused_and_nothing_stays(pair: Pair) -> None:
    pair.left.ip("route", "add", "198.51.100.0/24", "dev", "link0")
    text = GOOD + "Address = 10.9.0.1/24\n[Peer]\nPublicKey = {peer}\nAllowedIPs = 203.0.113.0/24, 198.51.100.0/24\n"
    refused(pair.left, text.format(key=new_key().private, peer=new_key().public),
            "AllowedIPs: there is a route to 198.51.100.0/24 in table 254 already; remedy: ")
    assert "203.0.113.0" not in pair.left.ip("route")


def test_missing_and_unreadable_files_are_refused(pair: Pair) -> None:
    done = pair.left.run(VPN, "daemon", "/nonexistent/wg9.conf", check=False)
    assert done.returncode == 1
    assert done.stderr == "vpn: /nonexistent/wg9.conf: cannot be read: No such file or directory; remedy: check the path\n"
    path = pair.left.write_config(GOOD.format(key=new_key().private))
    done = pair.left.run("setpriv", "--reuid=65534", "--clear-groups", VPN, "daemon", path, check=False)
    assert done.returncode == 1 and "Permission denied; remedy: " in done.stderr


def test_without_cap_net_admin_is_refused(pair: Pair) -> None:
    """M1.2: without CAP_NET_ADMIN the error says what is needed."""
    path = pair.left.write_config(GOOD.format(key=new_key().private))
    done = pair.left.run("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", VPN, "daemon", path, check=False)
    assert done.returncode == 1 and "creating an interface needs CAP_NET_ADMIN; remedy: run as root" in done.stderr


def test_without_dev_net_tun_is_refused(pair: Pair) -> None:
    path = pair.left.write_config(GOOD.format(key=new_key().private))
    done = pair.left.run("unshare", "-m", "sh", "-c", f"mount -t tmpfs none /dev/net && exec {VPN} daemon {path}", check=False)
    assert done.returncode == 1 and "/dev/net/tun: no TUN driver in this system; remedy: load it with 'modprobe tun'" in done.stderr


@pytest.mark.parametrize("words", [[], ["daemon"], ["daemon", "a", "--interface", "b"], ["frobnicate"], ["down"]])
def test_wrong_command_line_is_exit_2(words: list[str]) -> None:
    assert run(VPN, *words, check=False).returncode == 2


@pytest.mark.parametrize(("words", "says"), [
    (["daemon", "--interface", "a b"], "not an interface name"),
    (["daemon", "--interface", "x", "--log-level", "loud"], "'loud' is not a level"),
    (["daemon", "/etc/hostname"], "the file's name does not give an interface's name"),
    (["down", "nobody0"], "nobody0: no daemon serves this interface; remedy: start it with 'vpn up nobody0'"),
    (["reload", "nobody0"], "no daemon serves this interface"),
])
def test_wrong_argument_is_exit_1(words: list[str], says: str) -> None:
    done = run(VPN, *words, check=False)
    assert done.returncode == 1 and says in done.stderr and "remedy: " in done.stderr


def test_down_says_when_the_daemon_is_stuck(pair: Pair) -> None:
    """M1.1: whoever waits for it learns of it, and of what to do."""
    daemon = pair.left.start_vpn_file(pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\n"))
    daemon.process.send_signal(signal.SIGSTOP)
    refused = pair.left.run(VPN, "down", daemon.interface, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "the daemon is silent for 10 s; remedy: " in refused.stderr and "'vpn cleanup'" in refused.stderr
    daemon.process.send_signal(signal.SIGCONT)
    assert daemon.wait_end() == 0, "it ends as it was asked to, once it can"


# ── A name server that does not answer ──

LISTEN = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("192.0.2.2", 53))
print("asked:", server.recv(512)[12:], flush=True)
server.recv(512)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_a_name_server(pair: Pair, number: signal.Signals, tmp_path: pathlib.Path) -> None:
    """M5.4: whoever starts it with no network to ask need not wait minutes to be rid of it."""
    folder = pathlib.Path("/etc/netns") / pair.left.name  # `ip netns exec` lays it over /etc
    folder.mkdir(parents=True)
    try:
        (folder / "resolv.conf").write_text("nameserver 192.0.2.2\noptions timeout:30 attempts:5\n")
        asked = tmp_path / "asked.log"
        pair.right.begin("/usr/bin/python3", "-c", LISTEN, log=asked)
        wait_until(lambda: ":53" in pair.right.run("ss", "-lun").stdout, "the name server stands")
        path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nAddress = 10.9.0.1/24\n[Peer]\n"
                                      f"PublicKey = {new_key().public}\nAllowedIPs = 0.0.0.0/0\nEndpoint = peer.test:51821\n")
        before = pair.left.interfaces(), pair.left.run("ip", "rule").stdout
        daemon = pair.left.begin(VPN, "daemon", path, log=tmp_path / "daemon.log")
        wait_until(lambda: "asked" in asked.read_text(), "the name is asked for")
        daemon.send_signal(number)
        assert daemon.wait(timeout=DEADLINE) == 0
        assert f"ending reason={number.name}" in (tmp_path / "daemon.log").read_text()
        assert (pair.left.interfaces(), pair.left.run("ip", "rule").stdout) == before
    finally:
        shutil.rmtree(folder)
