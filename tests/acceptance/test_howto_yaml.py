"""The file in docs/howto/yaml.md can be imported as it stands, and comes out the same."""

import re
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command

from example_project.training.factories import OrganizationFactory

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "yaml.md"


@pytest.mark.django_db
def test_the_file_of_the_page_is_one(tmp_path, monkeypatch, capsys):
    (document,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    file = tmp_path / "webhooks.yaml"
    file.write_text(document)
    OrganizationFactory(external_id="ACME-EU")
    monkeypatch.setenv("WEBHOOK_ACME_EU_CRM_SECRET", "whsec_" + "A" * 43 + "=")
    monkeypatch.setenv("WEBHOOK_ACME_EU_CRM_HEADER_X_API_VERSION", "2")
    monkeypatch.setenv("WEBHOOK_ACME_EU_CRM_AUTHENTICATION_CLIENT_SECRET", "s3cret")

    call_command("webhooks_import", str(file))
    assert capsys.readouterr().out.endswith("1 webhook changed.\n")
    call_command("webhooks_export")

    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(document)
