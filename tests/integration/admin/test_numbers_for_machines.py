"""Machine-readable values (form values, URLs, sizes) are the same in every language."""

from collections import Counter
from html.parser import HTMLParser

import pytest
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from example_project.training.models import Organization
from tests.factories import WebhookFactory
from tests.integration.admin.pages import url
from tests.integration.admin.test_confidential import pages
from tests.integration.delivery.rows import new_event
from tms_webhooks.choices import AttemptResult
from tms_webhooks.models import (
    AuditEntry,
    Delivery,
    DeliveryAttempt,
    DeliveryTotal,
    Job,
    Subscription,
    Webhook,
)
from tms_webhooks.models.total import CountedAttempt

KEY = 1_234_567
READ_BY_MACHINES = {"action", "for", "height", "href", "id", "max", "name", "viewbox", "width", "x", "x1", "x2", "y"}
WITH_A_VALUE = {"option", "progress"}
BOXES = {"checkbox", "datetime-local", "hidden", "number"}
OF_THE_MOMENT = {"csrfmiddlewaretoken", "form_key"}


class Machine(HTMLParser):
    """Reads the machine-readable values."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        names = {name for name in values if name in READ_BY_MACHINES or name in ("data-tms-every", "data-tms-refresh")}
        if tag in WITH_A_VALUE or (values.get("type") in BOXES and values.get("name") not in OF_THE_MOMENT):
            names.add("value")
        self.found += [(tag, name, values.get(name)) for name in sorted(names)]


def read(page):
    """Return the machine-readable values of a page, unordered, because menus are sorted by translated names."""
    machine = Machine()
    machine.feed(page.decode())
    return Counter(machine.found)


@pytest.fixture
def addresses():
    """Every page there is of rows with long numbers."""
    now = timezone.now()
    OrganizationFactory(pk=KEY + 1)
    organization = OrganizationFactory(pk=KEY)
    webhook = WebhookFactory(pk=KEY, organization=organization, failures=4321, failing_since=now)
    Subscription.objects.create(pk=KEY, webhook=webhook, event_type="course_assignment.expiring", less_than_days=1234.5)
    event = new_event(organization)
    event.pk, event.fanned_out_at = KEY, now
    event.save()
    kept = {"event": event, "webhook": webhook, "created_at": now, "status": "exhausted"}
    delivery = Delivery.objects.create(pk=KEY, attempts=1234, **kept)
    DeliveryAttempt.objects.create(delivery=delivery, number=1234, started_at=now, duration_ms=5678)
    DeliveryTotal.objects.addition([CountedAttempt(webhook.pk, now, AttemptResult.DELIVERED, 40)] * 3)()
    Job.objects.create(pk=KEY, kind="recover", webhook=webhook, total=4321, done=1234, status="running", created_at=now)
    AuditEntry.objects.create(pk=KEY, webhook=webhook, organization=organization, at=now)
    own = [url(Webhook, page, webhook.public_id) for page in ("secret", "rotate")]
    times = f"{url(Delivery, 'changelist')}?since=2026-01-31T12:30&until=2126-01-31T12:30"
    return [*pages(), *own, url(Organization, "change", organization.pk), times]


@pytest.mark.slow
def test_they_do_not_depend_on_the_language(operator, addresses, settings, monkeypatch):
    # A form proposes the current minute, which may end between two requests.
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    for address in addresses:
        settings.LANGUAGE_CODE, settings.USE_THOUSAND_SEPARATOR = "en", False
        expected = read(operator.get(address).content)
        settings.LANGUAGE_CODE, settings.USE_THOUSAND_SEPARATOR = "es", True
        response = operator.get(address)

        assert response.status_code == 200, address
        assert read(response.content) - expected == Counter(), address
