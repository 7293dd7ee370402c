"""Bad input, and what it gets: one whole line that says file, line, key and remedy; exit 1; nothing half set up. And input that
looks odd, and is fine."""
import json
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from daemon_support import (CONTROL_FOLDER, JOURNAL_FOLDER, STATE_FOLDER, VPN, Host, Pair, make_pair, missing_tools, new_key, run,
                            unique_name, wait_until)

pytestmark = [pytest.mark.lab, pytest.mark.skipif(missing_tools() is not None, reason=str(missing_tools()))]


@pytest.fixture
def pair(tmp_path: pathlib.Path) -> Iterator[Pair]:
    with make_pair(tmp_path) as made:
        yield made


def picture(host: Host) -> tuple[str, ...]:
    """Everything of a host that a daemon could have changed."""
    return (host.ip("-o", "link"), host.ip("rule"), host.ip("-6", "rule"), host.ip("route", "show", "table", "all"),
            host.ip("-6", "route", "show", "table", "all"), host.run("nft", "list", "ruleset").stdout,
            host.run("sysctl", "net.ipv4.conf.all.src_valid_mark", "net.ipv4.ip_forward").stdout)


GOOD = "[Interface]\nPrivateKey = {key}\n"
PEER = GOOD + "[Peer]\nPublicKey = {peer}\n"
INTERFACE_KEYS = ("PrivateKey, ListenPort, FwMark, Address, MTU, DNS, Table, PreUp, PostUp, PreDown, PostDown, SaveConfig, User, "
                  "Workers, TunOffload, UdpOffload")

