"""What the project is made of, and how it is used: the rows of the design card that a look at the tree can show."""
import json
import os
import pathlib
import subprocess

import pytest
from running import BUILD, cannot_run

ROOT = pathlib.Path(__file__).parent.parent
pytestmark = pytest.mark.sim


def output(*command: object) -> str:
    return subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.req("C3")
def test_top_level_holds_what_was_asked_for_and_little_else() -> None:
    if not (ROOT / ".git").exists():
        cannot_run("this is no git checkout", "git clone the project")
    top = {line.partition("/")[0] for line in output("git", "-c", f"safe.directory={ROOT}", "ls-files").splitlines()}
    asked = {"CMakeLists.txt", "vpn", "lab", "fuzz", "pybindings", "scenarios", "ci", "README.md"}
    besides = {"Makefile", "CMakePresets.json", "LICENSE", "debian"}
    assert asked <= top
    assert {name for name in top - asked - besides if not name.startswith(".")} == set()


@pytest.mark.req("C2")
def test_programs_stand_on_the_libraries_asked_for() -> None:
    vpn, lab = (output("ldd", BUILD / "bin" / name) for name in ("vpn", "lab"))
    assert "libsodium" in vpn and "libnl-3" in vpn and "libnl-3" in lab
    assert "libFuzzer" in (ROOT / "fuzz" / "CMakeLists.txt").read_text()
    assert "pybind11" in (ROOT / "pybindings" / "CMakeLists.txt").read_text()
    tests = json.loads(output("ctest", "--test-dir", BUILD, "--show-only=json-v1"))["tests"]
    assert sum("gtest" in " ".join(test.get("command", [])) for test in tests) > 300, "GoogleTests"


@pytest.mark.req("C4", "C6")
def test_one_core_is_the_daemons_and_pythons() -> None:
    """The library is tested by itself, too: what was linked into this very process knows no socket (ci/check-sans-io)."""
    import vpnlab._core
    assert pathlib.Path(vpnlab._core.__file__).is_relative_to(BUILD)
    assert (BUILD / "vpn" / "libvpn_core.a").is_file()
    assert "Serve one tunnel interface" in output(BUILD / "bin" / "vpn", "daemon", "--help")


@pytest.mark.req("C8")
def test_readme_says_how_to_use_it() -> None:
    """That its commands work is the work of ci/readme-blocks, which runs them."""
    text = (ROOT / "README.md").read_text()
    for command in ("make lab-up", "pytest scenarios", "make fuzz", "sudo vpn daemon"):
        assert command in text
    assert "fuzz" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.req("W6")
def test_nothing_compresses() -> None:
    assert "VORACLE" in (ROOT / "vpn" / "docs" / "threat-model.md").read_text()
    libraries = output("ldd", BUILD / "bin" / "vpn")
    undefined = output("nm", "-D", "--undefined-only", BUILD / "bin" / "vpn")
    assert not [name for name in ("deflate", "LZ4_compress", "ZSTD_compress", "lzo1x") if name in undefined], libraries


@pytest.mark.req("S6", "W3")
def test_each_group_of_tests_is_there() -> None:
    """Unit, security, performance, integration, stress, error handling, system."""
    groups = {"unit": "vpn/**/*_test.cc", "security": "scenarios/test_adversary.py", "performance": "vpn/bench/*.cc",
              "integration": "scenarios/test_daemon_interop.py", "stress": "vpn/sim/random_run.cc", "error handling": "scenarios/test_drops.py",
              "system": "lab/tests/test_*.py"}
    assert {group for group, pattern in groups.items() if not list(ROOT.glob(pattern))} == set()
    assert os.access(ROOT / "ci" / "test", os.X_OK)
