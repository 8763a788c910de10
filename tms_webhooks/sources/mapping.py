"""Map a host's models to canonical fields: attribute paths to query lookups, status values to statuses, and rows to objects.

Fields of the host's own are declared in the ``custom`` of a source class, each as a path or a `Custom`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias
from zlib import crc32

from django.db import models
from django.db.models import IntegerChoices, Q

from tms_webhooks import choices
from tms_webhooks.catalogue.custom import ROOT, CustomField
from tms_webhooks.catalogue.event_type import sample_value
from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.computed import Computed, Expression, Not, Path, as_path, follow_value, follow_value_or_none
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import DeclarationError, PayloadError
from tms_webhooks.sources.paths import (
    Model,
    PathProblem,
    RelatedList,
    all_rows,
    broken_path,
    column_at,
    list_at,
    list_relation,
    lookup_of,
)
from tms_webhooks.validators import shorten

OWN_PACKAGE = __name__.rpartition(".")[0]
"""Where the app's own source classes are."""
INPUT = "input."
"""Where the names of values begin that are read only to compute others. They are in no payload."""
OWNERS = "organizations"
"""The name of the list of an object's owners, where a source names several. It is in no payload."""
Values: TypeAlias = Mapping[str, Any]
"""The values of one object by their canonical names: raw ones, as the host's row has them, or canonical ones."""
Row: TypeAlias = tuple[Any, dict[str, Any]]
"""The key of a row, and its raw values."""


@dataclass(frozen=True, slots=True)
class MappedField:
    """One canonical field and the host's attribute path for it.

    - ``lookup``: the path as a query lookup (``training_class__organization_id``), or an expression for a list of
      related rows. None where only Python can follow the path (a property)
    - ``items``: for a list of objects, the path of each value in a listed object, by the name of the value
    - ``computed``: how Python makes the value, where no path leads to it
    """

    field: Field
    path: str
    lookup: str | RelatedList | None
    items: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    computed: Expression | None = None

    @property
    def column(self) -> str:
        """The name of its column in a query of the row; empty where only Python can read it."""
        return self.lookup.column if isinstance(self.lookup, RelatedList) else self.lookup or ""

    @property
    def own(self) -> bool:
        """Whether the value is a column of the object's own row, so that its change is a change of the object."""
        return isinstance(self.lookup, str) and "__" not in self.lookup

    @property
    def own_list(self) -> RelatedList | None:
        """The list whose change is a change of the object: ids behind a many-to-many field, or rows of the object's own.

        Objects behind a many-to-many field are not: their ids are, and what else they hold is an affair of their own.
        """
        if not isinstance(self.lookup, RelatedList) or self.lookup.base:
            return None
        is_own = self.field.kind is FieldKind.IDS or not self.lookup.relation.target or self.field.name == OWNERS
        return self.lookup if is_own else None

    def read(self, instance: models.Model) -> Any:
        """Return the value at the path from ``instance``; None if an attribute on the way is None."""
        value = follow_value(instance, self.computed or self.path)
        return value if value is None or not self.items else self.objects(value)

    def objects(self, value: Any) -> list[dict[str, Any]] | PayloadError:
        """Return a list of objects as dictionaries. The objects may be dictionaries, such as those of a JSON column."""
        found = value.all() if isinstance(value, models.Manager) else value
        if isinstance(found, str | bytes) or not isinstance(found, Iterable):
            return PayloadError(
                f"{self.field.name}: a {type(value).__name__} is no list of objects; map the field to another path."
            )
        return [
            {
                name: path.read(one) if isinstance(path, Expression) else follow_value_or_none(one, path)
                for name, path in self.items.items()
            }
            for one in found
        ]


def map_field(model: Model, field: Field, path: str, *, items: Mapping[str, str] | None = None) -> MappedField | None:
    """Return the mapping of ``field`` to ``path`` on ``model``, or None if the model has no such path.

    ``items`` are the paths of the values of a list of objects, which begin at a listed object.
    """
    if field.kind in (FieldKind.IDS, FieldKind.OBJECTS) and list_relation(model, path) is not None:
        return map_list(model, field, path, items=items if field.kind is FieldKind.OBJECTS else None)
    lookup = lookup_of(model, path)
    broken = broken_path(model, path) if lookup is None else None
    if broken is not None and broken.problem is not PathProblem.MANY:
        return None
    return MappedField(field, path, lookup, items or {})


def input_name(path: str) -> str:
    """Return the name of the value at a path that is read to compute others."""
    return f"{INPUT}{crc32(path.encode()):08x}"


