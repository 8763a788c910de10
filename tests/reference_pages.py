"""The pages of the reference that are made of the code. They stand in ``docs/reference``, and a test compares them."""

import ast
import inspect
import json
import os
import re
import textwrap
from pathlib import Path
from unittest import mock

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator

from tests import polled_searches, source_reference
from tests.catalogue import only_canonical
from tms_webhooks import choices, conf, event_names, signals
from tms_webhooks.api.serializers.webhooks import WebhookSerializer
from tms_webhooks.catalogue.types import BUILT_IN
from tms_webhooks.documents.events import to_markdown
from tms_webhooks.models import Webhook, WebhookState

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
NO_DATABASE = "../../tests/acceptance/test_without_migrate.py#test_each_command_says_in_one_line_that_the_database_does_not_answer"
SILENT = "../../tests/acceptance/test_silent_database.py#test_another_command_ends_with_one_line"
NO_QUERY = "../../tests/acceptance/test_silent_database.py#test_a_query_without_an_answer_ends_health_too"
MARK = "*Generated from the code.*"
"""The first words of each page."""
PLAIN = ("a string", "True or False", "a list of strings")
"""The types that the default of a setting shows."""
COMMON = {"--dry-run": "count only, and change nothing", "--json": "print one JSON object"}
"""Options that most commands have, which the page explains once."""
NOTHING_STARTED = " 2: an argument is invalid, and nothing was started."
"""An exit status that the page explains once."""
OF_DJANGO = {name for action in BaseCommand().create_parser("", "")._actions for name in action.option_strings}


def settings():
    """Yield the lines of the page on settings, in the groups of conf.py."""
    yield "# Settings\n"
    yield f"For operators and developers: write the settings that you change into the dictionary `{conf.SETTING_NAME}`."
    yield "`manage.py check` reports mistakes in it.\n"
    yield f"`{conf.ORGANIZATION_MODEL_SETTING}` is a separate setting: your organization model as `app_label.ModelName`."
    yield "Set it before the first migrate.\n"
    source = Path(conf.__file__).read_text(encoding="utf-8")
    declared = {setting.name: setting for setting in conf.declared()}
    heading = ""
    for line in source[source.index("class AppSettings") :].splitlines():
        named = re.match(r"    ([A-Z_]+)(?::[^=]+)? = ", line)
        if line.startswith("    # "):
            # A comment is a heading only if a setting follows.
            heading = f"## {line.removeprefix('    # ')}\n\n"
        elif named and named[1] in declared:
            setting = declared[named[1]]
            yield f"{heading}### {setting.name}\n"
            heading = ""
            yield f"{_as_code(str(setting.__doc__))}\n"
            # The default shows whether a number is a whole one.
            limits = re.fullmatch(r"a (?:whole )?number (?:of )?((?:at|from) .+)", setting.expects)
            kind = "" if limits or setting.expects in PLAIN else f"Type: {_as_code(setting.expects)}. "
            yield f"{kind}Default: `{_literal(setting.default)}`{f', {limits[1]}' if limits else ''}.\n"


def _as_code(text):
    """Return a text with its Python literals as inline code, so that no typographer changes their quotation marks."""
    return re.sub(r"\{'[^}]*\}|(?<![\w`])'[^'\s]*'(?!\w)", lambda match: f"`{match[0]}`", text)


