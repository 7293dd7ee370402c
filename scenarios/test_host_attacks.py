"""A hostile network with real servers on it, name resolution by systemd-resolved, and tunnels for some programs only (M5.1, M5.2, M5.3)."""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from host_net import CLIENT, NAMES, ROGUE, SERVER, VPN, WEB, WEB6, World, client_packets_in_clear, differences, make_world, state_of, wait_for

pytestmark = pytest.mark.lab


@pytest.fixture
def world() -> Iterator[World]:
    with make_world() as made:
        yield made


def cannot_run(reason: str, remedy: str) -> None:
    pytest.skip(f"{reason}; remedy: {remedy}")


def need(program: str, package: str) -> str:
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        cannot_run(f"{program} is not installed", f"sudo apt-get install {package}")
    return str(found)


def not_dhcp(lines: list[str]) -> list[str]:
    """Without what DHCP itself says, which is let out."""
    return [line for line in lines if ".68 > " not in line or ".67: BOOTP/DHCP" not in line]


@pytest.mark.req("M5.1", "M5.3")
def test_a_rogue_dhcp_server_gets_nothing(world: World) -> None:
    """TunnelVision, CVE-2024-3661: routes for everything by option 121, and a name server, from a server on the LAN."""
    dnsmasq, dhclient = need("dnsmasq", "dnsmasq-base"), need("dhclient", "isc-dhcp-client")
    world.serve()
    world.client.run(VPN, "up", world.client_config(f"KillSwitch = on\nDNS = {NAMES}"))
    world.rogue.start(dnsmasq, "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces",
                      "--user=root", "--leasefile-ro", "--pid-file=/run/dnsmasq.pid", "--log-facility=/run/dnsmasq.log",
                      "--dhcp-range=192.168.7.100,192.168.7.150,255.255.255.0,2m", f"--dhcp-option=6,{ROGUE}",
                      f"--dhcp-option=121,0.0.0.0/1,{ROGUE},128.0.0.0/1,{ROGUE},{WEB}/32,{ROGUE}")
    wait_for(lambda: world.rogue.path("/run/dnsmasq.pid").exists(), "the rogue server")
    capture = world.on_client_link()
    world.client.sh("mkdir -p /run/dhcp")
    world.client.run(dhclient, "-1", "-lf", "/run/dhcp/leases", "-pf", "/run/dhcp/pid", "eth0")
    routes = world.client.sh("ip route show table main")
    assert f"0.0.0.0/1 via {ROGUE}" in routes and f"{WEB} via {ROGUE}" in routes, "the attack did not come to pass"
    assert world.client.ask("tcp", WEB, 80) == SERVER
    assert world.client.ask("udp", ROGUE, 53, 1) == ""
    lines = capture.lines(world.end_of_capture())
    assert not_dhcp(client_packets_in_clear(lines)) == []
    leased = [line for line in lines if re.search(r" IP 192\.168\.7\.1[0-9][0-9][. ]", line)]  # from the address that it gave
    assert not_dhcp([line for line in leased if f"> {SERVER}.51820: UDP" not in line]) == []
    assert not any(f" > {ROGUE}." in line and ".67: BOOTP" not in line for line in lines if " IP " in line)


# A router advertisement (RFC 4861) of high preference, for the whole world, and of the web server's network as on-link.
ADVERTISE = """
import socket, struct, time
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex('eth0'))
prefix = struct.pack('!BBBBIII16s', 3, 4, 64, 0xc0, 600, 600, 0, socket.inet_pton(socket.AF_INET6, '2001:db8:113::'))
advertisement = struct.pack('!BBHBBHII', 134, 0, 0, 64, 0x08, 600, 0, 0) + prefix
print('ready', flush=True)
while True:
    s.sendto(advertisement, ('ff02::1', 0))
    time.sleep(0.2)
"""


