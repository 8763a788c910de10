"""Reconciling compares the fields of the host's own, and the foreign keys behind them."""

import pytest

from example_project.training.factories import DepartmentFactory, UserFactory
from example_project.training.models import User
from tests.integration.capture.reconcile.conftest import unseen
from tests.outbox import prune_events
from tms_webhooks.reconciliation import ReconcileResult
from tms_webhooks.sources import AnyChange, Custom, UserSource


class Members(UserSource):
    fields = {"created_at": "date_joined"}
    rules = (AnyChange("user.updated"),)
    custom = {
        "unit": Custom("department.name", privacy="basic"),
        "costs": "cost_center",
        "sites": Custom("managed_organizations", privacy="id"),
    }
    reconcile = True


@pytest.fixture
def user(organization, listen, reconcile):
    source = listen(Members, User)
    user = UserFactory(
        organization=organization,
        department=DepartmentFactory(organization=organization, name="Sales"),
        cost_center="1",
    )
    reconcile(source)
    prune_events()
    user.source = source
    return user


def test_a_change_of_the_foreign_key_has_the_old_value(user, organization, reconcile, recorded):
    support = DepartmentFactory(organization=organization, name="Support")
    unseen("UPDATE training_user SET department_id = %s, cost_center = '2' WHERE id = %s", support.pk, user.pk)

    assert reconcile(user.source) == ReconcileResult(seen=1, changed=1, events=1)
    (event,) = recorded()
    assert event["changed"] == ["custom.unit", "custom.costs"]
    assert event["previous"] == {"custom": {"unit": "Sales", "costs": "1"}}
    assert event["data"]["custom"] | {"sites": []} == {
        "department": None,
        "cost_center": None,
        "unit": "Support",
        "costs": "2",
        "sites": [],
    }
    assert reconcile(user.source) == ReconcileResult(seen=1)


def test_a_new_field_is_no_change_of_objects_that_are_known(user, listen, reconcile, recorded, monkeypatch):
    monkeypatch.setattr(Members, "custom", {**Members.custom, "home_town": "city"})
    more = listen(type("More", (Members,), {}), User)
    monkeypatch.setitem(vars(more), "name", user.source.name)

    result = reconcile(more)

    assert (result.changed, result.events, recorded()) == (0, 0, [])
