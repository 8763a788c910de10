"""The demo's receiver: the verifying example, with failures on order. It runs as a separate process.

The demo writes JSON lines to its input: first ``{"port": ..., "secrets": {path: secret}}``, then orders: ``{"fail":
path, "statuses": [503]}``, ``{"hold": true}``. It writes a line for every request to its output, and ends when its input ends.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import defaultdict
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TextIO

from example_project.receiver import ReceivedRequest, Receiver

LONGEST_HOLD = 15.0
"""Seconds after which a held answer is sent."""

REPORTED_HEADERS = ("content-type", "webhook-id", "webhook-timestamp", "webhook-signature")


class Mirror:
    """The customer's copy of the objects, kept by the sequence numbers of their events."""

    def __init__(self) -> None:
        self._sequences: dict[tuple[str, str, str], int] = {}

    def store(self, path: str, event: Mapping[str, Any]) -> str:
        """Store the state of an object, and return a sentence about it. An older event changes nothing."""
        noun, verb = event["type"].split(".")
        key, sequence = (path, noun, str(event["data"]["id"])), event["sequence"]
        name = f"{noun.replace('_', ' ')} {key[2]}"
        known = self._sequences.get(key, 0)
        if sequence < known:
            return f"kept {name}: it has number {known}, and this event is number {sequence}"
        self._sequences[key] = sequence
        if verb == "deleted":
            return f"removed {name}"
        return f"stored {name}{_changes(event)}"


def _changes(event: Mapping[str, Any]) -> str:
    old, new = event["previous"].get("status"), event["data"].get("status")
    if old and new:
        return f": {old['name']} became {new['name']}"
    changed = ", ".join(event["changed"][:3])
    return f": changed {changed}" if changed else ""


class DemoReceiver(Receiver):
    """A receiver that fails or delays its answers on order, and reports every request."""

    def __init__(self, secrets: Mapping[str, str], *, port: int, reports: TextIO) -> None:
        super().__init__(secrets, port=port)
        self._reports = reports
        self._writing = threading.Lock()
        self._failures: dict[str, list[int]] = defaultdict(list)
        self._may_answer = threading.Event()
        self._may_answer.set()
        self._mirror = Mirror()
        self._actions = threading.local()

    def obey(self, order: Mapping[str, Any]) -> None:
        """Answer the next requests to the path ``fail`` with ``statuses``; or ``hold`` all answers, or release them."""
        if "fail" in order:
            self._failures[order["fail"]] += order["statuses"]
        elif order["hold"]:
            self._may_answer.clear()
        else:
            self._may_answer.set()

    def handle(self, request: ReceivedRequest, event: Mapping[str, Any]) -> None:
        """Store the object."""
        self._actions.last = self._mirror.store(request.path, event)

    def answer(self, request: ReceivedRequest) -> HTTPStatus:
        """Return the status of the example receiver, or of a failure that is ordered."""
        event, self._actions.last = self.verify(request), ""
        status = self._next_failure(request.path) or super().answer(request)
        self._report(request, event, status)
        self._may_answer.wait(LONGEST_HOLD)
        return status

    def _next_failure(self, path: str) -> HTTPStatus | None:
        with self._writing:
            return HTTPStatus(self._failures[path].pop(0)) if self._failures[path] else None

    def _action(self, status: HTTPStatus) -> str:
        if status != HTTPStatus.NO_CONTENT:
            return "did nothing"
        return self._actions.last or "skipped it: it has an event with this webhook-id"

    def _report(self, request: ReceivedRequest, event: Mapping[str, Any] | None, status: HTTPStatus) -> None:
        line = {
            "path": request.path,
            "at": request.arrived_at,
            "status": int(status),
            "attempt": int(request.headers.get("tms-attempt") or 0),
            "event": event,
            "headers": {name: request.headers[name] for name in REPORTED_HEADERS if name in request.headers},
            "action": self._action(status),
        }
        with self._writing:
            self._reports.write(json.dumps(line) + "\n")
            self._reports.flush()


def main() -> None:
    """Serve until the input ends, also if the demo is killed."""
    start = json.loads(sys.stdin.readline())
    with DemoReceiver(start["secrets"], port=start["port"], reports=sys.stdout) as receiver:
        threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        sys.stdout.write("{}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            receiver.obey(json.loads(line))
        receiver.shutdown()


if __name__ == "__main__":
    main()
