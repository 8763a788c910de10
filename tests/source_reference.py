"""The reference of sources as Markdown: a page per noun, with the paths, events and deadline of its source classes."""

import inspect
from pathlib import Path

from tms_webhooks import sources
from tms_webhooks.catalogue.types.course_assignment import ACTIVITY
from tms_webhooks.catalogue.values import status_name
from tms_webhooks.computed import Computed
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, ORGANIZATION_FIELDS, Source
from tms_webhooks.sources.mapping import merged_fields
from tms_webhooks.sources.rules import Rule
from tms_webhooks.sources.tms import _OnClassOrCourse

GENERAL = Path(__file__).with_suffix(".txt")
"""The part about all sources."""
METHODS = ("events_for", "paths_with")
"""Methods that a class may override, and whose docstrings say the difference."""

CHANGES = {
    sources.AnyChange: "Any of the object's own values changes.",
    sources.Filled: "`{0.field}` gets a value, or an object is created with it.",
    sources.Cleared: "`{0.field}` loses its value.",
    sources.FieldChanged: "`{0.field}` gets another value.",
    sources.DatePassed: "`{0.field}` is moved from the future into the past.",
}
"""Sentences about the changes by which rules emit events. Those of other rules are in their docstrings."""

USUAL = {
    "created": "An object is created.",
    "updated": "Any other change of its own values.",
    "deleted": "An object is deleted.",
}
"""The changes of events that most nouns have, by the ends of their names. The general page says them once."""

OWN_FIELDS = {sources.ActivityProgressSource: ACTIVITY}
"""The fields that a class adds to those of its noun, where another source reads the fields of the noun."""


def source_classes():
    """Return the source classes of the package, in the order of their names."""
    exported = (getattr(sources, name) for name in sources.__all__)
    return [one for one in exported if isinstance(one, type) and issubclass(one, Source) and one is not Source]


def pages():
    """Return a page for each noun that has a source, by its name, and the page ``index`` about all sources."""
    nouns = {}
    for source_class in source_classes():
        nouns.setdefault(source_class.noun.name, []).append(source_class)
    listed = []
    for name, classes in sorted(nouns.items()):
        # GitHub and MyST make the anchor of a heading in lower case.
        links = ", ".join(f"[`{one.__name__}`]({name}.md#{one.__name__.lower()})" for one in classes)
        listed.append(f"- `{name}`: {links}")
    general = GENERAL.read_text(encoding="utf-8")
    texts = {"index": general.replace("{nouns}", "\n".join(listed)).replace("{rules}", "\n".join(_rules()))}
    for name, classes in sorted(nouns.items()):
        texts[name] = "\n".join(_page(classes))
    return {name: text.rstrip() + "\n" for name, text in texts.items()}


def to_markdown():
    """Return all pages as one text."""
    return "\n".join(pages().values())


def page_of(source_class):
    """Return the name of the page about a class of the package."""
    return "index" if source_class is Source else source_class.noun.name


def _page(classes):
    noun = classes[0].noun
    yield from (f"# Sources of {noun.title.lower()}", "")
    yield "For developers who register such a model ([how to read it](index.md#how-to-read-the-page-of-a-noun),"
    yield f"[its fields](../events/{noun.name}.md))."
    yield ""
    for source_class in classes:
        yield from _section(source_class)


def _rules():
    for name in sources.__all__:
        rule = getattr(sources, name)
        if isinstance(rule, type) and issubclass(rule, Rule) and rule is not Rule:
            signature = ", ".join(str(one) for one in inspect.signature(rule).parameters)
            yield f"- `{name}({signature})`: {_first_paragraph(rule)}"


def _section(source_class):
    yield from (f"## {source_class.__name__}", "")
    yield from (inspect.cleandoc(source_class.__doc__ or "").replace("``", "`"), "")
    yield f'- `owner = "{source_class.owner}"`'
    if source_class.owned_by_learner:
        yield "- `owned_by_learner = True`"
    elif source_class.learner:
        yield f'- `learner = "{source_class.learner}"`'
    own = [name for name in inspect.get_annotations(source_class) if name not in vars(Source)]
    yield from (f'- `{name} = "{vars(source_class)[name]}"`' for name in own if vars(source_class).get(name))
    for name in METHODS:
        if name in vars(source_class):
            yield f"- `{name}`: {_first_paragraph(getattr(source_class, name))}"
    yield from _deadline(source_class)
    yield ""
    yield from _fields(source_class)
    yield from _events(source_class)


