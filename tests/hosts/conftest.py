"""These tests need this host's settings; with any others they are not collected."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

if os.environ.get("DJANGO_SETTINGS_MODULE") != "tests.hosts.settings":
    collect_ignore_glob = ["*test_*.py"]
else:
    from tests.hosts.models import Meetup, Member, Tenant, Topic
    from tests.outbox import number_events, prune_events
    from tms_webhooks.models import Event, Webhook

    @pytest.fixture
    def tenant():
        """A tenant that hears of everything."""
        tenant = Tenant.objects.create(name="Acme")
        webhook = Webhook.objects.create(organization=tenant, name="All", url="https://receiver.example/")
        webhook.subscriptions.create(event_type="*")
        return tenant

    @pytest.fixture
    def topic():
        return Topic.objects.create(name="Azure")

    @pytest.fixture
    def meetup(tenant, topic):
        meetup = Meetup.objects.create(tenant=tenant, topic=topic, title="Azure, mornings")
        prune_events()
        return meetup

    @pytest.fixture
    def member(tenant):
        member = Member.objects.create(email="alice@example.com", given_name="Alice", tenant=tenant)
        prune_events()
        return member

    @pytest.fixture
    def recorded():
        """Return what is in the outbox, which stands in the second database."""

        def read() -> list[dict[str, Any]]:
            number_events()
            return [json.loads(event.body) for event in Event.objects.using("training").order_by("pk")]

        return read