def map_input(model: Model, path: str, *, one_to_one: bool = False) -> MappedField | None:
    """Return the mapping of a value that is read to compute others; None if SQL can't read it.

    The path may lead through a list; then the value is a sorted list of values, or of keys. With ``one_to_one``, the other side of a
    one-to-one field is a list, whose rows are captured.
    """
    name, lookup = input_name(path), lookup_of(model, path)
    listed = map_list(model, Field(name, FieldKind.IDS, FieldPrivacy.ID), path, one_to_one=one_to_one)
    if listed is not None or lookup is None:
        return listed
    return MappedField(Field(name, FieldKind.JSON, FieldPrivacy.ID), path, lookup)


def map_list(
    model: Model,
    field: Field,
    path: str,
    *,
    items: Mapping[str, Path] | None = None,
    one_to_one: bool = False,
) -> MappedField | None:
    """Return the mapping of the list at a path; None if SQL can't read it.

    ``items`` are the paths of the values of a listed object, of which the mapping has those that SQL can read. Without
    them, the values are those of the column at the end of the path.
    """
    found = list_at(model, path, one_to_one=one_to_one)
    if found is None:
        return None
    base, relation, rest = found
    named = {"": rest or "pk"} if items is None else items
    paths = {name: f"{rest}.{one}" if rest and name else one for name, one in named.items() if isinstance(one, str)}
    lookups = {name: lookup for name, one in paths.items() if (lookup := lookup_of(relation.listed, one)) is not None}
    key = lookup_of(model, f"{base}.pk") if base else ""
    if key is None or not lookups:
        return None
    columns = lookups.get("", lookups)
    return MappedField(field, path, RelatedList(relation, columns, base=key), {} if items is None else paths)


def organization_path(name: str) -> Path | None:
    """Return the path of a value of an organization, which begins at the organization; None if it is left out."""
    return "pk" if name == "id" else as_path(app_settings.ORGANIZATION_FIELDS.get(name, name))


def organization_value(organization: models.Model, name: str) -> Any:
    """Return the "external_id" or "name" of an organization, from the attribute that ``ORGANIZATION_FIELDS`` names; None without one."""
    path = organization_path(name)
    return follow_value_or_none(organization, path) if path else None


def key_name(name: str) -> str:
    """Return the name of the value with the foreign key that leads to another value. It is compared, but in no payload."""
    return f"key.{name}"


def key_behind(model: Model, name: str, mapped: MappedField) -> MappedField | None:
    """Return the row's own foreign key at the beginning of a path, as the value ``name``; None if the path has none."""
    lookup = mapped.lookup.base if isinstance(mapped.lookup, RelatedList) else "" if mapped.own else mapped.lookup
    first = column_at(model, lookup.partition("__")[0]) if lookup else None
    if first is None:
        return None
    return MappedField(Field(name, FieldKind.ID, FieldPrivacy.ID), first.name, first.attname)


def merged_fields(cls: type, attribute: str = "fields", *, of_host: bool = False) -> dict[str, Any]:
    """Return a class attribute merged with those of its bases, so that a subclass names only differences.

    With ``of_host``, those of the app's own classes are left out.
    """
    merged: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        is_left_out = of_host and base.__module__.startswith(OWN_PACKAGE)
        value: Mapping[str, Any] = {} if is_left_out else vars(base).get(attribute) or {}
        if not isinstance(value, Mapping):
            raise DeclarationError(
                "E030",
                f"{base.__name__}.{attribute} is {value!r}; make it a dictionary.",
                'Write fields = {"name": "title"} and statuses = {"status": {"open": 0}}.',
            )
        merged.update(value)
    return merged


# Names that the real system's pages use where its API uses others.
OTHER_WORDS: dict[type[IntegerChoices], dict[str, IntegerChoices]] = {
    choices.ClassStatus: {
        "canceled": choices.ClassStatus.CANCELLED,
        "confirmed": choices.ClassStatus.GUARANTEED_TO_RUN,
    },
    choices.EnrollmentStatus: {
        "requested": choices.EnrollmentStatus.REQUEST,
        "cancelled": choices.EnrollmentStatus.CANCEL,
        "canceled": choices.EnrollmentStatus.CANCEL,
        "waitlisted": choices.EnrollmentStatus.WAITLIST,
        "approved": choices.EnrollmentStatus.APPROVE,
        "denied": choices.EnrollmentStatus.DENY,
        "audited": choices.EnrollmentStatus.AUDIT,
        "enrolled": choices.EnrollmentStatus.ENROLL,
    },
    choices.CompletionStatus: {"completed": choices.CompletionStatus.COMPLETE},
    choices.AssignmentStatus: {"canceled": choices.AssignmentStatus.CANCELLED},
}


