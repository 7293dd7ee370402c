"""Finds the vpnlab of the build folder, and what the suites share in ci/."""
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent.parent
BUILD = pathlib.Path(os.environ.get("VPN_BUILD", ROOT / "build"))
sys.path[:0] = [str(BUILD / "python"), str(ROOT / "ci")]

from no_skips import pytest_runtest_makereport  # noqa: E402, F401
