"""``manage.py webhooks_scaffold``: write a ``webhooks.py`` from the host's models."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import models

from tms_webhooks.event_names import suggest
from tms_webhooks.management.base import DocumentCommand, add_options, bad_input
from tms_webhooks.scaffold.declaration import SOURCES, Guesses, is_organization, noun_by_name
from tms_webhooks.scaffold.render import render


class Command(DocumentCommand):
    """Print the module or write it to a file."""

    help = (
        "Write a first webhooks.py for some models. Names say the source of each model, the path to its organization, its "
        "fields and its statuses. Comments list the missing fields, and manage.py check reports them with a remedy. Exit "
        "status 0: written. 2: an argument is invalid, or the file exists."
    )

    # The sources that are registered now may be the reason to run the command.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "models",
            nargs="+",
            metavar="APP.MODEL",
            help="a model, or an app: all models that are named like a noun. A comment lists the others. Write "
            f":NOUN after a model to choose its noun. The nouns are {', '.join(SOURCES)}",
        )
        add_options(parser, "--output")
        parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")

    def handle(self, *, models: list[str], output: Path | None, overwrite: bool, **_options: Any) -> None:
        """Write the module."""
        guesses = Guesses(pair for text in models for pair in models_and_nouns(text))
        self.write(render(guesses), output, mode="w" if overwrite else "x")


def models_and_nouns(text: str) -> list[tuple[type[models.Model], str]]:
    """Return the models that an argument names, with their nouns; a noun is empty if the argument names none."""
    label, _, noun = text.partition(":")
    if noun and noun not in SOURCES:
        raise bad_input(f"Unknown noun: {noun!r}. Write one of {', '.join(SOURCES)}.{suggest(noun, SOURCES)}")
    if not noun and label in apps.app_configs:
        return [(model, "") for model in apps.get_app_config(label).get_models() if may_be_object(model)]
    try:
        return [(apps.get_model(label), noun)]
    except (LookupError, ValueError) as error:
        labels = [model._meta.label for model in apps.get_models()]
        raise bad_input(f"Unknown model: {label!r}. Write app_label.ModelName.{suggest(label, labels)}") from error


def may_be_object(model: type[models.Model]) -> bool:
    """Return whether a model has a source, or could have one if the host names it.

    Organizations, the models of Django's own apps, proxies and tables of foreign keys alone have no other source.
    """
    if noun_by_name(model) in SOURCES:
        return True
    has_columns = any(not (column.primary_key or column.remote_field) for column in model._meta.concrete_fields)
    return has_columns and not (is_organization(model) or model._meta.proxy or model.__module__.startswith("django."))
