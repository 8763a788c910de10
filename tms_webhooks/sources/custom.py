"""Fields of the host's own: the declaration `Custom`, and reading the ``custom`` of a source class."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models

from tms_webhooks.catalogue.custom import ROOT, CustomField
from tms_webhooks.catalogue.event_type import sample_value
from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.computed import Computed
from tms_webhooks.exceptions import DeclarationError
from tms_webhooks.sources.aggregates import list_relation
from tms_webhooks.sources.mapping import merged_fields
from tms_webhooks.sources.paths import Model, broken_path, column_at
from tms_webhooks.validators import shorten

NAME = re.compile(r"[a-z0-9_]+")
KINDS = (
    FieldKind.ID,
    FieldKind.IDS,
    FieldKind.STRING,
    FieldKind.INTEGER,
    FieldKind.NUMBER,
    FieldKind.BOOLEAN,
    FieldKind.DATETIME,
    FieldKind.FINGERPRINT,
    FieldKind.JSON,
)
"""The kinds that a custom field may have. The others need more than a path, such as the choices of a status."""

# The kind of a field that names none, by the class of its column; the first match counts.
_KIND_OF_COLUMN: Mapping[type, FieldKind] = {
    models.ForeignKey: FieldKind.ID,
    models.AutoField: FieldKind.ID,
    models.UUIDField: FieldKind.ID,
    models.BooleanField: FieldKind.BOOLEAN,
    models.IntegerField: FieldKind.INTEGER,
    models.FloatField: FieldKind.NUMBER,
    models.DecimalField: FieldKind.NUMBER,
    models.DateField: FieldKind.DATETIME,
    models.JSONField: FieldKind.JSON,
    models.CharField: FieldKind.STRING,
    models.TextField: FieldKind.STRING,
}


@dataclass(frozen=True, slots=True)
class Custom:
    """A field of the host's own in the payload of a source's events, as ``data.custom.<name>``.

    - ``path``: the attribute path from the source's model, or a `Computed`
    - ``kind``: a `FieldKind` or its name; by default that of the column at the path
    - ``privacy``: a `FieldPrivacy` or its name: "id", "basic" or "personal". Payloads without personal data leave out
      personal fields
    - ``doc``: one sentence about the field, for schemas and documents
    - ``title``: its name in the format ``skillable``; by default the field's name
    - ``sample``: its value in sample events, as JSON
    """

    path: str | Computed
    kind: FieldKind | str | None = None
    privacy: FieldPrivacy | str = FieldPrivacy.PERSONAL
    doc: str = ""
    title: str = ""
    sample: Any = None


@dataclass(frozen=True, slots=True)
class DeclaredFields:
    """The usable entries of a ``custom``, their paths by names in ``data``, and the mistakes in the others."""

    fields: tuple[CustomField, ...]
    paths: Mapping[str, str | Computed]
    problems: tuple[DeclarationError, ...]


def declared_fields(source_class: type, model: Model) -> DeclaredFields:
    """Return the fields that a source class declares in ``custom`` for a model: its own entries and those of its bases."""
    fields: list[CustomField] = []
    paths: dict[str, str | Computed] = {}
    problems: list[DeclarationError] = []
    for name, entry in merged_fields(source_class, "custom").items():
        if entry is None:
            continue  # A subclass removes the field of a base.
        declared = Custom(entry) if isinstance(entry, str) else entry
        try:
            fields.append(_custom_field(model, name, declared))
        except DeclarationError as problem:
            problems.append(problem)
        else:
            paths[fields[-1].field.name] = declared.path
    return DeclaredFields(tuple(fields), paths, tuple(problems))


def _custom_field(model: Model, name: Any, declared: Custom) -> CustomField:
    """Return the field of one entry. Raises `DeclarationError` for its first mistake."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise DeclarationError(
            "E080",
            f"custom has the name {shorten(repr(name))}.",
            'Use a-z, 0-9 and _ only, as in "cost_center"; no dots, no capitals.',
        )
    for attribute, accepted in (("kind", (None, *KINDS)), ("privacy", tuple(FieldPrivacy))):
        value = getattr(declared, attribute)
        if value not in accepted:
            text = f"custom[{name!r}] has the unknown {attribute} {shorten(repr(value))}."
            raise DeclarationError("E080", text, f"Write one of {', '.join(filter(None, accepted))}.")
    path: Any = declared.path
    if not isinstance(path, str | Computed):
        text = f"custom[{name!r}] has the path {shorten(repr(path))}, which is not text."
        raise DeclarationError("E080", text, 'Write text, such as "relation.attribute".')
    path = path if isinstance(path, str) else ""
    kind = FieldKind(declared.kind) if declared.kind is not None else kind_at(model, path)
    # A path that leads nowhere has no kind either, and is reported itself.
    if kind is None and not (path and broken_path(model, path)):
        raise DeclarationError(
            "E081",
            f"custom[{name!r}] has no kind, and the path {str(declared.path)!r} from {model._meta.label} leads to no "
            "column that has one.",
            f'Name the kind: "{name}": Custom("{declared.path}", kind="string"). Kinds are {", ".join(KINDS)}.',
        )
    field = Field(f"{ROOT}.{name}", kind or FieldKind.STRING, FieldPrivacy(declared.privacy), doc=declared.doc)
    sample = sample_value(field) if declared.sample is None else declared.sample
    return CustomField(field, declared.title or name, sample)


def kind_at(model: Model, path: str) -> FieldKind | None:
    """Return the kind of the column, or of the list, at a path; None if it is something else."""
    if list_relation(model, path) is not None:
        return FieldKind.IDS
    column = column_at(model, path)
    return next((kind for cls, kind in _KIND_OF_COLUMN.items() if isinstance(column, cls)), None)
