"""Hints guess what a host means. A guess that fails leaves the message as it is, and the other messages, too."""

from __future__ import annotations

from typing import Any

import pytest

from example_project.training.models import ClassEnrollment, LearningPath
from tests.unit.checks.conftest import Say, ids, only
from tms_webhooks.checks import nulls
from tms_webhooks.scaffold import declaration, names, walk
from tms_webhooks.sources import ClassSource, EnrollmentSource

MISTAKES: list[tuple[type, type, dict[str, Any], set[str]]] = [
    (EnrollmentSource, ClassEnrollment, {"organization": "nowhere"}, {"E034", "E035"}),
    (ClassSource, LearningPath, {"fields": {"status": "audience_level", "course.id": "pk"}}, {"E042", "W092"}),
]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each guess fail."""

    def fail(*_args: Any, **_kwargs: Any) -> str:
        raise AttributeError("A model of an unexpected shape.")

    for module, name in ((walk, "foreign_keys"), (declaration, "foreign_keys"), (names, "best_likeness")):
        monkeypatch.setattr(module, name, fail)
    monkeypatch.setattr("tms_webhooks.scaffold.statuses.likeness", fail)


@pytest.mark.parametrize(("base", "model", "attributes", "expected"), MISTAKES)
@pytest.mark.usefixtures("failing")
def test_a_guess_that_fails_hides_no_message(
    say_all: Say, base: Any, model: Any, attributes: dict[str, Any], expected: set[str]
) -> None:
    assert expected <= set(ids(say_all(base, model, **attributes)))


@pytest.mark.usefixtures("failing")
def test_a_guess_that_fails_leaves_a_gap_in_the_setting_of_organizations(
    declare: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TMS_WEBHOOKS = {}
    declare(EnrollmentSource, ClassEnrollment)
    monkeypatch.setattr(nulls, "available", lambda source: {"organization.id"})

    message = only(nulls.check_organizations(), "W091")

    assert '{"external_id": "…", "name": "…"}' in str(message.hint)
