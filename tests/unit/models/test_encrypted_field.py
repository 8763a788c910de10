"""The field that keeps a secret: what it writes, what it shows, and that a lost key breaks nothing but the secret."""

import copy
import json
import logging
import pickle
import re

import pytest
from cryptography.fernet import Fernet
from django import forms
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.db.migrations.writer import MigrationWriter
from django.test import override_settings
from django.test.utils import isolate_apps

from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import encryption
from tms_webhooks.models.encryption import EncryptedTextField, Sealed
from tms_webhooks.net.urls import MASK

TOKEN_OF_A_LOST_KEY = Fernet(Fernet.generate_key()).encrypt(b"hunter2").decode()


def refuse(value):
    raise ValidationError("refused")


def sealed(text="hunter2"):
    return Sealed(encryption.encrypt(text))


@pytest.fixture
def keeper():
    """Return a model with two secrets, one of them optional."""
    with isolate_apps("tms_webhooks"):

        class Keeper(models.Model):
            secret = EncryptedTextField("secret")
            headers = EncryptedTextField(blank=True, default="", validators=[refuse])

            class Meta:
                app_label = "tms_webhooks"

            def __str__(self):
                return "keeper"

        yield Keeper


@pytest.fixture
def field():
    return EncryptedTextField("secret")


# --- Sealed ---


def test_a_sealed_value_shows_a_mask_however_it_is_printed(caplog):
    value = sealed()
    logging.getLogger(__name__).warning("secret=%s %r", value, value)
    for shown in (str(value), repr(value), f"{value}", f"{value!r}", f"{[value]}", caplog.text):
        assert MASK in shown
        assert "hunter2" not in shown
        assert value.token not in shown


def test_a_sealed_value_of_a_lost_key_fails_when_revealed_and_not_before():
    value = Sealed(TOKEN_OF_A_LOST_KEY)
    assert str(value) == MASK
    with pytest.raises(SecretError):
        value.reveal()


def test_a_sealed_value_can_be_copied_and_pickled_and_not_changed():
    value = sealed()
    assert copy.copy(value) == copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value
    assert b"hunter2" not in pickle.dumps(value)
    with pytest.raises(AttributeError):
        value.token = "other"


def test_a_sealed_value_gets_into_json_by_no_accident():
    with pytest.raises(TypeError):
        json.dumps({"secret": sealed()})


# --- To the database and back ---


def test_plain_text_is_encrypted_on_its_way_to_the_database(field):
    token = field.get_db_prep_save("hunter2", connection)
    assert "hunter2" not in token
    assert encryption.decrypt(token) == "hunter2"


def test_a_sealed_value_passes_through_unchanged_whatever_the_keys(field):
    assert field.get_prep_value(Sealed(TOKEN_OF_A_LOST_KEY)) == TOKEN_OF_A_LOST_KEY
    with override_settings(TMS_WEBHOOKS={"ENCRYPTION_KEYS": ["malformed"]}):
        assert field.get_db_prep_save(Sealed(TOKEN_OF_A_LOST_KEY), connection) == TOKEN_OF_A_LOST_KEY


@pytest.mark.parametrize("empty", ["", None])
def test_nothing_stays_nothing_on_both_sides(field, empty):
    assert field.get_prep_value(empty) == empty
    assert field.from_db_value(empty, None, connection) == empty


def test_a_loaded_value_is_sealed_even_if_no_key_fits(field):
    assert field.from_db_value(TOKEN_OF_A_LOST_KEY, None, connection) == Sealed(TOKEN_OF_A_LOST_KEY)
    with override_settings(TMS_WEBHOOKS={"ENCRYPTION_KEYS": ["malformed"]}):
        assert field.from_db_value("anything", None, connection) == Sealed("anything")


def test_typed_text_is_never_taken_for_a_token(field):
    # Or a token found in a dump could be entered as one's own secret, and revealed.
    token = encryption.encrypt("somebody else's")
    stored = field.get_prep_value(field.to_python(token))
    assert stored != token
    assert encryption.decrypt(stored) == token


def test_text_is_validated_and_a_sealed_value_was_already(keeper):
    with pytest.raises(ValidationError) as caught:
        keeper(secret="hunter2", headers="X-A=1").clean_fields()
    assert caught.value.message_dict == {"headers": ["refused"]}
    instance = keeper(secret=Sealed(TOKEN_OF_A_LOST_KEY), headers=Sealed(TOKEN_OF_A_LOST_KEY))
    instance.clean_fields()
    assert instance.secret == instance.headers == Sealed(TOKEN_OF_A_LOST_KEY)


def test_a_migration_holds_the_field_by_its_path(keeper):
    name, path, args, kwargs = keeper._meta.get_field("headers").deconstruct()
    assert (name, path, args) == ("headers", "tms_webhooks.models.encryption.EncryptedTextField", [])
    assert kwargs == {"blank": True, "default": "", "validators": [refuse]}
    text, imports = MigrationWriter.serialize(EncryptedTextField(blank=True, default=""))
    assert text == "tms_webhooks.models.encryption.EncryptedTextField(blank=True, default='')"
    assert imports == {"import tms_webhooks.models.encryption"}


def test_a_fixture_holds_the_token_and_loading_it_restores_it(keeper):
    field = keeper._meta.get_field("secret")
    value = sealed()
    dumped = json.loads(json.dumps(field.value_to_string(keeper(secret=value))))
    assert dumped == {"sealed": value.token}
    assert field.to_python(dumped) == value


def form_of(keeper, data, instance):
    class KeeperForm(forms.ModelForm):
        class Meta:
            model = keeper
            fields = ("secret",)

    return KeeperForm(data, instance=instance)


def test_a_form_shows_a_mask(keeper):
    value = sealed()
    shown = form_of(keeper, None, keeper(secret=value)).as_p()
    assert MASK in shown
    assert "hunter2" not in shown
    assert value.token not in shown


def test_the_untouched_mask_keeps_the_secret(keeper):
    value = Sealed(TOKEN_OF_A_LOST_KEY)
    form = form_of(keeper, {"secret": MASK}, keeper(secret=value))
    assert form.is_valid(), form.errors
    assert form.instance.secret is value


def test_a_new_text_replaces_the_secret(keeper):
    form = form_of(keeper, {"secret": "new"}, keeper(secret=sealed()))
    assert form.is_valid(), form.errors
    assert form.instance.secret == "new"


def test_a_mask_is_no_secret_for_a_new_row(keeper):
    form = form_of(keeper, {"secret": MASK}, keeper())
    assert not form.is_valid()
    assert form.instance.secret == ""


def test_rows_can_be_found_by_having_none_and_by_the_very_token(keeper):
    value = sealed()
    _, none = keeper.objects.filter(secret="").values("pk").query.sql_with_params()
    _, token = keeper.objects.filter(secret=value).values("pk").query.sql_with_params()
    null, _ = keeper.objects.filter(secret__isnull=False, headers=None).values("pk").query.sql_with_params()
    assert none == ("",)
    assert token == (value.token,)
    assert "secret IS NOT NULL" in re.sub(r'["`]', "", null)
