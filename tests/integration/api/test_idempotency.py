"""A POST that is sent twice with one key is done once, and answered twice."""

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone
from rest_framework.test import APIClient

from tests.integration.api.people import HousePolicy, at, body_of, client_of, codes_of, member_of
from tests.threads import at_once, several
from tms_webhooks.actors import Actor
from tms_webhooks.models import AuditEntry, IdempotentRequest, Webhook
from tms_webhooks.models.encryption import reveal

KEY = "6b1f3a52-6a0e-4a0b-9a63-8f4d6f0e5c11"


@pytest.fixture
def post(client, acme):
    def post(key=KEY, *, by=client, **fields):
        return by.post("/api/webhooks/", body_of(acme, **fields), headers={"Idempotency-Key": key})

    return post


def test_the_second_answer_is_the_first_one(post):
    first, second = post(), post()

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == {**first.json(), "secret": None}
    assert (second["Location"], second["ETag"]) == (first["Location"], first["ETag"])
    assert second["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first
    assert Webhook.objects.count() == 1
    assert AuditEntry.objects.count() == 1


def test_a_stored_answer_is_encrypted_and_has_no_secret(post):
    # No name as short as "CRM": that comes up by chance in the letters of a token.
    data = post(name="Customer relations").json()

    row = IdempotentRequest.objects.get()
    assert json.loads(reveal(row.answer)) == {**data, "secret": None}
    assert data["name"] not in row.answer.token


def test_another_body_or_address_with_the_same_key_is_refused(client, post, problem):
    webhook = Webhook.objects.get(Webhook.by_public_id(post().json()["id"]))

    problem(post(name="HR"), "idempotency-key-reused")
    problem(client.post(at(webhook, "disable"), headers={"Idempotency-Key": KEY}), "idempotency-key-reused")

    assert Webhook.objects.get().enabled


def test_while_the_first_is_under_way_the_second_is_asked_to_wait(client, acme, post, problem, monkeypatch):
    answers = []

    def meanwhile(*args, **kwargs):
        answers.append(post())
        raise RuntimeError("the first one fails")

    monkeypatch.setattr("tms_webhooks.api.views.webhooks.webhooks.create", meanwhile)
    with pytest.raises(RuntimeError):
        post()

    assert problem(answers[0], "request-in-progress")
    assert answers[0]["Retry-After"] == "1"


def fail(*args, **kwargs):
    raise RuntimeError("no")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic_requests", [False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
def test_a_key_is_free_again_where_the_commit_failed(post, monkeypatch, atomic_requests):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic_requests)
    with monkeypatch.context() as patched, pytest.raises(IntegrityError):
        patched.setattr(Webhook, "signing_secrets", refer_to_nothing)
        post()
    assert not Webhook.objects.exists()

    assert post().status_code == 201
    assert (post()["Idempotency-Replayed"], Webhook.objects.count()) == ("true", 1)


def refer_to_nothing(webhook, now):
    """Write a row whose foreign key leads nowhere, which databases with deferred constraints see at the COMMIT."""
    Webhook.objects.filter(pk=webhook.pk).update(organization_id=999_999)
    return ["whsec_"]


def test_keys_of_different_callers_have_nothing_to_do_with_each_other(acme, post):
    other = client_of(member_of(acme))

    assert post().status_code == 201
    response = post(by=other, name="Theirs")

    assert (response.status_code, response.json()["name"]) == (201, "Theirs")


def test_after_a_day_a_key_may_be_used_anew(post):
    post()
    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(hours=25))

    response = post(name="HR")

    assert response.status_code == 201
    assert Webhook.objects.count() == 2


def test_a_request_whose_process_died_blocks_its_key_for_two_minutes_only(post, problem):
    post()
    Webhook.objects.all().delete()
    IdempotentRequest.objects.update(status_code=None)
    problem(post(), "request-in-progress")

    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(minutes=3))

    assert post().status_code == 201


@pytest.mark.parametrize("key", ["", "a" * 256, "with blank", "ü"])
def test_a_key_that_is_none_is_refused(post, problem, key):
    assert list(codes_of(post(key))) == ["Idempotency-Key"]
    assert not Webhook.objects.exists()


def test_callers_without_an_id_can_not_use_idempotency_keys(post, problem, monkeypatch):
    monkeypatch.setattr(HousePolicy, "caller", lambda self, request: Actor("api"))

    assert codes_of(post()) == {"Idempotency-Key": "no_caller"}
    assert not Webhook.objects.exists()


def test_a_key_and_a_person_of_the_same_id_are_two_callers(acme, alice, post, monkeypatch):
    class System(SimpleNamespace):
        """Who calls with a key."""

    key = System(
        pk=alice.pk, organization=acme, is_authenticated=True, is_active=True, is_staff=True, is_superuser=False
    )
    client = APIClient()
    client.force_authenticate(key)
    monkeypatch.setattr(HousePolicy, "caller", lambda self, request: Actor("api", str(alice.pk)))

    assert post().status_code == 201
    assert "Idempotency-Replayed" not in post(by=client)
    assert Webhook.objects.count() == 2


@several
@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_with_one_key_one_is_done(acme, alice):
    codes = []

    def write(client):
        headers = {"Idempotency-Key": KEY}
        return lambda: codes.append(client.post("/api/webhooks/", body_of(acme), headers=headers).status_code)

    assert at_once(write(client_of(alice)), write(client_of(alice))) == []

    assert Webhook.objects.count() == 1
    assert sorted(codes) in ([201, 201], [201, 409])
