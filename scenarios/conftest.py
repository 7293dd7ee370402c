"""Fixtures and rules of the scenario suite.

- Every lab has a name of its own, so `pytest -n auto` is safe, and is proved to have left nothing behind.
- A test that cannot run here is skipped with the reason and the remedy; in continuous integration (CI=true) it fails instead.
  A test that by its nature does not apply says so with a reason that begins with "by design: ".
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from _pytest.terminal import TerminalReporter

pytest.register_assert_rewrite("meeting", "two_worlds", "worlds")

from running import BUILD, CALM, cannot_run, needs_root  # noqa: E402  (it finds vpnlab and ci/)

import leftovers  # noqa: E402
import no_skips  # noqa: E402

from meeting import Meeting  # noqa: E402
from report import Page, Recording, slug_of  # noqa: E402
from two_worlds import AttackedTunnel, RealTunnel, SimulatedTunnel, Tunnel  # noqa: E402
from vpnlab import Keypair, Lab, LabError, World  # noqa: E402

FAILED = pytest.StashKey[bool]()
ROOT = pathlib.Path(__file__).parents[1]
SEEDS = pytest.StashKey[list[int]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--requirements", type=pathlib.Path, metavar="FILE",
                     help="write which test shows which requirement, and whether it passed, as JSON")
    parser.addoption("--report", type=lambda text: pathlib.Path(text).absolute(), metavar="DIR",
                     help="keep the folder of every test, and write DIR/index.html, which links them all")
    parser.addoption("--implementation", default="vpn", metavar="KIND",
                     help="try another WireGuard (wireguard-go, kernel where there is one, or a command line such as 'boringtun -f {interface}') "
                          "with the cases that need no more of it than to be one")
    parser.addoption("--conformance", type=pathlib.Path, metavar="FILE", help="run those cases alone, and write what became of each, as JSON")
    parser.addoption("--replay", type=int, metavar="SEED", help="make every world and every lab with this seed")


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--report")
    if folder is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Page(folder), "report-page")


def pytest_unconfigure(config: pytest.Config) -> None:
    """What root has made in a user's checkout is the user's."""
    owner = ROOT.stat()
    if os.geteuid() == 0 and owner.st_uid != 0 and not hasattr(config, "workerinput"):
        subprocess.run(["chown", "-Rh", "--from=0", f"{owner.st_uid}:{owner.st_gid}", ROOT], check=False, stderr=subprocess.DEVNULL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of another implementation, or for the table, the cases that see a tunnel from outside: what it carries, answers and keeps silent on."""
    if config.getoption("--implementation") == "vpn" and not config.getoption("--conformance"):
        return

    def is_case(item: pytest.Item) -> bool:
        fixtures = getattr(item, "_fixtureinfo").name2fixturedefs
        # Those of this file: a test file that has a `tunnel` of its own starts our daemon there.
        shared = (name in fixtures and not fixtures[name][-1].baseid.endswith(".py") for name in ("tunnel", "attacked"))
        return item.get_closest_marker("lab") is not None and any(shared)

    config.hook.pytest_deselected(items=[item for item in items if not is_case(item)])
    items[:] = [item for item in items if is_case(item)]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Iterator[None]:
    """What a report tells besides; and in CI nothing may be skipped but what does not apply by design."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    no_skips.judge(report)
    if report.when != "teardown" and report.failed:
        item.stash[FAILED] = True
    again = f"pytest '{os.path.relpath(item.path)}::{item.nodeid.partition('::')[2]}'"
    if report.failed and item.stash.get(SEEDS, []):
        report.sections.append(("again", f"{again} --replay {item.stash[SEEDS][0]}"))
    worlds = [name for name in ("sim", "lab", "netem") if item.get_closest_marker(name)]
    about = " ".join((getattr(item, "function", item).__doc__ or "").split())
    report.user_properties = [("requirements", requirements_of(item)), ("about", about), ("world", " ".join(worlds)),
                              ("again", again)]


def requirements_of(item: pytest.Item) -> list[str]:
    """The rows that a test shows: of its marks, and of a docstring that begins with them, as "M4.3, S5: what it shows"."""
    rows = {row for mark in item.iter_markers("req") for row in mark.args}
    beginning = re.match(r"((?:[CMWSRN]\d(?:\.\d)?(?:, )?)+):", getattr(item, "function", item).__doc__ or "")
    return sorted(rows | set(beginning[1].split(", ") if beginning else []))


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Writes --requirements and --conformance, in the process that has the results of all workers."""
    if conformance := config.getoption("--conformance"):
        cases = {report.nodeid.removeprefix("scenarios/"): outcome for outcome in ("passed", "skipped", "failed", "error")
                 for report in terminalreporter.stats.get(outcome, [])}
        conformance.write_text(json.dumps(cases, indent=1))
    file = config.getoption("--requirements")
    if file is None:
        return
    results: dict[str, dict[str, object]] = {}
    for outcome in ("failed", "error", "passed"):
        for report in terminalreporter.stats.get(outcome, []):
            rows = dict(report.user_properties).get("requirements", [])
            if rows and (report.when == "call" or outcome != "passed"):
                results.setdefault(report.nodeid, {"requirements": rows, "passed": outcome == "passed"})
    file.write_text(json.dumps(results, indent=1))


