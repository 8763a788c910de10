"""The same customers and changes twice: customers who poll each minute, and customers with webhooks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from urllib.parse import urlencode

from tests.bench import environment
from tests.bench.environment import lasting, sized
from tests.bench.figures import Figure
from tests.bench.metered import difference

ROUNDS = 1
TIMEOUT = 600
CUSTOMERS = sized(120, least=6)
MINUTE = lasting(60.0, least=3.0)
STARTING = 4.0
"""Seconds until the processes of a run have started."""
IDLE = lasting(10.0)
"""Seconds for which the idle drain is measured."""
MEASURED = {
    "requests": ("requests", "", ""),
    "p50": ("time from the commit to the customer, median", "s", "ms"),
    "p95": ("time from the commit to the customer, p95", "s", "ms"),
    "cpu": ("CPU time", "ms", "ms"),
    "database": ("database time", "ms", "ms"),
}
"""The figures of one minute of both ways, with the units of polling and of webhooks."""
COSTS = {name: MEASURED[name][0] for name in ("cpu", "database")}
FIGURES = (
    *(
        Figure(f"{way}_{name}", f"{way}: {label}", unit)
        for name, (label, *units) in MEASURED.items()
        for way, unit in zip(("polling", "webhooks"), units, strict=True)
    ),
    *(Figure(f"poll_{name}", f"a poll of a customer: {label}", "ms") for name, label in COSTS.items()),
    *(Figure(f"delivery_{name}", f"an event with its delivery: {label}", "ms") for name, label in COSTS.items()),
    Figure("equal_database", "changes of a customer an hour, up to which webhooks take less database time"),
    Figure("equal_cpu", "changes of a customer an hour, up to which webhooks take less CPU time"),
    Figure("idle_database", "database time of a drain without work, in a minute", "ms"),
    Figure("idle_cpu", "CPU time of a drain without work, in a minute", "ms"),
)


OVERLAP = 1
"""Seconds that a poll looks back beyond the last one: the API's times are whole seconds."""
PAGE = 1_000
"""The most rows of an answer."""

CHANGED = {
    "class": ("SearchClasses", "lastModifiedAfter"),
    "enrollment": ("SearchClassEnrollments", "lastModifiedAfter"),
    "feedback": ("SearchCourseFeedback", "createdAfter"),
}
"""The searches that can select what changed, by the kind of change. None of them finds a deleted row."""
ASSIGNMENTS = "SearchCourseAssignments"
"""No parameter of this search selects an extended, cancelled or deleted assignment, so a poll reads all of them."""


def run(*, db, rounds):
    """Measure one minute of both, once."""
    with environment.database(db):
        keys = environment.figures("customers", "fill", CUSTOMERS)
        polling = _poll(keys)
    with environment.database(db):
        webhooks = _deliver()
    report = {}
    for way, figures in (("polling", polling), ("webhooks", webhooks)):
        report |= {f"{way}_{name}": [figures[name]] for name in MEASURED}
    for name in ("p50", "p95"):
        report[f"polling_{name}"] = [polling[name] / 1000]
    for name in COSTS:
        idle = webhooks["idle"][name]
        # The changes themselves cost something in both; webhooks add their events.
        poll = (polling[name] - polling["changes"][name]) / CUSTOMERS
        delivery = (webhooks[name] - idle - polling["changes"][name]) / CUSTOMERS
        report |= {f"poll_{name}": [poll], f"delivery_{name}": [delivery], f"idle_{name}": [idle]}
        report[f"equal_{name}"] = [break_even(poll, delivery, idle, customers=CUSTOMERS, minutes=MINUTE / 60)]
    return report


def break_even(poll, delivery, idle, *, customers, minutes):
    """Return the changes of a customer in an hour for which webhooks need as much as polling; with fewer, they need less.

    ``poll`` and ``delivery`` are what one takes, and ``idle`` is what a drain without work takes in a minute. Each of the
    ``customers`` polls every so many ``minutes``. Return None if a delivery takes nothing, as on a busy machine.
    """
    if delivery <= 0:
        return None
    return max(0.0, (poll * 60 / minutes - idle * 60 / customers) / delivery)


def _poll(keys):
    """Poll for two minutes, so that the changes of the first one are all seen; the figures are those of the first one."""
    with _metered("serve") as (server, meters), ThreadPoolExecutor() as threads:
        pollers = Pollers(keys, int(server.stdout.readline()))
        start = time.monotonic() + STARTING
        polls = threads.submit(pollers.run, start, 2 * MINUTE, MINUTE)
        done = _change(server, start)
        polls.result()
    figures = difference(meters[1], meters[0])
    delays = [(pollers.seen[name] - moment) * 1000 for name, moment in done["changes"].items()]
    return _report(int(figures["requests"]), done, figures, delays)


