"""The registry of sources. The host's ``webhooks.py`` modules fill it, as ``admin.py`` modules fill the admin's registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import models

from tms_webhooks.catalogue import custom
from tms_webhooks.catalogue.schema import Noun
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.sources.base import Source

S = TypeVar("S", bound=type[Source])

_sources: dict[type[models.Model], list[Source]] = {}
shared_nouns: set[str] = set()
"""The names of nouns whose objects other organizations than the owner may see."""


def register(*model_classes: type[models.Model]) -> Callable[[S], S]:
    """Declare a `Source` subclass for one or more models, as a class decorator.

    A model may have several sources of different classes. Raises `ConfigurationError` for an argument that is not a
    model, for a class that is not a `Source`, and for a second registration.
    """
    named: tuple[Any, ...] = model_classes
    for thing in named:
        if not _is_subclass(thing, models.Model):
            # A decorator without parentheses gets the class itself.
            got = f"the class {thing.__name__}" if isinstance(thing, type) else repr(thing)
            raise ConfigurationError(
                f"@register got {got}, no model; name a model class: @sources.register(YourModel)."
            )

    def decorate(source_class: S) -> S:
        if not _is_subclass(source_class, Source):
            raise ConfigurationError(f"@register was put on {source_class!r}; put it on a subclass of Source.")
        if not model_classes:
            raise ConfigurationError(f"@register of {source_class.__name__} names no model; name at least one.")
        for model in model_classes:
            _add(source_class, model)
        return source_class

    return decorate


def _add(source_class: type[Source], model: type[models.Model]) -> None:
    if model._meta.abstract:
        raise ConfigurationError(f"{model.__name__} is abstract; register {source_class.__name__} for its subclasses.")
    if len(model._meta.pk_fields) > 1:
        raise ConfigurationError(
            f"{model.__name__} has a composite primary key; register {source_class.__name__} for a model with a key of one column."
        )
    if not hasattr(source_class, "noun"):
        raise ConfigurationError(f"{source_class.__name__} has no noun; give it one, or use a class for a known noun.")
    if any(type(source) is source_class and source.model is model for source in _sources.get(model, ())):
        raise ConfigurationError(f"{source_class.__name__} is registered twice for {model._meta.label}.")
    source = source_class(model, _sources)
    for one in source.captured_models:
        _sources.setdefault(one, []).append(source)
    # A check reports a noun of another type.
    if isinstance(source.noun, Noun):
        custom.add(source.noun.name, source)
        if source.shared_fields:
            shared_nouns.add(source.noun.name)


def _is_subclass(candidate: Any, base: type) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, base)


def all_sources() -> list[Source]:
    """Return every source, in the order of registration."""
    return list(dict.fromkeys(source for sources in _sources.values() for source in sources))


def sources_of_noun(noun: str) -> list[Source]:
    """Return the sources whose rows are objects of a noun, in the order of registration."""
    return [source for source in all_sources() if source.noun.name == noun and source.snapshot]


def sources_of(model: type[models.Model]) -> list[Source]:
    """Return the sources of a model: its own, and those of its parents, of its proxies, and of models that extend it."""
    found: Any = dict.fromkeys(source for base in model.__mro__ for source in _sources.get(base, ()))
    concrete = model._meta.concrete_model
    # Not those of another model that extends the same parent.
    return [
        one for one in found if concrete in one.captured_models or issubclass(model, one.model._meta.concrete_model)
    ]
