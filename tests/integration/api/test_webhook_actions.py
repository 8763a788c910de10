"""What can be done with a webhook over the API, and that each is written down."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import WebhookFactory
from tests.integration.api.people import at, codes_of, errors_of
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.choices import AttemptResult, DeliveryStatus
from tms_webhooks.models import AuditEntry, DeliveryTotal, Event, Job, WebhookSecret
from tms_webhooks.models.total import CountedAttempt


@pytest.fixture
def webhook(acme):
    return WebhookFactory(organization=acme, name="CRM")


@pytest.fixture
def do(client, webhook):
    return lambda verb, **body: client.post(at(webhook, verb), body)


@pytest.mark.parametrize("overlap", [3600, 0])
def test_a_rotated_secret_is_returned_once(do, webhook, clock, overlap):
    old = webhook.signing_secrets(clock()) if overlap else []

    response = do("rotate-secret", overlap_seconds=overlap)

    data = response.json()
    assert webhook.signing_secrets(timezone.now()) == [data["secret"], *old]
    assert response["Cache-Control"] == "no-store"
    expires_at = WebhookSecret.objects.get(expires_at__isnull=False).expires_at
    assert data["old_secret_signs_until"] == f"{expires_at:%Y-%m-%dT%H:%M:%S.%f}Z"


@pytest.mark.parametrize(
    "verb, body, code",
    [
        ("rotate-secret", {"overlap_seconds": -1}, "min_value"),
        ("rotate-secret", {"overlap_seconds": 604_801}, "max_value"),
        ("enable", {"now": True}, "unknown"),
    ],
)
def test_a_body_that_a_verb_does_not_take_is_refused_and_nothing_is_done(do, webhook, verb, body, code):
    assert codes_of(do(verb, **body)) == {f"#/{name}": code for name in body}

    assert WebhookSecret.objects.count() == 1
    assert not AuditEntry.objects.exists()


def test_a_secret_is_revealed(client, webhook, clock):
    response = client.get(at(webhook, "secret"))

    assert [response.json()["secret"]] == webhook.signing_secrets(clock())
    assert response["Cache-Control"] == "no-store"


@pytest.fixture
def since(webhook):
    """A moment before the event of a failed delivery."""
    now = timezone.now()
    write_delivery(webhook, now=now, status=DeliveryStatus.EXHAUSTED, due_at=None, finished_at=now)
    Event.objects.update(occurred_at=now - timedelta(hours=1))
    return (now - timedelta(days=1)).isoformat()


def test_a_recovery_is_a_job_whose_progress_can_be_asked_for(client, do, since, alice):
    response = do("recover", since=since)

    job = Job.objects.get()
    assert response.status_code == 202
    assert response["Location"] == f"http://testserver/api/jobs/{job.public_id}/"
    (data,) = response.json()["jobs"]
    assert response.json() == {"dry_run": False, "total": 1, "jobs": [data]}
    assert (data["id"], data["kind"], data["status"], data["total"], data["done"]) == (
        job.public_id,
        "recover",
        "pending",
        1,
        0,
    )
    assert client.get(response["Location"]).json() == data
    assert job.requested_by == str(alice)


@pytest.mark.parametrize("verb", ["recover", "replay-missed", "cancel-pending"])
def test_a_dry_run_counts_and_does_nothing(do, since, verb):
    is_recovery = verb == "recover"

    response = do(verb, **({"since": since} if is_recovery else {}), dry_run=True)

    assert (response.status_code, response.json()) == (200, {"dry_run": True, "total": int(is_recovery), "jobs": []})
    assert not Job.objects.exists()
    assert not AuditEntry.objects.exists()


NO_TIME = "Not a valid time; write it as 2026-11-24T15:04:05Z."


@pytest.mark.parametrize(
    "since, detail",
    [
        (None, "This field may not be null."),
        ("2020-01-01T00:00:00Z", "days before the end of the range; the longest range is 14 days."),
        ("2099-01-01T00:00:00Z", "give an earlier one."),
        ("yesterday", NO_TIME),
        ("2026-11-24T15:04:05", "The time zone is missing; write the time as 2026-11-24T15:04:05Z."),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_range_that_can_not_be_is_refused(do, since, detail, dry_run):
    (item,) = errors_of(do("recover", since=since, dry_run=dry_run)).items()

    assert item[0] == "#/since"
    assert item[1].endswith(detail)
    assert not Job.objects.exists()


def test_the_same_job_twice_is_a_conflict_that_names_the_first(do, problem):
    first = do("cancel-pending").json()["jobs"][0]["id"]

    assert problem(do("cancel-pending"), "conflict")["job"] == first

    assert Job.objects.count() == 1


def test_stats_have_the_totals_of_a_webhook(client, webhook):
    now = timezone.now()
    DeliveryTotal.objects.addition([CountedAttempt(webhook.pk, now, AttemptResult.GIVEN_UP, 100, 500)])()

    data = client.get(at(webhook, "stats")).json()

    assert set(data) == {"state", "health", "failures", "backlog", "due_seconds", "day", "month", "lag", "as_of"}
    assert (data["state"], data["backlog"]) == ("enabled", 0)
    for period in ("day", "month"):
        assert data[period].pop("starts_at").endswith(":00:00Z")
        assert data[period] == {
            "attempts": 1,
            "delivered": 0,
            "retried": 0,
            "given_up": 1,
            "success_rate": 0.0,
            "p50_ms": 120,
            "p95_ms": 156,
        }
    assert data["lag"].pop("starts_at").endswith(":00:00Z")
    assert data["lag"] == {"deliveries": 1, "p50": 0.65, "p95": 0.965}
    assert data["as_of"].endswith("Z")
