"""A snapshot has the fields of the host's own."""

from __future__ import annotations

from example_project.training.factories import DepartmentFactory, OrganizationFactory, UserFactory
from tests.factories import WebhookFactory
from tests.integration.snapshot.conftest import bodies


def test_a_snapshot_has_the_fields_of_the_hosts_own(take):
    organization = OrganizationFactory()
    webhook = WebhookFactory(organization=organization, events=["user.*"])
    department = DepartmentFactory(organization=organization, name="Sales")
    UserFactory(organization=organization, department=department, cost_center="4711")

    take(webhook, "user")

    (user,) = [event for event in bodies(webhook) if event["type"] == "user.snapshot"]
    assert user["data"]["custom"] == {"department": "Sales", "cost_center": "4711"}
