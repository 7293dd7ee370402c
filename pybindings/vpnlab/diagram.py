"""Draws a story as a sequence diagram: an SVG file that needs nothing else.

Time runs downwards, a row an event (not to scale; long pauses are named). An arrow that reaches its end arrived; one that ends in a
cross was lost, and says why. Slanted arrows cross where one packet overtook another. Long runs of data that arrived as it should are
one band.
"""
from dataclasses import dataclass
from html import escape

from vpnlab.story import ADVERSARY, Arrival, Message, Note, Story

_ROW, _TOP, _LEFT, _COLUMN, _RIGHT = 22, 64, 110, 420, 150
_LONGEST_NOTE = 60
_MOST_ROWS = 400
_SHORTEST_RUN = 5
_PAUSE = 2.0  # seconds
_STYLE = """
.life{stroke:#9aa5b1;stroke-dasharray:3 4}.host{font-weight:600;font-size:14px;fill:#fff}.box{fill:#334e68}.evil .box{fill:#8a1c1c}
text{font:12px system-ui,sans-serif;fill:#243b53}.time{font:11px ui-monospace,monospace;fill:#7b8794;text-anchor:end}
.arrow{stroke:#486581;stroke-width:1.4;fill:none}.head{fill:#486581}.handshake .arrow{stroke:#0b69a3;stroke-width:2}
.handshake .head{fill:#0b69a3}.odd .arrow{stroke:#c65d07}.odd .head{fill:#c65d07}.odd text{fill:#9c4a00}
.bad .arrow{stroke:#ba2525}.bad .head{fill:#ba2525}.bad text{fill:#ba2525}.copy .arrow{stroke-dasharray:5 3}
.run rect{fill:#f0f4f8;stroke:#d9e2ec}.note rect{fill:#fff8e1;stroke:#e9d8a6}.note.bad rect{fill:#ffe3e3;stroke:#f0a0a0}
.pause{fill:#7b8794;font-style:italic}
"""


@dataclass
class _Run:
    """Data that arrived as it should, told in one row."""
    at: float
    messages: list[Message]


@dataclass
class _Row:
    at: float
    what: "Message | tuple[Message, Arrival] | Note | _Run | str"


def draw(story: Story, title: str = "") -> str:
    """The diagram as the text of an SVG file."""
    return _Drawing(story).draw(title)


