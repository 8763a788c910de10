"""Customers who poll: ``python -m tests.bench.pollers START SECONDS EVERY PORT < keys.json``.

For SECONDS, each customer sends the requests of `REQUESTS` every EVERY seconds, with the time of its last poll. The
customers are spread evenly over this time. START is on the clock of `time.monotonic`. The last line is JSON: when each
change was first seen.
"""

from __future__ import annotations

import json
import sys
import time
from http.client import HTTPConnection

OVERLAP = 1
"""Seconds that a poll looks back beyond the last one: the API's times are whole seconds."""

REQUESTS = {
    "class": ("SearchClasses", "lastModifiedAfter", "Id"),
    "enrollment": ("SearchClassEnrollments", "lastModifiedAfter", "Id"),
    "started": ("SearchCourseAssignments", "startedAfter", "Id"),
    "completed": ("SearchCourseAssignments", "completedAfter", "Id"),
    "feedback": ("SearchCourseFeedback", "createdAfter", "Title"),
}
"""The requests of a poll by the kind of change that they find: operation, parameter, and the name of its id."""


class Pollers:
    """Polls for all customers, and keeps when it saw what."""

    def __init__(self, keys, port):
        self.seen = {}
        self._keys = keys
        self._port = port
        self._since = [int(time.time())] * len(keys)

    def run(self, start, seconds, every):
        """Poll for so long from ``start`` on."""
        number = 0
        while (due := start + number * every / len(self._keys)) < start + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            self._poll(number % len(self._keys))
            number += 1

    def _poll(self, customer):
        since, self._since[customer] = self._since[customer] - OVERLAP, int(time.time())
        for kind, (operation, parameter, name) in REQUESTS.items():
            rows = self._ask(f"/api/2.0/{operation}?{parameter}={since}", self._keys[customer])
            for row in rows:
                self.seen.setdefault(f"{kind}:{row[name]}", time.monotonic())

    def _ask(self, path, key):
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection.request("GET", path, headers={"api_key": key})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        assert answer["Status"] == 0, answer
        return answer["Results"]


def main(start, seconds, every, port):
    """Poll, and print."""
    pollers = Pollers(json.load(sys.stdin), port)
    pollers.run(start, seconds, every)
    print(json.dumps(pollers.seen))


if __name__ == "__main__":
    main(*map(float, sys.argv[1:4]), port=int(sys.argv[4]))
