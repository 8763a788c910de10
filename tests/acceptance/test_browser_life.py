"""The pages of a webhook in a real browser: wide and small, light and dark, and their refreshing parts."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.integration.delivery.rows import body_of, subscribed, write_delivery, write_event
from tms_webhooks.actors import Actor
from tms_webhooks.choices import AttemptResult, AuditAction
from tms_webhooks.models import AuditEntry, Delivery, DeliveryAttempt, DeliveryTotal, Event, Job, Webhook
from tms_webhooks.models.total import CountedAttempt

TYPES = ("class.cancelled", "enrollment.enrolled", "user.updated")
LIFE = "/admin/tms_webhooks/webhook/{}/overview/"
DASHBOARD = "/admin/tms_webhooks/webhook/dashboard/"


@pytest.fixture
def life(world):
    """A webhook with successes, failures, a running job, and deliveries of every status."""
    now = timezone.now()
    organization = world.tenants[0].organization
    webhook = subscribed(
        name="HR system",
        organization=organization,
        headers="Authorization=Basic aHVudGVyMg==",
        failures=6,
        failing_since=now - timedelta(hours=9),
        paused_until=now + timedelta(minutes=31),
        pauses=3,
    )
    subscribed(name="Narrow", organization=organization, events=["voucher.*"])
    DeliveryTotal.objects.add(_attempts(webhook, now))
    for number in range(30):
        _tell(webhook, number, now=now - timedelta(minutes=30 - number))
    Job.objects.create(kind="recover", webhook=webhook, total=10, done=3, status="running", created_at=now)
    return webhook


def _attempts(webhook, now):
    found = []
    for hours in range(24 * 30):
        bad = hours < 9
        for number in range(1 + hours * 7 % 5):
            result = AttemptResult.DELIVERED if not bad else list(AttemptResult)[1 + number % 2]
            found.append(CountedAttempt(webhook.pk, now - timedelta(hours=hours), result, 40 * (1 + hours * 3 % 11)))
    return found


def _tell(webhook, number, *, now):
    failed = number % 3 == 0
    values = {"status": "exhausted" if failed else "delivered", "error_class": "http_status" if failed else ""}
    delivery = write_delivery(webhook, now=now, due_at=None, finished_at=now, attempts=2, charged=2, **values)
    kind = TYPES[number % len(TYPES)]
    Event.objects.filter(pk=delivery.event_id).update(
        type=kind, body=body_of(kind), occurred_at=now, external_id="EX-1", subject_name="Anna Larsen · Azure basics"
    )
    for each in (1, 2):
        DeliveryAttempt.objects.create(
            delivery=delivery,
            number=each,
            started_at=now,
            duration_ms=120,
            status_code=503 if failed else 200,
            error_class=values["error_class"],
            message="HTTP 503 Service Unavailable" if failed else "HTTP 200 OK",
            response_body="<html>down for repair</html>",
            next_delay=300.0 if each == 1 else None,
            delay_reason="schedule" if each == 1 else "",
        )


def test_every_page_is_fit_to_be_seen(desk, life):
    missed = write_event(life.organization, "class.cancelled")
    narrow = Webhook.objects.get(name="Narrow")
    delivery = Delivery.objects.filter(status="exhausted").last()
    overview = LIFE.format(life.public_id)
    for name in ("HR", "HR system"):
        changes = {"name": {"from": "HR", "to": name}}
        actor = Actor("administrator", "7", "Ann Administrator")
        entry = AuditEntry.objects.record(
            AuditAction.WEBHOOK_UPDATED, life, actor=actor, now=timezone.now(), changes=changes
        )
    pages = {
        "overview": overview,
        "overview-recover": f"{LIFE.format(narrow.public_id)}recover/",
        "overview-test": f"{overview}test/",
        "dashboard": DASHBOARD,
        "log": "/admin/tms_webhooks/delivery/",
        "audit": "/admin/tms_webhooks/auditentry/",
        "audit-entry": f"/admin/tms_webhooks/auditentry/{entry.public_id}/change/",
        "configuration": f"/admin/tms_webhooks/webhook/{narrow.public_id}/change/",
        "delivery": f"/admin/tms_webhooks/delivery/{delivery.public_id}/change/",
        "event": f"/admin/tms_webhooks/event/{delivery.event.public_id}/change/",
        "webhooks": "/admin/tms_webhooks/webhook/",
        "organization": f"/admin/training/organization/{life.organization_id}/change/",
        "reveal": f"/admin/tms_webhooks/webhook/{life.public_id}/secret/",
        "explain": f"/admin/tms_webhooks/webhook/{narrow.public_id}/explain/?event={missed.public_id}",
    }
    for name, path in pages.items():
        desk.open(path)
        desk.inspect(f"life-{name}")
    assert desk.complaints == []


def test_a_bar_moves_by_itself_and_stands_still_when_the_job_is_done(desk, life):
    page = desk.open(LIFE.format(life.public_id))
    assert page.get_attribute("progress", "value") == "3"
    assert not page.is_visible("text=Refresh")
    job = Job.objects.get()

    Job.objects.update(done=8)
    page.wait_for_selector('progress[value="8"]')
    job.finish(now=timezone.now())
    page.wait_for_selector(".tms-job.tms-finished")

    assert page.query_selector("[data-tms-refresh]") is None
