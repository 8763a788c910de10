"""What the commands check before they work."""

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError, connection

from tests.integration.delivery.trouble import Trouble


def test_a_command_refuses_a_wrong_setting(settings_of_app):
    settings_of_app(DRAINS=-1)
    with pytest.raises(SystemCheckError, match="DRAINS"):
        call_command("webhooks_drain", "--until-idle", skip_checks=False)


def test_a_command_loads_no_page_of_the_project(settings, capsys):
    settings.ROOT_URLCONF = "this_module_is_absent"
    call_command("webhooks_drain", "--until-idle", skip_checks=False)
    assert "Requests sent: 0" in capsys.readouterr().out


def test_after_an_error_a_command_does_not_close_the_connection_of_the_callers_transaction(monkeypatch):
    closed = []
    monkeypatch.setattr(connection, "is_usable", lambda: False)
    monkeypatch.setattr(connection, "close", lambda: closed.append("closed"))

    with (
        connection.execute_wrapper(Trouble("SELECT", "tms_webhooks_deliveryattempt", times=1)),
        pytest.raises(OperationalError),
    ):
        call_command("webhooks_tail")

    assert closed == []