@pytest.fixture
def alice() -> Keypair:
    return Keypair()


@pytest.fixture
def bob() -> Keypair:
    return Keypair()


@pytest.fixture
def meeting(alice: Keypair, bob: Keypair) -> Meeting:
    return Meeting(alice, bob)


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """After the last test of this process none of its processes runs, nothing of its making is on the machine, and no sanitizer has spoken."""
    run = leftovers.Run()
    yield
    left = run.leftovers()
    assert not left, "left behind by the run:\n" + "\n".join(left)


@pytest.fixture(autouse=True)
def recording(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recording]:
    """Every world and lab of a test, told in its folder: with --report of every test, else of those that failed."""
    base = request.config.getoption("--report")
    folder = (base / "tests" if base else BUILD / "failed-scenarios") / slug_of(request.node.nodeid)
    shutil.rmtree(folder, ignore_errors=True)
    made = Recording(folder, request.config.getoption("--replay"))
    begin = World.__init__

    def begin_recorded(world: World, seed: int) -> None:
        seed = seed if made.replay is None else made.replay
        begin(world, seed)
        made.worlds.append((seed, world))
        request.node.stash[SEEDS] = made.seeds()

    monkeypatch.setattr(World, "__init__", begin_recorded)
    yield made
    request.node.stash[SEEDS] = made.seeds()
    if (base or made.failed or request.node.stash.get(FAILED, False)) and (made.worlds or made.watches):
        made.write()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def take_down(lab: Lab) -> list[str]:
    lab.down()
    return []


@pytest.fixture
def make_lab(recording: Recording, request: pytest.FixtureRequest) -> Iterator[Callable[..., Lab]]:
    """Makes labs: make_lab("pair", settings={"loss": "5%"}). They are down, and nothing is left of them, when the test ends."""
    needs_root()
    labs: list[Lab] = []

    def make(topology: str = "pair", **options: object) -> Lab:
        if recording.replay is not None:
            options["seed"] = recording.replay
        if (kind := request.config.getoption("--implementation")) != "vpn":
            settings = options.get("settings", {})
            assert isinstance(settings, dict)
            options["settings"] = {**settings, "kind": kind}
        try:
            lab = Lab(topology, environment={"VPN_LOG_LEVEL": "debug"}, **options)  # type: ignore[arg-type]
        except LabError as error:
            cannot_run(str(error), "make build")
        lab.up()
        labs.append(lab)
        recording.watch(lab)
        request.node.stash[SEEDS] = recording.seeds()
        return lab

    yield make
    problems = []
    for lab in labs:
        for step in (recording.finish, take_down):  # whatever becomes of the one, the other is due, and the next lab's
            try:
                problems += step(lab)
            except Exception as error:
                problems.append(f"{step.__name__} of {lab.name}: {error!r}")
        problems += leftovers.of_lab(lab.name)
    recording.failed |= bool(problems)
    assert not problems, "left behind:\n" + "\n".join(problems)


@pytest.fixture
def pair(make_lab: Callable[..., Lab]) -> Lab:
    """Two hosts, left (10.77.0.1) and right (10.77.0.2), and a tunnel between them over a perfect link."""
    return make_lab("pair", settings=CALM)


BOTH_WORLDS = [pytest.param("sim", marks=pytest.mark.sim), pytest.param("lab", marks=pytest.mark.lab)]


@pytest.fixture(params=BOTH_WORLDS)
def attacked(request: pytest.FixtureRequest) -> Iterator[AttackedTunnel]:
    """Such a tunnel with an adversary between the two, in virtual time and in the lab."""
    if request.param == "sim":
        simulated = SimulatedTunnel()
        simulated.attack()
        yield simulated
        return
    lab = request.getfixturevalue("make_lab")(str(pathlib.Path(__file__).parent / "middle.toml"))
    real = RealTunnel(lab)
    real.attack()
    yield real
    real.close()


@pytest.fixture(params=BOTH_WORLDS)
def tunnel(request: pytest.FixtureRequest) -> Iterator[Tunnel]:
    """A tunnel between "left" and "right", in virtual time and in the lab: the test runs in both."""
    if request.param == "sim":
        yield SimulatedTunnel()
        return
    real = RealTunnel(request.getfixturevalue("pair"))
    yield real
    real.close()
