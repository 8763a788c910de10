"""Factories of the app's own models; those of the training system are the example project's."""

import factory
from factory.django import DjangoModelFactory

from example_project.training.factories import OrganizationFactory
from tms_webhooks.models import Subscription, Webhook, WebhookState

CREDENTIALS = {
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


STATE_FIELDS = {field.name for field in WebhookState._meta.concrete_fields} - {"webhook"}


def write_values(webhook, **values):
    """Write values to the rows of a webhook and of its state, without a signal, and to the object."""
    state = {name: values.pop(name) for name in STATE_FIELDS & values.keys()}
    Webhook.objects.filter(pk=webhook.pk).update(**values)
    WebhookState.objects.filter(pk=webhook.pk).update(**state)
    webhook.refresh_from_db()


class WebhookFactory(DjangoModelFactory[Webhook]):
    """A webhook of a new organization. ``events=["class.*"]`` subscribes it; values of its state are given as its own."""

    class Meta:
        model = Webhook
        skip_postgeneration_save = True

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda number: f"Webhook {number}")
    url = "https://receiver.example.com/hook"

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        state = {name: kwargs.pop(name) for name in STATE_FIELDS & kwargs.keys()}
        webhook = super()._create(model_class, *args, **kwargs)
        webhook.state.write(**state)
        return webhook

    @factory.post_generation
    def events(self, create, extracted, **kwargs):
        for event_type in extracted or ():
            Subscription.objects.create(webhook=self, event_type=event_type)
