"""The caller sees who they are, their rights in each organization, and the limits."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.api.people import client_of, member_of
from tms_webhooks.choices import Action, JobKind
from tms_webhooks.manage import webhooks
from tms_webhooks.models import Job

ADDRESS = "/api/me/"


def test_the_caller_and_the_organization_are_shown_with_the_rights(client, alice, acme):
    webhook = WebhookFactory(organization=acme)
    webhooks.delete(WebhookFactory(organization=acme), now=timezone.now())
    WebhookFactory()
    for status in ("running", "finished"):
        Job.objects.create(kind=JobKind.RECOVER, webhook=webhook, status=status, created_at=timezone.now())

    data = client.get(ADDRESS).json()

    assert data["results"] == [
        {"id": acme.pk, "name": "Acme", "actions": list(Action), "webhooks": 1, "unfinished_jobs": 1}
    ]
    assert data["caller"]["id"] == str(alice.pk)
    assert (data["next"], data["previous"]) == (None, None)


def test_a_right_that_the_policy_denies_is_not_shown(restricted):
    (row,) = restricted("reveal_secret", "manage").get(ADDRESS).json()["results"]

    assert row["actions"] == ["view", "view_payload", "replay"]


def test_many_organizations_have_pages_and_take_no_more_queries():
    member = member_of(OrganizationFactory(name="Root"))
    member.is_superuser = True
    member.save()
    caller = client_of(member)
    caller.get(ADDRESS)
    with CaptureQueriesContext(connection) as few:
        caller.get(ADDRESS)
    for number in range(6):
        OrganizationFactory(name=f"Unit {number}")

    with CaptureQueriesContext(connection) as many:
        first = caller.get(f"{ADDRESS}?page_size=5").json()
    second = caller.get(first["next"]).json()

    assert len(many) == len(few)
    names = [row["name"] for row in first["results"] + second["results"]]
    assert len(first["results"]) == 5
    assert {"Root", *(f"Unit {number}" for number in range(6))} <= set(names)
    assert len(names) == len(set(names))