def _literal(value):
    """Return a default as Python source, with underscores in large numbers."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return f"{value:_}" if type(value) in (int, float) else repr(value)


def commands():
    """Yield the lines of the page on management commands, from their argparse help."""
    yield "# Commands\n"
    yield "For operators and developers: look up a command, its options and its exit status. Unless a command says otherwise, `--dry-run` counts only"
    yield "and changes nothing, and `--json` prints one JSON object. With invalid arguments, a command does nothing and exits with status 2."
    yield f"So it does [with one line]({NO_DATABASE}) if the database does not answer [within 5 s]({SILENT})."
    yield "But `webhooks_drain` without `--until-idle` and `--seconds` waits, and `webhooks_health --restart-hint` exits with"
    yield f"status 0. If the database does not answer a query, `webhooks_health` [ends after 5 s]({NO_QUERY}), and the"
    yield "others wait.\n"
    for name in sorted(name for name, app in get_commands().items() if app == "tms_webhooks"):
        command = load_command_class("tms_webhooks", name)
        parser = command.create_parser("manage.py", name)
        yield f"## {name}\n"
        yield f"{command.help.replace(NOTHING_STARTED, '')}\n"
        own = [one for one in parser._actions if not OF_DJANGO.intersection(one.option_strings)]
        common = [one for one in own if COMMON.get(_option(one).strip("`")) == one.help]
        yield from (f"- {_option(one)}: {one.help}" for one in own if one not in common)
        if common:
            yield f"- {', '.join(map(_option, common))}"
        yield ""


def _option(action):
    values = action.metavar or ("|".join(map(str, action.choices)) if action.choices else "")
    if not action.option_strings:
        return f"`{values or action.dest}`".replace("|", "` or `")
    takes = "" if action.nargs == 0 else f" {values or action.dest.upper()}"
    return f"`{'|'.join(action.option_strings)}{takes}`".replace("|", "` or `")


def signal_page():
    """Yield the lines of the page on signals, from the docstrings of signals.py."""
    yield "# Signals\n"
    yield "For developers: run your own code when something happens. Receivers get keyword arguments only; their errors are"
    yield "logged and not raised.\n"
    source = Path(signals.__file__).read_text(encoding="utf-8")
    for name, doc in re.findall(r'^(\w+) = \w*Signal\(\)\n"""(.*?)"""', source, re.MULTILINE | re.DOTALL):
        yield f"## {name}\n"
        yield doc.replace("``", "`") + "\n"


def statuses():
    """Yield the lines of the page on deliveries: their statuses, and the reasons that the API and the log give."""
    yield "# Statuses and reasons\n"
    yield "For integrators, administrators and operators: look up a value of a delivery, an attempt, a webhook or a job. The API has these values;"
    yield "the admin's names follow if they differ.\n"
    for title, text, values in STATUSES:
        yield f"## {title}\n"
        yield f"{text}\n"
        for member, meaning in _documented(values):
            # The API writes the name of a priority, not its number.
            value = member.name.lower() if isinstance(member.value, int) else member.value
            label = "" if str(member.label).lower() == value.replace("_", " ") else f" (*{member.label}*)"
            yield f"- `{value}`{label}: {meaning}"
        yield ""


STATUSES = (
    (
        "Status of a delivery",
        "A delivery is one event for one webhook. `pending` and `waiting` deliveries are sent automatically; the\n"
        "others are finished. [Send](api.md#jobs-and-dry-runs) failed, skipped and cancelled ones again when the\n"
        "receiver works.",
        choices.DeliveryStatus,
    ),
    (
        "Result of an attempt",
        "`result` of an attempt, and the figures of `stats/`. The figures leave out tests, and retried failures of the egress "
        "proxy or for a missing encryption key.",
        choices.AttemptResult,
    ),
    ("Error class of an attempt", "`error_class` of an attempt, and of the delivery's last one.", choices.ErrorClass),
    (
        "Reason for the time of the next attempt",
        "`delay_reason` of an attempt. See [at-least-once delivery](../explanation/at-least-once.md).",
        choices.DelayReason,
    ),
    ("Priority of a delivery", "`priority` of a delivery.", choices.Priority),
    (
        "Reason that a webhook is disabled",
        "`disabled_reason` of a webhook. A success enables a webhook that the system disabled. See [the health of a\n"
        "webhook](../explanation/health.md).",
        choices.DisabledReason,
    ),
    ("Health of a webhook", "`health` of a webhook, the most urgent first.", choices.Health),
    ("Reason that a webhook is held", "`hold_reason` of a webhook.", choices.HoldReason),
    ("Kind of a job", "`kind` of a job.", choices.JobKind),
    ("Status of a job", "`status` of a job.", choices.JobStatus),
)


def _documented(values):
    """Yield the members of a closed list, each with its docstring; the value itself where it has none."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(values))).body
    assert isinstance(tree, ast.ClassDef)
    for statement, following in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            text = following.value if isinstance(following, ast.Expr) else None
            meaning = str(text.value) if isinstance(text, ast.Constant) else ""
            yield values[statement.targets[0].id], " ".join(meaning.replace("``", "`").split())


