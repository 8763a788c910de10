"""``manage.py webhooks_catalogue``: write the event types as documents."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType
from tms_webhooks.documents import INFO, asyncapi_document, power_automate_document, with_webhooks
from tms_webhooks.documents.events import to_markdown
from tms_webhooks.documents.schemas import event_schema
from tms_webhooks.management.base import DocumentCommand, add_options, bad_input


class Command(DocumentCommand):
    """Print the document or write it to a file."""

    help = (
        "Write the event types of this installation, including your own: as Markdown, JSON Schema (draft 2020-12), "
        "OpenAPI 3.1, AsyncAPI 3 or a Power Automate connector. "
        "Exit status 0: written. 2: it could not be written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--format", choices=sorted(FORMATS), default="markdown", help="default: markdown")
        parser.add_argument(
            "--event",
            default="*",
            metavar="PATTERN",
            help="one event type, or all of a noun (class.*); not for asyncapi and openapi",
        )
        add_options(parser, "--output")

    def handle(self, *, format: str, event: str, output: Path | None, **_options: Any) -> None:  # noqa: A002 (the option's name)
        """Write the document."""
        event_types = catalogue.all_types() if event == "*" else catalogue.expand(event)
        if not event_types:
            raise bad_input(f"Unknown event {event}; give an event type, or a pattern such as class.*.")
        if event != "*" and format in UNFILTERED:
            raise bad_input(f"{format} always has all events; remove --event.")
        self.write(FORMATS[format](event_types), output)


def json_schema(event_types: Sequence[EventType]) -> str:
    """Return the schema of one event type, or one schema that matches any of several."""
    return as_text(event_types[0].schema() if len(event_types) == 1 else event_schema(event_types))


def as_text(document: Any) -> str:
    """Return indented JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[EventType]], str]] = {
    "asyncapi": lambda _types: as_text(asyncapi_document()),
    "json-schema": json_schema,
    "markdown": to_markdown,
    # Of the requests to a receiver. The API serves its own document.
    "openapi": lambda _types: as_text(with_webhooks({"openapi": "3.1.0", "info": INFO})),
    "power-automate": lambda types: as_text(power_automate_document(types)),
}
UNFILTERED = ("asyncapi", "openapi")
"""Formats that always have all events."""
