"""What whoever uses wireguard-go, `wg` and `wg-quick` does, done with ours: the same commands, the same answers."""
import base64
import os
import pathlib
import re
import socket
from collections.abc import Iterator, Sequence

import pytest

from daemon_support import (CONTROL_FOLDER, VPN, Daemon, Host, Pair, give_addresses, make_pair, missing_tools, new_key,
                            new_preshared_key, run, unique_name, wait_until, wg_quick)

pytestmark = [pytest.mark.lab, pytest.mark.skipif(missing_tools() is not None, reason=str(missing_tools()))]


@pytest.fixture
def pair(tmp_path: pathlib.Path) -> Iterator[Pair]:
    with make_pair(tmp_path) as made:
        yield made


@pytest.fixture
def both(pair: Pair) -> tuple[Daemon, Daemon]:
    """Ours and wireguard-go, each up and bare."""
    daemons = pair.left.start_vpn(), pair.right.start_wireguard_go()
    for daemon in daemons:
        daemon.host.ip("link", "set", daemon.interface, "up")
    return daemons


# ── The same answers as wireguard-go's ──

def outcome(daemon: Daemon, *words: object) -> tuple[int, str, list[str], list[str]]:
    """What a `wg` command gives, and what `wg show … dump` says after it: lines without their order, for peers have none."""
    done = daemon.host.run("wg", words[0], daemon.interface, *words[1:], check=False)
    device, *peers = daemon.wg("show", "dump").splitlines()
    shown = done.stdout.replace(daemon.interface, "IF")
    return done.returncode, done.stderr.replace(daemon.interface, "IF"), sorted(shown.splitlines()), [device, *sorted(peers)]


def test_wg_gives_the_same_as_with_wireguard_go(both: tuple[Daemon, Daemon], tmp_path: pathlib.Path) -> None:
    """Every verb of `wg` that changes or shows anything, each key set, changed and taken back."""
    own, peer, other = new_key(), new_key().public, new_key().public
    files = {"key": own.private, "zero": base64.b64encode(bytes(32)).decode(), "psk": new_preshared_key(),
             "whole": f"[Interface]\nPrivateKey = {own.private}\nListenPort = 52999\nFwMark = off\n[Peer]\nPublicKey = {peer}\n"
                      "AllowedIPs = 10.2.0.0/16\nEndpoint = localhost:77\nPersistentKeepalive = off\n",
             "more": f"[Peer]\nPublicKey = {other}\nAllowedIPs = 10.3.0.0/16, fd03::/64\n",
             "less": f"[Interface]\nPrivateKey = {own.private}\nListenPort = 52999\n[Peer]\nPublicKey = {other}\nAllowedIPs = 10.4.0.0/16\n",
             "bare": "[Interface]\nListenPort = 52999\n",
             "unknown": "[Interface]\nColour = red\n"}
    path = {name: tmp_path / name for name in files}
    for name, text in files.items():
        path[name].write_text(text + "\n")
    commands: list[Sequence[object]] = [
        ["set", "private-key", path["key"], "listen-port", "51999", "fwmark", "0x20"],
        ["set", "peer", peer, "allowed-ips", "10.0.0.0/24,fd00::/64", "endpoint", "192.0.2.9:7", "persistent-keepalive", "25",
         "preshared-key", path["psk"]],
        ["showconf"], ["show"],
        ["set", "peer", peer, "persistent-keepalive", "off"], ["set", "peer", peer, "persistent-keepalive", "0"],
        ["set", "peer", peer, "preshared-key", "/dev/null"],
        ["set", "fwmark", "off"], ["set", "fwmark", "0x21"], ["set", "fwmark", "0"],
        ["set", "peer", peer, "endpoint", "localhost:9"], ["set", "peer", peer, "endpoint", "[2001:db8::5]:9"],
        ["set", "peer", peer, "allowed-ips", ""], ["set", "peer", peer, "allowed-ips", "10.0.0.5/16"],
        ["set", "peer", other, "allowed-ips", "10.0.0.0/16,10.1.0.0/16"],
        ["set", "peer", peer, "remove"], ["set", "peer", peer, "remove"],
        ["set", "peer", own.public, "allowed-ips", "10.9.0.0/24"],
        ["set", "private-key", "/dev/null"], ["set", "private-key", path["key"]], ["set", "private-key", path["zero"]],
        ["setconf", path["whole"]], ["showconf"], ["addconf", path["more"]], ["showconf"], ["syncconf", path["less"]], ["showconf"],
        ["setconf", path["bare"]], ["setconf", path["unknown"]], ["set", "private-key", path["key"]],
        *(words.split() for words in ("show public-key", "show private-key", "show listen-port", "show fwmark", "show peers",
                                 "show preshared-keys", "show endpoints", "show allowed-ips", "show latest-handshakes",
                                 "show transfer", "show persistent-keepalive")),
    ]
    for words in commands:
        ours, theirs = (outcome(daemon, *words) for daemon in both)
        assert ours == theirs, f"wg {' '.join(map(str, words))}"
    for daemon in both:
        daemon.wg("set", "listen-port", "0")
        assert int(daemon.wg("show", "listen-port")) not in (0, 52999), "a free port was chosen"


