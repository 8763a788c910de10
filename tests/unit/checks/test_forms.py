"""A source that is declared in the wrong form is refused before anybody asks it how it names things."""

from __future__ import annotations

from typing import Any

import pytest

from example_project.training.models import TrainingClass, User
from tests.unit.checks.conftest import Say, only
from tms_webhooks.checks.sources import check_sources
from tms_webhooks.sources import ClassSource, Created, Entered, UserSource

STATUS = {"status": "confirmation_status_id"}


def test_no_source_at_all_is_worth_a_word(no_sources: None) -> None:
    message = only(check_sources(), "I053")
    assert message.msg == "No model is registered as a source: only `emit` creates events."


def test_a_sound_source_is_passed_in_silence(say: Say) -> None:
    assert say(ClassSource, TrainingClass, fields=STATUS) == []


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"noun": "class"}, "noun is 'class', not a Noun."),
        ({"rules": Created("class.updated")}, "rules is Created(event='class.updated'), not a tuple of rules."),
        ({"rules": ("class.updated",)}, "rules is ('class.updated',), not a tuple of rules."),
        ({"rules": (Created(3),)}, "the rule Created(event=3) names no events."),
        (
            {"rules": (Entered("status", ["a"]),)},
            "the rule Entered(field='status', events=['a'], on_creation=True) names no events.",
        ),
        ({"organization": None}, "organization is None, not a path."),
        ({"organization": ""}, "organization is '', not a path."),
        ({"learner_organization": 3}, "learner_organization is 3, not a path."),
        ({"deadline": "expires_at"}, "deadline is 'expires_at', not a Deadline."),
        ({"fields": ["status"]}, "HostClassSource.fields is ['status']; make it a dictionary."),
        ({"fields": {"status": 3}}, "fields['status'] is 3, not a path."),
        ({"statuses": {"status": [1, 2]}}, "statuses['status'] is [1, 2], not a dictionary."),
    ],
)
def test_each_attribute_has_its_form(say: Say, attributes: dict[str, Any], text: str) -> None:
    message = only(say(ClassSource, TrainingClass, **attributes), "E030")
    assert message.msg == text
    assert str(message.obj) == "<HostClassSource of training.TrainingClass>"


def test_nothing_else_is_said_until_all_forms_are_right(say: Say) -> None:
    say(UserSource, User, fields={"nonsense": "nowhere"})
    only(say(ClassSource, TrainingClass, fields=["status"]), "E030")
