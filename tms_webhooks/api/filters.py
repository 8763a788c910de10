"""The filters of lists. Unknown parameters and invalid values are rejected instead of ignored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db.models import Q

from tms_webhooks import choices, event_names
from tms_webhooks.access import within
from tms_webhooks.api.problems import (
    MAX_SHOWN,
    Problem,
    problem_at,
    unknown_name_message,
)
from tms_webhooks.api.schema.shim import parameter
from tms_webhooks.api.serializers.base import EventIDField, IDField, OrganizationIDField, Schema, one_of, parse_utc
from tms_webhooks.choices import Action
from tms_webhooks.delivery import replay
from tms_webhooks.exceptions import SubjectError
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.audience import visible_to
from tms_webhooks.models.event import PUBLIC_PREFIX, Subject, delivered_as
from tms_webhooks.models.public_ids import uid_of

_TIME_WITH_BLANK = re.compile(r"T[0-9:.]+ [0-9]{2}:?[0-9]{2}$")


def read_parameters(request: Any, view: Any) -> dict[str, Any]:
    """Return what the parameters of a list choose, by their names.

    Raise a `Problem` with an item for each query parameter that the view does not read, that is blank, or whose value is
    invalid. None of them may mean "all": a script with an empty variable would read the rows of all organizations.
    """
    is_list = view.action == "list"
    filters = view.list_filters if is_list else {}
    paging = view.paginator.readers if is_list or view.action in view.paged else {}
    known = {one.name for one in view.parameters.get(view.action, ()) if one.location == "query"} | {*filters, *paging}
    chosen, problems = {}, []
    for name, values in request.query_params.lists():
        try:
            if name in paging:
                paging[name](request)
            elif name not in known:
                raise ValidationError(unknown_name_message(name, known, kind="parameter"), code="unknown")
            elif not all(map(str.strip, values)):
                raise ValidationError("Empty; set a value or omit the parameter.", code="blank")
            elif "\0" in "".join(values):
                raise ValidationError("Contains a NUL character; remove it.", code="null_character")
            elif name in filters:
                one = filters[name]
                # Once each: a long condition exceeds what SQLite can read.
                distinct = dict.fromkeys(map(str.strip, values if one.is_list else values[-1:]))
                chosen[name] = reduce(or_, [one.condition(view, value) for value in distinct])
        except Problem as problem:
            problems.append(problem)
        except (ValidationError, SubjectError) as error:
            # A plus means a blank in a URL.
            remedy = " In a URL, write %2B for +." if any(map(_TIME_WITH_BLANK.search, values)) else ""
            detail = getattr(error, "messages", [str(error)])[0] + remedy
            problems.append(problem_at("parameter", name[:MAX_SHOWN], error.code or "invalid", detail))
    if len(problems) > 1:
        raise Problem("invalid-request", errors=[item for problem in problems for item in problem.errors])
    if problems:
        raise problems[0]
    return chosen


def visible_webhooks(view: Any) -> Any:
    """Return the webhooks that the caller may view, including deleted ones, whose log remains."""
    return within(Webhook.objects.all(), view.organizations(Action.VIEW))


def visible_events(view: Any) -> Any:
    """Return the events that the caller may view, without regard to payloads."""
    return Event.objects.filter(visible_to(view.organizations(Action.VIEW).order_by().values("pk")))


def referenced(rows: Any, key: str, name: str) -> Any:
    """Return the row with the id in a parameter; raise a `Problem` if these rows have none."""
    row = rows.filter(rows.model.by_public_id(key)).first()
    if row is None:
        detail = f"Unknown {rows.model._meta.model_name}; use the id of one of yours."
        raise problem_at("parameter", name, "unknown", detail, kind="not-found")
    return row


class ListFilter(NamedTuple):
    """A parameter of a list.

    ``condition`` returns what the rows have to meet, or what a feed reads, given the view and the value. It raises Django's
    ``ValidationError``, a `SubjectError` or a `Problem` for an invalid one. ``words`` are the values with their labels, if they
    are a closed list. With ``is_list``, the parameter may be repeated.
    """

    condition: Callable[[Any, str], Any]
    schema: Schema = {"type": "string"}
    description: str = ""
    words: Iterable[tuple[str, Any]] = ()
    is_list: bool = False

    def described(self, name: str) -> Any:
        """Return its description for the OpenAPI document."""
        words = "\n".join(f"* `{value}` - {label}" for value, label in self.words)
        text = "\n\n".join(filter(None, (self.description, words)))
        if self.is_list:
            return parameter(name, {"type": "array", "items": self.schema}, text, explode=True, style="form")
        return parameter(name, self.schema, text)


def _of_field(lookup: str, read: Callable[[str], Any] = str, **described: Any) -> ListFilter:
    """Return the filter by a field of the rows, whose value ``read`` makes of the text."""
    return ListFilter(lambda _view, value: Q(**{lookup: read(value)}), **described)


def _choice(values: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return a function from each of these texts to its value, which refuses any other text."""

    def read(text: str) -> Any:
        if text not in values:
            message = f"{text[:40]!r} is not a valid choice; choose one of {', '.join(values)}."
            raise ValidationError(message, code="invalid_choice")
        return values[text]

    return read


