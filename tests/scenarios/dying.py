"""A worker that is killed with -9 while it writes, by default a drain with results, in the third transaction that does.

    python -m tests.scenarios.dying MOMENT [jobs NUMBER]

``MOMENT`` is ``recording``, when deliveries have moved on whose attempts are not written yet, or ``recorded``, right after
the commit. With ``jobs``, it is a worker that writes the events of a job, in the transaction of this number.
"""

import os
import signal
import sys

import django
from django.core.management import call_command
from django.db import connection

WRITES = 3


class Death:
    """Sees every statement of the drain's own connection."""

    def __init__(self, moment, table, writes):
        self.moment = moment
        self.table = table
        self.left = int(writes)

    def __call__(self, execute, sql, params, many, context):
        if self.table not in sql or not sql.lstrip().upper().startswith("INSERT"):
            return execute(sql, params, many, context)
        self.left -= 1
        self.die_at("recording")
        return execute(sql, params, many, context)

    def commits(self, commit):
        """Return a ``commit`` after which it is over."""

        def wrapped():
            commit()
            self.die_at("recorded")

        return wrapped

    def die_at(self, moment):
        """End this process as the kernel ends one that is out of memory: nothing is cleaned up."""
        if not self.left and self.moment == moment:
            os.kill(os.getpid(), signal.SIGKILL)


def main(moment, what="results", writes=WRITES):
    """Work until it happens."""
    from tms_webhooks.models import DeliveryAttempt, Event
    from tms_webhooks.tasks import work_on_jobs

    table = DeliveryAttempt._meta.db_table
    if what == "jobs":
        # Other statements read the events.
        table = f"INSERT INTO {connection.ops.quote_name(Event._meta.db_table)}"
    death = Death(moment, table, writes)
    connection.commit = death.commits(connection.commit)
    with connection.execute_wrapper(death):
        if what == "jobs":
            work_on_jobs()
        else:
            call_command("webhooks_drain", "--seconds", "20")


if __name__ == "__main__":
    django.setup()
    main(*sys.argv[1:])
