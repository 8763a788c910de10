"""Factories of the app's own models; those of the training system are the example project's."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from example_project.training.factories import OrganizationFactory
from tms_webhooks.models import Subscription, Webhook

CREDENTIALS: dict[str, dict[str, str]] = {
    "basic": {"username": "crm", "password": "hunter2"},
    "bearer": {"token": "hunter2"},
    "header": {"name": "X-Api-Key", "value": "hunter2"},
    "oauth2": {
        "token_url": "https://login.example.com/token",
        "client_id": "crm",
        "client_secret": "hunter2",
        "scope": "events.write",
        "client_authentication": "body",
    },
}
"""Values of each kind of authentication."""
SECRET_VALUES = {"basic": "password", "bearer": "token", "header": "value", "oauth2": "client_secret"}
"""The name of the secret value of each kind."""


class WebhookFactory(DjangoModelFactory[Webhook]):
    """A webhook of a new organization. ``events=["class.*"]`` subscribes it."""

    class Meta:
        model = Webhook
        skip_postgeneration_save = True

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda number: f"Webhook {number}")
    url = "https://receiver.example.com/hook"

    @factory.post_generation
    def events(self, create, extracted, **kwargs):
        for event_type in extracted or ():
            Subscription.objects.create(webhook=self, event_type=event_type)