def webhook_fields():
    """Yield the lines of the page on the fields of a webhook, as the API names them."""
    serializer = WebhookSerializer()
    yield "# Fields of a webhook\n"
    yield "For integrators: look up what you can set. These are the fields of `webhooks/` in the [API](api.md). The admin's form has those"
    yield "that can be set, and so have [configuration files](../howto/yaml.md), except `preset`.\n"
    for name, field in serializer.fields.items():
        yield _webhook_field(name, is_read_only=field.read_only or name in WebhookSerializer.Meta.set_by_system)
    for name, values in VALUES.items():
        yield f"\n## `{name}`\n"
        yield from (f"- `{member.value}`: {meaning or member.label}" for member, meaning in _documented(values))


def _webhook_field(name, *, is_read_only):
    columns = (*WebhookState._meta.concrete_fields, *Webhook._meta.concrete_fields)
    column = {one.name: one for one in columns}.get(name)
    internal_type = "" if column is None else column.get_internal_type()
    if name not in WEBHOOK_FIELDS and internal_type not in TYPES:
        raise ValueError(f"Describe {name} in WEBHOOK_FIELDS, or {internal_type or 'its type'} in TYPES.")
    kind, text = WEBHOOK_FIELDS.get(name) or (TYPES[internal_type], str(column.help_text))
    kind = f"{kind} or null" if column is not None and column.null else kind
    given = column.default if column is not None and column.has_default() and not callable(column.default) else ""
    default = f", default `{json.dumps(getattr(given, 'value', given))}`" if given != "" else ""
    return f"- `{name}`: {kind}{', read-only' if is_read_only else default}. {text}{_limits(column)}"


def _limits(column):
    if column is None or not column.editable or column.choices:
        return ""
    limits = {type(one): one.limit_value for one in column.validators if type(one) in LIMITS}
    # Other limits are those of the database's numbers.
    stated = {kind: limit for kind, limit in limits.items() if limit > 0 and limit not in OF_COLUMNS}
    return "".join(f" {LIMITS[kind].format(limit)}" for kind, limit in stated.items())