PEER = "public_key=" + 32 * "5a" + "\n"


@pytest.mark.parametrize("lines", [
    "", "foo=bar\n", "noequals\n", "listen_port=70000\n", "listen_port=-1\n", "listen_port=\n", "fwmark=4294967296\n",
    "replace_peers=false\n", "replace_peers=1\n", "private_key=zz\n", "private_key=" + 64 * "0" + "\n", "public_key=12\n",
    PEER + "remove=false\n", PEER + "update_only=true\nallowed_ip=10.8.0.0/16\n", PEER + "allowed_ip=10.8.0.1/33\n",
    PEER + "allowed_ip=x\n", PEER + "allowed_ip=\n", PEER + "endpoint=1.2.3.4\n", PEER + "endpoint=1.2.3.4:70000\n",
    PEER + "endpoint=name:1\n", PEER + "endpoint=\n", PEER + "endpoint=[fe80::1%7]:1\n", PEER + "protocol_version=2\n",
    PEER + "protocol_version=1\n", PEER + "persistent_keepalive_interval=70000\n", PEER + "persistent_keepalive_interval=\n",
    PEER + "replace_allowed_ips=false\n", PEER + "preshared_key=00\n", PEER + "listen_port=5\n", PEER + "remove=true\n" + PEER,
])
def test_a_set_has_the_errno_of_wireguard_go(both: tuple[Daemon, Daemon], lines: str) -> None:
    answers = [daemon.request(f"set=1\n{lines}\n") for daemon in both]
    assert answers[0] == answers[1]


def test_a_port_that_is_taken_has_the_errno_of_wireguard_go(both: tuple[Daemon, Daemon]) -> None:
    script = "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('0.0.0.0', 50001)); time.sleep(100)"
    for daemon in both:
        daemon.host.begin("/usr/bin/python3", "-c", script)
        host = daemon.host
        wait_until(lambda: ":50001" in host.run("ss", "-lun").stdout, "the port is taken")
    before = both[0].wg("show", "listen-port")
    assert [daemon.request("set=1\nlisten_port=50001\n\n") for daemon in both] == ["errno=-98\n\n"] * 2
    assert both[0].wg("show", "listen-port") == before, "ours stays on the port it had"


# ── Clients that do not behave ──

def test_a_client_that_never_reads_holds_nobody_up(pair: Pair) -> None:
    """Its answers wait for it alone: others are served, and the tunnel works."""
    daemon = pair.left.start_vpn()
    peers = "".join(f"public_key={os.urandom(32).hex()}\nallowed_ip=10.{n // 250}.{n % 250}.0/24\n" for n in range(2000))
    assert daemon.request(f"set=1\n{peers}\n") == "errno=0\n\n"
    with socket.socket(socket.AF_UNIX) as mute:
        mute.connect(str(daemon.socket_path))
        mute.setblocking(False)
        sent = 0
        try:
            while sent < 16 << 20:  # far more than any socket buffer
                sent += mute.send(b"get=1\n\n" * 10_000)
        except BlockingIOError:
            pass
        assert sent < 16 << 20, "it reads no further requests while an answer waits"
        for _ in range(3):
            assert len(daemon.wg("show", "peers").splitlines()) == 2000
        with socket.socket(socket.AF_UNIX) as half:  # a request that never ends
            half.connect(str(daemon.socket_path))
            half.sendall(b"set=1\nlisten_port=5")
            assert daemon.request("set=1\nlisten_port=52777\n\n") == "errno=0\n\n"
    assert daemon.wg("show", "listen-port").strip() == "52777"


