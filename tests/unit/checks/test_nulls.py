"""The paths of an organization's values, which all sources use."""

import pytest

from tests.unit.checks.conftest import enrollments, expect, ids, users
from tms_webhooks.checks import values
from tms_webhooks.checks.values import check_organizations
from tms_webhooks.sources import First, registry
from tms_webhooks.sources.mapping import organization_path

pytestmark = pytest.mark.usefixtures("no_sources")

ENTRY = "TMS_WEBHOOKS['ORGANIZATION_FIELDS']"


@pytest.fixture
def check(settings):
    """Declare two sources, and return the checks of the paths of organizations."""

    def check(**fields):
        settings.TMS_WEBHOOKS = {"ORGANIZATION_FIELDS": fields}
        for one in (users, enrollments):
            one.register()
        return list(check_organizations())

    return check


@pytest.mark.parametrize(
    "fields, expected",
    [
        (
            {"name": "nam"},
            "E090: {}['name'] is 'nam', but training.Organization has no attribute 'nam'. "
            '-> ...or write None. Did you mean "name"?',
        ),
        (
            {"name": First("parent.label", "name")},
            "E090: {}['name'] is 'parent.label', but training.Organization has no attribute 'label'.",
        ),
        # Values that an organization has, or that are left out
        ({"name": None, "external_id": None}, ""),
        ({"name": lambda organization: organization.name}, ""),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_once_for_all_sources(check, fields, expected):
    expect(check(**fields), *filter(None, [expected.format(ENTRY)]))
    user, _enrollment = registry.all_sources()
    assert "organization.name" not in user.mapped or "name" not in fields or fields["name"] is not None


def test_missing_values_of_organizations_are_reported_once_for_all_sources(check, monkeypatch):
    paths = {"id": "pk", "name": "label", "external_id": "number", "time_zone": "time_zone_id"}
    monkeypatch.setattr(values, "organization_path", paths.__getitem__)
    expect(
        check(time_zone="time_zone_id"),
        "W091: Null in payloads, because training.Organization has no such attribute: an organization's 'external_id' and "
        '\'name\'. -> Write TMS_WEBHOOKS["ORGANIZATION_FIELDS"] = {"time_zone": "time_zone_id", "external_id": '
        '"external_id", "name": "name"}. None leaves a value out on purpose.',
    )
    # A value that each source maps itself is not reported.
    registry._sources.clear()
    users(fields={"organization.name": "company.name", "organization.external_id": None}).register()
    assert list(check_organizations()) == []

    # A path to replace is refused if it is left in.
    monkeypatch.setattr(values, "organization_path", organization_path)
    assert ids(check(external_id="…", name="…")) == ["E090", "E090"]


def test_without_an_organization_model_another_check_reports_it(check, settings):
    settings.TMS_WEBHOOKS_ORGANIZATION_MODEL = "training.Organisation"
    assert check(name="nam") == []
