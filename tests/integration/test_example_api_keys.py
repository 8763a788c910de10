"""A key of the example project: shown once, kept as a hash, good for its organization until it is revoked or has expired."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from example_project.training.access import TrainingPolicy
from example_project.training.authentication import REFUSED, ApiKeyAuthentication
from example_project.training.factories import OrganizationFactory, UserFactory
from example_project.training.models import ApiKey
from tms_webhooks.actors import Actor, actor_of
from tms_webhooks.choices import Action, ActorKind


@pytest.fixture
def acme():
    return OrganizationFactory.create(name="Acme")


def issue(organization, **values):
    _key, clear = ApiKey.objects.create_key(name="HR", organization=organization, **values)
    return clear


def request_with(authorization):
    wsgi = APIRequestFactory().get("/", headers={"Authorization": authorization})
    return Request(wsgi, authenticators=[ApiKeyAuthentication()])


def seen(request, action=Action.VIEW):
    return set(TrainingPolicy().organizations(request, action))


@pytest.mark.parametrize("scheme", ["Api-Key", "Bearer"])
def test_a_key_is_taken_by_both_schemes(acme, scheme):
    assert seen(request_with(f"{scheme} {issue(acme)}")) == {acme}


@pytest.mark.parametrize("action", Action)
def test_a_key_is_good_for_its_organization_and_those_below(acme, action):
    branch = OrganizationFactory.create(parent=acme)
    OrganizationFactory.create()

    assert seen(request_with(f"Api-Key {issue(acme)}"), action) == {acme, branch}
    assert seen(request_with(f"Api-Key {issue(branch)}"), action) == {branch}


def test_only_a_hash_of_the_key_is_stored(acme):
    clear = issue(acme)
    secret = clear.partition(".")[2]

    (row,) = ApiKey.objects.values()

    assert secret not in str(row)
    assert row["hashed_key"].startswith("sha512$$")


@pytest.mark.parametrize("spoilt", ["{}x", "x{}", "{}".upper(), "nothing", "", "{} {}", "é"])
def test_another_key_is_refused(acme, spoilt):
    clear = issue(acme)
    given = spoilt.format(clear, clear) if spoilt != "{}" else clear.swapcase()

    with pytest.raises(AuthenticationFailed, match=REFUSED):
        _ = request_with(f"Api-Key {given}").user


def test_a_key_that_was_revoked_or_has_expired_is_refused(acme):
    revoked = issue(acme)
    ApiKey.objects.update(revoked=True)
    expired = issue(acme, expiry_date=timezone.now() - timedelta(seconds=1))
    good = issue(acme, expiry_date=timezone.now() + timedelta(days=1))

    for clear in (revoked, expired):
        with pytest.raises(AuthenticationFailed, match=REFUSED):
            _ = request_with(f"Api-Key {clear}").user
    assert seen(request_with(f"Api-Key {good}")) == {acme}


@pytest.mark.parametrize("authorization", ["", "Token abc", "Basic abc", "Api-Key", "Bearer"])
def test_a_request_without_a_key_is_left_to_the_others(authorization):
    request = request_with(authorization)

    assert not request.user.is_authenticated
    assert seen(request) == set()


def test_what_a_key_does_is_told_of_by_the_beginning_of_the_key_and_its_name(acme):
    clear = issue(acme)

    assert actor_of(request_with(f"Api-Key {clear}")) == Actor(ActorKind.API, clear.partition(".")[0], "HR")


def test_a_learner_is_no_administrator(acme):
    def may(**values):
        return bool(seen(SimpleNamespace(user=UserFactory.create(organization=acme, **values))))

    assert may(is_staff=True)
    assert not may()
    assert not may(is_staff=True, disabled=True)


def test_the_command_prints_a_key_and_nothing_else(acme, capsys):
    call_command("issue_api_key", "Acme", name="HR system")

    clear = capsys.readouterr().out.strip()
    assert seen(request_with(f"Api-Key {clear}")) == {acme}
    assert ApiKey.objects.get().name == "HR system"


def test_the_command_names_the_organizations_there_are(acme):
    with pytest.raises(CommandError, match="Unknown organization 'Acne'. Choose one of: Acme."):
        call_command("issue_api_key", "Acne")


def test_the_admin_shows_a_new_key_once(acme, admin_client):
    page = reverse("admin:training_apikey_add")

    answer = admin_client.post(page, {"name": "CRM", "organization": acme.pk}, follow=True)

    clear = answer.content.decode().partition("CRM is: ")[2].partition(". ")[0]
    assert seen(request_with(f"Api-Key {clear}")) == {acme}
    again = admin_client.get(reverse("admin:training_apikey_changelist")).content.decode()
    assert clear not in again
    assert "CRM" in again
