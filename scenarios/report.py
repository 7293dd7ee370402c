"""What a run leaves behind: a folder a test, and with --report DIR one page, DIR/index.html, that links them all.

The folder of a test on a lab holds a capture a link (pcapng, keys embedded) and a host, the daemons' logs, one merged timeline and a
sequence diagram; that of a test in virtual time the log, timeline and diagram of each of its worlds. Without --report the folders of
failed tests alone are kept, in build/failed-scenarios/.
"""
import contextlib
import datetime
import html
import json
import pathlib
import platform
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from leftovers import SANITIZER
from vpnlab import Capture, Lab, LabError, World, diagram, pcapng
from vpnlab.story import Dropped, Fate, Note, Story, of_captures, of_world

_MOST_CAPTURES = 12  # of links, and of hosts
_MOST_PACKETS = 50_000
_SAMPLE_SECONDS = 0.2
_LOG_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) (\w+) (.*)")


def slug_of(nodeid: str) -> str:
    """A folder's name for a test."""
    return re.sub(r"[^A-Za-z0-9.=-]+", "-", nodeid.removeprefix("scenarios/").replace(".py::", "-"))[:150].strip("-")


class LabWatch:
    """Watches a lab from its coming up to its going down: captures, and the drop counters of its daemons."""

    def __init__(self, lab: Lab, folder: pathlib.Path) -> None:
        self.lab = lab
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        status = lab.status()
        self.seed: int = status["seed"]
        self.daemons = [(one["host"], one["interface"]) for one in status["daemons"]]
        links = [one["name"] for one in status["links"]][:_MOST_CAPTURES]
        hosts = sorted({host for host, _ in self.daemons})[:_MOST_CAPTURES]
        self.captures = [Capture(lab, link, folder / f"link-{link}.pcapng", packets=_MOST_PACKETS) for link in links]
        self.host_captures = [Capture(lab, host, folder / f"host-{host}.pcapng", packets=_MOST_PACKETS) for host in hosts]
        self.notes: list[Note] = []
        self.drops: list[Dropped] = []
        self.start = time.time()
        self._ending = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def _sample(self) -> None:
        """Notes when a daemon counts drops. (Daemons tell no more of a dropped packet, lest a flood fill the log.)"""
        known: dict[tuple[str, str], dict[str, int]] = {}
        asked: dict[tuple[str, str], float] = {}
        while True:
            ended = self._ending.wait(_SAMPLE_SECONDS)
            for host, interface in self.daemons:
                with contextlib.suppress(LabError):
                    since, asked[host, interface] = asked.get((host, interface), 0.0), time.time()
                    drops = self.lab.host(host).daemon(interface).drops()
                    before = known.get((host, interface), {})
                    for reason, count in drops.items():
                        if more := count - before.get(reason, 0):
                            self.notes.append(Note(time.time(), host, f"dropped {more}: {reason.replace('_', ' ')}", bad=True))
                            self.drops.append(Dropped(since, time.time(), host, reason.replace("_", " "), more))
                    known[host, interface] = drops
            if ended:
                return

    def finish(self) -> list[str]:
        """Ends the watch while the lab still stands; what a lab must not leave in its logs, or have happen to its daemons."""
        self._ending.set()
        self._sampler.join()
        problems = []
        for capture in [*self.captures, *self.host_captures]:
            try:
                capture.stop()
            except LabError as error:
                problems.append(str(error))
        with contextlib.suppress(OSError):
            shutil.copytree(self.lab.state_folder / "logs", self.folder / "logs", dirs_exist_ok=True)
            for name in ("events.jsonl", "fates.jsonl"):
                shutil.copy(self.lab.state_folder / name, self.folder / name)
        for log in (self.folder / "logs").glob("*"):
            if found := SANITIZER.search(log.read_text(errors="replace")):
                problems.append(f"{log.name} has a report: {found[0]}")
        with contextlib.suppress(LabError):
            for one in self.lab.status()["daemons"]:
                if not one.get("running", True) and (one["host"], one["interface"]) not in self.lab.stopped:
                    problems.append(f"the daemon of {one['interface']} in {one['host']} ended by itself; see its log")
        return problems

    def write(self) -> None:
        """The timeline and the diagram, from all that was gathered."""
        packets = [packet for capture in self.host_captures for packet in capture.packets()]
        story = of_captures(packets, self.start, [*self._fates(), *self.lab.fates], self.drops)
        story.hosts = [host for host, _ in self.daemons] if len(self.daemons) <= _MOST_CAPTURES else story.hosts
        story.hosts = list(dict.fromkeys(story.hosts))
        story.notes += self.notes + [*self._logged(), *self._events()]
        write_story(story, self.folder / "lab", f"lab {self.lab.name}, {self.lab.topology}, seed {self.seed}")

    def _logged(self) -> Iterator[Note]:
        for log in (self.folder / "logs").glob("*.log"):
            host = log.stem.rsplit("-", 1)[0]
            for line in log.read_text(errors="replace").splitlines():
                if found := _LOG_LINE.fullmatch(line):
                    when = datetime.datetime.fromisoformat(found[1]).timestamp()
                    yield Note(when, host, re.sub(r"^\w+: ", "", found[3]), bad=found[2] in ("warning", "error", "critical"))

    def _fates(self) -> Iterator[Fate]:
        file = self.folder / "fates.jsonl"
        for line in file.read_text().splitlines() if file.exists() else []:
            told: dict[str, Any] = json.loads(line)
            yield Fate(told["time"], told["link"], told["what"], bytes.fromhex(told["message"]))

    def _events(self) -> Iterator[Note]:
        file = self.folder / "events.jsonl"
        for line in file.read_text().splitlines() if file.exists() else []:
            event: dict[str, Any] = json.loads(line)
            yield Note(event["time"], "", " ".join(str(event[key]) for key in ("what", "about", "detail") if key in event))


