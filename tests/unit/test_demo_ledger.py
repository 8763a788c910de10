"""The demo's book-keeping: it has to notice what is missing, too much, or out of order."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from example_project.demo.ledger import Endpoint, Ledger, Moment
from example_project.demo.verdict import percentile

CANCELLED = (1, "class.cancelled", "7")


def endpoint(name: str, *patterns: str, organization_id: int = 1) -> Endpoint:
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
def ledger() -> Ledger:
    return Ledger(
        endpoints=(endpoint("all", "*"), endpoint("crm", "class.*"), endpoint("other", "*", organization_id=2))
    )


def arrive(
    ledger: Ledger, path: str, *, number: int = 1, at: float = 10.0, status: int = 204, signed: bool = True
) -> None:
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


def test_events_about_a_webhook_are_expected_by_others_that_name_them():
    everything, named, own = endpoint("all", "*"), endpoint("named", "webhook.*"), endpoint("own", "*", "webhook.*")
    about = (1, "webhook.disabled", "whk_5")

    wanted = [one.name for one in (everything, named, replace(own, webhook="whk_5")) if one.wants(about)]

    assert wanted == ["named"]


def test_an_event_that_is_made_for_one_webhook_is_expected_by_no_other(ledger):
    _all, crm, _other = ledger.endpoints
    ledger.expect((1, "class.snapshot", "7"), Moment(), only=crm)

    assert [pair.endpoint.name for pair in ledger.compare().pairs] == ["crm"]


def test_what_has_not_come_is_missing(ledger):
    ledger.expect(CANCELLED, Moment())
    arrive(ledger, "/all")

    comparison = ledger.compare()

    assert (comparison.arrived, len(comparison.pairs), comparison.complete) == (1, 2, False)
    arrive(ledger, "/crm")
    assert ledger.compare().complete


@pytest.mark.parametrize("answer", [{"status": 503}, {"status": 401, "signed": False}])
def test_what_was_not_accepted_has_not_come(ledger, answer):
    ledger.expect(CANCELLED, Moment())
    arrive(ledger, "/all", **answer)

    assert ledger.compare().arrived == 0
    assert ledger.unverified == (0 if answer.get("signed", True) else 1)


def test_an_event_without_a_cause_is_surplus(ledger):
    arrive(ledger, "/all")

    assert [arrival.key for arrival in ledger.compare().surplus] == [CANCELLED]


def test_a_second_event_of_what_happened_once_is_surplus_and_the_same_event_again_a_repeat(ledger):
    ledger.expect(CANCELLED, Moment())
    arrive(ledger, "/all")
    arrive(ledger, "/all")
    arrive(ledger, "/all", number=2)

    comparison = ledger.compare()

    assert [arrival.event["id"] for arrival in comparison.repeats] == ["evt_1"]
    assert [arrival.event["id"] for arrival in comparison.surplus] == ["evt_2"]


def test_latency_goes_from_the_commit_to_the_first_arrival_in_the_order_of_the_sequence(ledger):
    ledger.expect(CANCELLED, Moment(committed_at=10.0))
    ledger.expect(CANCELLED, Moment(committed_at=20.0))
    arrive(ledger, "/all", number=2, at=20.030)
    arrive(ledger, "/all", number=1, at=10.010)
    arrive(ledger, "/all", number=1, at=50.0)

    assert [round(latency) for latency in ledger.compare().latencies()] == [10, 30]


def test_what_was_delayed_on_purpose_does_not_count_for_the_latency(ledger):
    ledger.expect(CANCELLED, Moment(timed=False, committed_at=10.0))
    arrive(ledger, "/all", at=15.0)

    assert ledger.compare().latencies() == []


def test_a_percentile_is_one_of_the_values():
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 95)) == (50.0, 95.0)
    assert percentile([7.04], 95) == 7.0
    assert percentile([], 50) is None
