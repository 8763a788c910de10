"""Print the progress of the demo as plain lines. `live` shows the same with an updating table."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from example_project.demo.ledger import Arrival, Comparison, Endpoint, Ledger, Pair
from example_project.demo.poller import Watch
from example_project.demo.verdict import Verdict, percentile

NOUNS = {
    "Classes": ("class",),
    "Enrollments": ("enrollment",),
    "Assignments": ("course_assignment",),
    "Subscriptions": ("subscription",),
    "Paths": ("learning_path",),
    "Feedback": ("class_feedback", "course_feedback", "feedback"),
    "Achievements": ("achievement",),
    "Vouchers": ("voucher",),
    "Users": ("user",),
    "Webhooks": ("webhook",),
}
"""The rows of the table, with the nouns of the events that each counts."""

NOT_COUNTED = "from commit to receiver, without the outage, the crash, expiry and webhook events"

LEGEND = (
    "events: different events. Below a webhook: received/expected deliveries, and",
    "nothing if it subscribes to none of these events. p50, p95: milliseconds from the",
    "commit of a change to the receiver; 50 % and 95 % of the deliveries took no longer.",
)

WIDTH = 80
"""Columns of a printed body, except for long texts."""

SHOWN = "enrollment.enrolled"
"""The type of the event whose request is shown."""


@dataclass
class Scene:
    """One step of the demo."""

    title: str
    detail: str = ""
    """The result, printed at its end."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: the events and deliveries of a noun."""

    title: str
    events: int
    deliveries: tuple[tuple[int, int], ...]
    """Per webhook: the arrived and the expected deliveries."""
    p50: float | None
    p95: float | None


class Display:
    """Prints a line for each scene, and at the end the table and the verdict."""

    def __init__(self, ledger: Ledger, out: IO[str]) -> None:
        self.ledger = ledger
        self._out = out
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @contextmanager
    def scene(self, title: str) -> Iterator[Scene]:
        """Show that a scene runs, and print its result at its end."""
        scene = Scene(title)
        self.begins(scene)
        try:
            yield scene
        except BaseException:
            self.ends(scene, well=False)
            raise
        self.ends(scene, well=True)

    def begins(self, scene: Scene) -> None:
        """Show that a scene begins; nothing in plain lines, which are printed at its end."""

    def ends(self, scene: Scene, *, well: bool) -> None:
        """Print the result of a scene."""
        comparison = self.ledger.compare()
        mark = "ok" if well else "FAILED"
        self.say(
            f"{self.seconds:5.1f} s  {mark:6}  {scene.title}"
            + (f": {scene.detail}" if scene.detail else "")
            + (f"  [{comparison.arrived}/{len(comparison.pairs)} delivered]" if comparison.pairs else "")
        )

    def close(self, verdict: Verdict | None) -> None:
        """Print the final table and the verdict, if the demo reached one."""
        if verdict is None:
            return
        for paragraph in (
            request_lines(self.ledger),
            _plain_table(self.ledger.endpoints, rows(self.ledger)),
            LEGEND,
            (),
        ):
            self.say("")
            for line in paragraph:
                self.say(line)
        for label, text in summary(verdict):
            self.say(f"{label:13}{text}")
        for problem in verdict.problems:
            self.say(f"{'PROBLEM':13}{problem}")

    def arrival(self, arrival: Arrival) -> None:
        """Print a received request; used after the scenes, with --serve."""
        self.say(arrival_line(self.ledger.endpoints, arrival))

    def first_arrival(self, arrival: Arrival) -> None:
        """Print that the first event has arrived."""
        self.say(f"{self.seconds:5.1f} s  first   event at {arrival_text(self.ledger.endpoints, arrival)}")

    def notice(self, lines: Sequence[str]) -> None:
        """Print important lines, with space around them."""
        self.say("")
        for line in lines:
            self.say(line)
        self.say("")

    def say(self, line: str) -> None:
        """Write one line."""
        self._out.write(line.rstrip() + "\n")
        self._out.flush()


def rows(ledger: Ledger) -> list[Row]:
    """Return the rows of the table: the nouns with expected events, and their sum."""
    comparison = ledger.compare()
    table = []
    for title, nouns in NOUNS.items():
        pairs = [pair for pair in comparison.pairs if pair.expected.key[1].split(".")[0] in nouns]
        if pairs:
            table.append(_row(title, ledger.endpoints, pairs))
    return [*table, _row("All", ledger.endpoints, comparison.pairs)]


