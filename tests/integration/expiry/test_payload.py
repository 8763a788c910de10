"""What the two events say."""

import json

from tests.catalogue import data_fields, object_fields
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    NOW,
    assign,
    events,
    scan_at,
    subscribed_organization,
)
from tests.outbox import number_events
from tms_webhooks import catalogue
from tms_webhooks.actors import actor_context


def test_the_payload_of_an_expiring_assignment_has_the_days_left_and_the_window():
    organization = subscribed_organization()
    assignment = assign(organization, expires_at=NOW + 5.25 * DAY, started_at=NOW - 9 * DAY)

    scan_at(NOW)

    number_events()
    (event,) = events()
    whole = json.loads(event.body)
    catalogue.get(EXPIRING).validate(whole)
    assert whole["type"] == EXPIRING
    assert whole["timestamp"] == "2100-11-24T15:00:00.000Z"
    assert whole["organization"] == {"id": organization.pk, "external_id": organization.external_id}
    assert whole["data"]["id"] == assignment.pk
    assert whole["data"]["external_id"] == assignment.external_id
    assert whole["data"]["expires_at"] == "2100-11-29T21:00:00.000Z"
    assert data_fields(whole) == object_fields(catalogue.get(EXPIRING))
    assert whole["details"] == {
        "days_left": 5.25,
        "late": False,
        "window": {"more_than_days": 2, "less_than_days": 7},
    }
    assert whole["data"]["completion_status"] == {"code": 10, "name": "Incomplete"}
    assert whole["data"]["user"]["external_id"] == assignment.user.external_id
    assert whole["data"]["course"]["name"] == assignment.course.name
    assert (whole["changed"], whole["previous"]) == ([], {})


def test_the_actor_of_both_is_the_system_in_any_context():
    organization = subscribed_organization(EXPIRING, EXPIRED)
    assign(organization, expires_at=NOW + 5 * DAY)

    with actor_context("administrator", 7):
        for days in range(7):
            scan_at(NOW + days * DAY)

    assert [(event.type, event.actor_kind, event.actor_id) for event in events()] == [
        (EXPIRING, "system", ""),
        (EXPIRED, "system", ""),
    ]
    expiring, expired = (json.loads(event.body) for event in events())
    assert expiring["actor"] == {"kind": "system", "id": None}
    number_events()
    catalogue.get(EXPIRED).validate(json.loads(events()[1].body))
    assert "details" not in expired
    assert expired["data"]["completion_status"] == {"code": 0, "name": "Not Started"}
