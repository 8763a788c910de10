"""Which key encrypted the stored values, and their encryption with the newest key.

A value that the newest key decrypts is left alone, so an interrupted run is continued by the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from django.apps import apps
from django.db import router

from tms_webhooks.batches import never
from tms_webhooks.exceptions import SecretError, UnknownKey
from tms_webhooks.models.encryption import EncryptedTextField, KeyAge, Sealed, age_of_key, decrypt, is_bound, reveal
from tms_webhooks.models.webhook import WebhookSecret

BATCH = 500
"""Rows that are read at a time."""
EXAMINED_SECRETS = 100
"""How many secrets are decrypted to find out whether a key is missing."""


class KeyUse(NamedTuple):
    """How many values each kind of key encrypted. ``derived`` is the key from ``SECRET_KEY`` after ENCRYPTION_KEYS was set."""

    newest: int = 0
    older: int = 0
    derived: int = 0
    unreadable: int = 0

    @property
    def depending(self) -> int:
        """The number of values that become unreadable if all keys but the newest go."""
        return self.older + self.derived


def key_use(*, limit: int | None = None) -> KeyUse:
    """Return which keys encrypted the stored values; with ``limit``, those of this many rows of each column."""
    return _counted(
        age_of_key(value.token) for field in _columns() for _pk, value, _key in islice(_values(field), limit)
    )


def reencrypt(*, stop: Callable[[], bool] = never) -> KeyUse:
    """Encrypt the stored values with the newest key, and bind each to its row; return which keys had encrypted them.

    A value that changes while it is re-encrypted keeps the change. ``stop`` is called before each value and returns whether to leave
    the rest.
    """
    ages: list[KeyAge] = []
    for field in _columns():
        name, rows = field.name, field.model._base_manager.using(router.db_for_write(field.model))
        for pk, value, key in _values(field):
            if stop():
                return _counted(ages)
            age = age_of_key(value.token)
            ages.append(age)
            text = "" if age == KeyAge.UNREADABLE else decrypt(value.token)
            if text and (age != KeyAge.NEWEST or not is_bound(text)):
                sealed = text if is_bound(text) else field.seal(text, key)
                rows.filter(pk=pk, **{name: value}).update(**{name: sealed})
    return _counted(ages)


def is_key_missing() -> bool:
    """Return whether the keys are to blame for a secret that can't be decrypted, and not its own row.

    They are if they decrypt no secret of all that are examined, or fail for more than one webhook.
    """
    # The oldest: they are the last to be encrypted with a new key.
    rows = WebhookSecret.objects.filter(expires_at=None, webhook__deleted_at=None).order_by("pk")
    lost, readable = set(), 0
    for secret in rows.only("webhook_id", "value")[:EXAMINED_SECRETS]:
        try:
            reveal(secret.value)
            readable += 1
        except UnknownKey:
            lost.add(secret.webhook_id)
        except SecretError:
            continue
    return not readable or len(lost) > 1


def _counted(ages: Iterable[KeyAge]) -> KeyUse:
    return KeyUse(**{age.value: number for age, number in Counter(ages).items()})


def _columns() -> list[EncryptedTextField]:
    """Return the encrypted fields of the models of the app."""
    return [
        field
        for model in apps.get_app_config("tms_webhooks").get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, EncryptedTextField)
    ]


def _values(field: EncryptedTextField) -> Iterator[tuple[Any, Sealed, Any]]:
    """Yield primary key, value and binding key of each row that has a value, in batches by primary key."""
    filled = field.model._base_manager.using(router.db_for_write(field.model)).exclude(**{field.name: ""})
    rows = filled.order_by("pk").values_list("pk", field.name, field.bound_to)
    batch = list(rows[:BATCH])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1][0])[:BATCH])
