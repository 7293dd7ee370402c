"""Finds the vpnlab of the build folder."""
import os
import pathlib
import sys

BUILD = pathlib.Path(os.environ.get("VPN_BUILD", pathlib.Path(__file__).parent.parent.parent / "build"))
sys.path.insert(0, str(BUILD / "python"))
