"""Where and how the suite runs. Imported first: it finds the vpnlab of the build folder."""
import os
import pathlib
import sys
from typing import NoReturn

import pytest

BUILD = pathlib.Path(os.environ.get("VPN_BUILD", pathlib.Path(__file__).parent.parent / "build"))
sys.path[:0] = [str(BUILD / "python"), str(pathlib.Path(__file__).parent.parent / "ci")]

CALM = {"delay": "0ms", "loss": "0%", "reorder": "0%", "kind": "vpn"}  # the lab `pair` without its weather


def cannot_run(reason: str, remedy: str) -> NoReturn:
    """Skips the test. (In CI that fails, see conftest.py.)"""
    pytest.skip(f"{reason}; remedy: {remedy}")


def needs_root() -> None:
    if os.geteuid() != 0:
        cannot_run("network namespaces need root", "sudo pytest scenarios")
