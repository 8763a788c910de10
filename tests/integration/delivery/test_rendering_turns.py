"""Costly contents take time from the turn of their own organization, and from no other."""

from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.integration.delivery.rows import distinct, subscribed, write_event, write_events
from tests.integration.delivery.trouble import Trouble
from tms_webhooks.choices import PayloadFormat
from tms_webhooks.delivery import rendering
from tms_webhooks.models import Delivery, DeliveryBody
from tms_webhooks.routing.budget import BUDGETS_PER_TURN, TimeSpent
from tms_webhooks.worker import drain, send

BODIES = DeliveryBody._meta.db_table


class Work:
    """Renderings and starts of requests in their order, and the seconds that a rendering takes, by its content.

    A start is the path of its webhook's URL, a rendering its content.
    """

    headers = {}

    def __init__(self):
        self.time = 0.0
        self.seconds = {}
        self.steps = []

    def clock(self):
        return self.time

    def observe(self, request):
        self.steps.append(urlsplit(request.endpoint.webhook.url).path)
        return self

    def end(self, result):
        pass

    def before(self, path):
        """Return what was done before the first request to this path was started."""
        return self.steps[: self.steps.index(path)]


@pytest.fixture
def work(monkeypatch):
    """Have renderings take as long as the test says; the budget is 20 ms."""
    monkeypatch.setattr("tms_webhooks.routing.budget.MATCHING_BUDGET", 0.02)
    work, render = Work(), rendering.render

    def timed(shape, event, *, limit):
        work.time += work.seconds.get(shape.content, 0.0)
        work.steps.append(shape.content)
        return render(shape, event, limit=limit)

    monkeypatch.setattr(rendering, "render", timed)
    monkeypatch.setattr(send, "observers", [work.observe])
    monkeypatch.setattr(drain, "TimeSpent", lambda _clock: TimeSpent(work.clock))
    return work


@pytest.fixture
def custom(work):
    """Make a webhook with content of its own, which takes so many seconds to render."""

    def custom(path, content="costly", *, seconds=0.0, **values):
        work.seconds[content] = seconds
        return subscribed(path, format=PayloadFormat.CUSTOM, content=content, **values)

    return custom


def test_others_start_before_and_between_the_renderings_of_a_costly_organization(work, custom, run):
    first = custom("/costly", seconds=0.008)
    for _ in range(9):
        custom("/costly", seconds=0.008, organization=first.organization)
    write_events(first.organization, 10)
    plain, cheap = subscribed("/plain"), custom("/cheap", "cheap", seconds=0.001)
    for webhook in (plain, cheap):
        write_events(webhook.organization, 1)

    tally = run()

    assert tally.delivered == 102
    assert work.before("/plain") == []
    # Three take more than the budget.
    assert work.before("/cheap").count("costly") <= 3
    assert work.steps.count("costly") == 100


def test_what_an_organization_has_no_time_for_goes_out_later_in_its_order(work, custom, run, wire):
    webhook = custom("/costly", "{data.id}", seconds=0.05, ordered=True)
    events = [write_event(webhook.organization) for _ in range(5)]

    run()

    assert [request.headers["webhook-id"] for request in wire.requests] == [event.public_id for event in events]
    assert work.steps == ["{data.id}", "/costly"] * 5


def test_many_costly_organizations_take_turns(work, custom, run):
    contents = [f"costly {number}" for number in range(3 * BUDGETS_PER_TURN)]
    for content in contents:
        webhook = custom(f"/{content[-1]}", content, seconds=0.03)
        write_events(webhook.organization, 3)

    run()

    rendered = [step for step in work.steps if step in contents]
    assert sorted(rendered[: len(contents)]) == sorted(contents)
    assert sorted(rendered) == sorted(contents * 3)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", ["SELECT", "INSERT"])
@pytest.mark.parametrize("times", [1, 3])
def test_requests_whose_bodies_cant_be_read_or_stored_now_are_sent_once_when_they_can(
    work, custom, run, wire, monkeypatch, verb, times
):
    monkeypatch.setattr(drain, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(drain, "LONGEST_PAUSE", 0.001)
    webhook = custom("/costly", "{data.id}")
    write_events(webhook.organization, 5)
    trouble = Trouble(verb, BODIES, times=times)

    with connection.execute_wrapper(trouble):
        tally = run()

    assert trouble.refused == times
    assert (tally.sent, tally.delivered, len(wire.requests)) == (5, 5, 5)
    assert DeliveryBody.objects.count() == 5
    assert distinct(Delivery, "status") == {"delivered"}
