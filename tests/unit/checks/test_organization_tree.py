"""``ORGANIZATION_PARENT`` has to lead from an organization to its parent, and a source of learners to their organization."""

from __future__ import annotations

import pytest
from django.core.checks import CheckMessage

from tests.unit.checks.conftest import only
from tms_webhooks.checks.organizations import check_tree


def messages(settings, name: object) -> list[CheckMessage]:
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ORGANIZATION_PARENT": name}
    return check_tree()


@pytest.mark.parametrize("name", ["", "parent"])
def test_no_tree_and_the_foreign_key_to_the_parent_are_in_order(settings, name):
    assert messages(settings, name) == []


@pytest.mark.parametrize("name", ["parents", "name", "children", "parent_id", "users"])
def test_anything_else_is_refused_with_the_fields_that_could_be_meant(settings, name):
    found = only(messages(settings, name), "E016")

    assert found.msg == (
        f"ORGANIZATION_PARENT is {name!r}, which is not a foreign key of training.Organization to itself."
    )
    assert str(found.hint).endswith('Did you mean "parent"?')


def test_a_value_of_the_wrong_kind_is_reported_by_another_check(settings):
    assert messages(settings, 7) == []