@pytest.mark.req("M5.1", "M5.3")
def test_a_rogue_router_advertisement_gets_nothing(world: World) -> None:
    """A better default router, and the web server's network announced as on-link (TunnelCrack LocalNet for IPv6)."""
    world.client.sh("sysctl -qw net.ipv6.conf.eth0.accept_ra=2")
    world.serve()
    world.client.run(VPN, "up", world.client_config("KillSwitch = on"))
    world.rogue.start("/usr/bin/python3", "-c", ADVERTISE, ready="ready")
    wait_for(lambda: "2001:db8:113::/64 dev eth0" in world.client.sh("ip -6 route show table main"), "the network to be believed on-link")
    wait_for(lambda: "proto ra" in world.client.sh("ip -6 route show default table main"), "the rogue router to be taken")
    capture = world.on_client_link()
    assert world.client.ask("tcp", WEB6, 80) == "2001:db8:51::10"
    assert client_packets_in_clear(capture.lines(world.end_of_capture())) == []


@pytest.mark.req("M5.2", "M5.4")
def test_a_gateway_keeps_the_default_route_of_its_router(world: World) -> None:
    """Who begins to forward IPv6 loses what it has from router advertisements, and hears no more, unless accept_ra says so."""
    world.client.sh("sysctl -qw net.ipv6.conf.eth0.accept_ra=1")
    router = world.rogue.start("/usr/bin/python3", "-c", ADVERTISE, ready="ready")
    wait_for(lambda: "proto ra" in world.client.sh("ip -6 route show default table main"), "the router to be taken")
    router.kill()
    world.client.run(VPN, "up", world.client_config("Gateway = on", allowed="10.50.0.0/16"))
    assert world.client.sh("sysctl -n net.ipv6.conf.all.forwarding") == "1\n"
    assert "proto ra" in world.client.sh("ip -6 route show default table main")
    world.client.run(VPN, "down", "cli0")
    assert world.client.sh("sysctl -n net.ipv6.conf.all.forwarding net.ipv6.conf.eth0.accept_ra") == "0\n1\n"
    assert "proto ra" in world.client.sh("ip -6 route show default table main")


# Speaks without end, to everywhere, by name and by address, whether it is answered or not.
CHATTER = f"""
import socket, time
print('ready', flush=True)
while True:
    for kind, address, port in ((socket.SOCK_DGRAM, '{WEB}', 9), (socket.SOCK_DGRAM, '{WEB6}', 9), (socket.SOCK_DGRAM, '192.168.7.1', 53),
                                (socket.SOCK_DGRAM, '{NAMES}', 53), (socket.SOCK_STREAM, '{WEB}', 80), (socket.SOCK_STREAM, '{WEB6}', 80)):
        with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, kind) as one:
            one.setblocking(False)
            try:
                one.connect((address, port))
                one.send(b'in the clear')
            except OSError:
                pass
    time.sleep(0.01)
"""


@pytest.mark.req("M5.3", "M5.4")
def test_nothing_leaks_while_the_daemon_dies_and_comes_back(world: World) -> None:
    """From a kill switch that was left standing, as at boot, over starting, kill -9, restart and the service manager's stop."""
    world.serve()
    config = world.client_config(f"KillSwitch = on\nDNS = {NAMES}")
    control = world.client.path("/run/wireguard/cli0.sock")

    def start() -> "subprocess.Popen[str]":
        control.unlink(missing_ok=True)
        process = world.client.start(VPN, "daemon", config, env={"VPN_LOG_LEVEL": "error"})
        wait_for(control.exists, "the daemon to serve")
        return process

    process = start()
    process.terminate()
    assert process.wait(20) == 0
    capture, others = world.on_client_link(), world.capture(world.internet, "eth0")
    world.client.start("/usr/bin/python3", "-c", CHATTER, ready="ready")
    for end in ("kill", "terminate", "kill"):
        process = start()
        assert world.client.ask("tcp", WEB, 80) == SERVER
        getattr(process, end)()
        process.wait(20)
        wait_for(lambda: "cli0" not in world.client.sh("ip -o link"), "the interface to be gone")
    assert client_packets_in_clear(capture.lines(world.end_of_capture())) == []
    world.internet.run("ping", "-c1", "-W5", "198.51.100.1")
    assert not any(f"IP {CLIENT}." in line or "IP6 2001:db8:7::2." in line for line in others.lines("ICMP echo reply"))