def test_two_clients_that_take_turns_byte_by_byte(pair: Pair) -> None:
    daemon = pair.left.start_vpn()
    requests = [b"set=1\nlisten_port=52801\n\n", b"set=1\nfwmark=77\n\n"]
    clients = [socket.socket(socket.AF_UNIX) for _ in requests]
    for client in clients:
        client.settimeout(20)
        client.connect(str(daemon.socket_path))
    for bytes_of_each in zip(*requests):
        for client, byte in zip(clients, bytes_of_each):
            client.send(bytes([byte]))
    clients[0].sendall(requests[0][len(requests[1]):])
    for client in clients:
        assert client.recv(100) == b"errno=0\n\n"
        client.close()
    assert daemon.wg("show", "listen-port").strip() == "52801" and daemon.wg("show", "fwmark").strip() == "0x4d"


# ── wg-quick ──

def test_wg_quick_saves_strips_and_holds_two_interfaces(pair: Pair) -> None:
    paths = [pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nAddress = 10.{n}.0.1/24\n"
                                    f"PostUp = wg set %i fwmark 0x{n}\n[Peer]\nPublicKey = {new_key().public}\n"
                                    f"AllowedIPs = 10.{n}.0.2/32\n") for n in (5, 6)]
    stripped = wg_quick(pair.left, "strip", paths[0]).stdout
    assert "Address" not in stripped and "PostUp" not in stripped and "AllowedIPs = 10.5.0.2/32" in stripped
    for path in paths:
        wg_quick(pair.left, "up", path)
        assert (CONTROL_FOLDER / f"{path.stem}.sock").exists(), "it is ours"
    second = wg_quick(pair.left, "up", paths[0], check=False)
    assert second.returncode == 1 and "already exists" in second.stderr
    assert [run("wg", "show", path.stem, "fwmark").stdout.strip() for path in paths] == ["0x5", "0x6"]
    late = new_key().public
    run("wg", "set", paths[0].stem, "peer", late, "allowed-ips", "10.5.0.9/32")
    wg_quick(pair.left, "save", paths[0])
    assert late in paths[0].read_text()
    for path in paths:
        wg_quick(pair.left, "down", path)
        assert path.stem not in pair.left.interfaces()
    wait_until(lambda: not set(run("wg", "show", "interfaces").stdout.split()) & {path.stem for path in paths}, "both end")


# ── Hooks ──

def test_hooks_may_use_the_interface(pair: Pair, tmp_path: pathlib.Path) -> None:
    """The idiom of wg-quick(8): the private key is set in PostUp; what PreDown and PostDown ask is answered too."""
    own, peer = new_key(), new_key()
    (tmp_path / "key").write_text(own.private)
    remote = pair.right.start_vpn()
    remote.wg("set", "private-key", pair.right.write_config(peer.private), "listen-port", "51821", "peer", own.public,
              "allowed-ips", "10.9.0.1/32")
    give_addresses(remote, 2)
    path = pair.left.write_config(
        f"[Interface]\nAddress = 10.9.0.1/24\nPostUp = wg set %i private-key {tmp_path}/key\nPostUp = ping -c 1 -W 10 10.9.0.2\n"
        f"PreDown = wg showconf %i > {tmp_path}/predown\nPostDown = wg show %i 2> {tmp_path}/postdown || true\n"
        f"[Peer]\nPublicKey = {peer.public}\nAllowedIPs = 10.9.0.2/32\nEndpoint = 192.0.2.2:51821\n")
    daemon = pair.left.start_vpn_file(path)
    wait_until(lambda: "serving" in daemon.log, "its commands have run")
    assert daemon.wg("show", "public-key").strip() == own.public
    assert daemon.stop() == 0
    assert peer.public in (tmp_path / "predown").read_text()
    assert "No such device" in (tmp_path / "postdown").read_text()


def test_commands_after_the_end_run_once_after_a_crash_and_a_start(pair: Pair, tmp_path: pathlib.Path) -> None:
    """A killed daemon runs no command; the next one starts over what it left, and its own end runs them."""
    trace = tmp_path / "trace"
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nAddress = 10.9.0.1/24\n"
                                  f"PostUp = echo up >> {trace}\nPostDown = echo down >> {trace}\n")
    daemon = pair.left.start_vpn_file(path)
    wait_until(lambda: "serving" in daemon.log, "it serves")
    daemon.kill()
    wait_until(lambda: path.stem not in pair.left.interfaces(), "the interface goes with its daemon")
    again = pair.left.start_vpn_file(path)
    wait_until(lambda: again.log.count("serving") == 2, "it serves")
    assert again.stop() == 0
    assert trace.read_text().split() == ["up", "up", "down"]


# ── The table of a full tunnel ──

