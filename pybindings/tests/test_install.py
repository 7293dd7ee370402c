"""The package as pip installs it, without an index."""
import os
import pathlib
import subprocess
import sys

import pytest

PROJECT = pathlib.Path(__file__).parent.parent.parent
TRY = """
import pathlib, sys, vpnlab
assert pathlib.Path(vpnlab.__file__).is_relative_to(sys.prefix), vpnlab.__file__
world = vpnlab.World(1)
world.add_node("a"), world.add_node("b")
world.connect("a", "b")
packet = world.send("a", "b")
world.run_for(1)
assert world.packet(packet).delivered_count == 1
assert (pathlib.Path(vpnlab.__file__).parent / "_core.pyi").is_file()
"""


@pytest.mark.slow
@pytest.mark.sim
def test_pip_installs_it_without_an_index(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("setuptools", reason="setuptools is missing; remedy: sudo ci/install-deps")
    if subprocess.run([sys.executable, "-m", "ensurepip", "--version"], capture_output=True).returncode != 0:
        pytest.skip("ensurepip is missing; remedy: sudo ci/install-deps")
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PIP_FIND_LINKS")}
    # With warnings as the build at hand treats them: then a compiler cache has what a build made once consists of.
    options = (PROJECT / "build" / "CMakeCache.txt").read_text()
    environment["CMAKE_ARGS"] = f"-DVPN_WERROR={'ON' if 'VPN_WERROR:BOOL=ON' in options else 'OFF'}"
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", tmp_path], check=True, env=environment)
    done = subprocess.run([tmp_path / "bin" / "pip", "install", "-q", "--no-index", "--no-build-isolation", PROJECT / "pybindings"],
                          capture_output=True, text=True, timeout=500, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run([tmp_path / "bin" / "python", "-c", TRY], check=True, cwd=tmp_path, env=environment)