# The text of the file, and the line it gets, without the file's name.
TABLE = {
    "unknown key": (PEER + "Colour = red\n",
                    ":5: Colour: unknown key; remedy: the keys here are PublicKey, PresharedKey, AllowedIPs, Endpoint, "
                    "PersistentKeepalive, Name, Cipher, RekeyAfterBytes, RekeyAfterTime"),
    "unknown section": (GOOD + "[Pear]\n", ":3: unknown section '[Pear]'; remedy: the sections are [Interface] and [Peer]"),
    "two interfaces": (GOOD + "[Interface]\nListenPort = 1\n",
                       ":3: a second [Interface]; remedy: keep one; every further section is a [Peer]"),
    "no section": ("ListenPort = 1\n" + GOOD, ":1: ListenPort: a key before any section; remedy: begin the file with [Interface]"),
    "no equals sign": (GOOD + "ListenPort 1\n", ":3: ListenPort: no '=' in the line; remedy: write Key = value"),
    "given twice": (GOOD + "MTU = 1400\nMTU = 1400\n", ":4: MTU: given twice; remedy: keep one of them"),
    "short key": ("[Interface]\nPrivateKey = abc\n",
                  ":2: PrivateKey: 3 characters where a key has 44; remedy: give 32 bytes in base64, as 'vpn genkey' prints"),
    "key that is no base64": ("[Interface]\nPrivateKey = " + 43 * "!" + "=\n",
                              ":2: PrivateKey: not base64; remedy: give 32 bytes in base64, as 'vpn genkey' prints"),
    "empty key": ("[Interface]\nPrivateKey =\n",
                  ":2: PrivateKey: 0 characters where a key has 44; remedy: give 32 bytes in base64, as 'vpn genkey' prints"),
    "preshared key": (PEER + "PresharedKey = abc\n",
                      ":5: PresharedKey: 3 characters where a key has 44; remedy: give 32 bytes in base64, as 'vpn genkey' prints"),
    "host bits": (GOOD + "AllowLan = 10.0.0.5/16\n",
                  ":3: AllowLan: '10.0.0.5/16' has bits beyond its prefix length; remedy: write 10.0.0.0/16, or 10.0.0.5 for one "
                  "host"),
    "address of the wrong family": (GOOD + "Address = 10.0.0.1/64\n",
                                    ":3: Address: '10.0.0.1/64': the prefix length of an IPv4 address is 0 to 32; remedy: correct "
                                    "the length, or the address if IPv6 was meant"),
    "no address": (GOOD + "Address = 10.0.0.256/24\n",
                   ":3: Address: '10.0.0.256/24' is not an IP address; remedy: write it like 10.0.0.1/24 or fd00::1/64"),
    "address twice": (GOOD + "Address = 10.0.0.1/24\nAddress = 10.0.0.1/24\n",
                      ":4: Address: '10.0.0.1/24' is given twice; remedy: keep one of them"),
    "duplicate peer": (PEER + "[Peer]\nPublicKey = {peer}\n",
                       ":5: PublicKey: the peer at line 3 has this key too; remedy: merge the two, or correct the key"),
    "peer without a key": (GOOD + "[Peer]\nAllowedIPs = 10.0.0.0/8\n",
                           ":3: PublicKey: missing in this [Peer]; remedy: add the peer's public key"),
    "port": (GOOD + "ListenPort = 65536\n", ":3: ListenPort: '65536' is not a port; remedy: give a number from 0 to 65535"),
    "negative port": (GOOD + "ListenPort = -1\n", ":3: ListenPort: '-1' is not a port; remedy: give a number from 0 to 65535"),
    "mark": (GOOD + "FwMark = 0x100000000\n",
             ":3: FwMark: '0x100000000' is not a mark; remedy: give a number up to 0xffffffff, or off"),
    "small MTU": (GOOD + "MTU = 575\n", ":3: MTU: '575' is not an MTU; remedy: give a number from 576 to 65535"),
    "large MTU": (GOOD + "MTU = 65536\n", ":3: MTU: '65536' is not an MTU; remedy: give a number from 576 to 65535"),
    "table": (GOOD + "Table = mine\n",
              ":3: Table: 'mine' is not a routing table; remedy: write auto, off, main or the table's number"),
    "keepalive": (PEER + "PersistentKeepalive = 65536\n",
                  ":5: PersistentKeepalive: '65536' is not a keepalive interval in seconds; remedy: give a number from 0 to 65535"),
    "save": (GOOD + "SaveConfig = maybe\n", ":3: SaveConfig: 'maybe' is neither true nor false; remedy: write true or false"),
    "hook": (GOOD + "PostUp =\n", ":3: PostUp: no command; remedy: give a command, or take the line out"),
    "cipher": (PEER + "Cipher = rot13\n",
               ":5: Cipher: 'rot13' is not a cipher; remedy: write chacha20-poly1305 or aes-256-gcm"),
    "rekey time": (PEER + "RekeyAfterTime = 2h\n",
                   ":5: RekeyAfterTime: '2h' is not a time from 1 s to 120 s; remedy: the protocol renews keys after 120 s at the "
                   "latest"),
    "endpoint's port": (PEER + "Endpoint = 192.0.2.2:65536\n",
                        ":5: Endpoint: '192.0.2.2:65536' is not an endpoint; remedy: write host:port, like vpn.example.org:51820"),
    "endpoint without brackets": (PEER + "Endpoint = 2001:db8::1:51820\n",
                                  ":5: Endpoint: '2001:db8::1:51820' is not an endpoint; remedy: put the IPv6 address in brackets, "
                                  "like [2001:db8::1]:51820"),
    "endpoint that does not resolve": (PEER + "Endpoint = nowhere.invalid:1\n", None),
    "user": (GOOD + "User = nobody-of-this-name\n",
             ": User: there is no user 'nobody-of-this-name'; remedy: make it with 'adduser --system nobody-of-this-name'"),
    "PreUp": (GOOD + "Address = 10.9.0.1/24\nPreUp = test %i = wg-other\n", None),
    "PostUp": (GOOD + "Address = 10.9.0.1/24\nPostUp = exit 4\n[Peer]\nPublicKey = {peer}\nAllowedIPs = 0.0.0.0/0, ::/0\n", None),
    "UTF-16": ("\ufeff[Interface]\n".encode("utf-16-le").decode("latin-1"), ":1: is no text, or UTF-16; remedy: save it as UTF-8"),
}
OTHER_LINES = {
    "endpoint that does not resolve": "{path}:5: Endpoint: 'nowhere.invalid:1' does not resolve: ",
    "PreUp": "{name}: the command 'test {name} = wg-other' failed: exit status 1; remedy: mend the command, or take it out",
    "PostUp": "{name}: the command 'exit 4' failed: exit status 4; remedy: mend the command, or take it out",
}


def refuse(host: Host, path: pathlib.Path) -> str:
    """The one line that a start with this file gets; everything is as it was before."""
    before = picture(host)
    done = host.try_vpn_file(path)
    assert done.returncode == 1 and done.stdout == "", done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("vpn: ")]
    assert len(lines) == 1, done.stderr
    assert picture(host) == before
    assert not (CONTROL_FOLDER / f"{path.stem}.sock").exists() and not (STATE_FOLDER / f"{path.stem}.state").exists()
    assert not list(JOURNAL_FOLDER.glob(f"*{path.stem}*"))
    return lines[0].removeprefix("vpn: ")


