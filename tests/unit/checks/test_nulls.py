"""The paths of an organization's values, which all sources use."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest
from django.core.checks import CheckMessage

from tests.unit.checks.conftest import enrollments, expect, fail_to_guess, ids, users
from tms_webhooks.checks import values
from tms_webhooks.sources import First, Row, registry

pytestmark = pytest.mark.usefixtures("no_sources")

Check = Callable[..., list[CheckMessage]]
ENTRY = "TMS_WEBHOOKS['ORGANIZATION_FIELDS']"


@pytest.fixture
def check(settings: Any) -> Check:
    """Declare two sources, and return the checks of the paths of organizations."""

    def check(**fields: Any) -> list[CheckMessage]:
        settings.TMS_WEBHOOKS = {"ORGANIZATION_FIELDS": fields}
        for one in (users, enrollments):
            one.register()
        return list(values.check_organizations())

    return check


def let_sources_have(monkeypatch: pytest.MonkeyPatch, names: Collection[str]) -> None:
    """Let the organization model lack all values but these."""
    monkeypatch.setattr(values, "available", lambda source: set(names))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "nam",
            "is 'nam', but training.Organization has no attribute 'nam'. -> ...or write None to leave it out. "
            'Did you mean "name"?',
        ),
        (
            First("parent.label", "name"),
            "is First('parent.label', 'name'), but training.Organization has no attribute 'label'.",
        ),
        (
            Row("companies.nam", email="x"),
            "is Row('companies.nam', email=['x']), but training.Company has no attribute 'nam'.",
        ),
        (
            Row("companies.name", mail="x"),
            "is Row('companies.name', mail=['x']), but training.Company has no attribute 'mail'.",
        ),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_once_for_all_sources(check: Check, path: Any, expected: str) -> None:
    expect(check(name=path, external_id="external_id"), f"E090: {ENTRY}['name'] {expected}")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": None, "external_id": None},
        {"name": First("parent.name", "name")},
        {"name": Row("companies.name", email="x")},
        {"name": lambda organization: organization.name},
    ],
)
def test_values_that_an_organization_has_or_that_are_left_out_are_passed(check: Check, fields: dict[str, Any]) -> None:
    assert check(**fields) == []
    user, _enrollment = registry.all_sources()
    assert "organization.name" not in user.mapped or "name" not in fields or fields["name"] is not None


def test_the_name_and_the_external_id_of_organizations_are_reported_once_for_all_sources(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_sources_have(monkeypatch, ["organization.id", "learner_organization.id"])
    expect(
        check(time_zone="time_zone_id"),
        "W091: Null in payloads, because training.Organization has no such attribute: an organization's 'external_id' and "
        '\'name\'. -> Write TMS_WEBHOOKS["ORGANIZATION_FIELDS"] = {"time_zone": "time_zone_id", "external_id": '
        '"external_id", "name": "name"}. None leaves a value out on purpose.',
    )


@pytest.mark.parametrize("fails", [True, False])
def test_a_value_of_organizations_without_a_column_that_fits_gets_a_path_that_is_refused_if_it_is_left_in(
    check: Check, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    let_sources_have(monkeypatch, ["organization.id"])
    if fails:
        fail_to_guess(monkeypatch)
    else:
        monkeypatch.setattr(values, "column_for", lambda model, field: "")
    expect(
        check(),
        'W091: ... -> Write TMS_WEBHOOKS["ORGANIZATION_FIELDS"] = {"external_id": "…", "name": "…"}....',
    )
    registry._sources.clear()
    assert ids(check(external_id="…", name="…")) == ["E090", "E090"]


def test_a_value_that_each_source_maps_itself_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    let_sources_have(monkeypatch, ["organization.id"])
    users(fields={"organization.name": "company.name", "organization.external_id": None}).register()
    assert list(values.check_organizations()) == []


def test_without_an_organization_model_another_check_reports_it(check: Check, settings: Any) -> None:
    settings.TMS_WEBHOOKS_ORGANIZATION_MODEL = "training.Organisation"
    assert check(name="nam") == []
