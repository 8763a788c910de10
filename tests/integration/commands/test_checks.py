"""What the commands check before they work."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

pytestmark = pytest.mark.django_db


def test_a_command_refuses_a_wrong_setting(settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "DRAINS": -1}
    with pytest.raises(SystemCheckError, match="DRAINS"):
        call_command("webhooks_drain", "--until-idle", skip_checks=False)


def test_a_command_loads_no_page_of_the_project(settings, capsys):
    settings.ROOT_URLCONF = "this_module_is_absent"
    call_command("webhooks_drain", "--until-idle", skip_checks=False)
    assert "Requests sent: 0" in capsys.readouterr().out
