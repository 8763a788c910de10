"""Only `manage/` writes what people ask for: the surfaces parse and print, and the engine disables."""

import ast
from pathlib import Path

import pytest

import tms_webhooks

PACKAGE = Path(tms_webhooks.__file__).parent
SURFACES = {"admin", "api", "config_files", "management"}
STATE = {"enabled", "disabled_reason", "disabled_at", "deleted_at"}
WRITING_METHODS = {"update", "bulk_update", "save", "write"}
CREATING_METHODS = {"save", "create", "bulk_create", "get_or_create", "update_or_create", "bulk_update", "delete"}
MODEL_METHODS = {"add_to", "end_pause", "reopen", "record"}
"""The methods of models that write what a verb of `manage/` asks for."""
OWN_ROWS = {
    "admin/webhook_form.py": {"request.session.save"},
    "api/safe_writes.py": {"rows.outdated(now).filter(digest=digest).delete", "rows.create"},
}
"""The writes of a surface to rows of its own: sessions, and the answers of repeated requests."""


def modules():
    paths = (path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)
    return {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in paths}


def writes(text):
    """Return the calls of a module that write a row, but for those of verbs of `manage/`."""
    tree = ast.parse(text)
    verbs = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tms_webhooks.manage")
        for alias in node.names
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return {ast.unparse(one.func) for one in calls if _writes(one) and ast.unparse(one.func.value) not in verbs}


def _writes(call):
    # An update of a dictionary names no keywords; one of rows does.
    name = _name_of(call.func)
    return name in CREATING_METHODS | MODEL_METHODS or (name == "update" and bool(call.keywords))


def written_state(text):
    """Return which of `STATE` a module assigns to an object, or names in a call that writes rows."""
    return STATE & {name for node in ast.walk(ast.parse(text)) for name in _names_in(node)}


def _names_in(node):
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr
    if isinstance(node, ast.Call) and _name_of(node.func) == "setattr":
        yield from _texts_in(node)
    if isinstance(node, ast.Call) and _name_of(node.func) in WRITING_METHODS:
        yield from (keyword.arg for keyword in node.keywords if keyword.arg is not None)
        yield from _texts_in(node)


def _name_of(function):
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _texts_in(node):
    return (one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_no_surface_writes_a_row_or_an_audit_entry():
    surfaces = {name: text for name, text in modules().items() if name.partition("/")[0] in SURFACES}

    assert {name: found for name, text in surfaces.items() if (found := writes(text))} == OWN_ROWS


def test_no_other_module_writes_the_state_of_a_webhook():
    writing = {name: fields for name, text in modules().items() if (fields := written_state(text))}

    assert writing == {"delivery/lifecycle.py": STATE - {"deleted_at"}, "manage/webhooks.py": STATE - {"enabled"}}


@pytest.mark.parametrize(
    "text",
    [
        "webhook.save(update_fields=['name'])",
        "Webhook.objects.create(name='CRM')",
        "subscription.delete()",
        "rows.filter(pk=1).update(name='CRM')",
        "Subscription.objects.add_to(webhook, rows)",
        "AuditEntry.objects.record(action, webhook, actor=actor, now=now)",
    ],
)
def test_a_surface_that_writes_is_found(text):
    assert writes(text) == {text.partition("(")[0] if "filter" not in text else "rows.filter(pk=1).update"}


@pytest.mark.parametrize(
    "text", ["values.update({'name': 'CRM'})", "from tms_webhooks.manage import webhooks\nwebhooks.create(row)"]
)
def test_a_surface_that_calls_a_verb_or_changes_a_dictionary_is_not_found(text):
    assert writes(text) == set()


@pytest.mark.parametrize(
    "text, field",
    [
        ("webhook.enabled = False", "enabled"),
        ("webhook.disabled_reason, webhook.name = reason, name", "disabled_reason"),
        ("rows.filter(pk=1).update(disabled_at=now)", "disabled_at"),
        ("rows.update(**{'deleted_at': now})", "deleted_at"),
        ("webhook.save(update_fields=['name', 'enabled'])", "enabled"),
        ("rows.bulk_update(webhooks, ['enabled'])", "enabled"),
        ("setattr(webhook, 'enabled', True)", "enabled"),
    ],
)
def test_a_module_that_writes_the_state_is_found(text, field):
    assert written_state(text) == {field}


@pytest.mark.parametrize("text", ["rows.filter(enabled=True)", "print(webhook.enabled)", "Webhook(enabled=False)"])
def test_a_module_that_reads_the_state_or_makes_a_new_webhook_is_not_found(text):
    assert written_state(text) == set()
