"""What surrounds the app: its queue, the middleware, the time zone."""

from __future__ import annotations

import pytest
from django.core import checks
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.utils.module_loading import import_string

from tests.unit.checks.conftest import ids, only
from tms_webhooks.checks.environment import ACTOR, AUTHENTICATION, check_middleware, check_queue, check_time_zones
from tms_webhooks.conf import CHECKS_TAG, app_settings
from tms_webhooks.queues.base import Queue
from tms_webhooks.queues.silent import SilentQueue


class HalfQueue(Queue):
    """Lacks `every`."""

    def enqueue(self, function, *args):
        raise NotImplementedError


class WorriedQueue(SilentQueue):
    """Has something to say of itself."""

    def check(self):
        return [checks.Warning("No lamp.", hint="Light one.", id="host.W001")]


def queue_at(settings, path: str) -> None:
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "QUEUE": path}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "tms_webhooks.queues.rabbit.RabbitQueue",
            "which can't be imported (No module named 'tms_webhooks.queues.rabbit')",
        ),
        ("tms_webhooks.queues.base.Kyu", 'which can\'t be imported (Module "tms_webhooks.queues.base" does not define'),
        ("nonsense", "which can't be imported (nonsense doesn't look like a module path)"),
        ("tms_webhooks.models.Webhook", "name a subclass of tms_webhooks.queues.Queue."),
        ("tests.unit.checks.test_environment.HalfQueue", "which can't be created"),
    ],
)
def test_a_path_that_leads_to_no_queue_is_refused(settings, path: str, text: str) -> None:
    queue_at(settings, path)
    message = only(check_queue(), "E008")
    assert message.msg.startswith(f"TMS_WEBHOOKS['QUEUE'] is {path!r}")
    assert text in message.msg
    assert message.hint == "Name a subclass of tms_webhooks.queues.Queue that implements `enqueue` and `schedule`."


def test_a_queue_speaks_for_itself(settings) -> None:
    queue_at(settings, "tests.unit.checks.test_environment.WorriedQueue")
    assert [message.id for message in check_queue()] == ["host.W001"]


def test_a_path_that_leads_to_no_queue_is_refused_together_with_the_value_of_another_setting(settings) -> None:
    settings.TMS_WEBHOOKS = {"QUEUE": "nonsense", "ALLOWED_PORTS": "443"}
    messages = run_checks(tags=[CHECKS_TAG])
    assert sorted(number for number in ids(messages) if number.startswith("E")) == ["E003", "E008"]


class HastyQueue(SilentQueue):
    """Reads a setting when it is made."""

    def __init__(self) -> None:
        self.minutes = app_settings.DRAIN_BUDGET_SECONDS / 60


def test_a_queue_that_can_not_read_its_settings_is_not_reported_while_they_are_wrong(settings) -> None:
    path = f"{__name__}.HastyQueue"
    settings.TMS_WEBHOOKS = {"QUEUE": path, "DRAIN_BUDGET_SECONDS": "long"}
    assert check_queue() == []
    settings.TMS_WEBHOOKS = {"QUEUE": path}
    assert check_queue() == []


class BrokenQueue(SilentQueue):
    """Fails when it is made."""

    def __init__(self) -> None:
        raise KeyError("lamp")


def test_a_mistake_in_a_queue_is_not_hidden_while_all_settings_are_right(settings) -> None:
    queue_at(settings, f"{__name__}.BrokenQueue")
    with pytest.raises(KeyError, match="lamp"):
        check_queue()


@pytest.mark.parametrize("wrong", [{"QUEUE": 3}, {"DRAIN_BUDGET_SECONDS": "long"}, ["QUEUE"]])
def test_a_queue_is_not_asked_while_a_setting_is_wrong(settings, wrong: object) -> None:
    settings.TMS_WEBHOOKS = wrong
    assert check_queue() == []


def test_the_actor_is_looked_for_after_the_user_is_known(settings) -> None:
    settings.MIDDLEWARE = [ACTOR, "django.contrib.sessions.middleware.SessionMiddleware", AUTHENTICATION]
    message = only(check_middleware(), "W063")
    assert (
        message.msg
        == f"MIDDLEWARE has {ACTOR} before {AUTHENTICATION}: changes made in between are recorded with the actor 'system'."
    )
    assert message.hint == f"Move {ACTOR} below {AUTHENTICATION}."


@pytest.mark.parametrize("middleware", [[AUTHENTICATION, ACTOR], [ACTOR], [AUTHENTICATION], []])
def test_any_other_order_is_fine(settings, middleware: list[str]) -> None:
    settings.MIDDLEWARE = middleware
    assert check_middleware() == []


def test_the_names_of_the_middleware_are_real() -> None:
    assert [import_string(path).__name__ for path in (ACTOR, AUTHENTICATION)] == [
        "ActorMiddleware",
        "AuthenticationMiddleware",
    ]


def test_times_without_a_zone_are_refused(settings) -> None:
    assert check_time_zones() == []
    settings.USE_TZ = False
    message = only(check_time_zones(), "E064")
    assert message.msg == (
        "USE_TZ is False, and this app needs times with a time zone: each drain ends with an error before it records a "
        "result. Receivers get no event, or the same event again and again."
    )
    assert str(message.hint).startswith("Set USE_TZ = True, Django's default.")


def test_a_host_without_time_zones_gets_no_further_than_its_checks(settings) -> None:
    settings.USE_TZ = False
    with pytest.raises(SystemCheckError, match="E064"):
        call_command("check", tags=[CHECKS_TAG])