def write_story(story: Story, beginning: pathlib.Path, title: str) -> None:
    beginning.with_suffix(".timeline.txt").write_text(story.timeline())
    beginning.with_suffix(".svg").write_text(diagram.draw(story, title))


class Recording:
    """All that one test makes: its worlds, its labs, and where they are told of."""

    def __init__(self, folder: pathlib.Path, replay: int | None) -> None:
        self.folder = folder
        self.replay = replay
        self.worlds: list[tuple[int, World]] = []
        self.watches: list[LabWatch] = []
        self.failed = False

    def watch(self, lab: Lab) -> None:
        number = f"lab{len(self.watches) + 1}" if self.watches else "lab"
        self.watches.append(LabWatch(lab, self.folder / number))

    def finish(self, lab: Lab) -> list[str]:
        return [problem for watch in self.watches if watch.lab is lab for problem in watch.finish()]

    def seeds(self) -> list[int]:
        return list(dict.fromkeys([seed for seed, _ in self.worlds] + [watch.seed for watch in self.watches]))

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, (seed, world) in enumerate(self.worlds, 1):
            with contextlib.suppress(RuntimeError):  # a world that an exception left in the midst of a step
                (self.folder / f"world{number}.log").write_text("\n".join(world.log()) + "\n")
                write_story(of_world(world), self.folder / f"world{number}", f"a world of seed {seed}")
        for watch in self.watches:
            watch.write()
        (self.folder / "seeds.json").write_text(json.dumps(self.seeds()))


@dataclass
class Result:
    """One test, for the page."""
    name: str
    outcome: str = "passed"
    seconds: float = 0.0
    about: str = ""
    world: str = ""
    requirements: list[str] = field(default_factory=list)
    text: str = ""
    folder: str = ""
    again: str = ""