def _deliver():
    """Deliver for a minute, and then let the drain be idle."""
    notes = environment.Notes()
    with environment.receiver(notes=notes):
        environment.figures("customers", "fill", CUSTOMERS)
        environment.figures("customers", "subscribe")
        with _metered("drain") as (drain, meters):
            environment.figures("stamps", "attended")
            done = _change(drain, time.monotonic() + STARTING)
            environment.figures("stamps", "settled")
            for pause in (0.0, IDLE):
                time.sleep(pause)
                drain.send_signal(signal.SIGUSR1)
            time.sleep(1.0)
    delays = [(notes.arrivals[name] - moment) * 1000 for name, moment in done["events"].items()]
    idle = difference(meters[3], meters[2])
    report = _report(len(notes.arrivals), done, difference(meters[1], meters[0]), delays)
    return {**report, "idle": {name: idle[name] * MINUTE / IDLE for name in ("database", "cpu")}}


def _change(process, start):
    """Make the changes in the minute after ``start``, at whose beginning and end the process notes its figures."""
    with ThreadPoolExecutor() as threads:
        changes = threads.submit(environment.figures, "customers", "change", start, MINUTE)
        for moment in (start, start + MINUTE):
            time.sleep(max(0.0, moment - time.monotonic()))
            process.send_signal(signal.SIGUSR1)
        return changes.result()


@contextmanager
def _metered(way):
    """Keep `tests.bench.metered` running; its notes are there at the end."""
    notes = []
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.metered", way],
        cwd=environment.ROOT,
        env=environment.variables(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process, notes
        process.terminate()
        printed, _none = process.communicate(timeout=environment.ENDING)
        notes += json.loads(printed.splitlines()[-1])
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _report(requests, done, figures, delays):
    """Return the figures of a minute. Those of the process that makes the changes are included, and given on their own."""
    changes = {name: done["figures"][name] for name in ("database", "cpu")}
    return {
        "requests": requests,
        **{name: figures[name] + value for name, value in changes.items()},
        "changes": changes,
        "p50": environment.percentile(delays, 0.5),
        "p95": environment.percentile(delays, 0.95),
    }


class Pollers:
    """Polls for all customers, spread evenly over the time between two polls of one, and keeps when it saw what.

    A poll sees what the events report. It asks for changed rows where it can. It finds deletions by the number of rows:
    where there are fewer than it knows, it reads all.
    """

    def __init__(self, keys, port):
        self.seen = {}
        self._keys = keys
        self._port = port
        self._since = [int(time.time())] * len(keys)
        self._known = [self._read_all(key) for key in keys]

    def run(self, start, seconds, every):
        """Poll for so long from ``start`` on, by the clock of `time.monotonic`; each customer ``every`` so many seconds."""
        number = 0
        while (due := start + number * every / len(self._keys)) < start + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            self._poll(number % len(self._keys))
            number += 1

    def _read_all(self, key):
        """Return all rows of a customer by their ids, of each kind."""
        operations = {**{kind: operation for kind, (operation, _since) in CHANGED.items()}, "assignment": ASSIGNMENTS}
        return {kind: self._by_id(self._ask(operation, key, pageSize=PAGE)) for kind, operation in operations.items()}

    def _poll(self, customer):
        since, self._since[customer] = self._since[customer] - OVERLAP, int(time.time())
        key, known = self._keys[customer], self._known[customer]
        for kind, (operation, parameter) in CHANGED.items():
            rows = self._by_id(self._ask(operation, key, **{parameter: since, "pageSize": PAGE}))
            known[kind] |= rows
            self._note(kind, rows)
            if self._ask(operation, key, pageSize=1)["TotalCount"] < len(known[kind]):
                left = self._by_id(self._ask(operation, key, pageSize=PAGE))
                self._note("deleted", known[kind].keys() - left)
                known[kind] = left
        before, known["assignment"] = known["assignment"], self._by_id(self._ask(ASSIGNMENTS, key, pageSize=PAGE))
        for name, row in known["assignment"].items():
            for kind, field in (("started", "Started"), ("completed", "Completed"), ("extended", "Expires")):
                if row[field] != before.get(name, row)[field]:
                    self._note(kind, [name])

    def _note(self, kind, names):
        for name in names:
            self.seen.setdefault(f"{kind}:{name}", time.monotonic())

    @staticmethod
    def _by_id(answer):
        """Return the rows of an answer by their ids. Feedback has none: here, its titles differ."""
        return {row["Id"] if "Id" in row else row["Title"]: row for row in answer["Results"]}

    def _ask(self, operation, key, **parameters):
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection.request("GET", f"/api/2.0/{operation}?{urlencode(parameters)}", headers={"api_key": key})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        assert answer["Status"] == 0, answer
        return answer