LIMITS = {
    MinValueValidator: "At least {:,}.",
    MaxValueValidator: "At most {:,}.",
    MaxLengthValidator: "At most {:,} characters.",
}
OF_COLUMNS = {2 ** (bits - 1) - sign for bits in (17, 16, 33, 32, 65, 64) for sign in (0, 1)}
TYPES = {
    "JSONField": "object",
    "BooleanField": "boolean",
    "DateTimeField": "string",
    "CharField": "string",
    "TextField": "string",
    "FloatField": "number",
    "IntegerField": "integer",
    "PositiveIntegerField": "integer",
    "PositiveSmallIntegerField": "integer",
}
VALUES = {
    "audience": choices.Audience,
    "authentication": choices.AuthenticationKind,
    "error_action": choices.ErrorAction,
}
REASONS = "(statuses.md#reason-that-a-webhook-is"
WEBHOOK_FIELDS = {
    "id": ("string", "The id of the webhook, `whk_…`."),
    "organization": ("integer or string", "The id of its organization. Set on creation."),
    "name": ("string", "A name for people."),
    "verb": ("string", "The HTTP method: `POST`, `PUT`, `PATCH`, `GET` or `DELETE`."),
    "headers": (
        "object",
        "More headers of each request: names and values. Values are encrypted, and answers mask them.",
    ),
    "authentication": (
        "object",
        "How requests authenticate: `kind` and the values of that kind. Values are encrypted, and answers mask secrets.",
    ),
    "schedule": (
        "string or array",
        "`standard`, `skillable`, `none`, or a list of at most 15 delays in seconds. Empty: `standard`.",
    ),
    "max_in_flight": (
        "integer",
        "The number of concurrent requests. Empty: the operator's `MAX_IN_FLIGHT` (32), which a new number can't exceed.",
    ),
    "preset": (
        "string",
        "Write-only: fill in `format`, `verb`, `content`, `contents` and the content type for this receiver and the "
        "subscribed events. See [presets](formats.md#presets).",
    ),
    "warnings": (
        "array of strings",
        "The tokens that are empty in some of the subscribed events. For a single webhook also the ids in filters that no "
        "object of the organization has.",
    ),
    "contacts": ("array of strings", "E-mail addresses to notify."),
    "subscriptions": ("array of objects", "The subscribed event types. Set on creation; later at `subscriptions/`."),
    "enabled": ("boolean", "Whether requests are sent. Set on creation; later by `enable/` and `disable/`."),
    "state": (
        "string",
        "`enabled`; `held`, until a known time and without failures; `paused`, until a known time after failures; or "
        "`disabled`.",
    ),
    "health": (
        "string",
        "`healthy`, `degraded`, `failing`, `disabled` or `idle`, [from its attempts and deliveries](../explanation/health.md).",
    ),
    "disabled_reason": ("string", f"[The reason]{REASONS}-disabled), or empty."),
    "disabled_at": ("string", "When it was disabled."),
    "failures": ("integer", "Consecutive failed attempts."),
    "failing_since": ("string", "The first failure since the last success."),
    "succeeded_at": ("string", "The last success."),
    "paused_until": ("string", "The end of the pause after failures. Deliveries wait until then."),
    "held_until": ("string", "The end of the hold. Deliveries wait until then. Null once it has ended."),
    "hold_reason": ("string", f"[The reason]{REASONS}-held), or empty. Empty once the hold has ended."),
    "created_at": ("string", "When it was created."),
    "updated_at": ("string", "When its configuration was last changed."),
}
"""The type and meaning of fields whose column does not say it."""

PAGES = {
    "settings": settings,
    "commands": commands,
    "signals": signal_page,
    "statuses": statuses,
    "webhook": webhook_fields,
    "searches": polled_searches.page,
}


FOLDERS = ("events", "sources")
"""Folders of generated pages only."""

FOR_INTEGRATORS = "For integrators: look up what an event contains."
WHOLE = "The others show only the values that differ from it, besides the type."
SIMILAR = "They are left out where another status is all that differs, except the first."
SEE_INDEX = "For integrators who parse these events. The fields of `data` ([how to read them](index.md)):"

OBVIOUS = re.compile(
    r"^(- `[^`]+`: [^.\n]+)\. (?:(?:Id|External id|Name|Title|Text|Description|First name|Last name|E-mail address|City|State or province"
    r"|Postal code|Country) of the \w+(?: \w+)?|(?:First|Middle|Last) name|E-mail address|Telephone number"
    r"|The (?:achievement|class|course|learning path)|Ids? of the user's \w+(?: \w+)?|Ids of all instructors of the class"
    r"|When (?:the session \w+|the voucher was redeemed|the record was .*))\.$",
    re.MULTILINE,
)
"""A field whose name says its meaning."""
OBVIOUS_FIELDS = "A field without a meaning has that of its name."
USUAL = re.compile(r"^(- `[^`]+`: [\w ,]+), basic(?=$|[:.])", re.MULTILINE)
"""A field with the most frequent privacy, which the page says once."""
USUAL_PRIVACY = "and the privacy of a field that names none"