def full_tunnel(host: Host) -> pathlib.Path:
    return host.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nAddress = 10.9.0.1/24\n[Peer]\n"
                             f"PublicKey = {new_key().public}\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 192.0.2.2:51820\n")


def test_a_full_tunnel_takes_a_table_that_is_free(pair: Pair) -> None:
    """M5.1: as wg-quick does, which may have a tunnel in the first one."""
    pair.left.ip("route", "add", "198.51.100.0/24", "dev", "link0", "table", "51820")
    pair.left.ip("-6", "route", "add", "2001:db8:9::/64", "dev", "link0", "table", "51821")
    before = pair.left.ip("route", "show", "table", "all")
    daemon = pair.left.start_vpn_file(full_tunnel(pair.left))
    assert "default dev" in pair.left.ip("route", "show", "table", "51822") and "lookup 51822" in pair.left.ip("rule")
    assert daemon.wg("show", "fwmark").strip() == hex(51822)
    assert daemon.stop() == 0
    assert pair.left.ip("route", "show", "table", "all") == before and "51822" not in pair.left.ip("rule")


def test_a_second_full_tunnel_is_refused_and_a_split_one_is_not(pair: Pair) -> None:
    first = pair.left.start_vpn_file(full_tunnel(pair.left))
    second = full_tunnel(pair.left)
    done = pair.left.try_vpn_file(second)
    assert done.returncode == 1
    assert done.stderr == (f"vpn: {second}: AllowedIPs: another full tunnel is up; "
                           "remedy: take it down, or make one of the two a split tunnel\n")
    assert second.stem not in pair.left.interfaces()
    split = second
    split.write_text(second.read_text().replace("0.0.0.0/0, ::/0", "10.77.0.0/24").replace("10.9.0.1/24", "10.8.0.1/24"))
    assert "10.77.0.0/24" in pair.left.ip("route", "show", "dev", pair.left.start_vpn_file(split).interface)
    assert first.answers()


# ── Invitations ──

def test_an_invited_client_gets_through(pair: Pair) -> None:
    """The server runs; `vpn invite` tells it, writes both files, and the client's file is all that the client needs."""
    server = pair.right.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nListenPort = 51820\n"
                                     "Address = 10.9.0.1/24, fd09::1/64\nSaveConfig = true\n")
    daemon = pair.right.start_vpn_file(server)
    client = pair.left.folder / f"{unique_name()}.conf"
    said = pair.right.run(VPN, "invite", server, "--endpoint", "192.0.2.2", "--name", "laptop of Ann", "--output", client).stdout
    assert f"added to {server} and the running {daemon.interface}" in said and "10.9.0.2" in said
    assert client.stat().st_mode & 0o777 == 0o600
    pair.left.start_vpn_file(client)
    for address in ("10.9.0.1", "fd09::1"):
        pair.left.wait_ping(address)
    invited = re.findall(r"PublicKey = (\S+)", server.read_text())
    assert len(invited) == 1
    assert daemon.stop() == 0
    assert re.findall(r"PublicKey = (\S+)", server.read_text()) == invited, "SaveConfig keeps whoever was invited"
    assert "Name = laptop of Ann\n" in server.read_text()


def test_a_peer_keeps_its_name_whoever_sets_it_anew(pair: Pair) -> None:
    """`wg setconf` replaces all peers, and knows no names."""
    peer = f"[Peer]\nPublicKey = {new_key().public}\n"
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\n{peer}Name = laptop of Ann\n")
    daemon = pair.left.start_vpn_file(path)
    assert "name=laptop of Ann\n" in daemon.request("get=1\n\n")
    daemon.wg("setconf", pair.left.write_config(peer))
    assert "name=laptop of Ann\n" in daemon.request("get=1\n\n")


# ── What a reload says ──

def test_reload_names_the_keys_that_it_cannot_change(pair: Pair, tmp_path: pathlib.Path) -> None:
    text = f"[Interface]\nPrivateKey = {new_key().private}\nAddress = 10.9.0.1/24\nMTU = 1400\n"
    path = pair.left.write_config(text)
    daemon = pair.left.start_vpn_file(path)
    path.write_text(text.replace("MTU = 1400\n", "") + f"PostDown = touch {tmp_path}/ran\nTunOffload = off\nSaveConfig = true\n")
    done = pair.left.run(VPN, "reload", daemon.interface)
    assert done.stderr == (f"vpn: {daemon.interface}: what changed of PostDown, TunOffload takes effect with the next start only\n")
    assert "mtu 1420" in pair.left.ip("link", "show", daemon.interface), "back to the default"
    late = new_key().public
    daemon.wg("set", "peer", late, "allowed-ips", "10.9.0.7/32")
    assert daemon.stop() == 0
    assert late in path.read_text(), "SaveConfig was applied"
    assert not (tmp_path / "ran").exists()


