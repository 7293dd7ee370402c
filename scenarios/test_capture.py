"""What is on the wire between two real daemons."""
import pathlib

import pytest
from vpnlab import Lab

pytestmark = pytest.mark.lab
PLAINTEXT = b"plain text inside a tunnel"


def captured(lab: Lab, host: str, interface: str, folder: pathlib.Path) -> bytes:
    """Ten packets of one interface, captured while the other end is pinged with a recognisable payload."""
    file = folder / f"{interface}.pcap"
    tcpdump = lab.host(host).start("tcpdump", "-i", interface, "--immediate-mode", "-c", "10", "-w", str(file), "-Z", "root")
    assert tcpdump.stdout is not None
    for line in tcpdump.stdout:
        if "listening on" in line:
            break
    pattern = PLAINTEXT[:16].hex()
    done = lab.host(host).run("ping", "-c", "5", "-i", "0.05", "-W", "5", "-s", "64", "-p", pattern, "10.77.0.2")
    assert " 5 received" in done.stdout
    tcpdump.communicate(timeout=20)
    return file.read_bytes()


@pytest.mark.req("M4.4", "N5")
def test_a_capture_of_the_link_holds_no_plaintext(pair: Lab, tmp_path: pathlib.Path) -> None:
    assert PLAINTEXT[:16] in captured(pair, "left", "wg0", tmp_path), "the search finds it where it must be"
    on_the_link = captured(pair, "left", "wan", tmp_path)
    assert len(on_the_link) > 10 * 100
    assert PLAINTEXT[:8] not in on_the_link


def test_a_capture_hears_a_daemon_that_comes_back(pair: Lab, tmp_path: pathlib.Path) -> None:
    """Its interface is another then, with the same name."""
    left = pair.host("left")
    with left.capture(tmp_path / "left.pcapng") as capture:
        assert left.ping("10.77.0.2", count=1) == 1
        configuration = left.daemon().configuration()
        left.daemon().stop()
        left.daemon().start(configuration)
        assert left.ping("10.77.0.2", count=5) == 5
    requests = [packet.ip for packet in capture.packets() if packet.interface == "wg0" and packet.outgoing and packet.ip[9] == 1]
    assert len({request[24:26] for request in requests}) == 2, "of both pings"