SAMPLE = re.compile(r"\n```json\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
STATUSES_OF = ({"status"}, {"completion_status"})
COUNTS = {"enrolled_count", "open_count"}
"""Values that do not matter to an event of a status."""

OF_EVERY_NOUN = """## Events of most nouns

- `removed`: your organization no longer sees an object, such as after a move: delete your copy. It has no `digest`, and `data` has ids only.
- `added`: your organization sees an object from now on, such as after a move. `data` is its current state.
- `snapshot`: the current state of one object, sent by a [snapshot](../../howto/snapshot.md). Nothing has changed.

In these events, `changed` and `previous` are empty. `GET event-types/{name}/example/` returns a sample of each. A learning path has
`snapshot` only, and a webhook none of them."""


def event_pages(event_types):
    """Return a page for each noun of these event types, by its name, and the page ``index`` that links to them."""
    nouns = {}
    for event_type in event_types:
        nouns.setdefault(event_type.noun.name, []).append(event_type)
    whole = to_markdown(event_types)
    first = next(iter(nouns.values()))[0].noun.title
    about = whole.partition(f"## {first}\n")[0].replace("Fields may be null", f"{OBVIOUS_FIELDS} Fields may be null")
    about = about.replace("# Events\n\n", f"# Events\n\n{FOR_INTEGRATORS} ").replace(
        "**basic**: facts", f"**basic**, {USUAL_PRIVACY}: facts"
    )
    about = about.replace(WHOLE, f"{WHOLE} {SIMILAR}")
    lines = [about + OF_EVERY_NOUN, "", "## Event types", ""]
    texts = {}
    for name, members in nouns.items():
        title = members[0].noun.title
        own = [one for one in members if one.name not in event_names.of_every_noun(name)]
        # GitHub and MyST leave the dots out of an anchor.
        links = [f"[`{one.name}`]({name}.md#{one.name.replace('.', '')})" for one in own]
        lines.append(f"- **[{title}]({name}.md)**: {' '.join(links)}")
        about = USUAL.sub(r"\1", OBVIOUS.sub(r"\1", to_markdown(own).partition(f"\n## {title}\n")[2]))
        about = SAMPLE.sub(_unless_similar(), about)
        texts[name] = f"# {title}\n\n{SEE_INDEX}\n" + re.sub(r"^### ", "## ", about, flags=re.MULTILINE).rstrip() + "\n"
    return {"index": "\n".join(lines) + "\n", **texts}


def _unless_similar():
    """Return a function for matches of samples, which leaves out those of another status alone, except the first."""
    seen = []

    def text(match):
        sample = json.loads(match[1])
        names = {*sample.get("data", {}), *sample.get("changed", [])} - COUNTS
        is_similar = names in seen
        if names in STATUSES_OF:
            seen.append(names)
        return "" if is_similar else match[0]

    return text


def pages():
    """Return the text of each page by its path in ``docs/reference``."""
    # The fields of the example project are not the package's.
    with only_canonical():
        folders = {"events": event_pages(BUILT_IN), "sources": source_reference.pages()}
    # argparse wraps lines at the width of the terminal. A blank line at the end is a defect for the linters.
    with mock.patch.dict(os.environ, COLUMNS="120"):
        texts = {f"{name}.md": "\n".join(page()).rstrip() + "\n" for name, page in PAGES.items()}
    texts |= {f"{folder}/{name}.md": text for folder, found in folders.items() for name, text in found.items()}
    return {name: text.replace("\n\n", f"\n\n{MARK} ", 1) for name, text in texts.items()}


def write():
    """Write all pages, and delete those of nouns that are gone."""
    for folder in FOLDERS:
        (REFERENCE / folder).mkdir(exist_ok=True)
        for file in (REFERENCE / folder).glob("*.md"):
            file.unlink()
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