def test_save_config_that_the_user_may_not_write_is_refused(pair: Pair) -> None:
    path = pair.left.write_config(f"[Interface]\nPrivateKey = {new_key().private}\nUser = nobody\nSaveConfig = true\n")
    done = pair.left.try_vpn_file(path)
    assert done.returncode == 1
    assert done.stderr == (f"vpn: {path}: SaveConfig: the user 'nobody' may not write in the file's folder; remedy: take "
                           "SaveConfig or User out, or give the folder to that user\n")


def test_an_endpoint_inside_the_tunnel_is_refused_at_a_reload_too(pair: Pair) -> None:
    text = (f"[Interface]\nPrivateKey = {new_key().private}\nAddress = 10.9.0.1/24\n[Peer]\nPublicKey = {new_key().public}\n"
            "Endpoint = 192.0.2.2:51820\nAllowedIPs = 10.9.0.0/24\n")
    path = pair.left.write_config(text)
    daemon = pair.left.start_vpn_file(path)
    path.write_text(text.replace("10.9.0.0/24\n", "10.9.0.0/24, 192.0.2.0/24\n"))
    done = pair.left.run(VPN, "reload", daemon.interface, check=False)
    assert done.returncode == 1 and "Endpoint: 192.0.2.2 is inside AllowedIPs 192.0.2.0/24" in done.stderr
    assert "192.0.2.0/24" not in daemon.wg("show", "allowed-ips")


def test_an_endpoint_on_our_own_link_may_be_inside_what_the_tunnel_takes(pair: Pair) -> None:
    """As with wg-quick: the link's route is longer than that of AllowedIPs. Also at a reload, where the tunnel's own routes are there."""
    keys = new_key(), new_key()
    paths = [host.write_config(f"[Interface]\nPrivateKey = {keys[number - 1].private}\nListenPort = {51819 + number}\nAddress = 10.9.0.{number}/24\n"
                               f"[Peer]\nPublicKey = {keys[2 - number].public}\nEndpoint = 192.0.2.{3 - number}:{51822 - number}\n"
                               f"AllowedIPs = 10.9.0.0/24, 192.0.0.0/16\n") for number, host in ((1, pair.left), (2, pair.right))]
    for path, host in zip(paths, (pair.left, pair.right)):
        host.start_vpn_file(path)
    pair.left.wait_ping("10.9.0.2")
    pair.left.run(VPN, "reload", paths[0])
    paths[0].write_text(paths[0].read_text().replace("192.0.0.0/16", "192.0.0.0/16, 192.0.2.2/32"))
    refused = pair.left.run(VPN, "reload", paths[0], check=False)
    assert refused.returncode == 1 and "Endpoint: 192.0.2.2 is inside AllowedIPs 192.0.2.2/32" in refused.stderr
    assert pair.left.ping("10.9.0.2")


# ── The installed program ──

def test_what_make_install_installs_works(pair: Pair, tmp_path: pathlib.Path) -> None:
    prefix = tmp_path / "prefix"
    build = VPN.parent.parent.resolve()
    run("cmake", "--install", build, "--prefix", prefix)
    program = prefix / "bin" / "vpn"
    assert run(program, "--version").stdout.startswith("vpn ")
    assert os.readlink(prefix / "bin" / "vpn-wireguard") == "vpn"
    for page in ("man8/vpn.8", "man5/vpn.conf.5"):
        assert (prefix / "share" / "man" / page).read_text().startswith('.\\"')
    offered = run("bash", "-c", f"source {prefix}/share/bash-completion/completions/vpn; COMP_WORDS=(vpn gen); COMP_CWORD=1; _vpn; "
                  "echo ${COMPREPLY[@]}").stdout.split()
    assert {"genkey", "genpsk"} <= set(offered)
    unit = (prefix / "lib" / "systemd" / "system" / "vpn@.service").read_text()
    assert f"ExecStart={program} daemon /etc/wireguard/%i.conf\n" in unit and f"ExecReload={program} reload %i\n" in unit
    name = unique_name()
    pair.left.run(prefix / "bin" / "vpn-wireguard", name)
    assert name in pair.left.interfaces()
    pair.left.run(program, "down", name)
    assert name not in pair.left.interfaces()
