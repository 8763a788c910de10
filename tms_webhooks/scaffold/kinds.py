"""Guess which source of the training system suits a model, by its name, its columns and its foreign keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models

from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.scaffold.names import column_for, likeness, words_of
from tms_webhooks.scaffold.walk import foreign_keys, is_account, is_organization
from tms_webhooks.sources import tms
from tms_webhooks.sources.base import Source

LEAST = 0.9
"""The least score of a guess."""
CLOSE = 0.8
"""How far below the best guess another one is worth a comment."""

SOURCES: Mapping[str, type[Source]] = {
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
"""The source classes by the names that the command takes: those of the nouns, and two more."""

# Names of models, the likeliest first. The last word of a model's name counts most.
WORDS: Mapping[str, Sequence[str]] = {
    "class": ("class", "session", "event", "meetup", "offering", "run", "workshop", "seminar", "cohort", "occurrence"),
    "enrollment": (
        "enrollment", "enrolment", "booking", "registration", "attendance", "attendee", "participation", "participant",
        "seat", "reservation", "signup", "place", "application",
    ),
    "course_assignment": ("assignment", "entitlement", "elearning", "allocation", "task"),
    "activity": ("activity", "result", "progress", "attempt", "completion", "step"),
    "subscription": ("subscription", "membership", "license", "licence", "plan"),
    "feedback": ("feedback", "review", "rating", "evaluation", "survey", "response", "opinion"),
    "user": ("user", "person", "member", "account", "learner", "student", "employee", "trainee", "contact"),
    "learning_path": ("completion", "progress", "graduation", "enrollment"),
    "computed_learning_path": ("path", "track", "curriculum", "program", "programme", "journey", "roadmap"),
    "achievement": ("achievement", "award", "badge", "certificate", "certification", "credential", "trophy", "medal"),
    "voucher": ("voucher", "coupon", "code", "promotion"),
    "course": ("course", "topic", "subject", "module", "training", "product", "lesson"),
    "path": ("path", "track", "curriculum", "program", "programme", "journey", "roadmap"),
    "classroom": ("classroom", "room", "venue", "location", "site"),
    "company": ("company", "firm", "employer"),
    "profile": ("profile", "library", "plan", "package"),
}  # fmt: skip
PEOPLE = ("user", "learner", "student", "person", "member", "participant", "attendee", "employee", "trainee", "owner")
"""Names of foreign keys that lead to the learner, where a model has several to persons."""
INSTRUCTORS = ("instructor", "trainer", "teacher", "lead", "facilitator", "coach", "tutor", "lecturer", "speaker")


@dataclass(frozen=True, slots=True)
class KindGuess:
    """The kind of a model: a key of `SOURCES`, or empty. ``reason`` says why, ``others`` names other candidates."""

    kind: str
    reason: str
    others: tuple[str, ...] = ()


def guess_kind(model: type[models.Model]) -> KindGuess:
    """Return the likeliest source of a model."""
    if is_account(model):
        return KindGuess("user", "AUTH_USER_MODEL")
    scores = {kind: _name_score(model, kind) + _shape_score(model, kind) for kind in SOURCES}
    ranked = sorted(scores, key=scores.__getitem__, reverse=True)
    best = ranked[0]
    if is_organization(model) or scores[best] < LEAST:
        return KindGuess("", "", tuple(ranked[:2]))
    others = tuple(kind for kind in ranked[1:3] if scores[kind] >= max(LEAST, scores[best] - CLOSE))
    return KindGuess(best, _reason(model, best), others)


def may_be_object(model: type[models.Model]) -> bool:
    """Return whether a model has a source, or could have one if the host names it.

    Organizations, the models of Django's own apps, proxies and tables of foreign keys alone have no other source.
    """
    if guess_kind(model).kind:
        return True
    has_columns = any(not (column.primary_key or column.remote_field) for column in model._meta.concrete_fields)
    own = not (is_organization(model) or model._meta.proxy or model.__module__.startswith("django."))
    return own and has_columns


def kind_by_name(model: type[models.Model]) -> str:
    """Return the kind of a related model, also of one that is no source, such as a course; empty if unknown."""
    if is_organization(model):
        return "organization"
    if is_account(model):
        return "user"
    scores = {kind: _name_score(model, kind) for kind in WORDS if kind not in ("activity", "computed_learning_path")}
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] >= 0.5 else ""


def has_word(name: str, words: Collection[str]) -> bool:
    """Return whether one of the words of a name is one of these, or nearly."""
    return any(likeness(word, other) > 0 for word in words_of(name) for other in words)


def _name_score(model: type[models.Model], kind: str) -> float:
    """Return how well the name fits: up to 1 for its last word, up to 0.6 for one before."""
    *leading, last = words_of(model.__name__)
    score = 0.0
    for rank, word in enumerate(WORDS.get(kind, ())):
        weight = 1 - 0.01 * rank
        score = max(score, likeness(last, word) * weight, *(likeness(one, word) * weight * 0.6 for one in leading), 0.0)
    return score


def _shape_score(model: type[models.Model], kind: str) -> float:
    """Return how well the columns and foreign keys fit, from -2 to 2."""
    return _SHAPES[kind](model, _keys_by_kind(model))


def courses_of(model: type[models.Model]) -> str:
    """Return the many-to-many field from a learning path to its courses; empty if it has none."""
    for field in model._meta.many_to_many:
        related: Any = field.related_model
        if kind_by_name(related) == "course":
            return field.name
    return ""


def _keys_by_kind(model: type[models.Model]) -> dict[str, str]:
    """Return the names of the model's own foreign keys, by the kinds of their models."""
    found: dict[str, str] = {}
    for field in foreign_keys(model):
        if field.concrete:
            kind = kind_by_name(field.related_model)
            if kind == "user" and has_word(field.name, INSTRUCTORS):
                kind = "instructor"
            found.setdefault(kind, field.name)
    return found


