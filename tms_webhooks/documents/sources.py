"""The reference of sources as a Markdown page: every source class with its fields, statuses, events and deadline."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tms_webhooks import sources
from tms_webhooks.catalogue.schema import Field, status_name
from tms_webhooks.catalogue.types.course_assignment import ACTIVITY
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, ORGANIZATION_FIELDS, Source
from tms_webhooks.sources.mapping import merged_fields
from tms_webhooks.sources.rules import Rule

GENERAL = Path(__file__).with_name("sources_general.txt")
"""The part about all sources."""
METHODS = ("derived", "supplies", "events_for", "paths_with")
"""Methods that a class may override, and whose docstrings say the difference."""

OWN_FIELDS: Mapping[type[Source], Sequence[Field]] = {sources.ActivityProgressSource: ACTIVITY}
"""The fields that a class adds to those of its noun, where another source reads the fields of the noun."""


def source_classes() -> list[type[Source]]:
    """Return the source classes of the package, in the order of their names."""
    exported = (getattr(sources, name) for name in sources.__all__)
    return [one for one in exported if isinstance(one, type) and issubclass(one, Source) and one is not Source]


def documented_class(source: Source) -> type[Source]:
    """Return the class whose section of the page is about a host's source: the nearest of the package's."""
    known = {*source_classes(), Source}
    return next(one for one in type(source).__mro__ if one in known)


def to_markdown() -> str:
    """Return the page."""
    lines = [GENERAL.read_text(encoding="utf-8").replace("{rules}", "\n".join(_rules()))]
    for source_class in source_classes():
        lines += _section(source_class)
    return "\n".join(lines).rstrip() + "\n"


def _rules() -> Iterator[str]:
    yield "| Rule | Emits its event when |"
    yield "|---|---|"
    for name in sources.__all__:
        rule = getattr(sources, name)
        if isinstance(rule, type) and issubclass(rule, Rule) and rule is not Rule:
            signature = ", ".join(str(one) for one in inspect.signature(rule).parameters)
            yield f"| `{name}({signature})` | {_first_paragraph(rule)} |"


def _section(source_class: type[Source]) -> Iterator[str]:
    noun = source_class.noun
    yield from (f"## {source_class.__name__}", "")
    yield from (_paragraphs(source_class), "")
    yield f"- Noun: `{noun.name}`"
    yield f'- `organization = "{source_class.organization}"`'
    if source_class.owned_by_learner:
        yield "- The owner is the learner's organization (`owned_by_learner`)."
    elif source_class.learner_organization:
        yield f'- `learner_organization = "{source_class.learner_organization}"`'
    for name in METHODS:
        if name in vars(source_class):
            yield f"- `{name}`: {_first_paragraph(getattr(source_class, name))}"
    yield ""
    yield from _own_attributes(source_class)
    yield from _fields(source_class)
    yield from _events(source_class)
    yield from _deadline(source_class)


def _own_attributes(source_class: type[Source]) -> Iterator[str]:
    """Yield the attributes that other sources do not have."""
    own = [name for name in inspect.get_annotations(source_class) if name not in vars(Source)]
    if own:
        written = (
            f'`{name} = "{vars(source_class)[name]}"`' if vars(source_class).get(name) else f"`{name}`" for name in own
        )
        yield from (f"Additional attributes: {', '.join(written)}.", "")


def _fields(source_class: type[Source]) -> Iterator[str]:
    yield from ("### Fields", "", "| Field | Kind | Privacy | Default path | Meaning |", "|---|---|---|---|---|")
    if source_class in OWN_FIELDS:
        yield from (
            _row(field, field.name, _default_path(source_class, field.name)) for field in OWN_FIELDS[source_class]
        )
        yield ""
        return
    names = {field.name for field in source_class.noun.fields}
    others = [*ORGANIZATION_FIELDS, *([LEARNER_ORGANIZATION] if source_class.learner_organization else [])]
    for field in (*source_class.noun.fields, *(other for other in others if other.name not in names)):
        yield _row(field, field.name, _default_path(source_class, field.name))
        for item in field.items:
            path = "pk" if item.name == "id" else item.name
            yield _row(item, f"{field.name}.{item.name}", path)
    yield ""


def _row(field: Field, name: str, path: str) -> str:
    kind = f"{field.kind.value}, **required**" if field.required else field.kind.value
    # The objects of a list have fields of different privacy.
    privacy = FieldPrivacy(field.privacy).value if not field.items else ""
    meaning = field.doc
    if field.choices is not None:
        meaning += f" {', '.join(f'{member.value:d} {status_name(member)}' for member in field.choices)}."
    return f"| `{name}` | {kind} | {privacy} | {f'`{path}`' if path else ''} | {meaning.strip()} |"


def _default_path(source_class: type[Source], name: str) -> str:
    """Return the path of a field where the host's class has no entry for it, as `Source.path_of` finds it."""
    paths = {**merged_fields(source_class), "organization": source_class.organization}
    if source_class.learner_organization:
        paths["learner_organization"] = source_class.learner_organization
    if name in paths:
        return str(paths[name])
    reference, _, rest = name.partition(".")
    if not rest:
        return "pk" if name == "id" else name
    base = paths.get(reference, reference)
    return f"{base}.{'pk' if rest == 'id' else rest}" if base else ""


def _events(source_class: type[Source]) -> Iterator[str]:
    sentences: dict[str, list[str]] = {}
    for rule in source_class.rules:
        for event_type in rule.event_types:
            sentences.setdefault(event_type, []).append(rule.describe(event_type, source_class.noun))
    deadline = source_class.deadline
    if deadline is not None:
        near = f"`{deadline.field}` comes near: the object enters the window of days of a subscription."
        sentences.setdefault(deadline.expiring, []).append(near)
        if deadline.expired:
            sentences.setdefault(deadline.expired, []).append(f"Time passes `{deadline.field}`.")
    yield from ("### Events", "", "| Event | Emitted when |", "|---|---|")
    yield from (f"| `{name}` | {' '.join(changes)} |" for name, changes in sentences.items())
    yield ""


def _deadline(source_class: type[Source]) -> Iterator[str]:
    deadline, closed = source_class.deadline, source_class.closed_when
    if deadline is None:
        return
    reasons = [f"`{name}` has a value" for name in closed.filled]
    reasons += [f"`{name}` is {member.value:d} {status_name(member)}" for name, member in closed.statuses]
    end = f" It no longer matters if {' or '.join(reasons)}." if reasons else ""
    yield from (f"The `deadline` is `{deadline.field}`.{end}", "")


def _first_paragraph(documented: object) -> str:
    text = inspect.cleandoc(getattr(documented, "__doc__", None) or "")
    return " ".join(text.partition("\n\n")[0].split()).replace("``", "`")


def _paragraphs(documented: object) -> str:
    return inspect.cleandoc(getattr(documented, "__doc__", None) or "").replace("``", "`")
