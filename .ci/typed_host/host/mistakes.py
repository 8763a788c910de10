"""Mistakes that mypy must report: an annotation that hides one of them makes its comment unused, which is an error."""

from __future__ import annotations

from datetime import datetime

from host.events import CERTIFICATE
from host.models import Organization, Session
from tms_webhooks import catalogue, sources
from tms_webhooks.access import AccessPolicy
from tms_webhooks.actors import actor_context
from tms_webhooks.catalogue import EventType, Field, FieldPrivacy
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.outbox import emit
from tms_webhooks.queues import Queue
from tms_webhooks.sources import Change, Computed, Created, Custom, PlannedEvent
from tms_webhooks.testing import CapturedEvents, DeliverWebhooks, assert_event


class Sessions(sources.ClassSource):
    """A source with mistakes in each kind of attribute."""

    fields = {"name": 5}  # type: ignore[dict-item]
    custom = {"cost_center": ["cost_center"]}  # type: ignore[dict-item]
    rules = [Created("class.scheduled")]  # type: ignore[assignment]
    reconcile = "yes"  # type: ignore[assignment]

    def events_for(self, change: Change) -> list[str]:  # type: ignore[override]
        """Return names, not events."""
        name = PlannedEvent("class.updated").event_typ  # type: ignore[attr-defined]
        return [name, *change.change]  # type: ignore[attr-defined]


class Policy(AccessPolicy):
    """A policy that returns one organization."""

    def organizations(self, request: object, action: str) -> Organization:  # type: ignore[override]
        """Return an organization, not a queryset."""
        return Organization()


class SilentQueue(Queue):
    """A queue without `enqueue`."""

    def schedule(self, *, using: int) -> None:  # type: ignore[override]
        """Take a number, not an alias."""


def register() -> None:
    """Register what is not a source, and for what is not a model."""
    sources.register(Organization)(Organization)  # type: ignore[type-var]
    sources.register("host.Session")  # type: ignore[arg-type]
    catalogue.register(CERTIFICATE)  # type: ignore[arg-type]
    EventType("certificate.lost", "certificate", "A certificate was lost.")  # type: ignore[arg-type]
    Field("title", "text", FieldPrivacy.BASIC)  # type: ignore[arg-type]
    Custom(path=None)  # type: ignore[arg-type]
    Computed(7, reads={"words": "tags.word"})  # type: ignore[arg-type]


def change(session: Session, webhook: Webhook, event: Event, delivery: Delivery) -> None:
    """Use rows and functions with the wrong names and types."""
    emit("class.updated", 5)  # type: ignore[arg-type]
    str(emit("class.updated", session).type)  # type: ignore[union-attr]
    emit("class.updated", session, previous="before")  # type: ignore[arg-type]
    actor_context(7)  # type: ignore[arg-type]
    webhook.signing_secrets("now")  # type: ignore[arg-type]
    webhook.nam = "CRM"  # type: ignore[attr-defined]
    webhook.subscriptions.create(event_typ="class.*")  # type: ignore[misc]
    Webhook.objects.create(organization=session.owner, uri="https://crm.example.com/")  # type: ignore[misc]
    Webhook.objects.filter(nam="CRM")  # type: ignore[misc]
    datetime.fromisoformat(event.recorded_at)  # type: ignore[attr-defined]
    str(delivery.webhook.nam)  # type: ignore[attr-defined]
    SilentQueue()  # type: ignore[abstract]


def use_fixtures(events: CapturedEvents, deliver: DeliverWebhooks) -> None:
    """Use the fixtures with the wrong types."""
    str(events[0].typ)  # type: ignore[attr-defined]
    assert_event(events, "class.updated", changed=5)  # type: ignore[arg-type]
    deliver(now="now")  # type: ignore[arg-type]
    str(deliver().send)  # type: ignore[attr-defined]
