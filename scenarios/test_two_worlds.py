"""What must hold in virtual time and between real daemons alike."""
import pytest
from two_worlds import Tunnel, answers_within


@pytest.mark.req("C6", "M1.2", "M2.3", "N1")
@pytest.mark.parametrize("sender", ["left", "right"])
def test_either_end_reaches_the_other(tunnel: Tunnel, sender: str) -> None:
    assert tunnel.exchange(sender, 5) == 5


@pytest.mark.req("S5")
def test_at_5_percent_loss_most_come_through(tunnel: Tunnel) -> None:
    assert tunnel.exchange("left", 1) == 1
    tunnel.weather(loss=0.05, delay=0.01)
    assert tunnel.exchange("left", 40) >= 24
    tunnel.weather()
    assert tunnel.exchange("left", 5) == 5


@pytest.mark.req("M2.4", "S5")
def test_an_unplugged_link_comes_back(tunnel: Tunnel) -> None:
    assert tunnel.exchange("left", 2) == 2
    tunnel.plug(False)
    assert tunnel.exchange("left", 1) == 0
    tunnel.plug(True)
    assert tunnel.exchange("left", 5) == 5


@pytest.mark.req("M2.4", "S5")
@pytest.mark.parametrize("restarted", ["left", "right"])
def test_a_killed_daemon_comes_back(tunnel: Tunnel, restarted: str) -> None:
    assert tunnel.exchange("left", 2) == 2
    tunnel.restart(restarted)
    assert answers_within(tunnel, "left", attempts=40)
    assert tunnel.exchange("left", 5) == 5
