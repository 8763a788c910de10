"""Guess the declarations of several models: the organization, the paths of their fields, and their statuses.

A guess is tried on a source that is bound to the model but not registered. So a path is written only where the source
does not find it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models

from tms_webhooks.computed import Not, Path
from tms_webhooks.conf import ORGANIZATION_MODEL_SETTING
from tms_webhooks.scaffold.names import column_for, meaning_of, meanings_of, opposite_for, words_of
from tms_webhooks.sources import tms
from tms_webhooks.sources.base import OWNER, Source
from tms_webhooks.sources.paths import column_at, follow
from tms_webhooks.sources.registry import all_sources

LONGEST = 4
"""The most foreign keys of a path."""

SOURCES: Mapping[str, type[Source]] = {
    "course": tms.CourseSource,
    "classroom": tms.ClassroomSource,
    "company": tms.CompanySource,
    "organization": tms.OrganizationSource,
    "profile": tms.ProfileSource,
    "department": tms.DepartmentSource,
    "class": tms.ClassSource,
    "enrollment": tms.EnrollmentSource,
    "course_assignment": tms.CourseAssignmentSource,
    "activity": tms.ActivityProgressSource,
    "subscription": tms.SubscriptionSource,
    "feedback": tms.FeedbackSource,
    "user": tms.UserSource,
    "learning_path": tms.LearningPathSource,
    "computed_learning_path": tms.ComputedLearningPathSource,
    "achievement": tms.AchievementSource,
    "voucher": tms.VoucherSource,
}
"""The source classes by the names that the command takes: those of the nouns, and two more. Referenced ones come first."""

ENDINGS: Mapping[str, Sequence[str]] = {
    "class": ("class", "session"),
    "enrollment": ("enrollment", "enrolment", "booking", "registration"),
    "course_assignment": ("assignment",),
    "activity": ("activity_result", "activity_progress"),
    "subscription": ("subscription", "subscription_assignment", "membership"),
    "feedback": ("feedback", "review"),
    "achievement": ("user_achievement", "award"),
    "voucher": ("voucher", "coupon"),
    "course": ("course", "topic"),
    "path": ("path", "path_course"),
    "badge": ("achievement", "badge"),
    "classroom": ("classroom", "venue"),
    "company": ("company",),
    "department": ("department",),
    "profile": ("subscription_profile",),
}
"""How the names of models end, by their noun: a key of `SOURCES`, or that of a model that has no source. The longest counts."""

REFERENCES: Mapping[str, str] = {"achievement": "badge", "learning_path": "path"}
"""The nouns of the models that references of nouns lead to, where they have another name."""
PERSONS: Mapping[str, Sequence[str]] = {
    "instructor": ("instructor", "trainer", "teacher", "lead"),
    "manager": ("manager", "supervisor", "boss"),
}
FAR = frozenset({"user", "class", "course"})
"""References that may be those of an object on the way. Another object's room or company is not the row's."""
OWNERS: Mapping[str, tuple[str, ...]] = {"enrollment": ("class", "course"), "feedback": ("course", "class")}
"""The references whose organization owns the object, for nouns that have no organization of their own."""


@dataclass
class Declaration:
    """A guessed declaration: the attributes of a source class, which may be incomplete.

    - ``fields``: paths by canonical name
    - ``statuses``: the meanings of a field's values, where its source can't read them; empty if unknown
    """

    model: type[models.Model]
    noun: str
    attributes: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Path] = field(default_factory=dict)
    statuses: dict[str, dict[Any, str]] = field(default_factory=dict)

    def subclass(self) -> type[Source]:
        """Return the declared class."""
        written = {"fields": dict(self.fields), "statuses": self.statuses, "__doc__": None, "__module__": __name__}
        return type(f"{self.model.__name__}Guess", (SOURCES[self.noun],), {**self.attributes, **written})


class Guesses:
    """The declarations of some models, with the sources that are registered already."""

    def __init__(self, wanted: Iterable[tuple[type[models.Model], str]] = ()) -> None:
        """Guess the declarations of pairs of a model and a key of `SOURCES`. An empty key is guessed from the model's name."""
        pairs = [(model, noun or noun_by_name(model)) for model, noun in wanted]
        self.declarations = [Declaration(model, noun) for model, noun in pairs if noun in SOURCES]
        # An app's model may be named with its noun, too.
        declared = {one.model for one in self.declarations}
        self.rejected = [model for model, _noun in pairs if model not in declared]
        # In this order an object is known before others use the paths of its fields.
        order = ["user", *SOURCES]
        for one in sorted(self.declarations, key=lambda one: order.index(one.noun)):
            if one.noun == "activity":
                one.attributes["assignment"] = self.path_to(one.model, "course_assignment") or "assignment"
            source = self.source(one)
            ids = (field.name for field in source.noun.fields if field.name.endswith(".id") and field.name != OWNER)
            for reference in (name.removesuffix(".id") for name in ids):
                is_found = f"{reference}.id" in source.available or follow(one.model, _base(source, reference))
                if not is_found and (path := self.path_to(one.model, reference)):
                    one.fields[reference] = path
            self._find_owner(one)
            self._find_columns(one)
            self._find_statuses(one)

    def source(self, declaration: Declaration) -> Source:
        """Return the source of a declaration as it is now, bound to its model."""
        related: dict[type[models.Model], list[Source]] = {}
        bound = [one.subclass()(one.model, related) for one in self.declarations]
        declared = {one.model for one in self.declarations}
        for source in (*(other for other in all_sources() if other.model not in declared), *bound):
            related.setdefault(source.model, []).append(source)
        return bound[self.declarations.index(declaration)]

    def path_to(self, model: type[models.Model], reference: str) -> str:
        """Return the path of foreign keys from a model to a reference of nouns, such as "class"; empty if none fits."""
        words = PERSONS.get(reference, ())
        noun = "user" if words else REFERENCES.get(reference, reference)
        longest = LONGEST if reference in FAR else 1
        for path in paths_to(model, lambda related: self._is(related, noun), longest=longest):
            named = words_of(path.rpartition(".")[2])
            role = next((role for role, names in PERSONS.items() if set(named) & {*names}), "user")
            if noun != "user" or role == reference:
                return path
        return ""

    def _is(self, model: type[models.Model], noun: str) -> bool:
        """Return whether a model is of a noun: as declared, as registered, or else by its name."""
        known = {one.noun for one in self.declarations if one.model is model}
        known |= {source.noun.name for source in all_sources() if source.model is model}
        return noun in (known or {noun_by_name(model)})

    def _find_owner(self, one: Declaration) -> None:
        """Find the organization. That of an instructor or author is seldom the owner's, so it is no guess."""
        source, found = self.source(one), paths_to_organization(one.model)
        persons = [f"{path}." for path in paths_to(one.model, lambda related: self._is(related, "user"))]
        possible = [path for path in found if source.owned_by_learner or not path.startswith(tuple(persons))]
        references = ("user",) if source.owned_by_learner else OWNERS.get(one.noun, ())
        near = [path for name in references for path in possible if path.startswith(f"{_base(source, name)}.")]
        if owners := [*near, *possible]:
            one.attributes["owner"] = owners[0]
        learners = [path for path in found if path.startswith(f"{_base(source, 'user')}.")]
        if learners and not source.owned_by_learner and "user.id" in source.available:
            one.attributes["learner"] = learners[0]

    def _find_columns(self, one: Declaration) -> None:
        """Map the fields of the object, and of those that it refers to, to columns where the source finds none."""
        for candidate in self.source(one).all_fields:
            source, name = self.source(one), candidate.name
            reference, dot, _leaf = name.rpartition(".")
            base = _base(source, reference)
            target = follow(one.model, base) if dot else one.model
            is_left_out = reference.endswith("organization") or not source.path_of(name)
            if name in source.available or is_left_out or target is None:
                continue
            siblings = [mapped.path for other, mapped in source.mapped.items() if other.rpartition(".")[0] == reference]
            column = column_for(target, candidate, taken=[path.rpartition(".")[2] for path in siblings])
            if column:
                one.fields[name] = f"{base}{dot}{column}"
            elif opposite := "" if dot else opposite_for(target, candidate):
                one.fields[name] = Not(opposite)

    def _find_statuses(self, one: Declaration) -> None:
        for name, mapped in self.source(one).mapped.items():
            choices = mapped.field.choices
            column = column_at(one.model, mapped.path)
            if column is not None and choices is not None:
                meanings = meanings_of(column.flatchoices, choices)
                if any(not meaning or meaning != meaning_of(value, choices) for value, meaning in meanings.items()):
                    one.statuses[name] = meanings


