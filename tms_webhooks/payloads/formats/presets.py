"""Presets: custom content for the receivers that need bodies of their own, for each event that a webhook receives.

Each content keeps within the vendor's published limits, whatever the values: long ones are truncated.

- Slack, incoming webhooks: a header of 150 characters, 10 fields of 2,000 characters in a section
  (https://docs.slack.dev/reference/block-kit/blocks/). Text is escaped
  (https://docs.slack.dev/messaging/formatting-message-text).
- Teams, Workflows: an adaptive card in a message of at most 28 KB
  (https://learn.microsoft.com/microsoftteams/limits-specifications-teams).
- Power Automate, "When an HTTP request is received": any JSON object; this one is flat, so that each value is a field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.choices import Preset
from tms_webhooks.event_names import EVERYTHING
from tms_webhooks.payloads.formats import template
from tms_webhooks.payloads.formats.shape import is_included

MOST_FACTS = 10
"""Facts of one event: Slack allows this many fields in a section."""
LONGEST_TITLE = 150
LONGEST_VALUE = 300
"""Characters of a fact; Slack's escaping makes at most five times as many, below its limit of 2,000."""
LONGEST_LABEL = 60
NONE = "–"

# The fields that people look for first, with their labels. A noun has some of them.
FACTS = (
    ("Name", "name"),
    ("Title", "title"),
    ("Learner", "user.first_name user.last_name"),
    ("E-mail", "user.email"),
    ("First name", "first_name"),
    ("Last name", "last_name"),
    ("Course", "course.name"),
    ("Class", "class.name"),
    ("Achievement", "achievement.name"),
    ("Learning path", "learning_path.name"),
    ("Status", "status"),
    ("Completion", "completion_status"),
    ("Assignment", "assignment_status"),
    ("Days left", "days_left"),
    ("Starts", "start_at"),
    ("Ends", "end_at"),
    ("Class starts", "class.start_at"),
    ("Expires", "expires_at"),
    ("Completed", "completed_at"),
    ("Submitted", "submitted_at"),
    ("Earned", "earned_at"),
    ("Redeemed", "redeemed_at"),
    ("Progress", "progress"),
    ("Grade", "grade"),
    ("Points", "points"),
    ("Feedback", "content"),
    ("Room", "classroom.name"),
    ("Organization", "organization.name"),
    ("External id", "external_id"),
    ("Id", "id"),
)
# Kinds whose values are no line of text.
_STRUCTURED = frozenset({FieldKind.OBJECTS, FieldKind.IDS, FieldKind.JSON, FieldKind.FINGERPRINT})


class Fact(NamedTuple):
    """A labeled value: its label, and the tokens that make it. ``link`` is a URL of our own that follows it in a chat."""

    label: str
    value: str
    link: str = ""


def content_for(preset: str, patterns: Iterable[str], *, detail: str) -> tuple[str, dict[str, str]]:
    """Return ``content`` and ``contents`` of a preset for the events of these patterns, with the fields that the detail includes.

    An event type gets a content of its own; so does each noun of a pattern. ``content`` fits every event.
    """
    build = _BUILDERS[preset]
    # Slack and Teams have a format of their names.
    formats = f"|{preset}" if preset in template.RULES else ""
    nouns = [f"{one.name.partition('.')[0]}.*" for one in registry.expand(EVERYTHING)]
    contents = {
        name: build(_title(name), _facts(members, detail=detail, formats=formats))
        for pattern in patterns
        for name in (nouns if pattern == EVERYTHING else [pattern])
        if (members := registry.expand(name))
    }
    return build("{type}", [Fact("Event", "{type}"), Fact("Id", f"{{data.id|default:'{NONE}'}}")]), contents


def _title(name: str) -> str:
    """Return "Class cancelled" for class.cancelled; for a pattern, a title with the token of the event type."""
    title = name.replace("_", " ").replace(".", " ").capitalize()
    return f"{title[:-2]}: {{type}}" if name.endswith(".*") else title[:LONGEST_TITLE]


