"""What docs/howto/expiry.md shows is so: its bodies, its code, and each row of its tables."""

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.expiry.assignments import DAY, assign, data_of, details_of, events, scan_at, subscribe
from tms_webhooks import conf
from tms_webhooks.api.serializers.webhooks import SubscriptionSerializer
from tms_webhooks.catalogue import values
from tms_webhooks.expiry import windows
from tms_webhooks.sources.deadlines import ClosedWhen, DueDate, end_of_day, time_zone
from tms_webhooks.sources.tms import CourseAssignmentSource

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "expiry.md").read_text(encoding="utf-8")
UTC_ZONE = time_zone("UTC")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def rows(first):
    """Return the cells of the table whose header begins with this cell."""
    table = re.search(rf"^\| {re.escape(first)} \|.*?\n\n", PAGE + "\n\n", re.MULTILINE | re.DOTALL)
    assert table is not None
    lines = table[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due(text):
    return moment(text) if ":" in text else end_of_day(date.fromisoformat(text), UTC_ZONE)


@pytest.mark.django_db
def test_the_subscription_of_the_page_is_taken_and_answered_as_shown():
    stated, _event = (json.loads(block) for block in blocks("json"))
    serializer = SubscriptionSerializer(data=stated)
    serializer.is_valid(raise_exception=True)
    answer = SubscriptionSerializer(serializer.save(webhook=WebhookFactory(events=[]))).data

    assert {name: answer[name] for name in stated} == stated


@pytest.mark.django_db
def test_the_event_of_the_page_is_one_that_a_scan_records():
    shown = json.loads(blocks("json")[1])
    organization = OrganizationFactory()
    subscribe(organization, shown["type"], (2.0, 7.0))
    expires_at = datetime.fromisoformat(shown["data"]["expires_at"])
    assign(organization, expires_at=expires_at, created=expires_at - 90 * DAY)

    scan_at(expires_at - shown["details"]["days_left"] * DAY)

    data = {**data_of(events()[0]), "id": shown["data"]["id"]}
    assert details_of(events()[0]) == shown["details"]
    assert {name: data[name] for name in shown["data"]} == shown["data"]


def test_the_table_of_the_window_is_right():
    table = rows("now")
    assert len(table) == 4
    for now, at, days_left, inside in table:
        left = values.days_left(moment(at), now=moment(now))
        found = windows.was_inside(moment(at), (2, 7), since=moment(now), now=moment(now))
        assert (left, found) == (float(days_left), inside == "yes")


def test_the_table_of_the_edits_is_right():
    table = rows("date of the event")
    assert len(table) == 6
    for recorded, at, again in table:
        assert DueDate(due(at), UTC_ZONE).is_same_as(due(recorded)) is (again == "no")


def test_the_table_of_the_time_zones_is_right():
    table = rows("date")
    assert len(table) == 3
    for day, zone, expires_at in table:
        ends_at = end_of_day(date.fromisoformat(day), time_zone(zone))
        assert ends_at.isoformat(timespec="milliseconds").replace("+00:00", "Z") == expires_at


def test_the_code_of_the_page_runs():
    names = {}
    defaults = {setting.name: setting.default for setting in conf.declared()}
    for block in blocks("python"):
        exec(block, names)

    assert f"`EXPIRY_MINUTES` ({defaults['EXPIRY_MINUTES']})" in PAGE
    assert isinstance(names["closed_when"], ClosedWhen)
    assert issubclass(names["CourseAssignments"], CourseAssignmentSource)