def read_status(
    value: Any, *, field: str, statuses: type[IntegerChoices], mapping: Mapping[Any, Any] | None = None
) -> IntegerChoices | None:
    """Return the status that the host's ``value`` means; None stays None.

    ``mapping`` translates the host's value first. The result is read as a number, then as a name, ignoring case and
    separators. Raises `PayloadError` for an unknown value.
    """
    if value is None:
        return None
    if mapping is not None:
        if value not in mapping:
            raise PayloadError(f"{field}: the value {value!r} has no entry in statuses[{field!r}]; add one.")
        value = mapping[value]
    word = value if isinstance(value, str | int) and not isinstance(value, bool) else None
    if isinstance(word, str):
        word = int(word) if word.isdecimal() else re.sub(r"[^a-z0-9]", "", word.lower())
    member = _by_word(statuses).get(word)
    if member is None:
        raise PayloadError(
            f"{field}: the value {value!r} is not a {statuses.__name__}; map it in statuses[{field!r}] "
            f"to one of {', '.join(f'{m.value} {m.name}' for m in statuses)}."
        )
    return member


@cache
def _by_word(statuses: type[IntegerChoices]) -> Mapping[Any, IntegerChoices]:
    """Return the statuses by their numbers, and by their names in lower case without separators."""
    names = {member.name.replace("_", "").lower(): member for member in statuses}
    return {**OTHER_WORDS.get(statuses, {}), **names, **{member.value: member for member in statuses}}


class Only:
    """The conditions of a source's ``only``: the accepted values at each path, and how to read the value there.

    They are a value, a list of values, or ``Not`` of either: ``{"role": "learner", "deleted_at": None, "user": Not(None)}``.
    """

    def __init__(self, conditions: Sequence[tuple[str, MappedField | None, Any]]) -> None:
        self._conditions = conditions

    def excludes_null(self, path: str) -> bool:
        """Return whether only rows with a value in the column at the beginning of a path are objects of the source."""
        first = path.partition(".")[0]
        return any(
            one.partition(".")[0] == first and not _accepts(None, condition)
            for one, _mapped, condition in self._conditions
        )

    def matches(self, raw: Values) -> bool:
        """Return whether a row with these values is an object of the source. Of a list, one value has to be accepted."""
        for _path, mapped, condition in self._conditions:
            value = raw.get(mapped.field.name) if mapped is not None else None
            is_list = mapped is not None and isinstance(mapped.lookup, RelatedList)
            if not any(_accepts(one, condition) for one in (value or [None] if is_list else [value])):
                return False
        return True

    def filter(self, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Return the rows that match."""
        for path, mapped, condition in self._conditions:
            lookup, listed = path.replace(".", "__"), _listed(condition)
            matching = Q(**{f"{lookup}__in": [one for one in listed if one is not None]})
            if None in listed:
                matching |= Q(**{f"{lookup}__isnull": True})
            if isinstance(condition, Not):
                matching = ~matching
            if mapped is None or not mapped.own:
                # A join with a list returns a row more than once, and one with another table can't always be locked.
                matching = Q(pk__in=all_rows(rows.model).filter(matching).order_by().values("pk"))
            rows = rows.filter(matching)
        return rows


def without_null(condition: Any) -> Any:
    """Return a condition of `Source.only` that accepts the same values as this one, but not null."""
    if isinstance(condition, Not):
        return condition if not _accepts(None, condition) else Not([*_listed(condition), None])
    return [one for one in _listed(condition) if one is not None] or Not(None)


def _accepts(value: Any, condition: Any) -> bool:
    return (value in _listed(condition)) is not isinstance(condition, Not)


def _listed(condition: Any) -> Collection[Any]:
    values = condition.path if isinstance(condition, Not) else condition
    return list(values) if isinstance(values, list | tuple | set | frozenset) else [values]


# Fields of the host's own


CUSTOM_NAME = re.compile(r"[a-z0-9_]+")
CUSTOM_KINDS = (
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
    if not isinstance(name, str) or not CUSTOM_NAME.fullmatch(name):
        raise DeclarationError(
            "E080",
            f"custom has the name {shorten(repr(name))}.",
            'Use a-z, 0-9 and _ only, as in "cost_center"; no dots, no capitals.',
        )
    for attribute, accepted in (("kind", (None, *CUSTOM_KINDS)), ("privacy", tuple(FieldPrivacy))):
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
            f'Name the kind: "{name}": Custom("{declared.path}", kind="string"). Kinds are {", ".join(CUSTOM_KINDS)}.',
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