class _Drawing:
    def __init__(self, story: Story) -> None:
        self.story = story
        hosts = list(story.hosts)
        if any(ADVERSARY in (one.sender, one.receiver) for one in story.messages):
            hosts.insert(min(1, len(hosts)), ADVERSARY)
        self.hosts = hosts
        self.column = _COLUMN if len(hosts) < 4 else 280
        self.x = {name: _LEFT + 70 + number * self.column for number, name in enumerate(hosts)}
        self.rows = self._with_pauses(self._cut(self._rows()))
        self.y: dict[int, float] = {}
        self.parts: list[str] = []

    def draw(self, title: str) -> str:
        width = _LEFT + 70 + max(0, len(self.hosts) - 1) * self.column + _RIGHT + 130
        height = _TOP + (len(self.rows) + 2) * _ROW
        for number, row in enumerate(self.rows):
            if isinstance(row.what, Message):
                self.y[id(row.what)] = self._y(number)
        for number, row in enumerate(self.rows):
            self._draw_row(row, self._y(number))
        lives = "".join(f'<line class="life" x1="{x}" y1="44" x2="{x}" y2="{height - 16}"/>'
                        f'<g class="{"evil" if name == ADVERSARY else ""}"><rect class="box" x="{x - 62}" y="16" width="124" height="28" rx="6"/>'
                        f'<text class="host" x="{x}" y="35" text-anchor="middle">{escape(name)}</text></g>' for name, x in self.x.items())
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
                f"<title>{escape(title or 'What happened')}</title><style>{_STYLE}</style>"
                f'<rect width="100%" height="100%" fill="#fff"/>{lives}{"".join(self.parts)}</svg>\n')

    def _y(self, number: int) -> float:
        return _TOP + (number + 1) * _ROW

    # ── Rows ──

    def _rows(self) -> list[_Row]:
        rows: list[_Row] = []
        for message in self.story.messages:
            rows.append(_Row(message.at, message))
            rows += [_Row(arrival.at, (message, arrival)) for arrival in message.arrivals]
        rows += [_Row(note.at, note) for note in self.story.notes]
        rows.sort(key=lambda row: row.at)
        return self._joined(rows)

    def _joined(self, rows: list[_Row]) -> list[_Row]:
        """Long runs of plain data become one row, and an arrival that follows its message at once needs none."""
        result: list[_Row] = []
        run: list[Message] = []
        run_rows: list[_Row] = []

        def end_run() -> None:
            if len(run) >= _SHORTEST_RUN:
                result.append(_Row(run_rows[0].at, _Run(run_rows[0].at, list(run))))
            else:
                result.extend(run_rows)
            run.clear()
            run_rows.clear()

        for row in rows:
            message = row.what if isinstance(row.what, Message) else row.what[0] if isinstance(row.what, tuple) else None
            if message is None or not message.plain:
                end_run()
                result.append(row)
                continue
            if isinstance(row.what, Message):
                if run_rows and row.at - run_rows[-1].at > _PAUSE:
                    end_run()
                run.append(message)
            run_rows.append(row)
        end_run()
        told = {id(one) for row in result if isinstance(row.what, _Run) for one in row.what.messages}
        result = [row for row in result if not (isinstance(row.what, tuple) and id(row.what[0]) in told)]
        return [row for number, row in enumerate(result) if not self._is_told(row, result[number - 1] if number else None)]

    @staticmethod
    def _is_told(row: _Row, before: _Row | None) -> bool:
        return isinstance(row.what, tuple) and before is not None and before.what is row.what[0] and len(row.what[0].arrivals) == 1

    @staticmethod
    def _cut(rows: list[_Row]) -> list[_Row]:
        if len(rows) <= _MOST_ROWS:
            return rows
        half = _MOST_ROWS // 2
        left_out = f"… {len(rows) - _MOST_ROWS} events are left out here; the timeline has them …"
        return [*rows[:half], _Row(rows[half].at, left_out), *rows[-half:]]

    @staticmethod
    def _with_pauses(rows: list[_Row]) -> list[_Row]:
        result: list[_Row] = []
        for row in rows:
            if result and row.at - result[-1].at > _PAUSE:
                result.append(_Row(row.at, f"⋮ {row.at - result[-1].at:.1f} s without an event"))
            result.append(row)
        return result

    # ── Drawing ──

    def _draw_row(self, row: _Row, y: float) -> None:
        what = row.what
        if isinstance(what, str):
            self.parts.append(f'<text class="pause" x="{_LEFT + 80}" y="{y + 4}">{escape(what)}</text>')
            return
        self.parts.append(f'<text class="time" x="{_LEFT - 8}" y="{y + 4}">{row.at - self.story.start:.6f}</text>')
        if isinstance(what, Note):
            self._draw_note(what, y)
        elif isinstance(what, _Run):
            self._draw_run(what, y)
        elif isinstance(what, Message):
            if what.lost or not what.arrivals:
                self._draw_lost(what, y)
            elif len(what.arrivals) == 1 and not self._has_arrival_row(what):
                self._draw_arrow(what, what.arrivals[0], y, y)
        else:
            self._draw_arrow(what[0], what[1], self.y.get(id(what[0]), y), y)

    def _has_arrival_row(self, message: Message) -> bool:
        return any(isinstance(row.what, tuple) and row.what[0] is message for row in self.rows)

    def _draw_arrow(self, message: Message, arrival: Arrival, y1: float, y2: float) -> None:
        x1, x2 = self._ends(message)
        kind = "bad" if arrival.dropped else "odd" if message.marks or arrival.copy else \
            "handshake" if message.kind in ("initiation", "response", "cookie") else ""
        words = [f"{message.kind} {message.detail}".strip(), f"{message.size} B"]
        if arrival.at - message.at >= 0.001:
            words.append(f"{(arrival.at - message.at) * 1000:.0f} ms")
        words += message.marks + (["arrives again"] if arrival.copy else []) + ([f"dropped: {arrival.verdict}"] if arrival.dropped else [])
        step = 9 if x2 > x1 else -9
        head = f"{x2},{y2} {x2 - step},{y2 - 4.5} {x2 - step},{y2 + 4.5}"
        text = _text((x1 + x2) / 2, y2 - 4, " · ".join(words))
        if y1 != y2:  # beside its beginning, where no other arrow is
            text = _text(x1 + (14 if x2 > x1 else -14), y1 - 4, " · ".join(words), "start" if x2 > x1 else "end")
        self.parts.append(f'<g class="{kind}{" copy" if arrival.copy else ""}">'
                          f'<line class="arrow" x1="{x1}" y1="{y1}" x2="{x2 - step}" y2="{y2}"/><polygon class="head" points="{head}"/>'
                          f'{text}</g>')

    def _draw_lost(self, message: Message, y: float) -> None:
        x1, x2 = self._ends(message)
        end = x1 + (x2 - x1) * 0.62
        words = " · ".join([f"{message.kind} {message.detail}".strip(), f"{message.size} B", *message.marks,
                            f"lost: {message.lost}" if message.lost else "still on its way"])
        self.parts.append(f'<g class="{"bad" if message.lost else "odd"}"><line class="arrow" x1="{x1}" y1="{y}" x2="{end}" y2="{y}"/>'
                          f'<path class="arrow" d="M{end - 5} {y - 5}l10 10m0 -10l-10 10"/>{_text((x1 + x2) / 2, y - 4, words)}</g>')

    def _draw_run(self, run: _Run, y: float) -> None:
        xs = [self.x[name] for one in run.messages for name in (one.sender, one.receiver)]
        left, right = min(xs), max(xs)
        ways: dict[tuple[str, str], int] = {}
        for one in run.messages:
            ways[one.sender, one.receiver] = ways.get((one.sender, one.receiver), 0) + 1
        words = ", ".join(f"{count} {sender} → {receiver}" for (sender, receiver), count in ways.items())
        last = max(one.arrivals[0].at for one in run.messages)
        self.parts.append(f'<g class="run"><rect x="{left + 8}" y="{y - 10}" width="{right - left - 16}" height="18" rx="4"/>'
                          f'{_text((left + right) / 2, y + 3, f"data, all arrived in order: {words}, in {last - run.at:.3f} s")}</g>')

    def _draw_note(self, note: Note, y: float) -> None:
        if note.host not in self.x:
            self.parts.append(f'<text class="pause" x="{_LEFT + 80}" y="{y + 4}">{escape(note.text)}</text>')
            return
        text = note.text if len(note.text) <= _LONGEST_NOTE else note.text[:_LONGEST_NOTE - 1] + "…"
        width = 16 + 6.7 * len(text)
        x = max(self.x[note.host] - width / 2, _LEFT)
        self.parts.append(f'<g class="note{" bad" if note.bad else ""}"><rect x="{x}" y="{y - 9}" width="{width}" height="18" rx="4"/>'
                          f'{_text(x + width / 2, y + 4, text)}</g>')

    def _ends(self, message: Message) -> tuple[float, float]:
        x1 = self.x[message.sender]
        return x1, self.x[message.receiver] if message.receiver != message.sender else x1 + self.column * 0.6


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" paint-order="stroke" stroke="#fff" stroke-width="4">{escape(words)}</text>'
