"""Where vpnlab looks for a lab: where the command `lab` keeps it (lab/run/state_directory.cc)."""
import os
import pathlib
import socket
import threading

import pytest
from vpnlab import Lab


@pytest.mark.parametrize("user, environment, expected", [
    (0, {}, "/run/vpn-lab/one"), (0, {"XDG_RUNTIME_DIR": "/run/user/0"}, "/run/vpn-lab/one"),
    (1000, {}, "/tmp/vpn-lab-1000/one"), (1000, {"XDG_RUNTIME_DIR": "", "LAB_STATE": ""}, "/tmp/vpn-lab-1000/one"),
    (1000, {"XDG_RUNTIME_DIR": "/run/user/1000"}, "/run/user/1000/vpn-lab/one"), (1000, {"LAB_STATE": "/labs"}, "/labs/one")])
def test_the_folder_of_a_lab(monkeypatch: pytest.MonkeyPatch, user: int, environment: "dict[str, str]", expected: str) -> None:
    for name in ("LAB_STATE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert Lab("pair", name="one").state_folder == pathlib.Path(expected)


def test_a_control_socket_lies_as_deep_as_it_likes(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("LAB_STATE", str(tmp_path / ("deep" * 30)))
    lab = Lab("pair", name="one")
    folder = lab.state_folder / "hosts" / "left" / "run" / "wireguard"
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as daemon:
        monkeypatch.chdir(folder)
        daemon.bind("wg0.sock")
        daemon.listen()

        def answer() -> None:
            connection, _ = daemon.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"count_sent_datagrams=7\nerrno=0\n\n")

        answering = threading.Thread(target=answer)
        answering.start()
        assert lab.host("left").daemon().counters() == {"sent_datagrams": 7}
        answering.join()
