"""Only `delivery/lifecycle.py` writes whether a webhook is enabled or deleted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tms_webhooks

PACKAGE = Path(tms_webhooks.__file__).parent
FIELDS = {"enabled", "disabled_reason", "disabled_at", "deleted_at"}
WRITING_METHODS = {"update", "bulk_update", "save", "_write"}


def written_fields(text: str) -> set[str]:
    """Return which of `FIELDS` a module assigns to an object, or names in a call that writes rows."""
    return FIELDS & {name for node in ast.walk(ast.parse(text)) for name in _names_in(node)}


def _names_in(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr
    if isinstance(node, ast.Call) and _name_of(node.func) == "setattr":
        yield from _texts_in(node)
    if isinstance(node, ast.Call) and _name_of(node.func) in WRITING_METHODS:
        yield from (keyword.arg for keyword in node.keywords if keyword.arg is not None)
        yield from _texts_in(node)


def _name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _texts_in(node: ast.AST) -> Iterator[str]:
    return (one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str))


def modules() -> dict[str, str]:
    paths = (path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)
    return {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in paths}


def test_no_other_module_writes_the_state_of_a_webhook():
    writing = {name: fields for name, text in modules().items() if (fields := written_fields(text))}

    assert writing == {"delivery/lifecycle.py": FIELDS}


@pytest.mark.parametrize(
    ("text", "field"),
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
def test_a_module_that_writes_it_is_found(text, field):
    assert written_fields(text) == {field}


@pytest.mark.parametrize("text", ["rows.filter(enabled=True)", "print(webhook.enabled)", "Webhook(enabled=False)"])
def test_a_module_that_reads_it_or_makes_a_new_webhook_is_not_found(text):
    assert written_fields(text) == set()