@pytest.mark.parametrize("case", TABLE)
def test_wrong_file_gets_one_line(pair: Pair, case: str) -> None:
    """What, where, and the remedy."""
    text, line = TABLE[case]
    path = pair.left.write_config("")
    path.write_bytes(text.format(key=new_key().private, peer=new_key().public).encode("latin-1"))
    said = refuse(pair.left, path)
    if line is not None:
        assert said == f"{path}{line}"
    else:
        assert said.startswith(OTHER_LINES[case].format(path=path, name=path.stem)) and "; remedy: " in said


def test_the_journal_of_a_namespace_that_is_gone_tells_nothing_of_the_next(pair: Pair) -> None:
    """M5.4: the kernel gives the inode of a namespace that is gone to a new one; what was shared with a tunnel there is not ours."""
    left_behind = JOURNAL_FOLDER / f"{unique_name()}.journal"
    inode = int(pair.left.run("stat", "-L", "-c", "%i", "/proc/self/ns/net").stdout)
    setting = {"kind": "sysctl", "name": "net/ipv4/conf/all/src_valid_mark", "value": "1", "former": "0", "id": 1}
    JOURNAL_FOLDER.mkdir(exist_ok=True)
    left_behind.write_text("".join(json.dumps(line) + "\n" for line in ({"interface": left_behind.stem, "network_namespace": inode}, setting)))
    path = pair.left.write_config(TABLE["PostUp"][0].format(key=new_key().private, peer=new_key().public))
    assert "exit status 4" in refuse(pair.left, path)


def test_unknown_interface_key_lists_the_known_ones(pair: Pair) -> None:
    path = pair.left.write_config(GOOD.format(key=new_key().private) + "Colour = red\n")
    assert refuse(pair.left, path).startswith(f"{path}:3: Colour: unknown key; remedy: the keys here are {INTERFACE_KEYS}")


def test_check_lists_all_errors_at_once(pair: Pair) -> None:
    path = pair.left.write_config("[Interface]\nPrivateKey = x\nMTU = 1\n[Peer]\nAllowedIPs = y\n")
    done = run(VPN, "check", path, check=False)
    assert done.returncode == 1
    assert [line.split(":")[1] for line in done.stderr.splitlines()] == ["2", "3", "4", "5"]
    assert all(line.startswith(f"{path}:") and "; remedy: " in line for line in done.stderr.splitlines())


@pytest.mark.parametrize("name", ["sixteencharacter", "a b", "a:b", ".", "ä"])
def test_file_name_that_is_no_interface_is_refused(tmp_path: pathlib.Path, name: str) -> None:
    path = tmp_path / f"{name}.conf"
    path.write_text(GOOD.format(key=new_key().private))
    done = run(VPN, "daemon", path, check=False)
    assert done.returncode == 1
    assert done.stderr == (f"vpn: {path}: the file's name does not give an interface's name; remedy: name it INTERFACE.conf, with 1 "
                           "to 15 letters, digits or _=+.-\n")


@pytest.mark.parametrize("name", ["sixteencharacter", "a/b", "..", "", "a\nb"])
def test_name_that_is_no_interface_is_refused(name: str) -> None:
    done = run(VPN, "daemon", f"--interface={name}", check=False)
    assert done.returncode in (1, 2) and len(done.stderr.splitlines()) <= 2 and done.stderr != ""
    if name == "a/b":
        assert done.stderr == "vpn: a/b: not an interface name; remedy: give 1 to 15 letters, digits or _=+.-\n"


def test_fifo_and_folder_are_no_files(pair: Pair, tmp_path: pathlib.Path) -> None:
    fifo, folder = tmp_path / "fifo.conf", tmp_path / "folder.conf"
    run("mkfifo", fifo)
    folder.mkdir()
    assert refuse(pair.left, fifo) == f"{fifo}: is no regular file; remedy: give the configuration file itself"
    assert refuse(pair.left, folder) == f"{folder}: cannot be read: Is a directory; remedy: check the path"


# ── What looks odd, and is fine ──

def started(host: Host, content: bytes) -> str:
    """Our daemon takes the file; what `wg show … dump` says of it."""
    path = host.write_config("")
    path.write_bytes(content)
    daemon = host.start_vpn_file(path)
    dump = daemon.wg("show", "dump")
    assert daemon.stop() == 0
    return dump


