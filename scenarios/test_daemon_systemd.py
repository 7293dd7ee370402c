"""The unit under a live systemd: process 1 of namespaces of its own, over a copy-on-write picture of this host."""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from daemon_support import VPN, missing_tools, new_key, run, unique_name

pytestmark = [pytest.mark.lab, pytest.mark.skipif(missing_tools() is not None, reason=str(missing_tools()))]

NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--cgroup"]

# Every command's output follows a line "── NAME".
COMMANDS = """
step() { echo "── $1"; }
main_pid() { systemctl show --property MainPID --value "vpn@$1"; }
ip link set lo up
ip link add out0 type veth peer name out1
ip address add 192.0.2.1/24 dev out0
ip link set out0 up; ip link set out1 up
ip route add default via 192.0.2.254
rm -f /etc/resolv.conf; echo 'nameserver 192.0.2.53' >/etc/resolv.conf
umask 077
cat >/etc/wireguard/wg0.conf <<END
[Interface]
Address = 10.9.0.1/24
PostUp = wg set %i private-key /run/test/key
DNS = 9.9.9.9
SaveConfig = true
[Peer]
PublicKey = PEER
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = 192.0.2.2:51820
END
step start; timeout 30 systemctl start vpn@wg0; echo "exit $?"
step active; systemctl is-active vpn@wg0
step status; cat /proc/$(main_pid wg0)/status
step wg; wg show wg0 fwmark
step raw; cat /proc/net/raw /proc/net/raw6 | grep -c :
step resolv; cat /etc/resolv.conf
sed -i s/10.9.0.1/10.9.0.7/ /etc/wireguard/wg0.conf
step reload; timeout 30 systemctl reload vpn@wg0; echo "exit $?"
step addresses; ip -brief address show dev wg0
cp /etc/wireguard/wg0.conf /tmp/good; echo 'Nonsense = 1' >>/etc/wireguard/wg0.conf
step bad-reload; timeout 30 systemctl reload vpn@wg0; echo "exit $?"; systemctl is-active vpn@wg0
cp /tmp/good /etc/wireguard/wg0.conf
before=$(main_pid wg0)
kill -9 "$before"
for _ in $(seq 200); do
  case $(main_pid wg0) in 0 | "$before") ;; *) systemctl is-active --quiet vpn@wg0 && break ;; esac
  sleep 0.1
done
step restarted; systemctl is-active vpn@wg0; [ "$(main_pid wg0)" = "$before" ] || echo another
wg set wg0 peer LATE allowed-ips 10.9.0.9/32
step stop; timeout 30 systemctl stop vpn@wg0; echo "exit $?"
step saved; grep -c LATE /etc/wireguard/wg0.conf; stat -c %a /etc/wireguard/wg0.conf
step left; cat /etc/resolv.conf; ip rule; ls /run/vpn /run/wireguard; ip link show wg0
printf '[Interface]\\nPrivateKey = short\\n' >/etc/wireguard/wg1.conf
step bad-start; timeout 30 systemctl start vpn@wg1; echo "exit $?"; systemctl show --property StatusText vpn@wg1; systemctl stop vpn@wg1
printf '[Interface]\\nPrivateKey = %s\\nAddress = 10.9.0.1/24\\nUser = nobody\\n' "$(cat /run/test/key)" >/etc/wireguard/wg2.conf
step user; timeout 30 systemctl start vpn@wg2; echo "exit $?"; cat /proc/$(main_pid wg2)/status; timeout 30 systemctl stop vpn@wg2; echo "exit $?"
step journal; journalctl --no-pager -o cat -u vpn@wg0 -u vpn@wg1 -u vpn@wg2
step background; vpn up wg2; vpn down wg2; journalctl --no-pager -o cat -t vpn --grep 'over the control socket'
step end
"""


@contextlib.contextmanager
def cgroups_of_our_own() -> Iterator[list[pathlib.Path]]:
    """A cgroup in each hierarchy that systemd uses, for it to find itself at the root of; gone afterwards."""
    root = pathlib.Path("/sys/fs/cgroup")
    hierarchies = [root] if (root / "cgroup.procs").exists() else [root / "systemd", root / "unified"]
    made = [hierarchy / unique_name() for hierarchy in hierarchies]
    for folder in made:
        folder.mkdir()
    try:
        yield made
    finally:
        for folder in made:
            for below, _, _ in os.walk(folder, topdown=False):
                os.rmdir(below)


def boot(folder: pathlib.Path) -> dict[str, str]:
    """Installs the build into the picture and runs COMMANDS under a systemd; what each of them said."""
    run("cmake", "--install", VPN.parent.parent.resolve(), "--prefix", folder / "prefix" / "usr")
    unit = folder / "prefix/usr/lib/systemd/system/vpn@.service"
    unit.write_text(unit.read_text().replace(str(folder / "prefix"), ""))
    (folder / "key").write_text(new_key().private)
    (folder / "commands").write_text(COMMANDS.replace("PEER", new_key().public).replace("LATE", new_key().public))
    with cgroups_of_our_own() as cgroups:
        enter = "".join(f"echo $$ > {cgroup}/cgroup.procs; " for cgroup in cgroups)
        host = pathlib.Path(__file__).parent / "systemd_host"
        process = subprocess.Popen(["bash", "-c", f"{enter} exec {' '.join(NAMESPACES)} {host} {folder}"], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            said, _ = process.communicate(timeout=150)
        finally:
            process.kill()
            process.wait()
    output = folder / "output"
    assert output.exists(), said + ((folder / "console").read_text() if (folder / "console").exists() else "")
    parts = re.split(r"^── (\S+)\n", output.read_text(), flags=re.MULTILINE)
    assert parts[-2] == "end", output.read_text()
    return dict(zip(parts[1::2], parts[2::2]))


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemd is not installed; remedy: sudo ci/install-deps")
def test_unit_under_a_live_systemd(tmp_path: pathlib.Path) -> None:
    """W5: start, reload, a bad reload, a kill, stop, with hooks, DNS, SaveConfig and an own user; errors where an operator
    looks for them."""
    said = boot(tmp_path)
    assert said["start"] == "exit 0\n" and said["active"] == "active\n"
    assert "CapEff:\t0000000000001400" in said["status"] and "CapBnd:\t0000000000000000" in said["status"]
    assert "NoNewPrivs:\t1" in said["status"] and "Seccomp:\t2" in said["status"]
    assert said["wg"] == "0xca6c\n"
    assert said["raw"] == "2\n", "it looks for the path MTU and for dead paths, over IPv4 and IPv6"
    assert "nameserver 9.9.9.9" in said["resolv"]
    assert said["reload"] == "exit 0\n" and "10.9.0.7/24" in said["addresses"]
    assert "exit 1\nactive\n" in said["bad-reload"]
    assert said["restarted"] == "active\nanother\n"
    assert said["stop"] == "exit 0\n" and said["saved"] == "1\n600\n"
    assert said["left"].startswith("nameserver 192.0.2.53\n") and "51820" not in said["left"] and "does not exist" in said["left"]
    assert ".sock" not in said["left"]
    assert "exit 1\nStatusText=/etc/wireguard/wg1.conf:2: PrivateKey: 5 characters where a key has 44; remedy: " in said["bad-start"]
    assert said["user"].startswith("exit 0\n") and said["user"].endswith("exit 0\n") and "Uid:\t65534" in said["user"]
    assert "wg0: serving" in said["journal"] and "Nonsense: unknown key" in said["journal"]
    assert "wg2: ending" in said["background"], "without a unit the log is in the journal too"
