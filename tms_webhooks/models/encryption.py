"""Secrets encrypted at rest: the cipher, the value object that hides a secret, and the model field.

Fernet, with the keys of the setting ``ENCRYPTION_KEYS``: the first encrypts, all decrypt, so that keys rotate. The key that
is derived from ``SECRET_KEY`` encrypts while the setting is empty, and decrypts always.
"""

from __future__ import annotations

import base64
import enum
import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models.query_utils import DeferredAttribute
from django.utils.encoding import force_bytes
from django.utils.translation import gettext_lazy as _

from tms_webhooks import exceptions
from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.net.urls import MASK

if TYPE_CHECKING:
    # Imported by the first secret: 7 MB that a process which only records events does not need.
    from cryptography.fernet import Fernet, MultiFernet

KEYS_WAIT = 300.0
"""Seconds for which a webhook is held if no key of ``ENCRYPTION_KEYS`` decrypts its secrets."""

_BOUND = "\0"
"""Begins a text that names its place: the place, and another of these, precede the value. No value begins with it."""
FERNET = "gAAAAA"
"""The version and the first bytes of the time, with which each Fernet token of this century begins."""
_SERIALIZED = "sealed"
"""The key of an encrypted value in a fixture."""


def encrypt(text: str) -> str:
    """Return ``text`` encrypted, as ASCII; differs each time. Raise `ConfigurationError` for a malformed key."""
    return _cipher_of(_keys()).encrypt(text.encode()).decode("ascii")


def decrypt(token: str) -> str:
    """Return the text that `encrypt` turned into ``token``.

    Raise `SecretError`, which holds neither text nor token, if no key fits (`UnknownKey` if ``token`` looks like one), and
    `ConfigurationError` for a malformed key.
    """
    text = _decrypted(_keys(), token)
    if text is None:
        error = exceptions.UnknownKey if token.startswith(FERNET) else exceptions.SecretError
        raise error(
            "A stored secret can't be decrypted with the keys at hand. Put the key that encrypted it back at the end of "
            f"{SETTING_NAME}['ENCRYPTION_KEYS'] (of SECRET_KEY_FALLBACKS if that is empty), or enter the secret again."
        )
    return text


@lru_cache(maxsize=16)
def derived_key(secret_key: str | bytes) -> str:
    """Return the Fernet key that encrypts while ``ENCRYPTION_KEYS`` is empty, derived from a ``SECRET_KEY``.

    It decrypts also after ``ENCRYPTION_KEYS`` is set, so that a first key makes no secret unreadable.
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"tms_webhooks.encryption").derive(
        force_bytes(secret_key)
    )
    return base64.urlsafe_b64encode(key).decode("ascii")


def _keys() -> tuple[str, ...]:
    # Read each time, so that a changed setting takes effect; the cipher is cached for each set of keys.
    derived = (derived_key(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
    return (*app_settings.ENCRYPTION_KEYS, *derived)


def keys_mark() -> str:
    """Return the mark of this process' keys: processes with the same keys have the same one. It reveals no key."""
    return hashlib.sha256("\n".join(sorted(set(_keys()))).encode()).hexdigest()[:16]


class KeyAge(enum.Enum):
    """Which key encrypted a token: the one that encrypts today, another one, the derived one, or none at hand."""

    NEWEST = "newest"
    OLDER = "older"
    DERIVED = "derived"
    UNREADABLE = "unreadable"


def age_of_key(token: str) -> KeyAge:
    """Return which key encrypted ``token``. A derived key counts as such only where ``ENCRYPTION_KEYS`` has others."""
    keys = _keys()
    configured = len(app_settings.ENCRYPTION_KEYS) or len(keys)
    kinds = ((KeyAge.NEWEST, keys[:1]), (KeyAge.OLDER, keys[1:configured]), (KeyAge.DERIVED, keys[configured:]))
    return next((age for age, some in kinds if some and _decrypted(some, token) is not None), KeyAge.UNREADABLE)


def _decrypted(keys: tuple[str, ...], token: str) -> str | None:
    """Return the text of ``token``; None if no key fits. No error leaves this function: one holds the decrypted bytes."""
    from cryptography.fernet import InvalidToken

    try:
        return _cipher_of(keys).decrypt(token.encode()).decode()
    except (InvalidToken, UnicodeError):
        return None


@lru_cache(maxsize=16)
def _cipher_of(keys: tuple[str, ...]) -> MultiFernet:
    from cryptography.fernet import MultiFernet

    return MultiFernet([_fernet(index, key) for index, key in enumerate(keys)])


def _fernet(index: int, key: str) -> Fernet:
    from cryptography.fernet import Fernet

    try:
        return Fernet(key)
    except (ValueError, TypeError):
        # Without its cause, which may hold the key.
        raise exceptions.ConfigurationError(
            f"{SETTING_NAME}['ENCRYPTION_KEYS'][{index}] is not a Fernet key (the URL-safe base64 of 32 bytes). "
            "Make one with cryptography.fernet.Fernet.generate_key().decode().",
            number="E005",
            hint="Remove the key, or generate a new one.",
        ) from None


