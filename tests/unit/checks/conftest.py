"""Ways to declare one source, alone, and to hear what the checks say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.catalogue import custom
from tms_webhooks.checks import sources as source_checks
from tms_webhooks.checks.messages import PREFIX, REFERENCE
from tms_webhooks.documents.sources import documented_class
from tms_webhooks.sources import Source, registry

Say = Callable[..., list[CheckMessage]]


def ids(messages: Sequence[CheckMessage]) -> list[str]:
    """Return the ids without their prefix; each message must have a remedy."""
    assert all(message.hint and message.hint.strip() for message in messages)
    return [str(message.id).removeprefix(f"{PREFIX}.") for message in messages]


def only(messages: Sequence[CheckMessage], number: str) -> CheckMessage:
    """Return the only message there is, which must have this id."""
    assert ids(messages) == [number], [message.msg for message in messages]
    return messages[0]


@pytest.fixture
def no_sources(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the example project's sources out, and the fields that they add to the catalogue."""
    monkeypatch.setattr(registry, "_sources", {})
    with custom.only_canonical():
        yield


@pytest.fixture
def declare(no_sources: None) -> Callable[..., Source]:
    """Declare a source of one model and bind it: attributes by keyword, as a host writes them into the class."""

    def declare(base: type[Source], model: type[models.Model], **attributes: Any) -> Source:
        registry.register(model)(type(f"Host{base.__name__}", (base,), attributes))
        return registry.all_sources()[-1]

    return declare


@pytest.fixture
def say_all(declare: Callable[..., Source]) -> Say:
    """Declare a source and return all that the checks say of it, without the reference that ends each hint."""

    def say_all(base: type[Source], model: type[models.Model], **attributes: Any) -> list[CheckMessage]:
        source = declare(base, model, **attributes)
        messages = source_checks.check_sources()
        for message in messages:
            name = base.__name__ if message.obj is source else documented_class(message.obj).__name__
            reference = REFERENCE.format(name)
            assert str(message.hint).endswith(reference), message.hint
            message.hint = str(message.hint).removesuffix(reference)
        return messages

    return say_all


@pytest.fixture
def say(say_all: Say) -> Say:
    """Declare a source and return all that the checks say of it but the warning of nulls, which test_nulls.py reads."""

    def say(base: type[Source], model: type[models.Model], **attributes: Any) -> list[CheckMessage]:
        return [message for message in say_all(base, model, **attributes) if message.id != f"{PREFIX}.W092"]

    return say
