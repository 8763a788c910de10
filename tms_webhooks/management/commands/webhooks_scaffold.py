"""``manage.py webhooks_scaffold``: write a ``webhooks.py`` from the host's models."""

from __future__ import annotations

import difflib
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.management.base import BaseCommand
from django.db import models
from django.test.utils import override_settings

from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.management.base import bad_input
from tms_webhooks.scaffold.declaration import Guesses, organization_fields
from tms_webhooks.scaffold.kinds import SOURCES, may_be_object
from tms_webhooks.scaffold.render import render
from tms_webhooks.sources.registry import temporarily

CHECKS = "webhooks"
"""The tag of this app's checks."""
ONLY_NOW = frozenset({"tms_webhooks.W048", "tms_webhooks.W059"})
"""Checks that compare a source with those that are registered already, which the new file may replace."""


class Command(BaseCommand):
    """Print the module or write it to a file."""

    help = (
        "Write a webhooks.py for some models. It guesses the source of each model, the paths of its fields and the "
        "meanings of its statuses from names, types, choices and foreign keys. Comments name everything that could not be "
        "guessed and everything that the system checks report. Exit status 0: written. 2: an argument is invalid, or the "
        "file exists."
    )

    # The sources that are registered now may be the reason to run the command.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "models",
            nargs="+",
            metavar="APP.MODEL",
            help="a model, with :KIND after it to choose its source, or an app: all of its models that a source fits. A "
            "comment names the other models. Kinds: "
            f"{', '.join(SOURCES)}",
        )
        parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
        parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")

    def handle(self, *, models: list[str], output: Path | None, overwrite: bool, **_options: Any) -> None:
        """Write the module."""
        wanted = [pair for text in models for pair in models_and_kinds(text)]
        fields, written_fields = organization_fields(), app_settings.ORGANIZATION_FIELDS
        # The file is written for a project that has the setting already.
        with override_settings(
            **{SETTING_NAME: {**getattr(settings, SETTING_NAME, {}), "ORGANIZATION_FIELDS": fields}}
        ):
            guesses = Guesses(wanted)
            problems = problems_of(guesses)
            text = render(guesses, problems, None if fields == written_fields else fields)
        if output is None:
            self.stdout.write(text, ending="")
            return
        try:
            with output.open("w" if overwrite else "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise bad_input(f"{output} exists. Add --overwrite to replace it, or leave --output out.") from error
        except OSError as error:
            raise bad_input(f"{output} can't be written: {error.strerror}.") from error


def models_and_kinds(text: str) -> list[tuple[type[models.Model], str]]:
    """Return the models that an argument names, with their kinds; a kind is empty if the argument names none."""
    label, _, kind = text.partition(":")
    if kind and kind not in SOURCES:
        nearest = did_you_mean(difflib.get_close_matches(kind, SOURCES))
        raise bad_input(f"Unknown kind: {kind!r}. Write one of {', '.join(SOURCES)}.{nearest}")
    if not kind and label in apps.app_configs:
        return [(model, "") for model in apps.get_app_config(label).get_models() if may_be_object(model)]
    return [(model_of(label), kind)]


def model_of(label: str) -> type[models.Model]:
    """Return the model of a label such as "training.Voucher"."""
    try:
        return apps.get_model(label)
    except (LookupError, ValueError) as error:
        labels = [model._meta.label for model in apps.get_models()]
        nearest = did_you_mean(difflib.get_close_matches(label, labels))
        raise bad_input(f"Unknown model: {label!r}. Write app_label.ModelName.{nearest}") from error


def problems_of(guesses: Guesses) -> dict[int, list[str]]:
    """Return the messages of the system checks about each declaration, by its position."""
    found: dict[int, list[str]] = {}
    with ExitStack() as stack:
        sources = [stack.enter_context(temporarily(one.subclass(), one.model)) for one in guesses.declarations]
        for message in checks.run_checks(tags=[CHECKS]):
            if message.obj in sources and message.id not in ONLY_NOW:
                found.setdefault(sources.index(message.obj), []).append(f"check {message.id}: {message.msg}")
    return found
