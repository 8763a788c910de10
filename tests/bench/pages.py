"""How long the admin's delivery log and the API's pages take, with few deliveries and with many."""

from __future__ import annotations

from datetime import timedelta
from statistics import median
from time import perf_counter

from django.utils import timezone

from tests.bench import environment
from tests.bench.environment import ratios, sized
from tests.bench.figures import Figure

ROUNDS = 3
TIMEOUT = 500
FEW, MANY = sized(10_000, least=2_000), sized(1_000_000, least=4_000)
WEBHOOKS = 100
LARGE_SHARE = 10
"""One organization more has a tenth as many events and deliveries."""
RARE = 1_000
"""One of so many deliveries failed, long ago."""
MISSED = 100
"""One of so many events did not reach the webhook of the large organization."""
OPENED = 3
"""Times that a page is opened in a round."""
ROWS = 100
"""Rows of a page of the API."""
NAMED = 1_000
URL = "https://receiver.example.com/"
LOG_URL = "/admin/tms_webhooks/delivery/"

LOG = {
    "log_open": "the log: first page",
    "log_page_20": "the log: page 20",
    "log_webhook": "the log: one webhook",
    "log_rare": f"the log: a status that 1 in {RARE:,} deliveries has, all old",
    "log_no_error": "the log: an error that no delivery has",
    "log_event": "the log: search by an event's id",
    "log_object": "the log: search by an object's id",
    "log_name": "the log: search by a name that 1 in 100 events has",
    "log_rare_name": "the log: search by a name that one old event has",
}
API = {
    "api_small": f"the API: deliveries of an organization with {MANY // WEBHOOKS:,}",
    "api_large": f"the API: deliveries of an organization with {MANY // LARGE_SHARE:,}",
    "api_large_next": "the API: the same, second page",
    "api_all": "the API: all deliveries, for an operator",
    "api_failed": "the API: failed deliveries of the large organization",
    "api_feed": "the API: the feed of the large organization",
    "api_feed_next": "the API: the same, next page",
    "api_undelivered": f"the API: the feed with `undelivered_to` a webhook that missed 1 in {MISSED}",
}
GROWTH = {
    "log_open": "the first page of the delivery log",
    "api_large": "the API's first page of deliveries",
    "api_feed": "the API's feed",
}
FIGURES = (
    *(Figure(name, label, "ms") for name, label in {**LOG, **API}.items()),
    *(
        Figure(f"{name}_ratio", f"{label} with {MANY:,} deliveries, divided by it with {FEW:,}", table="growth")
        for name, label in GROWTH.items()
    ),
)


def run(*, db, rounds):
    """Measure in a fresh database for each size."""
    few, many = (_measured(db, size, rounds) for size in (FEW, MANY))
    return {**many, **{f"{name}_ratio": ratios(many[name], few[name]) for name in GROWTH}}


def _measured(db, size, rounds):
    with environment.database(db):
        return environment.figures("pages", "measure", size, rounds)


def measure(size, rounds):
    """Return the median milliseconds of each page in each round."""
    now = timezone.now()
    small, large = fill(size, now)
    opened = {name: (client, address) for name, client, address in [*_log(small), *_api(small, large)]}
    found = {name: [] for name in opened}
    for client, address in opened.values():
        _open(client, address)
    for _ in range(rounds):
        for name, (client, address) in opened.items():
            found[name].append(median(_open(client, address) for _ in range(OPENED)))
    return found