class Page:
    """Gathers the results of all workers, and writes index.html."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.results: dict[str, Result] = {}
        self.start = datetime.datetime.now()
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "index.html").exists():  # of a run before; anything else is left alone
            shutil.rmtree(folder / "tests", ignore_errors=True)
            (folder / "index.html").unlink()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        result = self.results.setdefault(report.nodeid, Result(report.nodeid))
        told = dict(report.user_properties)
        result.seconds += report.duration
        result.about = str(told.get("about", result.about))
        result.again = str(told.get("again", result.again))
        result.world = str(told.get("world", result.world))
        rows = told.get("requirements", result.requirements)
        result.requirements = rows if isinstance(rows, list) else []
        result.folder = f"tests/{slug_of(report.nodeid)}"
        if report.failed:
            result.outcome = "failed"
            result.text += report.longreprtext + "\n"
        elif report.skipped and result.outcome == "passed":
            result.outcome = "skipped"
            result.text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)

    def pytest_sessionfinish(self) -> None:
        (self.folder / "index.html").write_text(self.html())

    def html(self) -> str:
        order = {"failed": 0, "passed": 1, "skipped": 2}
        results = sorted(self.results.values(), key=lambda one: (order[one.outcome], one.name))
        counts = {outcome: sum(one.outcome == outcome for one in results) for outcome in order}
        total = (datetime.datetime.now() - self.start).total_seconds()
        chips = "".join(f'<button class="{outcome}" data-show="{outcome}">{count} {outcome}</button>' for outcome, count in counts.items())
        return (f"<!doctype html><html lang=en><meta charset=utf-8><title>{counts['failed']} failed, {counts['passed']} passed</title>"
                f"<style>{_PAGE_STYLE}</style><header><h1>Scenarios</h1><p>{self.start:%Y-%m-%d %H:%M:%S}, {total:.0f} s, "
                f"Linux {html.escape(platform.release())}</p><nav>{chips}<button data-show='' class=all>{len(results)} all</button>"
                f"<input placeholder='filter: name, requirement, world' type=search></nav>{_LEGEND}</header>"
                f"<main>{''.join(self._entry(one) for one in results)}</main><script>{_PAGE_SCRIPT}</script></html>\n")

    def _entry(self, result: Result) -> str:
        folder = self.folder / result.folder
        files = sorted(str(path.relative_to(self.folder)) for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
        diagrams = [path for path in files if path.endswith(".svg")]
        timelines = [path for path in files if path.endswith(".timeline.txt")]
        links = "".join(f'<a href="{html.escape(path)}">{html.escape(path.removeprefix(result.folder + "/"))}</a> '
                        for path in files if not path.endswith("seeds.json"))
        seeds = json.loads((folder / "seeds.json").read_text()) if (folder / "seeds.json").exists() else []
        replay = f"<p>Again: <code>{html.escape(result.again)} --replay {seeds[0]}</code></p>" if seeds else ""
        text = f"<pre class=why>{html.escape(result.text.strip())}</pre>" if result.text else ""
        pictures = "".join(f'<figure><figcaption>{html.escape(pathlib.Path(path).stem)}</figcaption><img loading=lazy '
                           f'alt="sequence diagram" src="{html.escape(path)}"></figure>' for path in diagrams)
        told = "".join(f"<details class=told><summary>timeline of {html.escape(pathlib.Path(path).name.split('.')[0])}</summary>"
                       f"<pre>{html.escape(_beginning((self.folder / path).read_text()))}</pre></details>" for path in timelines)
        name = html.escape(result.name.removeprefix("scenarios/"))
        return (f'<details class="test {result.outcome}" {"open" if result.outcome == "failed" else ""}><summary>'
                f"<b>{result.outcome}</b> <span class=name>{name}</span> <i>{html.escape(result.world)}</i> "
                f"<i>{' '.join(result.requirements)}</i> <time>{result.seconds:.2f} s</time></summary>"
                f"<p>{html.escape(result.about)}</p>{text}{replay}<p class=files>{links}</p>{told}{pictures}</details>")


def _beginning(text: str, most: int = 500) -> str:
    lines = text.splitlines()
    return "\n".join(lines[:most] + ([f"… {len(lines) - most} lines more in the file"] if len(lines) > most else []))


_LEGEND = """<p class=legend>Arrows: <span style="color:#0b69a3">handshake</span>, <span style="color:#486581">data</span>,
<span style="color:#c65d07">changed on the way (overtaken, copied, corrupted, from the adversary)</span>,
<span style="color:#ba2525">lost on the way (✕) or dropped by the receiver, with the reason</span>. Times are seconds from the start.
Captures open in Wireshark; the keys are in them.</p>"""
_PAGE_STYLE = """
:root{font:15px/1.45 system-ui,sans-serif;color:#243b53}body{margin:0;background:#f5f7fa}header{background:#fff;padding:12px 24px;
border-bottom:1px solid #d9e2ec;position:sticky;top:0;z-index:1}h1{margin:0;font-size:20px}header p{margin:2px 0 8px;color:#627d98}
.legend{font-size:13px}main{padding:12px 24px}button,input{font:inherit;border:1px solid #bcccdc;border-radius:6px;padding:3px 10px;margin-right:6px;
background:#fff}button.on{outline:2px solid #486581}button.failed{color:#ba2525}button.passed{color:#18794e}input{width:18em}
details.test{background:#fff;border:1px solid #d9e2ec;border-left-width:5px;border-radius:6px;margin:6px 0;padding:4px 10px}
.test.failed{border-left-color:#ba2525}.test.passed{border-left-color:#18794e}.test.skipped{border-left-color:#9aa5b1}summary{cursor:pointer}
.test.failed>summary b{color:#ba2525}.test.passed>summary b{color:#18794e}i{color:#627d98;font-size:13px}time{float:right;color:#7b8794}
pre{background:#f0f4f8;padding:8px;overflow:auto;max-height:26em;font-size:12px}pre.why{border-left:3px solid #ba2525}
.skipped pre.why{border-left-color:#9aa5b1}
.files a{margin-right:10px}figure{margin:8px 0;overflow:auto;border:1px solid #e4e7eb}figcaption{color:#627d98;padding:2px 8px}
"""
_PAGE_SCRIPT = """
const tests=[...document.querySelectorAll('details.test')],field=document.querySelector('input');let shown=location.hash.slice(1);
function filter(){const words=field.value.toLowerCase().split(/\\s+/);for(const test of tests){const text=test.querySelector('summary').textContent.toLowerCase();
test.hidden=!(test.classList.contains(shown)||!shown)||!words.every(word=>text.includes(word))}
for(const button of document.querySelectorAll('button'))button.classList.toggle('on',button.dataset.show===shown)}
for(const button of document.querySelectorAll('button'))button.onclick=()=>{shown=button.dataset.show;filter()};
field.oninput=filter;filter();
for(const image of document.images){const tell=()=>image.dataset.state=image.naturalWidth?'loaded':'broken';
if(image.complete)tell();else image.onload=image.onerror=tell}
"""
