"""Export and import documents by their commands."""

import pytest
import yaml
from django.core.management import call_command


@pytest.fixture
def exported(capsys):
    """Return the document of all webhooks."""

    def exported(*arguments):
        call_command("webhooks_export", *arguments)
        return str(capsys.readouterr().out)

    return exported


@pytest.fixture
def imported(capsys, tmp_path):
    """Import a document; return what was printed."""

    def imported(document, *arguments):
        file = tmp_path / "webhooks.yaml"
        file.write_text(document if isinstance(document, str) else yaml.safe_dump(document), encoding="utf-8")
        call_command("webhooks_import", str(file), *arguments)
        return str(capsys.readouterr().out)

    return imported