@pytest.mark.parametrize("change", [
    pytest.param(lambda text: text.replace(b"\n", b"\r\n"), id="CRLF"),
    pytest.param(lambda text: b"\xef\xbb\xbf" + text, id="byte order mark"),
    pytest.param(lambda text: text.rstrip(b"\n"), id="no newline at the end"),
    pytest.param(lambda text: text.replace(b"\n", b" # a comment = with [brackets]\n"), id="comments behind values"),
    pytest.param(lambda text: text.replace(b" = ", b"="), id="no blanks"),
    pytest.param(lambda text: b"".join(b"\t" + line.replace(b" = ", b"\t=  ") for line in text.splitlines(keepends=True)), id="tabs"),
    pytest.param(lambda text: text.replace(b"[Interface]", b"[INTERFACE]").replace(b"[Peer]", b"[peer]"), id="sections' case"),
    pytest.param(lambda text: text.replace(b"PrivateKey", b"privatekey").replace(b"AllowedIPs", b"ALLOWEDIPS"), id="keys' case"),
    pytest.param(lambda text: b"#" * (1 << 20) + b"\n" + text, id="1 MiB of comment"),
    pytest.param(lambda text: text + b"AllowedIPs =\n", id="an empty list"),
])
def test_odd_text_means_the_same(pair: Pair, change) -> None:  # type: ignore[no-untyped-def]
    own, peer = new_key(), new_key()
    plain = (f"[Interface]\nPrivateKey = {own.private}\nListenPort = 51888\nFwMark = 0x10\n[Peer]\nPublicKey = {peer.public}\n"
             "AllowedIPs = 10.9.0.0/24, fd09::/64\nPersistentKeepalive = 25\nEndpoint = 192.0.2.2:51820\n").encode()
    wanted = (f"{own.private}\t{own.public}\t51888\t0x10\n"
              f"{peer.public}\t(none)\t192.0.2.2:51820\t10.9.0.0/24,fd09::/64\t0\t0\t148\t25\n")
    dump = started(pair.left, change(plain))
    assert dump.rsplit("\t", 3)[0] == wanted.rsplit("\t", 3)[0]  # but for the bytes of the handshake that the keepalive began


def test_file_of_one_mebibyte_of_peers(pair: Pair) -> None:
    import base64
    import os
    peers = "".join(f"[Peer]\n# {'x' * 380}\nPublicKey = {base64.b64encode(os.urandom(32)).decode()}\n"
                    f"AllowedIPs = 10.{n // 250}.{n % 250}.0/24\n" for n in range(2000))
    text = GOOD.format(key=new_key().private) + "Table = off\n" + peers
    assert len(text) > 1 << 20 - 1
    assert len(started(pair.left, text.encode()).splitlines()) == 2001


@pytest.mark.parametrize("client", ["link-local", "global"])
def test_endpoint_with_a_zone(pair: Pair, client: str) -> None:
    """A link-local server: the zone names the link, the tunnel works over it, and answers come from the address spoken to, also
    for a client with a global address."""
    keys = new_key(), new_key()
    for host in (pair.left, pair.right):
        wait_until(lambda: "tentative" not in host.ip("-6", "address"), "addresses are in use")
    if client == "global":
        pair.left.ip("-6", "address", "flush", "dev", "link0", "scope", "link")
        pair.left.ip("-6", "route", "replace", "fe80::/64", "dev", "link0")
    address = next(word for word in pair.right.ip("-o", "-6", "address", "show", "dev", "link0", "scope", "link").split()
                   if word.startswith("fe80"))
    pair.right.start_vpn_file(pair.right.write_config(
        f"[Interface]\nPrivateKey = {keys[1].private}\nListenPort = 51821\nAddress = 10.9.0.2/24\n[Peer]\n"
        f"PublicKey = {keys[0].public}\nAllowedIPs = 10.9.0.1/32\n"))
    left = pair.left.start_vpn_file(pair.left.write_config(
        f"[Interface]\nPrivateKey = {keys[0].private}\nAddress = 10.9.0.1/24\n[Peer]\nPublicKey = {keys[1].public}\n"
        f"AllowedIPs = 10.9.0.2/32\nEndpoint = [{address.split('/')[0]}%link0]:51821\n"))
    pair.left.wait_ping("10.9.0.2")
    assert "%link0]:51821" in left.wg("show", "endpoints")


def test_name_that_is_one_in_etc_wireguard() -> None:
    name = unique_name()
    done = run(VPN, "up", name, check=False)
    assert done.returncode == 1
    assert done.stderr == f"vpn: /etc/wireguard/{name}.conf: cannot be read: No such file or directory; remedy: check the path\n"
