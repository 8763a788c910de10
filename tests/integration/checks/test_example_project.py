"""The example project passes its own app's checks, as every new host should."""

from django.core.checks import run_checks
from django.core.management import call_command

from tms_webhooks.checks.messages import PREFIX

# Django's own checks ask the database what it can do.


def own_ids(*, deploy):
    messages = run_checks(include_deployment_checks=deploy)
    return sorted(str(message.id) for message in messages if str(message.id).startswith(f"{PREFIX}."))


def test_the_example_project_is_clean():
    call_command("check")
    assert own_ids(deploy=False) == []


def test_deploying_it_as_it_is_brings_up_what_the_demo_needs_and_nothing_else(settings, settings_of_app):
    settings_of_app(ENCRYPTION_KEYS=[])  # as in the example project
    # Django 6.1 refuses the mail backend of tests.
    settings.SILENCED_SYSTEM_CHECKS = [*settings.SILENCED_SYSTEM_CHECKS, "mail.E001"]
    call_command("check", deploy=True)
    assert own_ids(deploy=True) == [f"{PREFIX}.W070", f"{PREFIX}.W071"]