def _of_words(name: str, kind: Any, **described: Any) -> ListFilter:
    """Return the filter by a field with choices."""
    read = _choice({one.value: one for one in kind})
    return _of_field(name, read, schema=one_of(sorted(kind.values)), words=kind.choices, **described)


def _event_types(value: str) -> list[str]:
    """Return the event types that match a name or pattern."""
    if not event_names.is_pattern_known(value):
        similar = event_names.did_you_mean(event_names.nearest_patterns(value))
        raise ValidationError(f"Unknown event type or pattern {value[:MAX_SHOWN]!r}.{similar}", code="unknown")
    return event_names.matching(value)


def _event_uid(value: str) -> Any:
    if not (uid := uid_of(value, PUBLIC_PREFIX)):
        raise ValidationError("Use an event id: evt_ and 32 hexadecimal digits.", code="invalid")
    return uid


def _of_organization(view: Any, value: str) -> Q:
    view.find_organization(value, "parameter", "organization")
    return Q(**{view.organization_path: value})


ORGANIZATION = ListFilter(
    _of_organization, {"type": OrganizationIDField.json_schema["type"]}, OrganizationIDField.json_schema["description"]
)
WEBHOOK = ListFilter(
    lambda view, value: Q(webhook=referenced(visible_webhooks(view), value, "webhook")), IDField.json_schema
)
TIME: Schema = {"type": "string", "format": "date-time"}

OF_WEBHOOKS: Mapping[str, ListFilter] = {
    "organization": ORGANIZATION,
    "enabled": _of_field("enabled", _choice({"true": True, "false": False}), schema={"type": "boolean"}),
    "name": _of_field("name__icontains"),
    "url": _of_field("url"),
    "format": _of_words("format", choices.PayloadFormat, description="The format of the body."),
}
OF_HOOKS: Mapping[str, ListFilter] = {"target_url": _of_field("url")}
OF_DELIVERIES: Mapping[str, ListFilter] = {
    "organization": ORGANIZATION,
    "webhook": WEBHOOK,
    "status": _of_words("status", choices.DeliveryStatus, is_list=True),
    "error_class": _of_words("error_class", choices.ErrorClass),
    "event_type": _of_field("event__type__in", _event_types),
    "event": _of_field("event__uid", _event_uid, schema=EventIDField.json_schema),
    "subject": ListFilter(lambda _view, value: delivered_as(Subject.parse(value).events)),
    "external_id": ListFilter(lambda _view, value: delivered_as(Event.objects.with_external_id(value))),
    "created_after": _of_field("created_at__gte", parse_utc, schema=TIME),
    "created_before": _of_field("created_at__lt", parse_utc, schema=TIME),
}
OF_FEEDS: Mapping[str, ListFilter] = {
    "subject": ListFilter(
        lambda _view, value: Subject.parse(value).events,
        {"type": "string", "examples": ["class:8840"]},
        "Only events of this object: its noun, a colon and its id.",
    ),
    "external_id": ListFilter(
        lambda _view, value: Event.objects.with_external_id(value),
        description="Only events of objects with this id in the customer's own system.",
    ),
}
OF_EVENTS: Mapping[str, ListFilter] = {
    "type": ListFilter(
        lambda _view, value: {name for pattern in value.split(",") for name in _event_types(pattern)},
        description="Event names and patterns, as in a subscription.",
        is_list=True,
    ),
    "undelivered_to": ListFilter(
        lambda view, value: replay.undelivered(referenced(visible_webhooks(view), value, "undelivered_to")),
        IDField.json_schema,
        "The id of a webhook. Only events that it should have received and has not.",
    ),
    **OF_FEEDS,
}
OF_JOBS: Mapping[str, ListFilter] = {
    "webhook": WEBHOOK,
    "status": _of_words("status", choices.JobStatus, is_list=True),
    "kind": _of_words("kind", choices.JobKind),
}
