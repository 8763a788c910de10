"""The demo's book-keeping: it has to notice what is missing, too much, or out of order."""

import json

import pytest

from example_project.demo.ledger import Endpoint, Ledger, Moment

CANCELLED = (1, "class.cancelled", "7")


def endpoint(name, *patterns, organization_id=1):
    return Endpoint(
        webhook_id=1,
        webhook="whk_1",
        organization_id=organization_id,
        organization="Harborview Learning",
        name=name,
        path=f"/{name}",
        secret="whsec_",
        patterns=patterns,
    )


@pytest.fixture
def ledger():
    return Ledger(
        endpoints=(endpoint("all", "*"), endpoint("crm", "class.*"), endpoint("other", "*", organization_id=2))
    )


def arrive(ledger, path, *, number=1, at=10.0, status=204, signed=True):
    organization_id, event_type, subject = CANCELLED
    event = {
        "id": f"evt_{number}",
        "type": event_type,
        "sequence": number,
        "organization": {"id": organization_id},
        "data": {"id": int(subject)},
    }
    line = {"path": path, "at": at, "status": status, "attempt": 1, "event": event if signed else None}
    ledger.receive(json.dumps(line))


def test_an_event_is_expected_by_the_webhooks_of_its_organization_that_asked_for_it(ledger):
    ledger.expect(CANCELLED, Moment())
    ledger.expect((1, "user.updated", "3"), Moment())

    wanted = [(pair.endpoint.name, pair.expected.key[1]) for pair in ledger.compare().pairs]

    assert wanted == [("all", "class.cancelled"), ("all", "user.updated"), ("crm", "class.cancelled")]


def test_what_has_not_come_is_missing(ledger):
    ledger.expect(CANCELLED, Moment())
    arrive(ledger, "/all")

    comparison = ledger.compare()

    assert (comparison.arrived, len(comparison.pairs), comparison.complete) == (1, 2, False)
    arrive(ledger, "/crm")
    assert ledger.compare().complete


def test_a_second_event_of_what_happened_once_is_surplus_and_the_same_event_again_a_repeat(ledger):
    ledger.expect(CANCELLED, Moment())
    arrive(ledger, "/all")
    arrive(ledger, "/all")
    arrive(ledger, "/all", number=2)

    comparison = ledger.compare()

    assert [arrival.event["id"] for arrival in comparison.repeats] == ["evt_1"]
    assert [arrival.event["id"] for arrival in comparison.surplus] == ["evt_2"]