def _row(title: str, endpoints: Sequence[Endpoint], pairs: Sequence[Pair]) -> Row:
    latencies = Comparison(tuple(pairs)).latencies()
    deliveries = []
    for endpoint in endpoints:
        own = [pair for pair in pairs if pair.endpoint is endpoint]
        deliveries.append((sum(pair.arrival is not None for pair in own), len(own)))
    events = len({id(pair.expected) for pair in pairs})
    return Row(title, events, tuple(deliveries), percentile(latencies, 50), percentile(latencies, 95))


def summary(verdict: Verdict) -> list[tuple[str, str]]:
    """Return the lines of the summary as pairs of a label and a sentence."""
    figures = verdict.figures
    again = f"{figures.repeated} requests after the crash; the receiver recognized their ids"
    return [
        (
            "Events",
            f"{figures.events} of {figures.event_types} types ({figures.catalogue} expected), "
            f"for {figures.expected} deliveries",
        ),
        ("Delivered", f"{figures.delivered} of {figures.expected}, each once; {figures.missing} missing"),
        ("Rolled back", f"{figures.unexpected or 'no'} events of rolled-back changes arrived"),
        ("Signatures", f"{figures.unverified} invalid" if figures.unverified else "all valid"),
        ("Sent again", again if figures.repeated else "none"),
        (
            "Latency",
            f"p50 {number(figures.latency_ms_p50)} ms, p95 {number(figures.latency_ms_p95)} ms, of {figures.timed} deliveries",
        ),
        ("", NOT_COUNTED),
        *(zip(("Polling", ""), in_words(figures.watch), strict=True) if figures.watch else ()),
    ]


def in_words(watch: Watch) -> tuple[str, str]:
    """Return the comparison of a webhook with a poller as two sentences."""
    return (
        f"{watch.changes} status changes. Webhook: {watch.changes} requests, "
        f"{number(watch.webhook_ms_p50)} ms after the commit (median).",
        f"Poller, each second: {watch.polls} requests, {watch.seen} changes seen, "
        f"{number(watch.polling_ms_p50)} ms after the commit.",
    )


def request_lines(ledger: Ledger) -> Iterator[str]:
    """Yield one request and its answer: headers, body, and what the receiver did with the event."""
    for arrival in ledger.arrivals:
        if (
            arrival.accepted
            and arrival.event is not None
            and arrival.event["type"] == SHOWN
            and arrival.event["previous"]
        ):
            yield "One request, as the receiver got it:"
            yield ""
            yield f"  POST {arrival.path}"
            for name, value in arrival.headers.items():
                yield f"  {name}: {value}"
            yield ""
            yield from body_lines(arrival.event, indent="  ")
            yield ""
            yield f"The receiver verified the signature, {arrival.action}, and answered {arrival.status}."
            return


def body_lines(value: object, *, indent: str, name: str = "", end: str = "") -> Iterator[str]:
    """Yield JSON; an object that fits into a line is one line."""
    label = f"{json.dumps(name)}: " if name else ""
    line = f"{indent}{label}{json.dumps(value)}{end}"
    if not isinstance(value, dict) or len(line) <= WIDTH:
        yield line
        return
    yield f"{indent}{label}{{"
    for position, (key, one) in enumerate(value.items(), start=1):
        yield from body_lines(one, indent=f"{indent}  ", name=key, end="," if position < len(value) else "")
    yield f"{indent}}}{end}"


def number(value: float | None) -> str:
    """Return a value as a whole number, or a dash for none."""
    return "-" if value is None else f"{value:.0f}"


def arrival_line(endpoints: Sequence[Endpoint], arrival: Arrival) -> str:
    """Return one request as a line with its time."""
    return f"{time.strftime('%H:%M:%S', time.localtime(arrival.at))}  {arrival_text(endpoints, arrival)}"


def arrival_text(endpoints: Sequence[Endpoint], arrival: Arrival) -> str:
    """Return the webhook, the event and the answer of one request."""
    name = next((endpoint.name for endpoint in endpoints if endpoint.path == arrival.path), arrival.path)
    if arrival.event is None:
        return f"{name}: NOT VERIFIED, answered {arrival.status}"
    _organization, event_type, subject = arrival.key
    return f"{name}: {event_type} of {subject}, verified, answered {arrival.status}"


def _plain_table(endpoints: Sequence[Endpoint], table: Sequence[Row]) -> Iterator[str]:
    yield f"{'':14}{'events':>8}" + "".join(f"{one.name:>12}" for one in endpoints) + f"{'p50 ms':>9}{'p95 ms':>9}"
    for row in table:
        cells = "".join(f"{share(arrived, of):>12}" for arrived, of in row.deliveries)
        yield f"{row.title:14}{row.events:>8}{cells}{number(row.p50):>9}{number(row.p95):>9}"


def share(arrived: int, of: int) -> str:
    """Return "arrived/expected", or "" if nothing was expected."""
    return f"{arrived}/{of}" if of else ""