def fill(size, now):
    """Write events with deliveries, nearly all delivered; return a webhook of few deliveries, and one of many."""
    from tests.bench import world
    from tms_webhooks.models import Delivery, Event

    webhooks = world.make_webhooks(WEBHOOKS, URL)
    world.write_events(webhooks, size // WEBHOOKS)
    world.write_deliveries("delivered", now, events="> 0")
    oldest = list(Delivery.objects.order_by("pk").values_list("pk", flat=True)[: size // RARE])
    Delivery.objects.filter(pk__in=oldest).update(status="failed", error_class="invalid_url")
    (large,) = world.make_webhooks(1, URL)
    events = world.write_events([large], size // LARGE_SHARE)
    Delivery.objects.bulk_create(
        [
            Delivery(event=one, webhook=large, created_at=now, finished_at=now, status=_status(number))
            for number, one in enumerate(events)
        ],
        batch_size=1_000,
    )
    Event.objects.update(fanned_out_at=now)
    _name_events(now)
    publish()
    world.analyze()
    return webhooks[WEBHOOKS // 2], large


def _status(number):
    """Return the status of a delivery of the large organization."""
    if number % MISSED:
        return "delivered"
    return "exhausted" if number % RARE else "failed"


def publish():
    """Give all events their places in the feed."""
    from tms_webhooks.outbox import feed

    while feed.publish(timezone.now()):
        pass


def _name_events(now):
    """Give the events of thirty days names: a hundredth one, the oldest another, and all others a third one."""
    from tms_webhooks.models import Event

    keys = list(Event.objects.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(keys), NAMED):
        at = now - timedelta(days=29) * (1 - start / len(keys))
        rows = Event.objects.filter(pk__in=keys[start : start + NAMED])
        rows.update(**_named("Alice Jones · Azure Administrator"), occurred_at=at)
    Event.objects.filter(pk__in=keys[::100]).update(**_named("Anna Larsen · Azure Administrator"))
    Event.objects.filter(pk=keys[0]).update(**_named("Xan Quilliam · Azure Administrator"))


def _named(name):
    from tms_webhooks.models.event import searchable

    return {"subject_name": name, "searched_name": searchable(name)}


def _log(webhook):
    """Yield the pages of the log, as an operator opens them."""
    from example_project.training.factories import UserFactory
    from tms_webhooks.models import Event

    client = _client()
    client.force_login(UserFactory(organization=None, is_staff=True, is_superuser=True))
    oldest = Event.objects.earliest("pk")
    queries = {
        "log_open": "",
        "log_page_20": "p=20",
        "log_webhook": f"webhook={webhook.public_id}",
        "log_rare": "status__exact=failed",
        "log_no_error": "error_class__exact=tls_error",
        "log_event": f"q={oldest.public_id}",
        "log_object": f"q={oldest.subject_id}",
        "log_name": "q=Larsen",
        "log_rare_name": "q=Quilliam",
    }
    for name, query in queries.items():
        yield name, client, f"{LOG_URL}?{query}"


def _api(small, large):
    """Yield the pages of the API, as both organizations and an operator ask for them."""
    from example_project.training.factories import UserFactory
    from example_project.training.models import ApiKey

    clients = {}
    for webhook in (small, large):
        clients[webhook] = _client()
        _key, clear = ApiKey.objects.create_key(name="bench", organization_id=webhook.organization_id)
        clients[webhook].defaults["HTTP_AUTHORIZATION"] = f"Api-Key {clear}"
    operator = _client()
    operator.force_login(UserFactory(organization=None, is_staff=True, is_superuser=True))
    deliveries, feed = f"/api/deliveries/?page_size={ROWS}", f"/api/events/?page_size={ROWS}"
    own = clients[large]
    yield "api_small", clients[small], deliveries
    yield "api_large", own, deliveries
    yield "api_large_next", own, own.get(deliveries).json()["next"]
    yield "api_all", operator, deliveries
    yield "api_failed", own, f"{deliveries}&status=failed"
    yield "api_feed", own, feed
    yield "api_feed_next", own, f"{feed}&after={own.get(feed).json()['cursor']}"
    yield "api_undelivered", own, f"{feed}&undelivered_to={large.public_id}"


def _open(client, address):
    start = perf_counter()
    response = client.get(address)
    assert response.status_code == 200, response.content
    return (perf_counter() - start) * 1000


def _client():
    from django.test import Client

    return Client(SERVER_NAME="localhost")