@contextlib.contextmanager
def cgroup(world: World, hierarchy: str = "/sys/fs/cgroup") -> Iterator[str]:
    """A group of the client's own, in the cgroup2 hierarchy, which is mounted there."""
    if "cgroup2" not in pathlib.Path("/proc/filesystems").read_text():
        cannot_run("the kernel has no cgroup2", "a kernel with CONFIG_CGROUPS and CONFIG_SOCK_CGROUP_DATA")
    name = f"vpn-test-{os.getpid()}"
    if hierarchy != "/sys/fs/cgroup":
        world.client.sh(f"mount -t tmpfs tmpfs /sys/fs/cgroup; mkdir {hierarchy}")
    world.client.sh(f"mount -t cgroup2 cgroup2 {hierarchy}; mkdir {hierarchy}/{name}")
    in_nft = f"{hierarchy}/{name}".removeprefix("/sys/fs/cgroup/")
    try:
        refused = world.client.run("nft", f"add table inet t; add chain inet t c {{ type filter hook output priority 0; }}; "
                                   f"add rule inet t c socket cgroupv2 level 1 \"{in_nft}\" accept; delete table inet t", check=False)
        if refused.returncode != 0:
            cannot_run("nftables here cannot match cgroups", "a kernel with CONFIG_NFT_SOCKET and CONFIG_SOCK_CGROUP_DATA")
        yield name
    finally:
        wait_for(lambda: world.client.run("rmdir", f"{hierarchy}/{name}", check=False).returncode == 0, "the group to be empty")


def web_from(world: World, group: str, hierarchy: str = "/sys/fs/cgroup") -> str:
    ask = f"import socket; c = socket.create_connection(('{WEB}', 80), 5); print(c.recv(99).decode())"
    return world.client.sh(f"echo 0 >{hierarchy}/{group}/cgroup.procs; exec /usr/bin/python3 -c \"{ask}\"").strip()


@pytest.mark.req("M5.2")
@pytest.mark.parametrize("kill_switch", ["off", "on"])
def test_a_program_may_go_past_the_tunnel(world: World, kill_switch: str) -> None:
    world.serve()
    with cgroup(world) as group:
        world.client.run(VPN, "up", world.client_config(f"BypassCgroup = {group}\nKillSwitch = {kill_switch}"))
        assert world.client.ask("tcp", WEB, 80) == SERVER
        assert web_from(world, group) == CLIENT
        world.client.run(VPN, "down", "cli0")


@pytest.mark.req("M5.2")
def test_only_chosen_programs_may_use_the_tunnel(world: World) -> None:
    world.serve()
    with cgroup(world) as group:
        world.client.run(VPN, "up", world.client_config(f"TunnelCgroup = {group}"))
        assert world.client.ask("tcp", WEB, 80) == CLIENT
        assert web_from(world, group) == SERVER
        world.client.run(VPN, "down", "cli0")


@pytest.mark.req("M5.2")
@pytest.mark.parametrize("key, inside, outside", [("BypassCgroup", CLIENT, SERVER), ("TunnelCgroup", SERVER, CLIENT)])
def test_a_cgroup_that_is_made_anew_is_followed(world: World, key: str, inside: str, outside: str) -> None:
    """A service manager removes a unit's cgroup, and makes it anew with the next start; sometimes the slice around it as well."""
    world.serve()
    with cgroup(world) as group:
        unit = f"{group}/one.slice/one.service"
        root = f"/sys/fs/cgroup/{group}"

        def remove(*folders: str) -> None:
            for folder in folders:
                wait_for(lambda folder=folder: world.client.run("rmdir", f"{root}/{folder}", check=False).returncode == 0, "the group to be empty")  # type: ignore[misc]

        world.client.sh(f"mkdir -p /sys/fs/cgroup/{unit}")
        world.client.run(VPN, "up", world.client_config(f"{key} = {unit}"))
        assert web_from(world, unit) == inside
        for folders in (["one.slice/one.service"], ["one.slice/one.service", "one.slice"]):
            remove(*folders)
            world.client.sh(f"mkdir -p /sys/fs/cgroup/{unit}")
            wait_for(lambda: web_from(world, unit) == inside, f"{folders} to be followed")
        assert world.client.ask("tcp", WEB, 80) == outside
        remove("one.slice/one.service")
        world.client.run(VPN, "reload", world.client_config(f"{key} = {unit}\nAllowLan = 172.16.0.0/16"))
        world.client.run(VPN, "down", "cli0")
        remove("one.slice")


