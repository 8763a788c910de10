"""The delivery log over the API, and sending again."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from tests.factories import WebhookFactory
from tests.integration.api.people import codes_of
from tests.integration.delivery.rows import OCCURRED_AT, write_delivery
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import AuditEntry, DeliveryBody, Event, Job, WebhookState

LIST = "/api/deliveries/"


@pytest.fixture
def webhook(acme):
    return WebhookFactory(organization=acme)


@pytest.fixture
def finished(webhook):
    def finished(status=DeliveryStatus.EXHAUSTED, **values):
        now = timezone.now()
        return write_delivery(webhook, now=now, status=status, due_at=None, finished_at=now, **values)

    return finished


def ids(response):
    return [row["id"] for row in response.json()["results"]]


def test_a_delivery_is_shown_with_the_ids_that_its_receiver_sees(client, acme, webhook):
    now = timezone.now().replace(microsecond=123_456)
    delivery = write_delivery(webhook, now=now)
    moment, end = (f"{time:%Y-%m-%dT%H:%M:%S.%f}Z" for time in (now, now + timedelta(days=7)))

    (row,) = client.get(LIST).json()["results"]

    assert row == {
        "id": delivery.public_id,
        "webhook": webhook.public_id,
        "organization": acme.pk,
        "event": {
            "id": delivery.event.public_id,
            "type": "class.cancelled",
            "version": 1,
            "occurred_at": f"{OCCURRED_AT:%Y-%m-%dT%H:%M:%S}Z",
        },
        "status": "pending",
        "priority": "live",
        "attempts": 0,
        "charged": 0,
        "error_class": "",
        "created_at": moment,
        "due_at": moment,
        "next_attempt_at": moment,
        "expires_at": end,
        "reopened_at": None,
        "finished_at": None,
    }


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_is_sent_is_shown_in_the_webhooks_own_format_as_long_as_it_is_kept(client, finished, is_kept):
    delivery = finished()
    if is_kept:
        DeliveryBody.objects.create(delivery=delivery, content_type="text/plain", body="Hello")
    else:
        Event.objects.update(body="")

    payload = client.get(f"{LIST}{delivery.public_id}/").json()["payload"]

    assert payload == ({"content_type": "text/plain", "body": "Hello"} if is_kept else None)
    assert "Zoë" not in client.get(LIST).content.decode()


def test_the_log_can_be_filtered(client, acme, webhook, finished):
    other = WebhookFactory(organization=acme)
    failed, skipped = finished(error_class="timeout"), finished(DeliveryStatus.SKIPPED)
    pending = write_delivery(other, now=timezone.now() - timedelta(days=2))
    Event.objects.filter(pk=skipped.event_id).update(type="user.updated")
    yesterday = f"{timezone.now() - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"

    def found(query):
        return ids(client.get(f"{LIST}?{query}"))

    assert found("") == [pending.public_id, skipped.public_id, failed.public_id]
    assert found(f"webhook={other.public_id}") == [pending.public_id]
    assert found("status=exhausted&status=skipped") == [skipped.public_id, failed.public_id]
    assert found("&".join(["status=exhausted"] * 999)) == [failed.public_id]
    assert found("error_class=timeout") == [failed.public_id]
    assert found("event_type=user.updated") == [skipped.public_id]
    assert found("event_type=class.*") == [pending.public_id, failed.public_id]
    assert found(f"event={failed.event.public_id}") == [failed.public_id]
    assert found(f"created_before={yesterday}") == [pending.public_id]
    assert found(f"created_after={yesterday}&status=skipped") == [skipped.public_id]


@pytest.mark.parametrize(
    "query",
    [
        "created_after=0001-01-01T00:00:00%2B14:00",
        "created_before=2026-11-24T15:04:05",
        "event_type=class.cancled",
        "event=evt_1",
        "priority=live",
    ],
)
def test_a_filter_that_means_nothing_is_refused(client, query):
    assert list(codes_of(client.get(f"{LIST}?{query}"))) == [query.partition("=")[0]]


def test_each_attempt_is_listed(client, finished):
    delivery = finished(attempts=2)
    now = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
    delivery.attempt_log.create(
        number=1,
        started_at=now,
        duration_ms=120,
        status_code=500,
        error_class="http_status",
        message="HTTP 500",
        next_delay=5.0,
        delay_reason="schedule",
        response_body="broken",
        timing="2/11//100/7",
    )

    (row,) = client.get(f"{LIST}{delivery.public_id}/attempts/").json()["results"]

    assert row == {
        "number": 1,
        "charged": True,
        "started_at": "2026-11-24T15:00:00Z",
        "duration_ms": 120,
        "timing_ms": {"dns": 2.0, "connect": 11.0, "tls": None, "wait": 100.0, "read": 7.0},
        "status_code": 500,
        "error_class": "http_status",
        "message": "HTTP 500",
        "response_body": "broken",
        "next_delay": 5.0,
        "delay_reason": "schedule",
    }


@pytest.fixture
def send(client):
    return lambda verb, delivery, **headers: client.post(f"{LIST}{delivery.public_id}/{verb}/", headers=headers)


@pytest.mark.parametrize("verb", ["resend", "send-now"])
def test_what_can_not_be_sent_is_a_conflict_with_a_remedy(send, webhook, finished, problem, verb):
    delivery = finished() if verb == "send-now" else write_delivery(webhook, now=timezone.now())

    detail = problem(send(verb, delivery), "conflict")["detail"]

    remedies = {"resend": "is pending; send it now, or wait until it is finished.", "send-now": "; resend it instead."}
    assert detail.startswith(f"Delivery {delivery.public_id} ")
    assert detail.endswith(remedies[verb])
    assert not AuditEntry.objects.exists()


def test_a_waiting_delivery_is_sent_now_once(send, webhook, problem):
    later = timezone.now() + timedelta(hours=1)
    retry = {"status": DeliveryStatus.WAITING, "due_at": later, "attempts": 2, "charged": 2}
    delivery = write_delivery(webhook, now=timezone.now(), **retry)
    WebhookState.objects.update(paused_until=later)

    first, second = (send("send-now", delivery, **{"Idempotency-Key": "once"}) for _ in range(2))

    assert (first.status_code, first["Location"]) == (202, f"http://testserver{LIST}{delivery.public_id}/")
    data = first.json()
    assert (data["status"], data["priority"], data["charged"]) == ("waiting", "manual", 2)
    assert data["next_attempt_at"] == data["due_at"] < f"{later:%Y-%m-%dT%H:%M:%S}"
    assert (second.json(), second["Idempotency-Replayed"]) == (data, "true")
    problem(send("send-now", delivery), "conflict")
    assert AuditEntry.objects.count() == 1


# Several webhooks at once


@pytest.fixture
def bulk(client):
    return lambda **body: client.post(f"{LIST}bulk-replay/", body)


@pytest.fixture
def recover(bulk, webhook, finished):
    """Recover the deliveries of a day, one of which has this status."""

    def recover(*webhooks, status=DeliveryStatus.EXHAUSTED, **body):
        finished(status)
        now = timezone.now()
        Event.objects.update(occurred_at=now - timedelta(hours=1))
        ids = [one.public_id for one in (*webhooks, webhook)]
        kind = "resend_cancelled" if status == DeliveryStatus.CANCELLED else "recover"
        return bulk(webhooks=ids, kind=kind, since=(now - timedelta(days=1)).isoformat(), **body)

    return recover


@pytest.mark.parametrize("status", [DeliveryStatus.EXHAUSTED, DeliveryStatus.CANCELLED])
def test_several_webhooks_are_recovered_by_a_job_each(recover, acme, webhook, status):
    other = WebhookFactory(organization=acme)

    response = recover(other, status=status)

    assert (response.status_code, response["Location"]) == (202, "http://testserver/api/jobs/")
    data = response.json()
    assert [(job["webhook"], job["total"]) for job in data["jobs"]] == [(webhook.public_id, 1), (other.public_id, 0)]
    assert data["total"] == 1
    assert Job.objects.count() == AuditEntry.objects.count() == 2


def test_a_dry_run_counts_them_all_and_starts_nothing(recover):
    response = recover(dry_run=True)

    assert (response.status_code, response.json()) == (200, {"dry_run": True, "total": 1, "jobs": []})
    assert not Job.objects.exists()


@pytest.mark.parametrize("key", ["abc", "-1", "٣", "999999999999999999"])
def test_an_unknown_webhook_is_reported_with_its_pointer(bulk, webhook, problem, key):
    errors = problem(bulk(webhooks=[webhook.public_id, key], kind="replay_missed"), "not-found")["errors"]

    assert [error["pointer"] for error in errors] == ["#/webhooks/1"]
