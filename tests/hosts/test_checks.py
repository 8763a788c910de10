"""``check`` finds nothing wrong with the hosts, and names the mistakes that a developer makes on the way to each of them."""

import pytest
from django.core import checks
from django.core.checks import register, run_checks
from django.core.checks.registry import registry as check_registry
from django.core.management import call_command

from tests.hosts.assigned.models import Proposal
from tests.hosts.shared.models import SharedClass
from tests.hosts.softdeleted.models import Clinic
from tests.hosts.tagged.models import TaggedClass
from tests.hosts.translated.models import Lecture
from tms_webhooks import sources
from tms_webhooks.sources import registry

CLASS = {"owner": "tenant", "fields": {"name": "title", "status": "state", "course": "topic"}}


def messages():
    return [one for one in run_checks() if str(one.id).startswith("tms_webhooks.")]


def test_the_hosts_lack_only_dates_and_the_second_status_of_enrollments():
    assert {one.id for one in messages()} == {"tms_webhooks.W047", "tms_webhooks.W092"}
    assert all("'completion_status'" in one.msg for one in messages() if one.id == "tms_webhooks.W047")


def test_the_checks_of_the_app_run_alone_by_their_tag(monkeypatch, capsys):
    monkeypatch.setattr(check_registry, "registered_checks", {*check_registry.registered_checks})
    register(lambda **_kwargs: [checks.Warning("An issue of the host's own.", id="hosts.W001")], "models")

    call_command("check", tags=["webhooks"])
    alone = capsys.readouterr().err
    call_command("check")

    assert ("tms_webhooks.W092" in alone, "hosts.W001" in alone) == (True, False)
    assert "hosts.W001" in capsys.readouterr().err


MISTAKES = [
    (
        "a soft delete without a selection",
        sources.ClassSource,
        Clinic,
        CLASS,
        "W066",
        'only = {"deleted_at": None}',
    ),
    (
        "owners at a name that is not there",
        sources.ClassSource,
        SharedClass,
        {"owner": "course.tenant", "fields": {"name": "title", "status": "state"}},
        "E035",
        'Did you mean "tenants"?',
    ),
    (
        "a way to the organization that is not there",
        sources.ClassSource,
        Proposal,
        CLASS | {"owner": sources.First("tenant", "programme.tenant")},
        "E032",
        'Did you mean "program"?',
    ),
    (
        "a title by the name of a list",
        sources.ClassSource,
        Lecture,
        CLASS | {"fields": {**CLASS["fields"], "name": "translations.title"}},
        "E033",
        "reads={\"all\": 'translations.title'}",
    ),
    (
        "a status that nothing makes",
        sources.ClassSource,
        TaggedClass,
        {"owner": "tenant", "fields": {"name": "title", "course": "topic"}},
        "E034",
        "Computed(function, reads={…})",
    ),
]


@pytest.mark.parametrize(
    "base, model, declared, number, remedy", [one[1:] for one in MISTAKES], ids=[one[0] for one in MISTAKES]
)
def test_a_mistake_is_named_with_its_remedy(monkeypatch, base, model, declared, number, remedy):
    monkeypatch.setattr(registry, "_sources", {})
    registry.register(model)(type("Mistaken", (base,), declared))

    hints = [str(one.hint) for one in messages() if one.id == f"tms_webhooks.{number}"]

    assert any(remedy in hint for hint in hints), [(one.id, one.msg, one.hint) for one in messages()]


@pytest.mark.parametrize("owners", ["course.tenants", [lambda one: one.course.tenants.all()]])
def test_a_value_of_organizations_that_is_null_for_several_owners_is_reported(monkeypatch, settings_of_app, owners):
    monkeypatch.setattr(registry, "_sources", {})
    settings_of_app(ORGANIZATION_FIELDS={})
    registry.register(SharedClass)(type("Owned", (sources.ClassSource,), {"owner": owners, "fields": CLASS["fields"]}))

    (message,) = [one for one in messages() if one.id == "tms_webhooks.W091"]

    assert message.msg == (
        "Null in payloads, because hosts.Tenant has no such attribute: an organization's 'external_id'."
    )
