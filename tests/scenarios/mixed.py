"""Webhooks with a cap, with an order and with a rate, whose limits are exact however many drains and hosts serve them."""

from collections import defaultdict
from itertools import pairwise

from tests.integration.delivery.rows import new_event
from tests.receiver import Answer

DELAY = 0.15
"""Seconds that the receiver takes for each answer."""
CAPPED, CAP, RATE, EVENTS, OBJECTS = 6, 2, 5, 15, 3
DELIVERIES = EVENTS * (CAPPED + 2)


def write_mixed(tables, receiver):
    """Make the webhooks of one organization; return its events, which are written."""
    receiver.respond = lambda _request: Answer(delay=DELAY)
    for number in range(CAPPED):
        tables.subscribe(receiver, f"capped{number}", max_in_flight=CAP)
    tables.subscribe(receiver, "ordered", ordered=True)
    tables.subscribe(receiver, "limited", rate_limit_per_second=RATE)
    events = [new_event(tables.organization) for _ in range(EVENTS)]
    for position, event in enumerate(events):
        event.subject_id, event.sequence = f"object-{position % OBJECTS}", position // OBJECTS + 1
        event.save(using=tables.using)
    return events


def assert_limits_are_exact(receiver, events):
    """Assert that no request broke a limit."""
    came = defaultdict(list)
    for request in sorted(receiver.received, key=lambda request: request.at):
        came[request.path].append(request)
    for path, requests in came.items():
        cap = 1 if path == "/ordered" else CAP if "capped" in path else EVENTS
        times = [request.at for request in requests]
        assert max(sum(0 <= other - at < DELAY for other in times) for at in times) <= cap
    first, *_, last = came["/limited"]
    assert last.at - first.at >= (EVENTS - 1) / RATE - 0.1
    # The events of one object follow each other in the list, each some places after the one before.
    place = {event.public_id: number for number, event in enumerate(events)}
    places = [place[request.headers["webhook-id"]] for request in came["/ordered"]]
    for subject in range(OBJECTS):
        of_subject = [number for number in places if number % OBJECTS == subject]
        assert all(earlier < later for earlier, later in pairwise(of_subject))
