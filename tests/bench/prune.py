"""How fast pruning is in a large table: at its beginning, and when nearly all payloads are blank."""

from __future__ import annotations

from datetime import timedelta
from time import perf_counter

from tests.bench import environment
from tests.bench.environment import lasting, sized
from tests.bench.figures import Figure

ROUNDS = 3
TIMEOUT = 400
EVENTS = sized(500_000, least=20_000)
MEASURED = EVENTS // 10 // 1_000 * 1_000
"""Rows whose payloads are pruned in a round: whole batches."""
DELETING = lasting(4.0)
"""Seconds that deletions take in a round."""
CHUNK = 100_000

FIGURES = (
    Figure("first", f"payloads blanked, the first of {EVENTS:,}", "/s", at_least=10_000),
    Figure("last", "payloads blanked, the last ones, by a run that has to find them", "/s", at_least=10_000),
    Figure("deleted", "attempts, deliveries and events deleted", "/s"),
    Figure("longest", "the longest batch of payloads", "ms"),
)

# Two events in a hundredth of a second, as a busy installation has.
EVENT = """
INSERT INTO {event} (uid, type, version, organization_id, subject_type, subject_id, external_id, subject_name, searched_name,
    subject_key, sequence, numbered_by_owner, is_copy, actor_kind, actor_id, occurred_at, body, error, fanned_out_at, position, snapshot_job)
WITH RECURSIVE n (x) AS (SELECT %(first)s UNION ALL SELECT x + 1 FROM n WHERE x < %(last)s)
SELECT {uid}, 'class.cancelled', 1, %(organization)s, 'class', CAST(x AS CHAR(12)), '', '', '',
    x, 1, %(false)s, %(false)s, 'system', '', {moment}, %(body)s, '', {moment}, x, 0
FROM n ORDER BY n.x"""
DELIVERY = """
INSERT INTO {delivery} (event_id, webhook_id, status, due_at, priority, attempts, charged, error_class, created_at,
    finished_at)
SELECT id, %(webhook)s, 'delivered', NULL, 1, 1, 1, '', occurred_at, occurred_at FROM {event} ORDER BY id"""
ATTEMPT = """
INSERT INTO {attempt} (delivery_id, number, charged, started_at, duration_ms, status_code, error_class, message,
    response_headers, response_body, delay_reason, timing, request)
SELECT id, 1, %(charged)s, created_at, 5, 200, '', '', '', '', '', '', '' FROM {delivery} ORDER BY id"""
PARTS = {
    "sqlite": {
        "uid": "printf('%%032x', x)",
        "moment": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', %(begin)s, (x * 0.005) || ' seconds')",
    },
    "postgresql": {
        "uid": "CAST(lpad(to_hex(x), 32, '0') AS uuid)",
        "moment": "%(begin)s + x * interval '5 milliseconds'",
    },
}


def run(*, db, rounds):
    """Fill one database, and prune it as the task does."""
    with environment.database(db):
        return environment.figures("prune", "measure", rounds)


def measure(rounds):
    """Prune the first payloads in rounds, then most others, then the last ones in rounds; then delete rows."""
    from django.utils import timezone

    from tms_webhooks.batches import after, run_alternately
    from tms_webhooks.outbox import prune

    now = timezone.now()
    fill(now - timedelta(days=40))
    payloads = _timed(prune.rules(now)["payloads"])
    first = [payloads(MEASURED) for _ in range(rounds)]
    payloads(EVENTS - 2 * rounds * MEASURED)
    # A new run, which has to find the place.
    payloads = _timed(prune.rules(now)["payloads"])
    last = [payloads(MEASURED) for _ in range(rounds)]
    deleted = []
    for _ in range(rounds):
        before, start = _rows(), perf_counter()
        run_alternately(prune.rules(now + timedelta(days=60)), stop=after(DELETING))
        seconds = perf_counter() - start
        deleted.append((before - _rows()) / seconds)
    return {"first": first, "last": last, "deleted": deleted, "longest": [_longest[0] * 1000]}


def fill(begin):
    """Write the events from this time on, each with a delivery and an attempt."""
    from django.db import connection

    from tests.bench import world
    from tms_webhooks import catalogue
    from tms_webhooks.models import Delivery, DeliveryAttempt, Event
    from tms_webhooks.payloads.envelope import to_text

    (webhook,) = world.make_webhooks(1, "https://tms.example.com/hook")
    models = {"event": Event, "delivery": Delivery, "attempt": DeliveryAttempt}
    tables = {name: connection.ops.quote_name(model._meta.db_table) for name, model in models.items()}
    params = {
        "webhook": webhook.pk,
        "organization": webhook.organization_id,
        "begin": connection.ops.adapt_datetimefield_value(begin),
        "body": to_text(catalogue.get("class.cancelled").example()),
        "charged": True,
        "false": False,
    }
    with connection.cursor() as cursor:
        for first in range(1, EVENTS, CHUNK):
            numbers = {"first": first, "last": min(EVENTS, first + CHUNK - 1)}
            cursor.execute(EVENT.format(**tables, **PARTS[connection.vendor]), {**params, **numbers})
        for statement in (DELIVERY, ATTEMPT):
            cursor.execute(statement.format(**tables), params)
    world.analyze()


_longest = [0.0]


def _timed(batches):
    """Return a function that prunes so many rows and returns how many rows a second that were."""

    def prune(rows):
        done, start = 0, perf_counter()
        while done < rows:
            began = perf_counter()
            done += next(batches)
            _longest[0] = max(_longest[0], perf_counter() - began)
        return done / (perf_counter() - start)

    return prune


def _rows():
    from tms_webhooks.models import Delivery, DeliveryAttempt, Event

    return sum(model.objects.count() for model in (Event, Delivery, DeliveryAttempt))