def noun_by_name(model: type[models.Model]) -> str:
    """Return the noun of a model by the end of its name, also of one without a source, such as a course; empty if unknown."""
    if model is get_user_model():
        return "user"
    words = words_of(model.__name__)
    ends = () if is_organization(model) else ("_".join(words[start:]) for start in range(len(words)))
    return next((noun for end in ends for noun, endings in ENDINGS.items() if end in endings), "")


def _base(source: Source, reference: str) -> str:
    """Return the path of foreign keys to a referenced object."""
    return str(source.path_of(f"{reference}.id")).rpartition(".")[0]


# The paths of foreign keys from a model to another one


def foreign_keys(model: type[models.Model]) -> list[Any]:
    """Return the model's foreign keys, first those that are never null; then the reverse sides of one-to-one fields.

    The link between a model and one that extends it is none, seen from either side.
    """
    keys: list[Any] = [
        field
        for field in model._meta.get_fields()
        if isinstance(field.related_model, type)
        and (field.many_to_one or field.one_to_one)
        and not getattr(field.remote_field if field.concrete else field, "parent_link", False)
    ]
    return sorted(keys, key=lambda field: (not field.concrete, field.name.endswith("_by"), field.null))


def paths_to(
    model: type[models.Model], is_target: Callable[[type[models.Model]], bool], *, longest: int = LONGEST
) -> list[str]:
    """Return the paths from ``model`` to the models that ``is_target`` accepts, the shortest first."""
    found = []
    level = [("", model, frozenset([model]))]
    for _length in range(longest):
        following = []
        for prefix, current, seen in level:
            for key in foreign_keys(current):
                related: Any = key.related_model
                if is_target(related):
                    found.append(f"{prefix}{key.name}")
                elif related not in seen:
                    following.append((f"{prefix}{key.name}.", related, seen | {related}))
        level = following
    return found


def paths_to_organization(model: type[models.Model]) -> list[str]:
    """Return the paths from ``model`` to an organization, the shortest first. An organization is its own."""
    return ["pk"] if is_organization(model) else paths_to(model, is_organization)


def is_organization(model: type[models.Model]) -> bool:
    """Return whether this is the organization model, or a proxy of it."""
    label = str(getattr(settings, ORGANIZATION_MODEL_SETTING, ""))
    return (model._meta.concrete_model or model)._meta.label.lower() == label.lower()
