"""A first key and a new key make no secret unreadable, and a command makes the old keys needless."""

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.utils import timezone

from tests.factories import WebhookFactory
from tests.integration.delivery.conftest import run, wire
from tests.integration.delivery.rows import write_event
from tms_webhooks.checks.environment import check_keys
from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import (
    IdempotentRequest,
    Subscription,
    Webhook,
    WebhookSecret,
    reencryption,
)
from tms_webhooks.models.credentials import to_text
from tms_webhooks.models.encryption import Sealed, reveal
from tms_webhooks.models.reencryption import KeyUse, key_use, reencrypt

__all__ = ["run", "wire"]

FIRST, SECOND = Fernet.generate_key().decode(), Fernet.generate_key().decode()
VALUE = "X-Key=hunter2"


@pytest.fixture
def keys(settings_of_app):
    def keys(*values):
        settings_of_app(ENCRYPTION_KEYS=list(values))

    return keys


@pytest.fixture
def stored(keys):
    """Secrets, headers and a response, encrypted with the key derived from SECRET_KEY; return their texts."""
    keys()
    for _ in range(3):
        WebhookFactory(headers=VALUE)
    IdempotentRequest.objects.create(digest="d", fingerprint="f", created_at=timezone.now(), answer="{}")
    return texts()


def texts():
    values = [
        *WebhookSecret.objects.order_by("pk").values_list("value", flat=True),
        *Webhook.objects.order_by("pk").values_list("headers", flat=True),
        *IdempotentRequest.objects.values_list("answer", flat=True),
    ]
    return list(map(reveal, values))


def test_the_first_key_makes_no_secret_unreadable(stored, keys):
    keys(FIRST)

    assert texts() == stored
    assert key_use() == KeyUse(derived=7)


def test_after_the_command_the_newest_key_is_enough(stored, keys, settings, capsys):
    keys(FIRST)
    call_command("webhooks_reencrypt")
    settings.SECRET_KEY = "another"

    assert texts() == stored
    assert key_use() == KeyUse(newest=7)
    assert capsys.readouterr().out == (
        "Encrypted with the newest key: 7 (7 from the key derived from SECRET_KEY). Already encrypted with it: 0. "
        "Unreadable: 0.\n"
    )
    keys(SECOND, FIRST)
    assert key_use() == KeyUse(older=7)
    call_command("webhooks_reencrypt")
    keys(SECOND)
    assert texts() == stored


def test_a_run_that_was_stopped_is_continued(stored, keys, monkeypatch):
    keys(FIRST)
    monkeypatch.setattr(reencryption, "BATCH", 2)
    stops = iter([False] * 4)

    reencrypt(stop=lambda: next(stops, True))

    assert key_use() == KeyUse(newest=4, derived=3)
    assert reencrypt() == KeyUse(newest=4, derived=3)
    assert key_use() == KeyUse(newest=7)
    assert texts() == stored


def test_a_value_that_is_changed_meanwhile_keeps_the_change(stored, keys, monkeypatch):
    keys(FIRST)
    real = reencryption.decrypt

    def change_first(token):
        Webhook.objects.update(headers="X-Key=new")
        return real(token)

    monkeypatch.setattr(reencryption, "decrypt", change_first)
    reencrypt()

    assert {reveal(webhook.headers) for webhook in Webhook.objects.all()} == {"X-Key=new"}


def tokens_of(model, field):
    return [value.token for value in model.objects.order_by("pk").values_list(field, flat=True)]


@pytest.fixture
def places(keys):
    """The encrypted columns, each with a value in two rows."""
    keys(FIRST)
    for number in "12":
        credentials = to_text({"token": f"t0ken-{number}"})
        WebhookFactory(headers=f"X-Key=hunter{number}", authentication="bearer", credentials=credentials)
        IdempotentRequest.objects.create(digest=number, fingerprint="f", created_at=timezone.now(), answer="{}")
    return [(field.model, field.name) for field in reencryption._columns()]


def test_a_value_that_is_copied_to_another_row_or_field_is_refused(places):
    assert len(places) == 4
    tokens = {place: tokens_of(*place) for place in places}
    for model, name in places:
        row = model.objects.order_by("pk").first()
        own = reveal(getattr(row, name))
        assert own
        others = [token for place, pair in tokens.items() for token in (pair if place != (model, name) else pair[1:])]
        for token in others:
            model.objects.filter(pk=row.pk).update(**{name: Sealed(token)})
            with pytest.raises(SecretError, match="was copied from another row or field"):
                reveal(getattr(model.objects.get(pk=row.pk), name))
        model.objects.filter(pk=row.pk).update(**{name: Sealed(tokens[model, name][0])})
        assert reveal(getattr(model.objects.get(pk=row.pk), name)) == own


def test_a_copied_secret_signs_nothing(places, run, wire):
    mine, other = Webhook.objects.order_by("pk")
    WebhookSecret.objects.filter(webhook=mine).update(value=other.secrets.get().value)
    Subscription.objects.create(webhook=mine, event_type="*")
    write_event(mine.organization)

    run()

    assert wire.requests == []
    assert mine.deliveries.get().error_class == ErrorClass.SECRET_UNREADABLE
    with pytest.raises(SecretError):
        mine.signing_secrets(timezone.now())


def test_the_command_binds_values_that_name_no_row_and_no_copied_ones(places):
    mine, other = Webhook.objects.order_by("pk")
    Webhook.objects.filter(pk=mine.pk).update(headers=VALUE, credentials=other.credentials)
    assert reveal(Webhook.objects.get(pk=mine.pk).headers) == VALUE

    call_command("webhooks_reencrypt")

    Webhook.objects.filter(pk=other.pk).update(headers=Webhook.objects.get(pk=mine.pk).headers)
    assert reveal(Webhook.objects.get(pk=mine.pk).headers) == VALUE
    for copied in (Webhook.objects.get(pk=other.pk).headers, Webhook.objects.get(pk=mine.pk).credentials):
        with pytest.raises(SecretError):
            reveal(copied)


def test_the_deploy_check_counts_what_would_become_unreadable(stored, keys, settings):
    assert [message.id for message in check_keys()] == ["tms_webhooks.W070"]
    keys(FIRST)
    (depending,) = check_keys()
    settings.SECRET_KEY = "lost"
    (unreadable,) = check_keys()

    assert (depending.id, unreadable.id) == ("tms_webhooks.I078", "tms_webhooks.W077")
    assert depending.msg == (
        "7 stored secrets or header values need another key than the newest: 0 an older one, 7 the one derived from "
        "SECRET_KEY. They become unreadable without it."
    )
    assert unreadable.msg == "7 stored secrets or header values can't be decrypted with any key."
