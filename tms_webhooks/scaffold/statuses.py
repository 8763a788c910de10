"""Guess which status of the catalogue a value of the host's own field means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import IntegerChoices

from tms_webhooks import choices
from tms_webhooks.catalogue.schema import status_name
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.scaffold.names import likeness, words_of
from tms_webhooks.sources.statuses import read_status

# Words of other training systems, by the class and the name of the status. A word stands for one status of each class.
OTHER_WORDS: Mapping[type[IntegerChoices], Mapping[str, Sequence[str]]] = {
    choices.ClassStatus: {
        "SCHEDULED": ("planned", "open", "published", "announced", "active", "upcoming", "bookable"),
        "GUARANTEED_TO_RUN": ("guaranteed", "sure", "confirmed", "definite", "go", "runs"),
        "CANCELLED": ("cancelled", "canceled", "called_off", "off", "aborted", "dropped", "withdrawn"),
        "RESCHEDULED": ("moved", "postponed", "deferred", "shifted"),
        "TENTATIVE": ("draft", "provisional", "optional", "unconfirmed", "hold", "on_hold", "preliminary"),
        "REQUESTED": ("asked", "proposed", "wanted", "inquiry", "pending"),
        "DENIED": ("rejected", "refused", "declined", "turned_down"),
        "COMPLETED": ("done", "over", "finished", "held", "closed", "past", "ended", "delivered"),
    },
    choices.EnrollmentStatus: {
        "REQUEST": ("asked", "pending", "applied", "new", "requested", "submitted", "awaiting_approval"),
        "CANCEL": ("out", "withdrawn", "dropped", "cancelled", "canceled", "unenrolled", "removed"),
        "WAITLIST": ("waiting", "waiting_list", "queued", "standby", "wait_listed"),
        "APPROVE": ("accepted", "granted", "cleared"),
        "DENY": ("rejected", "refused", "declined", "turned_down"),
        "AUDIT": ("auditor", "guest", "listener", "observer"),
        "ENROLL": ("in", "booked", "registered", "confirmed", "active", "seated", "enrolled"),
    },
    choices.CompletionStatus: {
        "UNKNOWN": ("open", "none", "not_yet", "undecided", "pending", "not_recorded"),
        "ATTENDING": ("present", "in_progress", "started", "there"),
        "COMPLETE": ("passed", "completed", "done", "success", "finished", "attended"),
        "INCOMPLETE": ("partial", "left_early", "partially_attended", "unfinished"),
        "NO_SHOW": ("absent", "missed", "did_not_attend", "missing"),
        "FAILED": ("not_passed", "fail"),
    },
    choices.AssignmentStatus: {
        "ACTIVE": ("open", "assigned", "current", "ongoing", "live"),
        "CANCELLED": ("canceled", "revoked", "withdrawn", "removed", "dropped"),
    },
    choices.DeliveryType: {
        "PHYSICAL": ("classroom", "onsite", "on_site", "in_person", "face_to_face", "presence"),
        "VIRTUAL": ("online", "remote", "webinar", "live_online"),
        "MIXED": ("hybrid", "blended", "both"),
    },
    choices.LocationType: {
        "TO_BE_DETERMINED": ("unknown", "tbd", "open"),
        "CLASSROOM": ("onsite", "on_site", "in_person", "room"),
        "VIRTUAL": ("online", "remote", "webinar"),
    },
}


@dataclass(frozen=True, slots=True)
class StatusGuess:
    """The status that a value of the host means.

    - ``value``: the host's value
    - ``meaning``: the name of the status in payloads; empty if none could be guessed
    - ``certain``: whether the value's own name or its label is that of the status
    """

    value: Any
    meaning: str
    certain: bool


def guesses_for(values: Iterable[tuple[Any, Any]], statuses: type[IntegerChoices]) -> list[StatusGuess]:
    """Return a guess for each pair of a value and its label."""
    return [_guess(value, str(label), statuses) for value, label in values]


def needs_mapping(guesses: Iterable[StatusGuess], field: str, statuses: type[IntegerChoices]) -> bool:
    """Return whether a dictionary is needed: a value is not read as the status that it means."""
    for guess in guesses:
        try:
            member = read_status(guess.value, field=field, statuses=statuses)
        except PayloadError:
            return True
        if member is not None and guess.meaning and status_name(member) != guess.meaning:
            return True
    return False


def _guess(value: Any, label: str, statuses: type[IntegerChoices]) -> StatusGuess:
    # A number alone means nothing: the label of 1 may be "Cancelled".
    texts = [text for text in (label, value) if isinstance(text, str) and not text.isdecimal()]
    for text in texts:
        named = _named(text, statuses)
        if named is not None:
            return StatusGuess(value, status_name(named), certain=True)
    for text in texts:
        other = _by_other_word(text, statuses)
        if other is not None:
            return StatusGuess(value, status_name(other), certain=False)
    return StatusGuess(value, "", certain=False)


def _named(text: str, statuses: type[IntegerChoices]) -> IntegerChoices | None:
    try:
        return read_status(text, field="", statuses=statuses)
    except PayloadError:
        return None


def _by_other_word(text: str, statuses: type[IntegerChoices]) -> IntegerChoices | None:
    """Return the status with the most similar word, if any is similar: the whole text, or all of its first words."""
    others = OTHER_WORDS.get(statuses, {})
    words = {member: [member.name, *others.get(member.name, ())] for member in statuses}
    scores = {member: max(_fit(text, word) for word in words[member]) for member in statuses}
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] > 0 else None


def _fit(text: str, word: str) -> float:
    # "Awaiting payment" is not "waiting".
    whole = likeness(text, word) if text[:1].lower() == word[:1].lower() else 0.0
    # "Cancelled by the customer" begins with the word.
    begins = words_of(text)[: len(words_of(word))] == words_of(word)
    return max(whole, 0.5 if begins else 0.0)
