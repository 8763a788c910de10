"""Export and import documents by their commands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from django.core.management import call_command


@pytest.fixture
def exported(capsys) -> Callable[..., str]:
    """Return the document of all webhooks."""

    def exported(*arguments: str) -> str:
        call_command("webhooks_export", *arguments)
        return str(capsys.readouterr().out)

    return exported


@pytest.fixture
def imported(capsys, tmp_path) -> Callable[..., str]:
    """Import a document; return what was printed."""

    def imported(document: object, *arguments: str) -> str:
        file = tmp_path / "webhooks.yaml"
        file.write_text(document if isinstance(document, str) else yaml.safe_dump(document), encoding="utf-8")
        call_command("webhooks_import", str(file), *arguments)
        return str(capsys.readouterr().out)

    return imported
