"""A process that runs one of the regular tasks on a large backlog, again and again as the queue would, to its end.

    python -m tests.scenarios.large TASK SECONDS [COMMITS]

``SECONDS`` is the time budget of each run. With ``COMMITS`` the process is killed with -9 in the transaction after so
many, before it commits. It prints, as JSON, the number of runs and the most rows that one transaction changed.
"""

import json
import os
import signal
import sys

import django
from django.db import connection


class Transactions:
    """Sees every statement and every commit of the connection."""

    def __init__(self, *, deadly):
        self.most = 0
        self._rows = 0
        self._commits = 0
        self._deadly = deadly

    def __call__(self, execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if not sql.lstrip().upper().startswith("SELECT"):
            self._rows += max(0, context["cursor"].rowcount)
            self.most = max(self.most, self._rows)
        if not context["connection"].in_atomic_block:
            self._rows = 0
        return result

    def commits(self, commit):
        """Return a ``commit`` that ends a transaction, or this process."""

        def wrapped():
            if self._rows:
                self._commits += 1
            if self._deadly and self._commits > self._deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            commit()
            self._rows = 0

        return wrapped


def main(task, seconds, deadly=0):
    """Run the task until it no longer enqueues itself."""
    from tms_webhooks import tasks

    tasks.TASK_SECONDS = seconds
    enqueued = []
    tasks.enqueue = lambda function, *_args: enqueued.append(function)
    transactions, runs = Transactions(deadly=deadly), 0
    connection.commit = transactions.commits(connection.commit)
    with connection.execute_wrapper(transactions):
        while not runs or enqueued:
            assert set(enqueued) <= {f"tms_webhooks.tasks.{task}"}
            enqueued.clear()
            getattr(tasks, task)()
            runs += 1
    print(json.dumps({"runs": runs, "most": transactions.most}))  # noqa: T201


if __name__ == "__main__":
    django.setup()
    main(sys.argv[1], float(sys.argv[2]), *map(int, sys.argv[3:]))