def _fields(source_class):
    """Yield a row for all fields that are read from attributes of their names, and one for each other path."""
    yield from ("Default paths:", "")
    fields = OWN_FIELDS.get(source_class)
    if fields is None:
        others = [*ORGANIZATION_FIELDS, *([LEARNER_ORGANIZATION] if source_class.learner else [])]
        names = {one.name for one in source_class.noun.fields}
        fields = (*source_class.noun.fields, *(one for one in others if one.name not in names))
    rows, members = {}, {}
    for field in fields:
        reference, _, name = field.name.rpartition(".")
        path = _default_path(source_class, field.name)
        base, _, end = path.rpartition(".")
        is_same = end == ("pk" if name == "id" else name)
        if reference and (not path or (base and is_same)):
            column = "none" if not path else "same name" if base == reference else f"`{base}`"
            members.setdefault((column, reference), []).append(field)
        else:
            column = "same name" if is_same and not base and not reference else f"`{path}`" if path else "none"
            each = f" (each: {', '.join(map(_label, field.items))})" if field.items else ""
            rows.setdefault((column, bool(each)), []).append(_label(field) + each)
    for (column, reference), some in members.items():
        every = [one for one in fields if one.name.startswith(f"{reference}.")]
        rows.setdefault((column, "references"), []).append(_reference(reference, some, every))
    yield from (f"- {', '.join(labels)}: {column}" for (column, _kind), labels in rows.items())
    yield ""


def _reference(reference, members, fields):
    """Return the label of these of the fields of a reference: all of them, or each by its name."""
    if len(members) < len(fields):
        return ", ".join(map(_label, members))
    required = [_label(one, one.name.rpartition(".")[2]) for one in members if one.required]
    return f"`{reference}.*`" + (f" (with {', '.join(required)})" if required else "")


def _label(field, name=""):
    label = f"`{name or field.name}`"
    return f"**{label}**" if field.required else label


def _default_path(source_class, name):
    """Return the path of a field where the host's class has no entry for it, as `Source.path_of` finds it."""
    paths = {**merged_fields(source_class), "organization": source_class.owner}
    if source_class.learner:
        paths["learner_organization"] = source_class.learner
    if name in paths:
        return "" if paths[name] in (None, Computed()) else str(paths[name])
    reference, _, rest = name.partition(".")
    if not rest:
        return "pk" if name == "id" else name
    base = paths.get(reference, reference)
    return f"{base}.{'pk' if rest == 'id' else rest}" if base else ""


def _events(source_class):
    sentences = {}
    for rule in source_class.rules:
        for event_type in rule.event_types:
            # The general page says once that a new object counts, too.
            sentence = change_of(rule, event_type, source_class.noun).replace(", or an object is created with it", "")
            sentences.setdefault(event_type, []).append(sentence)
    deadline = source_class.deadline
    if deadline is not None:
        near = f"`{deadline.field}` comes near: the object enters the window of days of a subscription."
        sentences.setdefault(deadline.expiring, []).append(near)
        if deadline.expired:
            sentences.setdefault(deadline.expired, []).append(f"Time passes `{deadline.field}`.")
    yield from ("Events:", "")
    usual = [name for name, changes in sentences.items() if USUAL.get(name.rpartition(".")[2]) == " ".join(changes)]
    yield from (f"- `{name}`: {' '.join(changes)}" for name, changes in sentences.items() if name not in usual)
    if usual:
        yield f"- {', '.join(f'`{name}`' for name in usual)}: as usual"
    yield ""


def change_of(rule, event_type, noun):
    """Return a sentence about the change by which a rule emits an event of this type."""
    if isinstance(rule, sources.AnyOtherChange):
        another = f"`{rule.field}` gets another value, without another event."
        return another if rule.field else "Any other change of its own values."
    if isinstance(rule, _OnClassOrCourse):
        kind, _, verb = event_type.partition("_feedback.")
        return f"Feedback on a {kind} is {'changed' if verb == 'updated' else verb}."
    if not isinstance(rule, sources.Entered):
        return CHANGES.get(type(rule), (rule.__doc__ or "").partition("\n")[0]).format(rule)
    choices = next((field.choices for field in noun.fields if field.name == rule.field), None)
    values = [value for value, name in rule.events.items() if name == event_type]
    names = " or ".join(f"{value:d} {status_name(choices(value))}" if choices else f"{value}" for value in values)
    return f"`{rule.field}` becomes {names}{', or an object is created with it' if rule.on_creation else ''}."


def _deadline(source_class):
    deadline, closed = source_class.deadline, source_class.closed_when
    if deadline is None:
        return
    reasons = [f"`{name}` has a value" for name in closed.filled]
    reasons += [f"`{name}` is {member.value:d} {status_name(member)}" for name, member in closed.statuses]
    end = f", until {' or '.join(reasons)}" if reasons else ""
    yield f"- The `deadline` is `{deadline.field}`{end}."


def _first_paragraph(documented):
    text = inspect.cleandoc(getattr(documented, "__doc__", None) or "")
    return " ".join(text.partition("\n\n")[0].split()).replace("``", "`")