@pytest.mark.req("M5.2")
@pytest.mark.parametrize("hierarchy", ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"])
@pytest.mark.parametrize("key, inside, outside", [("BypassCgroup", CLIENT, SERVER), ("TunnelCgroup", SERVER, CLIENT)])
def test_a_cgroup_may_come_later(world: World, key: str, inside: str, outside: str, hierarchy: str) -> None:
    """What starts at boot in any order, and before the tunnel is started again. Until the unit is there all goes as without it, which is
    said. Also where both versions of cgroups are in use, and this one is below the other."""
    world.serve()
    with cgroup(world, hierarchy) as group:
        said = world.client.run(VPN, "up", world.client_config(f"{key} = {group}/late.service")).stderr
        assert said.count(f"a cgroup is not there, and is waited for cgroup={hierarchy}/{group}/late.service") == 1
        assert world.client.ask("tcp", WEB, 80) == outside
        world.client.sh(f"mkdir {hierarchy}/{group}/late.service")
        wait_for(lambda: web_from(world, f"{group}/late.service", hierarchy) == inside, "the unit to be followed")
        world.client.run(VPN, "reload", world.client_config(f"{key} = {group}/late.service\nAllowLan = 172.16.0.0/16"))
        assert web_from(world, f"{group}/late.service", hierarchy) == inside
        world.client.run(VPN, "down", "cli0")
        wait_for(lambda: world.client.run("rmdir", f"{hierarchy}/{group}/late.service", check=False).returncode == 0, "the group to be empty")


BUS = """<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>"""

# org.freedesktop.resolve1, which writes down what it is told. An error where /run/refuse says so.
RESOLVED = """
import dbus, dbus.service, dbus.mainloop.glib, os
from gi.repository import GLib
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
class Manager(dbus.service.Object):
    def tell(self, *what):
        if os.path.exists('/run/refuse'):
            raise dbus.exceptions.DBusException('the link is not managed', name='org.freedesktop.resolve1.LinkBusy')
        with open('/run/resolved.log', 'a') as log:
            print(*what, file=log)
    @dbus.service.method('org.freedesktop.resolve1.Manager', in_signature='ia(iay)')
    def SetLinkDNS(self, link, servers):
        self.tell('dns', link, [(int(family), '.'.join(str(int(byte)) for byte in address)) for family, address in servers])
    @dbus.service.method('org.freedesktop.resolve1.Manager', in_signature='ia(sb)')
    def SetLinkDomains(self, link, domains):
        self.tell('domains', link, [(str(name), bool(only)) for name, only in domains])
    @dbus.service.method('org.freedesktop.resolve1.Manager', in_signature='i')
    def RevertLink(self, link):
        self.tell('revert', link)
bus = dbus.SystemBus()
name = dbus.service.BusName('org.freedesktop.resolve1', bus)
manager = Manager(bus, '/org/freedesktop/resolve1')
print('ready', flush=True)
GLib.MainLoop().run()
"""


def start_resolved(world: World, leads_to_it: bool = True) -> None:
    bus = need("dbus-daemon", "dbus-daemon")
    if subprocess.run(["/usr/bin/python3", "-c", "import dbus, gi"], capture_output=True).returncode != 0:
        cannot_run("Python has no D-Bus", "sudo apt-get install python3-dbus python3-gi")
    world.client.sh("mkdir -p /run/dbus" + ("; echo nameserver 127.0.0.53 >/etc/resolv.conf" if leads_to_it else ""))
    world.client.path("/run/bus.conf").write_text(BUS)
    world.client.start(bus, "--config-file=/run/bus.conf", "--nofork", "--nopidfile")
    wait_for(lambda: world.client.path("/run/dbus/system_bus_socket").exists(), "the bus")
    world.client.start("/usr/bin/python3", "-c", RESOLVED, ready="ready")


@pytest.mark.req("M5.3", "M5.4")
def test_systemd_resolved_is_told_and_told_again(world: World) -> None:
    start_resolved(world)
    before = world.client.sh("cat /etc/resolv.conf")
    world.client.run(VPN, "up", world.client_config(f"DNS = {NAMES}, corp.example"))
    index = world.client.sh("cat /sys/class/net/cli0/ifindex").strip()
    assert world.client.sh("cat /etc/resolv.conf") == before
    world.client.run(VPN, "down", "cli0")
    assert world.client.sh("cat /run/resolved.log").splitlines() == [
        f"dns {index} [(2, '{NAMES}')]", f"domains {index} [('corp.example', False), ('.', True)]", f"revert {index}"]


@pytest.mark.req("M5.3")
@pytest.mark.parametrize("interface, allowed", [("FwMark = 77", "0.0.0.0/1, 128.0.0.0/1"), ("Table = off", "0.0.0.0/0"), ("", "10.50.0.0/16")])
def test_systemd_resolved_asks_the_tunnel_alone_for_all_names(world: World, interface: str, allowed: str) -> None:
    """As wg-quick has it: also where the tunnel is full by two halves, or by somebody else's routes, or is not full."""
    start_resolved(world)
    world.client.run(VPN, "up", world.client_config(f"DNS = {NAMES}\n{interface}", allowed=allowed))
    assert "[('.', True)]" in world.client.sh("grep ^domains /run/resolved.log")


@pytest.mark.req("M5.3", "M5.4")
@pytest.mark.parametrize("others", ["", "nameserver 127.0.0.53\n"])
def test_a_resolv_conf_that_leads_past_systemd_resolved_is_changed_too(world: World, others: str) -> None:
    """It runs, but programs ask the network's server: both have to be told, or names leak to that one."""
    start_resolved(world, leads_to_it=False)
    # What systemd-resolved installs as resolvconf, which tells it alone.
    world.client.sh("mkdir -p /run/bin; touch /run/bin/resolvectl; chmod +x /run/bin/resolvectl; ln -s resolvectl /run/bin/resolvconf")
    path = {"PATH": "/run/bin:" + os.environ["PATH"]}
    world.client.path("/etc/resolv.conf").write_text(f"{others}nameserver 192.168.7.1\n")
    world.client.sh("touch /run/resolved.log")
    before = state_of(world.client)
    world.client.run(VPN, "up", world.client_config(f"DNS = {NAMES}"), env=path)
    index = world.client.sh("cat /sys/class/net/cli0/ifindex").strip()
    assert world.client.sh("grep ^nameserver /etc/resolv.conf") == f"nameserver {NAMES}\n"
    world.client.run(VPN, "down", "cli0", env=path)
    assert world.client.sh("cat /run/resolved.log").splitlines() == [
        f"dns {index} [(2, '{NAMES}')]", f"domains {index} [('.', True)]", f"revert {index}"]
    assert differences(before, state_of(world.client)) == ""


@pytest.mark.req("M5.4")
def test_what_systemd_resolved_refuses_leaves_nothing_behind(world: World) -> None:
    start_resolved(world)
    world.client.sh("touch /run/refuse; ip rule >/run/rules")
    refused = world.client.run(VPN, "up", world.client_config(f"DNS = {NAMES}"), check=False)
    assert refused.returncode == 1 and "systemd-resolved: SetLinkDNS: the link is not managed" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert world.client.sh("ip rule | diff - /run/rules") == "" and "cli0" not in world.client.sh("ip -o link")