def _has_date(model: type[models.Model], name: str) -> bool:
    return bool(column_for(model, Field(name, FieldKind.DATETIME, FieldPrivacy.BASIC)))


_EMAIL = Field("email", FieldKind.STRING, FieldPrivacy.PERSONAL)


def _reason(model: type[models.Model], kind: str) -> str:
    keys = _keys_by_kind(model)
    found = [f"the name {model.__name__}"] if _name_score(model, kind) else []
    names = [repr(keys[name]) for name in _KEYS.get(kind, ()) if name in keys]
    if names:
        found.append(f"the foreign key{'s' if len(names) > 1 else ''} {' and '.join(names)}")
    date = column_for(model, Field(_DATES[kind], FieldKind.DATETIME, FieldPrivacy.BASIC)) if kind in _DATES else ""
    return ", ".join([*found, *([f"the date {date!r}"] if date else [])])


_KEYS = {
    "class": ("course",),
    "enrollment": ("class", "user"),
    "course_assignment": ("course", "user"),
    "activity": ("course_assignment",),
    "subscription": ("user",),
    "feedback": ("course", "class", "enrollment", "user"),
    "learning_path": ("path", "user"),
    "achievement": ("user",),
    "voucher": ("user", "class"),
}
_DATES = {"class": "start_at", "course_assignment": "expires_at", "subscription": "expires_at", "voucher": "expires_at"}


def _fits(condition: object, score: float, *, otherwise: float) -> float:
    return score if condition else otherwise


# How well a model's columns and its foreign keys, by the kinds of their models, fit each kind.
_SHAPES: Mapping[str, Callable[[type[models.Model], Mapping[str, str]], float]] = {
    "class": lambda model, keys: (
        0.6 * _has_date(model, "start_at") + 0.4 * ("course" in keys) - 1.0 * ("class" in keys)
    ),
    "enrollment": lambda _model, keys: _fits({"class", "user"} <= keys.keys(), 1.0, otherwise=-1.5),
    "course_assignment": lambda model, keys: _fits(
        {"course", "user"} <= keys.keys() and "class" not in keys,
        0.6 + 0.4 * _has_date(model, "expires_at"),
        otherwise=-1.5,
    ),
    "activity": lambda _model, keys: _fits("course_assignment" in keys, 0.8, otherwise=-2.0),
    "subscription": lambda model, keys: _fits(
        "user" in keys and "course" not in keys, 0.3 + 0.3 * _has_date(model, "expires_at"), otherwise=-1.5
    ),
    "feedback": lambda _model, keys: _fits(
        keys.keys() & {"course", "class", "enrollment", "course_assignment"}, 0.5, otherwise=-1.0
    ),
    "user": lambda model, keys: 0.5 * bool(column_for(model, _EMAIL)) - 0.6 * ("user" in keys),
    "learning_path": lambda _model, keys: _fits({"user", "path"} <= keys.keys(), 1.2, otherwise=-2.0),
    "computed_learning_path": lambda model, keys: _fits(courses_of(model) and "user" not in keys, 0.8, otherwise=-2.0),
    "achievement": lambda _model, keys: _fits("user" in keys, 0.5, otherwise=-1.5),
    "voucher": lambda model, _keys: 0.2 * _has_date(model, "expires_at") + 0.2 * _has_date(model, "redeemed_at"),
}
