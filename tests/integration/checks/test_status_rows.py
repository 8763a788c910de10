"""``check --database`` reads rows: a column without choices may hold any value."""

import pytest
from django.core.checks import run_checks

from example_project.training.factories import TrainingClassFactory
from example_project.training.models import TrainingClass
from tests.catalogue import only_canonical
from tms_webhooks.checks.messages import PREFIX
from tms_webhooks.sources import ClassSource, registry


@pytest.fixture
def check(monkeypatch):
    """Declare a source whose status is in the column ``name``; return what the check says of two rows."""
    for name in ("planned", "on ice"):
        TrainingClassFactory(name=name)

    def check(statuses, *, databases, **attributes):
        monkeypatch.setattr(registry, "_sources", {})
        with only_canonical():
            declared = {
                "fields": {"status": "name"},
                "statuses": {"status": statuses} if statuses else {},
                **attributes,
            }
            registry.register(TrainingClass)(type("HostClasses", (ClassSource,), declared))
            return [one for one in run_checks(databases=databases) if one.id == f"{PREFIX}.W100"]

    return check


def test_values_of_rows_that_have_no_status_are_named_with_a_dictionary_to_paste(check):
    (message,) = check({}, databases=["default"])

    assert message.msg == "Rows have 'on ice', 'planned' in 'name', but `statuses` has no matching ClassStatus."
    assert 'Write statuses = {"status": {"on ice": "?", "planned": "?"}}' in message.hint


def test_values_that_have_a_status_are_passed(check):
    assert check({"planned": "Scheduled", "on ice": "Tentative"}, databases=["default"]) == []


def test_a_value_that_the_dictionary_lacks_is_named(check):
    (message,) = check({"planned": "Scheduled"}, databases=["default"])
    assert "'on ice'" in message.msg
    assert "'planned'" not in message.msg


def test_no_row_is_read_without_the_option(check):
    assert check({}, databases=None) == []


def test_a_source_with_a_wrong_path_is_left_to_the_other_checks(check):
    assert check({}, databases=["default"], only={"missing": 1}) == []


def test_of_many_values_some_are_named(check, monkeypatch):
    monkeypatch.setattr("tms_webhooks.checks.sources.MOST_NAMED", 1)

    (message,) = check({}, databases=["default"])

    assert message.msg == "Rows have 'on ice' in 'name', but `statuses` has no matching ClassStatus."


def test_only_the_newest_rows_of_a_table_are_read_also_where_few_are_objects(check, monkeypatch):
    monkeypatch.setattr("tms_webhooks.checks.sources.NEWEST", 2)
    TrainingClassFactory(name="late")

    (message,) = check({}, databases=["default"], only={"name": ["planned", "late"]})

    assert message.msg == "Rows have 'late' in 'name', but `statuses` has no matching ClassStatus."
