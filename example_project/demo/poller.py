"""A customer who polls the same changes that a webhook sends: for the comparison of both."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from example_project.demo.ledger import Arrival

EVERY = 1.0
"""Seconds between two polls. A real customer would poll each minute at most."""

SEARCHES = {
    "class": ("SearchClasses", "ConfirmationStatusId"),
    "enrollment": ("SearchClassEnrollments", "EnrollmentStatusId"),
}
"""The search and the field of the status, by the noun of the events."""

Status = tuple[str, int, int]
"""A noun, the id of an object, and its status."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The same status changes, seen by a webhook and by a poller. Delays are in milliseconds from the commit."""

    changes: int
    """Status changes, each of them one request of the webhook."""
    webhook_ms_p50: float | None
    polls: int
    """Requests of the poller."""
    seen: int
    """Changes that a poll found. A status that lasts for less than the time between two polls is lost."""
    polling_ms_p50: float | None


class Poller(threading.Thread):
    """Polls classes and enrollments every second, and keeps when it first saw each status."""

    def __init__(self, *, port: int, key: str) -> None:
        super().__init__(daemon=True)
        self.requests = 0
        self.seen: dict[Status, float] = {}
        self.error: Exception | None = None
        self._port, self._key = port, key
        self._since = int(time.time()) - 1
        self._ends = threading.Event()

    def run(self) -> None:
        """Poll until `finish`; the poll that is due after it is the last one."""
        try:
            while not self._ends.is_set():
                time.sleep(EVERY)
                self._poll()
        except Exception as error:
            self.error = error

    def can_connect(self) -> bool:
        """Return whether the server answers."""
        try:
            self._ask("/api/2.0/SearchClasses?pageSize=1")
        except OSError:
            return False
        return True

    def finish(self) -> None:
        """Wait for the next poll, which sees the last changes, and stop. Raise the error of a poll that failed."""
        self._ends.set()
        self.join()
        if self.error is not None:
            raise self.error

    def watch(self, arrivals: Iterable[tuple[Arrival, float]]) -> Watch:
        """Compare the polls with the requests of a webhook, each with the time of its commit."""
        changes = {status: (arrival.at, at) for arrival, at in arrivals if (status := status_of(arrival))}
        polled = [(self.seen[status] - at) * 1000 for status, (_, at) in changes.items() if status in self.seen]
        sent = [(arrived - at) * 1000 for arrived, at in changes.values()]
        return Watch(len(changes), _middle(sent), self.requests, len(polled), _middle(polled))

    def _poll(self) -> None:
        since, self._since = self._since - 1, int(time.time())
        for noun, (operation, field) in SEARCHES.items():
            self.requests += 1
            for row in self._ask(f"/api/2.0/{operation}?lastModifiedAfter={since}"):
                self.seen.setdefault((noun, row["Id"], row[field]), time.time())

    def _ask(self, path: str) -> list[dict[str, Any]]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("GET", path, headers={"api-key": self._key})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        if answer["Status"] != 0:
            raise RuntimeError(answer["Error"])
        rows: list[dict[str, Any]] = answer["Results"]
        return rows


def status_of(arrival: Arrival) -> Status | None:
    """Return the status that an event is about; None if it is about something else."""
    if arrival.event is None or not arrival.accepted:
        return None
    noun, data = arrival.event["type"].split(".")[0], arrival.event["data"]
    changed = arrival.event["changed"]
    if noun not in SEARCHES or (changed and "status" not in changed):
        return None
    return noun, data["id"], data["status"]["code"]


def _middle(values: list[float]) -> float | None:
    return round(sorted(values)[len(values) // 2], 1) if values else None
