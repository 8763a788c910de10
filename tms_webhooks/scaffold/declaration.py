"""Guess the declarations of several models: the organization, the paths of their fields, and their statuses.

A guess is tried on a source that is bound to the model but not registered. So a path is written only where the source
does not find it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import models

from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.catalogue.types import references
from tms_webhooks.computed import Constant, Not, Path
from tms_webhooks.conf import ORGANIZATION_MODEL_SETTING, app_settings
from tms_webhooks.scaffold import kinds
from tms_webhooks.scaffold.names import best_likeness, can_hold, column_for, is_secret, likeness, opposite_for
from tms_webhooks.scaffold.statuses import StatusGuess, guesses_for, needs_mapping
from tms_webhooks.scaffold.walk import LONGEST, foreign_keys, is_organization, paths_to
from tms_webhooks.sources.base import OWNER, TIME_ZONE, Source
from tms_webhooks.sources.mapping import column_at, follow, may_be_null
from tms_webhooks.sources.registry import all_sources

# References of nouns, and the kind of model that each leads to.
REFERENCES: Mapping[str, str] = {
    "user": "user",
    "class": "class",
    "course": "course",
    "enrollment": "enrollment",
    "course_assignment": "course_assignment",
    "subscription": "subscription",
    "achievement": "achievement",
    "learning_path": "path",
    "classroom": "classroom",
    "company": "company",
    "profile": "profile",
    "activity": "activity",
}
PERSONS: Mapping[str, Sequence[str]] = {
    "instructor": kinds.INSTRUCTORS,
    "manager": ("manager", "supervisor", "boss", "superior"),
    "merged_into": ("merged", "successor", "duplicate"),
}
OF_THE_ROW = frozenset({"classroom", "company", "profile", "activity"})
"""References of the row itself: those of other objects on the way have another meaning."""
OWNERS: Mapping[str, Sequence[str]] = {
    "class": ("course",),
    "enrollment": ("class", "course"),
    "feedback": ("course", "class"),
}
"""The references whose organization owns the object, for nouns that have no organization of their own."""
SELDOM_NEEDED = frozenset({"created_at", "updated_at", "closed_at", "target_completion_at"})
"""Dates that most hosts do not have: other columns are no candidates for them."""
_USUAL_STATUS = {"class": "Scheduled", "enrollment": "Enroll"}
"""The status of an object whose model has none."""


@dataclass
class Declaration:
    """A guessed declaration: the attributes of a source class, and the remarks that become its comments.

    - ``attributes``: the class attributes other than ``fields`` and ``statuses``
    - ``statuses``: guesses by canonical name, for those that need a dictionary
    - ``unlisted``: the columns of statuses that have no choices, by canonical name
    - ``uncertain``: the names in ``fields`` whose value is the only candidate, with the reason
    - ``other_owners``: further paths to an organization
    - ``behind_a_person``: whether the path to the organization leads through a user who may be any other person
    """

    model: type[models.Model]
    kind: str
    reason: str = ""
    others: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Path] = field(default_factory=dict)
    statuses: dict[str, list[StatusGuess]] = field(default_factory=dict)
    unlisted: dict[str, str] = field(default_factory=dict)
    uncertain: dict[str, str] = field(default_factory=dict)
    other_owners: list[str] = field(default_factory=list)
    behind_a_person: bool = False

    @property
    def source_class(self) -> type[Source]:
        """The source class that a host extends."""
        return kinds.SOURCES[self.kind]

    def subclass(self) -> type[Source]:
        """Return the declared class. A status without a guess has no entry."""
        statuses = {
            name: {one.value: one.meaning for one in guesses if one.meaning} for name, guesses in self.statuses.items()
        }
        written = {"fields": dict(self.fields), "statuses": statuses, "__doc__": None, "__module__": __name__}
        return type(f"{self.model.__name__}Guess", (self.source_class,), {**self.attributes, **written})


class Guesses:
    """The declarations of some models, with the sources that are registered already."""

    def __init__(self, wanted: Iterable[tuple[type[models.Model], str]] = ()) -> None:
        """Guess the declarations of pairs of a model and a key of `kinds.SOURCES`, which is guessed if it is empty."""
        self.declarations: list[Declaration] = []
        self.rejected: list[type[models.Model]] = []
        for model, kind in wanted:
            guess = kinds.KindGuess(kind, "the command line") if kind else kinds.guess_kind(model)
            if guess.kind:
                self.declarations.append(Declaration(model, guess.kind, guess.reason, guess.others))
            else:
                self.rejected.append(model)
        # An app's model may be named with its kind, too.
        declared = {one.model for one in self.declarations}
        self.rejected = [model for model in self.rejected if model not in declared]
        self._move_computed_paths()
        # In this order a class is known before its enrollments use the paths of its fields.
        order = list(kinds.SOURCES)
        for one in sorted(self.declarations, key=lambda one: (one.kind != "user", order.index(one.kind))):
            self._fill(one)

    def source(self, declaration: Declaration) -> Source:
        """Return the source of a declaration as it is now, bound to its model."""
        return self._bound()[self.declarations.index(declaration)]

    def kind_of(self, model: type[models.Model]) -> str:
        """Return the kind of a model: as declared, as registered, or by its name; empty if unknown."""
        for one in self.declarations:
            if one.model is model and one.kind not in ("activity", "computed_learning_path"):
                return one.kind
        if is_organization(model):
            return "organization"
        registered = next((source.noun.name for source in all_sources() if source.model is model), "")
        return registered or kinds.kind_by_name(model)

    def path_to(self, model: type[models.Model], reference: str) -> str:
        """Return the path of foreign keys from a model to a reference of nouns, such as "class"; empty if none fits."""
        if reference in PERSONS:
            keys = [key.name for key in foreign_keys(model) if self.kind_of(key.related_model) == "user"]
            return next((key for key in keys if kinds.has_word(key, PERSONS[reference])), "")
        wanted = REFERENCES.get(reference, "")
        longest = 1 if reference in OF_THE_ROW else LONGEST
        found = paths_to(model, lambda related: self.kind_of(related) == wanted, longest=longest) if wanted else []
        if wanted == "user":
            others = [word for words in PERSONS.values() for word in words]
            found = [path for path in found if not kinds.has_word(path.rpartition(".")[2], others)]
            found.sort(key=lambda path: (path.count("."), not kinds.has_word(path.rpartition(".")[2], kinds.PEOPLE)))
        return found[0] if found else ""

    def _bound(self) -> list[Source]:
        models_of_guesses = {one.model for one in self.declarations}
        related: dict[type[models.Model], list[Source]] = {}
        for source in all_sources():
            if source.model not in models_of_guesses:
                related.setdefault(source.model, []).append(source)
        bound = [one.subclass()(one.model, related) for one in self.declarations]
        for source in bound:
            related.setdefault(source.model, []).append(source)
        return bound

    def _move_computed_paths(self) -> None:
        """Bind the source of a path with courses to the model of the course assignments, which complete it."""
        for one in [one for one in self.declarations if one.kind == "computed_learning_path"]:
            assignments = [other.model for other in self.declarations if other.kind == "course_assignment"]
            assignments += [source.model for source in all_sources() if source.noun.name == "course_assignment"]
            if not assignments:
                self.declarations.remove(one)
                self.rejected.append(one.model)
                continue
            switches = [column.name for column in one.model._meta.concrete_fields if _is_switch(column)]
            one.attributes["path_model"] = one.model._meta.label
            one.attributes["path_courses"] = kinds.courses_of(one.model)
            one.attributes["path_enabled"] = switches[0] if switches else ""
            one.model = assignments[0]

    # The steps of one declaration

    def _fill(self, one: Declaration) -> None:
        if one.kind == "activity":
            paths = paths_to(one.model, lambda model: self.kind_of(model) == "course_assignment")
            one.attributes["assignment"] = paths[0] if paths else "assignment"
        self._find_references(one)
        self._find_owner(one)
        self._find_columns(one)
        self._find_columns_of_references(one)
        self._find_statuses(one)
        self._select_rows(one)

    def _find_references(self, one: Declaration) -> None:
        source = self.source(one)
        names = {name.name.partition(".")[0]: name.required for name in source.all_fields if name.name.endswith(".id")}
        for reference, required in names.items():
            default = str(source.paths.get(reference, reference))
            if f"{reference}.id" in available(source) or (default and follow(one.model, default)):
                continue
            path = self.path_to(one.model, reference)
            if not path and required:
                path = self._only_unknown_key(one)
                one.uncertain[reference] = "the only foreign key left"
            if path:
                one.fields[reference] = path

    def _only_unknown_key(self, one: Declaration) -> str:
        """Return the only foreign key to a model of an unknown kind; empty if there are several or none."""
        unknown = [key.name for key in foreign_keys(one.model) if key.concrete and not self.kind_of(key.related_model)]
        return unknown[0] if len(unknown) == 1 else ""

    def _find_owner(self, one: Declaration) -> None:
        found = paths_to(one.model, is_organization)
        source = self.source(one)
        by_user = str(source.paths.get("user", "user"))
        leading = _owning_references(one, source, by_user=by_user)
        behind = (path for base in leading for path in _paths_behind(one.model, base))
        found += [path for path in dict.fromkeys(behind) if path not in found]
        owners = _sorted_by_beginning(found, leading)
        if one.kind == "class":
            # The organization that holds a class may be another than that of its course.
            owners.sort(key=lambda path: "." in path)
        if not source.owned_by_learner:
            # The employer of an instructor or an author is seldom the organization of a class.
            owners.sort(key=lambda path: self._is_behind_a_person(one.model, path))
            one.behind_a_person = bool(owners) and self._is_behind_a_person(one.model, owners[0])
        # Objects of the learner's organization, and those with a deadline, have one owner.
        bases = () if source.owned_by_learner or source.deadline is not None else (*leading, *_bases(one.model))
        lists = [path for base in bases for path in _lists_of_organizations(one.model, base)]
        lists = [path for path in lists if not self._is_behind_a_person(one.model, path)]
        is_near = any(path.startswith(f"{base}.") or "." not in path for path in owners[:1] for base in leading)
        if lists and (one.behind_a_person or not (is_near or (owners and not leading))):
            one.attributes["organizations"] = lists[0]
            one.other_owners = [path for path in dict.fromkeys(lists) if path != lists[0]][:2]
            one.behind_a_person, owners = False, []
        elif owners:
            one.attributes["organization"] = owners[0]
            one.other_owners = [path for path in owners[1:3] if path != owners[0]]
        has_learner = any(field.name == "user.id" for field in source.noun.fields) and not source.owned_by_learner
        if has_learner:
            by_learner = [path for path in found if path.startswith(f"{by_user}.")]
            by_learner = by_learner or _paths_behind(one.model, by_user)
            learners = [path for path in by_learner if path not in owners[:1]]
            if learners or source.learner_organization is not None:
                one.attributes["learner_organization"] = learners[0] if learners else None

    def _is_behind_a_person(self, model: type[models.Model], path: str) -> bool:
        """Return whether a path leads through a user."""
        steps = path.split(".")
        passed = (follow(model, ".".join(steps[:length])) for length in range(1, len(steps)))
        return any(target is not None and self.kind_of(target) == "user" for target in passed)

    def _find_columns(self, one: Declaration) -> None:
        """Map the fields of the object itself to columns of its row."""
        for candidate in self.source(one).all_fields:
            source = self.source(one)
            name, path = candidate.name, source.path_of(candidate.name)
            if "." in name or name in available(source) or not path:
                continue
            column = self._list_for(one, candidate) or column_for(one.model, candidate, taken=_columns_in_use(source))
            opposite = "" if column else opposite_for(one.model, candidate)
            if column:
                one.fields[name] = column
            elif opposite:
                one.fields[name] = Not(opposite)
            elif candidate.choices is not None and (key := _key_of_status(one.model, candidate)):
                one.fields[name] = key
            elif candidate.required and candidate.choices is not None:
                one.fields[name] = Constant(_USUAL_STATUS[one.kind])
                one.uncertain[name] = "no column fits"
        zone = self._time_zone(one)
        if zone:
            one.attributes["time_zone"] = zone

    def _list_for(self, one: Declaration, candidate: Field) -> str:
        """Return the many-to-many field for a list of the noun: its instructors, or a user's roles."""
        if candidate.kind not in (FieldKind.IDS, FieldKind.OBJECTS):
            return ""
        words = kinds.INSTRUCTORS if "instructor" in candidate.name else ("role",) if "role" in candidate.name else ()
        return next((key.name for key in one.model._meta.many_to_many if kinds.has_word(key.name, words)), "")

    def _time_zone(self, one: Declaration) -> str:
        """Return the path to the time zone of the organization, for a source with a deadline; empty without one."""
        source, owner = self.source(one), str(one.attributes.get("organization", ""))
        target = follow(one.model, owner) if owner else None
        if source.deadline is None or target is None or source.time_zone_path is not None:
            return ""
        column = column_for(target, TIME_ZONE)
        return f"{owner}.{column}" if column else ""

    def _find_columns_of_references(self, one: Declaration) -> None:
        """Map names, external ids and other values of referenced objects where the source does not find them."""
        for candidate in self.source(one).all_fields:
            source = self.source(one)
            reference, _, leaf = candidate.name.partition(".")
            if not leaf or candidate.name in available(source) or candidate.name == TIME_ZONE.name:
                continue
            base = str(source.paths.get(reference, reference))
            target = follow(one.model, base) if base else None
            column = column_for(target, candidate, taken=_columns_of_reference(source, reference)) if target else ""
            if column:
                one.fields[candidate.name] = f"{base}.{column}"

    def _find_statuses(self, one: Declaration) -> None:
        source = self.source(one)
        for name, mapped in source.mapped.items():
            column = column_at(one.model, mapped.path) if mapped.field.choices is not None else None
            if column is None or mapped.field.choices is None or name in source.supplies():
                continue
            pairs = list(column.flatchoices)
            if not pairs:
                one.unlisted[name] = mapped.path
                pairs = [(column.default, "")] if isinstance(column.default, str) and column.default else []
            guesses = guesses_for(pairs, mapped.field.choices)
            if needs_mapping(guesses, name, mapped.field.choices):
                one.statuses[name] = guesses

    def _select_rows(self, one: Declaration) -> None:
        """Leave out rows that are marked as deleted, and rows without a value that payloads require."""
        source, only = self.source(one), _not_deleted(one.model)
        for name, mapped in source.mapped.items():
            is_needed = mapped.field.required and name != OWNER and name not in source.supplies()
            if is_needed and isinstance(mapped.lookup, str) and may_be_null(one.model, mapped.path):
                only[mapped.path.partition(".")[0]] = Not(None)
        if only:
            one.attributes["only"] = only


