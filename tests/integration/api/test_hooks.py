"""Hooks: a program subscribes, receives signed events, refreshes and unsubscribes, and sees no other program's hooks."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from example_project.training.models import ApiKey
from tests.factories import WebhookFactory
from tests.integration.api.people import Caller, codes_of, error_of
from tests.integration.delivery.conftest import run, wire
from tests.integration.delivery.rows import write_event
from tests.integration.delivery.wire import is_signed_by
from tms_webhooks import hooks, tasks
from tms_webhooks.access import SuperusersOnly, get_policy
from tms_webhooks.actors import Actor
from tms_webhooks.choices import DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.manage import webhooks
from tms_webhooks.models import AuditEntry, Subscription, Webhook, WebhookSecret, WebhookState, limits
from tms_webhooks.models.encryption import Sealed
from tms_webhooks.models.webhook import ReceiverQuerySet, new_secret

__all__ = ["run", "wire"]

HOOKS = "/api/hooks/"
TARGET = "https://receiver.example.com/zaps/1"
BODY = {"target_url": TARGET, "event": "class.cancelled"}


class Program(Caller):
    """A program with an API key, which speaks REST Hooks."""

    def __init__(self, organization):
        super().__init__()
        self.key, clear = ApiKey.objects.create_key(name="Zapier", organization=organization)
        self.credentials(HTTP_AUTHORIZATION=f"Bearer {clear}")

    def subscribe(self, **values):
        return self.post(HOOKS, {**BODY, **values})

    def hook(self, **values):
        response = self.subscribe(**values)
        assert response.status_code == 201, response.content
        return Webhook.objects.get(Webhook.by_public_id(response.json()["id"]))


@pytest.fixture
def program(acme):
    return Program(acme)


def end(now=None, **options):
    hooks.end(get_policy().may_keep_hooks, now=now or timezone.now(), **options)


def existing():
    return list(Webhook.objects.existing().values_list("url", flat=True))


def test_a_program_subscribes_receives_refreshes_and_unsubscribes(program, acme, run, wire):
    secret, ends = new_secret(), timezone.now() + timedelta(days=1)
    response = program.subscribe(secret=secret, expires_at=ends.isoformat(), filters={"course": [301]})
    hook = response.json()
    sample = program.get(hook["sample"]).json()
    write_event(acme, body=json.dumps({**sample[0], "data": {**sample[0]["data"], "course": {"id": 301}}}))
    write_event(acme, body=json.dumps({**sample[0], "data": {**sample[0]["data"], "course": {"id": 302}}}))
    run()

    assert response.status_code == 201
    assert response["Location"] == f"http://testserver{HOOKS}{hook['id']}/"
    assert hook == program.get(response["Location"]).json()
    assert hook["sample"] == "http://testserver/api/event-types/class.cancelled/samples/"
    assert secret not in response.content.decode()
    assert [one["type"] for one in sample] == ["class.cancelled"]
    (request,) = wire.requests
    assert request.url == TARGET
    assert is_signed_by(request, secret)

    refreshed = program.post(f"{response['Location']}refresh/").json()
    assert refreshed["expires_at"] > hook["expires_at"]

    assert program.delete(response["Location"], {"reason": "switched off"}).status_code == 204
    assert program.delete(response["Location"]).status_code == 204
    assert program.get(response["Location"]).status_code == 404
    assert program.get(HOOKS).json()["results"] == existing() == []


def test_a_receiver_that_answers_410_loses_its_hook_at_once(program, acme, run, wire):
    program.hook()
    WebhookFactory(organization=acme, url="https://other.example.com/", events=["*"])
    wire.otherwise = 410
    write_event(acme)
    run()

    assert existing() == ["https://other.example.com/"]
    assert set(AuditEntry.objects.values_list("action", flat=True)) >= {"webhook.disabled", "webhook.deleted"}


def test_the_same_url_and_event_again_are_one_hook_with_the_new_values(program):
    first, secret = program.hook(), new_secret()
    program.hook(event="class.updated")
    program.hook(target_url="https://other.example.com/")

    again = program.subscribe(secret=secret, filters={"course": [7]}, expires_at="2100-01-01T00:00:00Z")
    twice = program.subscribe(secret=secret, filters={"course": [7]}, expires_at="2100-01-01T00:00:00Z")

    assert (again.status_code, twice.status_code, again.json()["id"]) == (200, 200, first.public_id)
    assert twice.json() == again.json()
    assert again.json()["filters"] == {"course": [7]}
    assert again.json()["expires_at"] == "2100-01-01T00:00:00Z"
    assert Webhook.objects.count() == 3
    assert first.signing_secrets(timezone.now()) == [secret]
    assert AuditEntry.objects.filter(action="secret.rotated").count() == 1


@pytest.mark.parametrize(
    "change, status",
    [
        (webhooks.delete, 201),
        (lambda hook, now: lifecycle.disable(hook, reason=DisabledReason.EXPIRED, now=now), 200),
    ],
    ids=["is deleted", "expires"],
)
def test_a_hook_that_ends_before_a_repeated_subscription_locks_it_works_afterwards(
    program, monkeypatch, change, status
):
    waiting, lock = [program.hook()], ReceiverQuerySet.lock

    def lock_late(rows, keys, **options):
        keys = list(keys)
        while waiting:
            change(waiting.pop(), now=timezone.now())
        lock(rows, keys, **options)

    monkeypatch.setattr(ReceiverQuerySet, "lock", lock_late)

    assert program.subscribe().status_code == status
    assert [hook.enabled for hook in Webhook.objects.existing()] == [True]


@pytest.mark.parametrize("pauses", [0, 2])
@pytest.mark.parametrize(
    "reason, enabled", [(DisabledReason.FAILING, True), (DisabledReason.EXPIRED, True), (DisabledReason.ADMIN, False)]
)
def test_a_repeated_subscription_enables_a_hook_that_failed_or_expired_and_none_that_a_user_disabled(
    program, reason, enabled, pauses
):
    hook = program.hook()
    WebhookState.objects.update(pauses=pauses)
    lifecycle.disable(hook, reason=reason, now=timezone.now())

    assert program.subscribe().json()["enabled"] is enabled
    assert Webhook.objects.get().enabled is enabled


def test_a_repeated_subscription_ends_the_pause_of_a_hook(program):
    hook = program.hook()
    WebhookState.objects.update(pauses=1, paused_until=timezone.now() + timedelta(hours=1))

    program.subscribe()

    assert WebhookState.objects.get().pauses == 0
    assert Webhook.objects.select_related("state").get(pk=hook.pk).is_awake(timezone.now())


def test_only_the_first_subscription_locks_the_organization(program, monkeypatch):
    locked, lock = [], limits.lock_organization
    monkeypatch.setattr(limits, "lock_organization", lambda key, **kw: locked.append(key) or lock(key, **kw))

    hook = program.hook()
    assert set(locked) == {hook.organization_id}
    locked.clear()
    assert program.subscribe().status_code == 200

    assert locked == []


def test_a_secret_that_no_key_decrypts_is_replaced_by_that_of_a_repeated_subscription(program):
    hook, secret = program.hook(), new_secret()
    WebhookSecret.objects.update(value=Sealed("not a token"))

    assert program.subscribe(secret=secret).status_code == 200
    assert hook.signing_secrets(timezone.now()) == [secret]


def test_a_hook_is_listed_and_explained_as_a_webhook(program, client):
    hook = program.hook()

    (listed,) = client.get("/api/webhooks/", {"url": TARGET}).json()["results"]
    explained = client.get(f"/api/webhooks/{hook.public_id}/explain/", {"event_type": "class.cancelled"}).json()

    assert (listed["id"], listed["name"]) == (hook.public_id, "Zapier: class.cancelled")
    assert (listed["integration_kind"], listed["integration_id"]) == ("api", program.key.prefix)
    assert explained["verdict"] == "yes"
    assert client.get("/api/webhooks/", {"url": "https://other.example.com/"}).json()["results"] == []


def test_hooks_are_found_by_their_url(program):
    hook = program.hook()
    program.hook(target_url="https://other.example.com/")

    (found,) = program.get(HOOKS, {"target_url": TARGET}).json()["results"]

    assert found["id"] == hook.public_id


def test_another_programs_hook_does_not_exist(program, acme, client):
    hook = program.hook()
    address = f"{HOOKS}{hook.public_id}/"

    for other in (Program(acme), Program(OrganizationFactory()), client):
        assert other.get(HOOKS).json()["results"] == []
        assert other.get(address).status_code == other.delete(address).status_code == 404
        assert other.post(f"{address}refresh/").status_code == 404
    assert program.get(address).status_code == 200
    assert Program(acme).subscribe().status_code == 201


def test_a_hook_that_is_not_refreshed_is_disabled_and_deleted_a_day_later(program):
    now = timezone.now()
    ends = now + timedelta(hours=1)
    hook = program.hook(expires_at=ends.isoformat())

    end(ends - timedelta(seconds=1))
    assert Webhook.objects.get().enabled
    end(ends)
    address = f"{HOOKS}{hook.public_id}/"
    assert (program.get(address).json()["enabled"], program.get(address).json()["disabled_reason"]) == (
        False,
        "expired",
    )
    refreshed = program.post(f"{address}refresh/", {"expires_at": None}).json()
    assert (refreshed["enabled"], refreshed["expires_at"]) == (True, None)

    Webhook.objects.update(expires_at=ends)
    end(ends)
    end(ends + hooks.KEPT - timedelta(seconds=1))
    assert existing() == [TARGET]
    end(ends + hooks.KEPT)
    assert existing() == []


@pytest.mark.parametrize("ended", [timedelta(), hooks.KEPT], ids=["disabled", "deleted"])
def test_a_hook_that_is_refreshed_while_a_sweep_ends_others_stays(program, ended):
    now = timezone.now()
    first, second = program.hook(), program.hook(event="class.updated")
    Webhook.objects.filter(pk=first.pk).update(expires_at=now - ended - timedelta(seconds=1))
    Webhook.objects.filter(pk=second.pk).update(expires_at=now - ended)

    def refresh_second():
        if not Webhook.objects.enabled().filter(pk=first.pk).exists():
            assert program.post(f"{HOOKS}{second.public_id}/refresh/").status_code == 200
        return False

    end(now, stop=refresh_second)

    assert list(Webhook.objects.enabled()) == [second]
    ended = AuditEntry.objects.filter(action__in=("webhook.disabled", "webhook.deleted"))
    assert set(ended.values_list("webhook", flat=True)) == {first.pk}


def test_a_sweep_ends_a_limited_number_of_hooks_and_none_after_its_time(program, monkeypatch):
    monkeypatch.setattr(hooks, "HOOKS_PER_SWEEP", 2)
    for number in range(4):
        program.hook(target_url=f"https://receiver.example.com/{number}")
    now = timezone.now()
    Webhook.objects.update(expires_at=now)

    left = []
    for is_late in (True, False, False):
        end(now, stop=lambda is_late=is_late: is_late)
        left.append(Webhook.objects.enabled().count())

    assert left == [4, 2, 0]


def test_a_hook_that_can_not_be_ended_holds_up_no_other(program, acme, monkeypatch, caplog):
    other, write = Program(acme), lifecycle.write
    broken = program.hook()
    program.hook(event="class.updated")
    Webhook.objects.update(expires_at=timezone.now())
    revoked = [other.hook(event=event) for event in ("class.updated", "class.cancelled", "class.deleted")]
    ApiKey.objects.filter(pk=other.key.pk).update(revoked=True)
    stuck = {broken.pk, revoked[1].pk}
    monkeypatch.setattr(
        lifecycle, "write", lambda hook, *args, **kw: hook.pk in stuck and 1 / 0 or write(hook, *args, **kw)
    )

    end()

    assert set(Webhook.objects.enabled().values_list("pk", flat=True)) == stuck
    assert caplog.text.count("ZeroDivisionError") == 2


def test_a_hook_without_an_end_gets_none_by_a_refresh(program):
    hook = program.hook()

    assert program.post(f"{HOOKS}{hook.public_id}/refresh/").json()["expires_at"] is None


@pytest.mark.parametrize(
    "lose",
    [
        lambda key: key.update(revoked=True),
        lambda key: key.delete(),
        lambda key: key.update(expiry_date=timezone.now() - timedelta(days=1)),
        lambda key: key.update(organization=OrganizationFactory()),
    ],
    ids=["revoked", "deleted", "expired", "another organization"],
)
def test_a_hook_does_not_outlive_its_key(program, acme, lose):
    program.hook()
    Program(acme).hook(target_url="https://other.example.com/")
    WebhookFactory(organization=acme, url="https://receiver.example.com/kept")
    end()
    assert len(existing()) == 3

    lose(ApiKey.objects.filter(pk=program.key.pk))
    end()

    assert sorted(existing()) == ["https://other.example.com/", "https://receiver.example.com/kept"]


def test_the_sweep_ends_hooks_and_a_policy_that_fails_keeps_them(program, acme, monkeypatch, caplog):
    program.hook()
    Webhook.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    monkeypatch.setattr(type(get_policy()), "may_keep_hooks", lambda *_args: 1 / 0)

    tasks.sweep()

    assert Webhook.objects.get().disabled_reason == "expired"
    assert existing() == [TARGET]
    assert "which stay" in caplog.text


def test_a_superusers_hook_ends_with_the_superuser(alice):
    policy = SuperusersOnly()
    maker = Actor("administrator", str(alice.pk))
    assert not policy.may_keep_hooks(maker, 1)

    alice.is_superuser = True
    alice.save()

    assert policy.may_keep_hooks(maker, 1)


def test_a_hook_of_a_user_ends_with_the_right(alice, client):
    assert client.post(HOOKS, BODY).status_code == 201
    end()
    assert existing() == [TARGET]

    alice.is_staff = False
    alice.save()
    end()

    assert existing() == []


def test_a_hook_ends_with_its_organization(program, acme):
    program.hook()

    acme.delete()

    assert not Webhook.objects.exists()


def test_a_key_has_a_limited_number_of_hooks(program, acme, settings, problem):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "HOOKS_LIMIT": 1}
    program.hook()

    refused = problem(program.subscribe(event="class.updated"), "conflict")["detail"]

    assert refused == "Your key has 1 hooks, the limit is 1. Delete those that you no longer use."
    assert program.subscribe().status_code == 200
    assert Program(acme).subscribe().status_code == 201


def test_the_organization_is_named_where_there_are_several(program, acme):
    branch = OrganizationFactory(parent=acme)

    place, code, detail = error_of(program.subscribe())

    assert (place, code) == ("#/organization", "required")
    assert detail == "Missing; you may make hooks in several organizations, or in none. GET me/ lists them."
    assert program.hook(organization=branch.pk).organization == branch


@pytest.mark.parametrize(
    "values, place, beginning",
    [
        ({"target_url": "ftp://receiver.example.com/"}, "#/target_url", "URL: the scheme 'ftp' is not HTTP"),
        ({"target_url": "https://nowhere.example.com/"}, "#/target_url", ""),
        ({"target_url": 5}, "#/target_url", "Expected a string, got a number."),
        ({"event": "class.canceled"}, "#/event", "Unknown event: class.canceled. Did you mean"),
        ({"filters": {"level": [1]}}, "#/filters/level", ""),
        ({"secret": "hunter2"}, "#/secret", "A signing secret starts with 'whsec_'"),
        ({"secret": "whsec_c2hvcnQ="}, "#/secret", "A signing secret holds 24 to 64 bytes; this one holds 5."),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "#/expires_at", "In the past; give a later time"),
        ({"url": TARGET}, "#/url", "Unknown field 'url'. Known: event, "),
    ],
)
def test_bad_input_is_named_with_its_remedy(program, values, place, beginning):
    found, _code, detail = error_of(program.subscribe(**values))

    assert found == place
    assert detail.startswith(beginning)
    assert "hunter2" not in detail
    assert not Webhook.objects.exists()


def test_both_values_are_required(program):
    assert codes_of(program.post(HOOKS, {})) == {"#/target_url": "required", "#/event": "required"}


def test_a_repeated_request_makes_one_hook(program):
    first = program.post(HOOKS, BODY, headers={"Idempotency-Key": "1"})
    second = program.post(HOOKS, BODY, headers={"Idempotency-Key": "1"})

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert Subscription.objects.count() == 1


def test_a_hook_is_not_part_of_configuration_files(program, capsys):
    program.hook()
    call_command("webhooks_export")

    assert TARGET not in capsys.readouterr().out