@dataclass(frozen=True, slots=True, repr=False)
class Sealed:
    """A secret as the database holds it. Printed, logged or formatted it is a mask; `reveal` decrypts it.

    Two are equal only if they hold the same token, and encrypting a text twice makes two tokens. ``place`` is the row and
    the field that hold it, if they are known.
    """

    token: str
    place: str = field(default="", compare=False)

    def reveal(self) -> str:
        """Return the secret in clear; raise `SecretError` if it can't be decrypted, or was encrypted for another place."""
        text = decrypt(self.token)
        if not text.startswith(_BOUND):
            return text
        place, _mark, text = text[1:].partition(_BOUND)
        if self.place and place != self.place:
            raise exceptions.SecretError("A stored secret was copied from another row or field. Enter it again.")
        return text

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"<Sealed: {MASK}>"


def is_bound(text: str) -> bool:
    """Return whether a decrypted text names the place that it was encrypted for."""
    return text.startswith(_BOUND)


def reveal(value: Sealed | str) -> str:
    """Return the value of an `EncryptedTextField` in clear: it is `Sealed` once loaded, and text if empty or just assigned."""
    return value.reveal() if isinstance(value, Sealed) else value


class _BoundAttribute(DeferredAttribute):
    """The attribute of an encrypted field: a value that was loaded gets the place that it is read from."""

    field: EncryptedTextField

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if not isinstance(value, Sealed) or value.place or not self.field.bound_to:
            return value
        return Sealed(value.token, self.field.place_of(instance))

    def __set__(self, instance: Any, value: Any) -> None:
        # Otherwise Django's own attribute is not asked for a value that is known.
        instance.__dict__[self.field.attname] = value


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """A text that is encrypted in the database.

    ``bound_to`` is the attribute that identifies the row and never changes. A saved value is encrypted together with it and
    the name of the field, and can't be read from another row or field. A value that ``update()`` writes as text, or that
    is older than the binding, is readable in its place until ``webhooks_reencrypt`` binds it.

    Assign plain text. Once loaded the value is `Sealed` and not decrypted, so that a row whose secret can't be decrypted
    still loads, lists and saves. `reveal` reads either. Empty text stays empty, on both sides.
    Rows are found by ``exact=""`` and by ``exact=`` a `Sealed`, but by no text: it is encrypted differently each time.
    """

    description = _("Encrypted text")
    descriptor_class = _BoundAttribute

    def __init__(self, *args: Any, bound_to: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bound_to = bound_to

    def place_of(self, instance: models.Model) -> str:
        """Return the place of a row's value; "" if the field is bound to nothing."""
        return self.place(getattr(instance, self.bound_to)) if self.bound_to else ""

    def place(self, key: Any) -> str:
        """Return the place of the value in the row that this key identifies."""
        return f"{self.model._meta.label_lower}.{self.name}:{key}"

    def seal(self, text: str, key: Any) -> Sealed:
        """Return a text encrypted for the row that this key identifies."""
        place = self.place(key)
        return Sealed(encrypt(f"{_BOUND}{place}{_BOUND}{text}"), place)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:  # noqa: FBT001
        """Return the value to save. Text is encrypted for the row, and so is a value that was taken from another one."""
        value, place = super().pre_save(model_instance, add), self.place_of(model_instance)
        if isinstance(value, Sealed) and value.place != place:
            value = value.reveal()
        return (
            self.seal(value, getattr(model_instance, self.bound_to))
            if place and isinstance(value, str) and value
            else value
        )

    def from_db_value(self, value: str | None, *context: Any) -> Sealed | str | None:
        return Sealed(value) if value else value

    def to_python(self, value: Any) -> Any:
        """Return a `Sealed` or plain text; a dictionary comes from `value_to_string` in a fixture."""
        if isinstance(value, dict) and isinstance(value.get(_SERIALIZED), str):
            return Sealed(value[_SERIALIZED])
        return value if isinstance(value, Sealed) else super().to_python(value)

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if isinstance(value, Sealed):
            return value.token
        return encrypt(value) if value else value

    def value_to_string(self, obj: models.Model) -> Any:
        """Return the value for a fixture: the token, in a dictionary.

        Not the bare token: a typed text must never be taken for one. Otherwise a user could have a token from a dump
        decrypted by entering it as a secret.
        """
        token = self.get_prep_value(self.value_from_object(obj))
        return {_SERIALIZED: token} if token else token

    def run_validators(self, value: Any) -> None:
        # A sealed value passed them as text.
        if not isinstance(value, Sealed):
            super().run_validators(value)

    def save_form_data(self, instance: models.Model, data: Any) -> None:
        """Set the attribute, unless the form sent back the mask."""
        if data != MASK:
            super().save_form_data(instance, data)