def organization_fields() -> dict[str, str]:
    """Return the setting ``ORGANIZATION_FIELDS`` for the organization model: as it is, with guesses added."""
    found = dict(app_settings.ORGANIZATION_FIELDS)
    try:
        model = apps.get_model(str(getattr(settings, ORGANIZATION_MODEL_SETTING, "")))
    except (LookupError, ValueError):
        return found
    for candidate in (*references.organization(""), TIME_ZONE):
        name = candidate.name.partition(".")[2]
        column = column_for(model, candidate) if name != "id" and name not in found else ""
        # Without an entry, dates are in the project's time zone; the others are called as in payloads.
        if column and (column != name or candidate is TIME_ZONE):
            found[name] = column
    return found


def available(source: Source) -> set[str]:
    """Return the canonical names for which a source has a value."""
    return {*source.mapped, *source.computed, *source.supplies()}


def unmapped(source: Source) -> Iterator[str]:
    """Yield the optional fields that stay null, without those of references that the model does not have."""
    for candidate in source.noun.fields:
        reference, _, leaf = candidate.name.partition(".")
        have = available(source)
        if candidate.name not in have and (not leaf or f"{reference}.id" in have) and source.path_of(candidate.name):
            yield candidate.name


def date_candidates(source: Source) -> dict[str, list[str]]:
    """Return the dates for which no column's name fits, with the columns that may hold them, the likeliest first.

    These are the row's date columns in no payload, except those that Django sets. The first date begins with the first.
    """
    columns = {column.name: column for column in source.model._meta.concrete_fields}
    left = [name for name in unused_columns(source) if _is_free_date(columns[name])]
    kinds_of_fields = {one.name: one.kind for one in source.noun.fields}
    dates = [
        name
        for name in unmapped(source)
        if kinds_of_fields[name] is FieldKind.DATETIME and "." not in name and name not in SELDOM_NEEDED
    ]
    if not (left and source.snapshot):
        return {}
    firsts = (min(position, len(left) - 1) for position in range(len(dates)))
    return {name: left[first:] + left[:first] for name, first in zip(dates, firsts, strict=True)}