def _facts(members: Sequence[EventType], *, detail: str, formats: str) -> list[Fact]:
    """Return the facts of these event types, which are of one noun: those of the first. Others may lack one of them."""
    first = members[0]
    shared = {field.name: field for field in first.all_fields if is_included(field, detail)}

    def token(name: str, length: int = LONGEST_VALUE) -> str:
        field = shared[name]
        path = f"{first.root_of(field)}.{name}{'.name' if field.kind is FieldKind.STATUS else ''}"
        date = "|date:'%d %b %Y %H:%M %Z'" if field.kind is FieldKind.DATETIME else ""
        return f"{{{path}{date}|truncate:{length}|default:'{NONE}'{formats}}}"

    facts = []
    for label, names in FACTS:
        if present := [name for name in names.split() if name in shared]:
            facts.append(Fact(label, " ".join(token(name, LONGEST_VALUE // len(present)) for name in present)))
    known = {name for _label, names in FACTS for name in names.split()}
    if known.isdisjoint(shared.keys() - {"id", "external_id"}):
        # A noun of the host's own: its values, by their names.
        facts += [
            Fact(name.replace(".", " ").replace("_", " ").capitalize(), token(name))
            for name, field in shared.items()
            if name not in known and field.kind not in _STRUCTURED
        ]
    return facts[:MOST_FACTS]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def chat_message(preset: str, title: str, facts: Sequence[Fact], *, footer: str) -> str:
    """Return a message for Slack or Teams without tokens: title, facts and footer are text, escaped and truncated.

    It has the first `MOST_FACTS` facts.
    """
    is_slack = preset == Preset.SLACK
    build, escaped = (_slack, template.slack_text) if is_slack else (_teams, template.teams_text)

    def literal(text: str, length: int) -> str:
        return escaped(template.truncated(text, length))

    link = "<{0}>" if is_slack else "[{0}]({0})"
    shown = [
        Fact(
            literal(one.label, LONGEST_LABEL),
            f"{literal(one.value, LONGEST_VALUE)} {link.format(one.link) if one.link else ''}".rstrip(),
        )
        for one in facts[:MOST_FACTS]
    ]
    # Slack takes a title as plain text.
    title = (template.chat_text if is_slack else escaped)(template.truncated(title, LONGEST_TITLE))
    return build(title, shown, literal(footer, LONGEST_VALUE))


_FOOTER = "{timestamp|date:'%d %b %Y %H:%M:%S %Z'}"


def _slack(title: str, facts: Sequence[Fact], footer: str = f"{_FOOTER} · {{id}}") -> str:
    fields = [{"type": "mrkdwn", "text": f"*{fact.label}*\n{fact.value}"} for fact in facts]
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": title}},
        {"type": "section", "fields": fields},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": footer}]},
    ]
    return _json({"text": template.slack_text(title), "blocks": blocks})


def _teams(title: str, facts: Sequence[Fact], footer: str = _FOOTER) -> str:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": title, "size": "Large", "weight": "Bolder", "wrap": True},
            {"type": "FactSet", "facts": [{"title": fact.label, "value": fact.value} for fact in facts]},
            {"type": "TextBlock", "text": footer, "isSubtle": True, "wrap": True},
        ],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return _json({"type": "message", "attachments": [attachment]})


def _flat(title: str, facts: Sequence[Fact]) -> str:
    values = {fact.label.lower().replace(" ", "_").replace("-", ""): fact.value for fact in facts}
    return _json(
        {"event_id": "{id}", "event_type": "{type}", "event_time": "{timestamp}", "event_title": title, **values}
    )


_BUILDERS: Mapping[str, Callable[[str, Sequence[Fact]], str]] = {
    Preset.SLACK: _slack,
    Preset.TEAMS: _teams,
    Preset.POWER_AUTOMATE: _flat,
}
