"""The demo's receiver: the verifying example, with failures on order. It runs as a separate process.

The demo writes JSON lines to its input: first ``{"port": ..., "secrets": {path: secret}}``, then orders: ``{"fail":
path, "times": 2}``, ``{"hold": true}``. It writes a line for every request to its output, and ends when its input ends.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TextIO

from example_project.receiver import ReceivedRequest, Receiver

LONGEST_HOLD = 15.0
"""Seconds after which a held answer is sent."""


class DemoReceiver(Receiver):
    """A receiver that fails or delays its answers on order, and reports every request."""

    def __init__(self, secrets: Mapping[str, str], *, port: int, reports: TextIO) -> None:
        super().__init__(secrets, port=port)
        self._reports = reports
        self._writing = threading.Lock()
        self._failures: Counter[str] = Counter()
        self._may_answer = threading.Event()
        self._may_answer.set()

    def obey(self, order: Mapping[str, Any]) -> None:
        """Fail the next ``times`` requests to the path ``fail``; or ``hold`` all answers, or release them."""
        if "fail" in order:
            self._failures[order["fail"]] += order["times"]
        elif order["hold"]:
            self._may_answer.clear()
        else:
            self._may_answer.set()

    def handle(self, request: ReceivedRequest, event: Mapping[str, Any]) -> None:
        """Do nothing: the demo counts the answers with 2xx."""

    def answer(self, request: ReceivedRequest) -> HTTPStatus:
        """Return the status of the example receiver, or 503 if a failure is ordered."""
        event = self.verify(request)
        status = HTTPStatus.SERVICE_UNAVAILABLE if self._is_to_fail(request.path) else super().answer(request)
        self._report(request, event, status)
        self._may_answer.wait(LONGEST_HOLD)
        return status

    def _is_to_fail(self, path: str) -> bool:
        with self._writing:
            self._failures[path] -= 1
            fails = self._failures[path] >= 0
            self._failures[path] = max(self._failures[path], 0)
        return fails

    def _report(self, request: ReceivedRequest, event: Mapping[str, Any] | None, status: HTTPStatus) -> None:
        line = {
            "path": request.path,
            "at": request.arrived_at,
            "status": int(status),
            "attempt": int(request.headers.get("tms-attempt") or 0),
            "event": event,
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
