"""The caller sees who they are, and their rights in each organization."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import OrganizationFactory
from tests.integration.api.people import client_of, member_of
from tms_webhooks.choices import Action

ADDRESS = "/api/me/"


def test_the_caller_and_the_organization_are_shown_with_the_rights(client, alice, acme):
    data = client.get(ADDRESS).json()

    assert data["results"] == [{"id": acme.pk, "name": "Acme", "actions": list(Action)}]
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
