"""The tunnel between two real daemons, in the lab."""
from collections.abc import Callable

import pytest
from vpnlab import Lab

pytestmark = pytest.mark.lab
BAD_WEATHER = {"loss": "5%", "delay": "5ms", "reorder": "0%"}


@pytest.mark.req("M1.2", "S5")
@pytest.mark.parametrize("kind", ["vpn", "wireguard-go"])
def test_ping_through_the_tunnel_at_5_percent_loss(make_lab: Callable[..., Lab], kind: str) -> None:
    lab = make_lab("pair", settings={**BAD_WEATHER, "kind": kind}, seed=1)
    assert lab.host("left").ping("10.77.0.2", count=20, interval=0.05) == 20
    assert lab.host("right").ping("10.77.0.1", count=20, interval=0.05) == 20
    assert lab.host("left").ping("fd77::2", count=3) == 3


@pytest.mark.req("M2.4", "S5")
@pytest.mark.parametrize("restarted, signal", [("left", "KILL"), ("left", "TERM"), ("right", "KILL")])
def test_ping_survives_a_restart_of_either_daemon(pair: Lab, restarted: str, signal: str) -> None:
    left, daemon = pair.host("left"), pair.host(restarted).daemon()
    assert left.ping("10.77.0.2", count=3) == 3
    configuration = daemon.configuration()
    daemon.stop(signal)
    assert left.ping("10.77.0.2", count=1, deadline=1) == 0, "the daemon is gone"
    daemon.start(configuration)
    assert left.ping("10.77.0.2", count=3, deadline=40) == 3