def unused_columns(source: Source) -> list[str]:
    """Return the row's own columns that are in no payload."""
    used = {str(mapped.lookup).partition("__")[0] for mapped in source.mapped.values()}
    used |= {mapped.path.partition(".")[0] for mapped in source.mapped.values()}
    return [
        column.name
        for column in source.model._meta.concrete_fields
        if not {column.name, column.attname} & used and not column.primary_key and not _is_private(column)
    ]


def _owning_references(one: Declaration, source: Source, *, by_user: str) -> list[str]:
    """Return the paths to the objects whose organization is that of the row, the most likely one first."""
    if one.kind == "activity":
        return [f"{one.attributes['assignment']}.user", str(one.attributes["assignment"])]
    if source.owned_by_learner and one.kind != "user":
        return [by_user]
    return [str(source.paths.get(reference, reference)) for reference in OWNERS.get(one.kind, ())]


def _bases(model: type[models.Model]) -> list[str]:
    """Return the beginnings of paths to lists: the model itself, then its foreign keys."""
    return ["", *(key.name for key in foreign_keys(model) if key.concrete)]


def _lists_of_organizations(model: type[models.Model], base: str) -> list[str]:
    """Return the paths to many-to-many fields with organizations, of the object at ``base``."""
    target = follow(model, base) if base else model
    fields = target._meta.many_to_many if target is not None else ()
    found: list[Any] = [one for one in fields if is_organization(one.related_model)]
    return [f"{base}.{one.name}" if base else str(one.name) for one in found]


