"""The house rules that no linter holds, and a proof that the import contracts of pyproject.toml can fail."""

import ast
import shutil
from pathlib import Path

import pytest

import tms_webhooks
from tests import forks

PACKAGE = Path(tms_webhooks.__file__).parent
LONGEST_FILE = 600
LONGEST_FUNCTION = 60
VAGUE_NAMES = {"utils", "helpers", "services", "common", "misc"}
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def modules():
    """Yield each module of the package but the migrations, with its text."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "migrations" not in path.parts:
            yield path.relative_to(PACKAGE), path.read_text()


def body_length(function):
    """Count the lines of a function's body; its signature and docstring are for reading, not for following."""
    has_docstring = ast.get_docstring(function, clean=False) is not None
    statements = function.body[1:] if has_docstring else function.body
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0


def test_no_file_is_longer_than_600_lines():
    too_long = [str(path) for path, text in modules() if len(text.splitlines()) > LONGEST_FILE]

    assert too_long == []


def test_no_function_is_longer_than_60_lines():
    too_long = [
        f"{path}: {node.name}"
        for path, text in modules()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and body_length(node) > LONGEST_FUNCTION
    ]

    assert too_long == []


def test_every_name_says_what_is_inside():
    vague = [str(path) for path, _text in modules() if VAGUE_NAMES & {path.stem, *path.parts}]

    assert vague == []


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package that a test may spoil."""
    pytest.importorskip("importlinter", reason="import-linter is not installed; pip install --group dev does it")
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, root / "tms_webhooks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PACKAGE.parent / "pyproject.toml", root)
    return root


def broken_contracts(root):
    """Return the names of the import contracts that the tree at ``root`` breaks."""
    process = forks.run("-c", LINT, "--no-cache", cwd=root, env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert "Contracts: " in process.stdout, process.stdout + process.stderr
    return [line.partition(" BROKEN")[0] for line in process.stdout.splitlines() if " BROKEN" in line]


def test_the_package_keeps_its_import_contracts(copy):
    assert broken_contracts(copy) == []


LAYERS = "A module imports only from lines below its own; neighbors on a line leave each other alone"
HTTP = "Only net/ talks HTTP"
QUEUE = "Only queues/django_q.py knows django-q2"
CELERY = "Only queues/celery.py knows Celery"
TELEMETRY = "Only telemetry/ knows Prometheus and OpenTelemetry"
API = "Only api/ and mcp/ import Django REST framework"
MCP = "Only mcp/ knows the SDK of MCP"
OPENAPI = "Only api/schema/ knows drf-spectacular"
ACYCLIC = "No module imports one that imports it back"
PURE = "The pure modules know no tables, no HTTP and no queue"


@pytest.mark.slow
@pytest.mark.parametrize(
    "module, line, broken",
    [
        ("models/event.py", "from tms_webhooks.outbox import wake", [LAYERS, ACYCLIC]),  # upwards
        ("outbox/wake.py", "from tms_webhooks.delivery import retry", [LAYERS]),  # sideways
        ("worker/send.py", "import requests", [HTTP]),
        ("tasks.py", "from urllib3.util import Retry", [HTTP]),
        ("queues/wakeup.py", "from django_q.tasks import async_task", [QUEUE]),
        ("queues/wakeup.py", "from celery import current_app", [CELERY]),
        ("worker/send.py", "from opentelemetry import trace", [TELEMETRY]),
        ("apps.py", "import prometheus_client", [TELEMETRY]),
        (
            "worker/results.py",
            "from tms_webhooks import telemetry",
            [LAYERS, ACYCLIC],
        ),  # the engine is watched, it does not look
        ("admin/__init__.py", "from rest_framework import serializers", [API]),
        ("api/pagination.py", "from mcp import types", [MCP]),
        ("api/views/resource.py", "from drf_spectacular.utils import extend_schema", [OPENAPI]),
        ("delivery/retry.py", "from tms_webhooks.models import Delivery", [PURE]),
        ("net/addresses.py", "def late():\n    from tms_webhooks.net import urls", [ACYCLIC]),
        ("payloads/envelope.py", "from tms_webhooks.sources import rows", [PURE]),  # by way of another module
    ],
)
def test_an_import_that_a_contract_forbids_breaks_it(copy, module, line, broken):
    path = copy / "tms_webhooks" / module
    kept = path.read_text()
    try:
        path.write_text(f"{kept}\n{line}\n")

        assert broken_contracts(copy) == broken
    finally:
        path.write_text(kept)


def test_a_new_module_needs_a_place_in_the_layers(copy):
    path = copy / "tms_webhooks" / "newcomer.py"
    try:
        path.write_text("")

        assert broken_contracts(copy) == [LAYERS]
    finally:
        path.unlink()