def _paths_behind(model: type[models.Model], base: str) -> list[str]:
    """Return the paths to organizations that go through the object at ``base``, which may be far away."""
    target = follow(model, base) if base else None
    return [f"{base}.{path}" for path in paths_to(target, is_organization)] if target else []


def _key_of_status(model: type[models.Model], candidate: Field) -> str:
    """Return the column of the foreign key to a table of statuses; empty if the model has none."""
    keys = (key for key in foreign_keys(model) if key.concrete and best_likeness(key.name, candidate.name) > 0)
    return next((str(key.attname) for key in keys), "")


def _sorted_by_beginning(paths: list[str], beginnings: Sequence[str]) -> list[str]:
    """Return the paths in the order of their beginnings, then those with another beginning."""

    def rank(path: str) -> int:
        ranks = [position for position, one in enumerate(beginnings) if one and path.startswith(f"{one}.")]
        return min(ranks, default=len(beginnings))

    return sorted(paths, key=rank)


def _columns_in_use(source: Source) -> set[str]:
    return {mapped.path for mapped in source.own.values()}


def _columns_of_reference(source: Source, reference: str) -> set[str]:
    prefix = f"{reference}."
    return {mapped.path.rpartition(".")[2] for name, mapped in source.mapped.items() if name.startswith(prefix)}


def _not_deleted(model: type[models.Model]) -> dict[str, Any]:
    """Return the value of rows that are not marked as deleted, by the column of the mark."""
    columns = [column for column in model._meta.concrete_fields if likeness(column.name, "deleted_at") > 0]
    marks: dict[str, Any] = {column.name: None for column in columns if isinstance(column, models.DateField)}
    return marks | {column.name: False for column in columns if isinstance(column, models.BooleanField)}


def _is_switch(column: Any) -> bool:
    names = ("enabled", "active", "published", "live")
    return isinstance(column, models.BooleanField) and any(likeness(column.name, name) > 0 for name in names)


def _is_free_date(column: Any) -> bool:
    """Return whether a column is a date that the host sets."""
    return can_hold(column, FieldKind.DATETIME) and not (column.auto_now or column.auto_now_add)


def _is_private(column: Any) -> bool:
    """Return whether a column is a secret, or one of Django's own for signing in."""
    names = ("last_login", "is_superuser", "is_staff")
    return is_secret(column.name) or any(likeness(column.name, name) > 0 for name in names)
