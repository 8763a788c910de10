"""``manage.py webhooks_drain --once reconcile`` says what it found, as text and as JSON."""

import io
import json

import pytest
from django.core.management import call_command

from example_project.training.factories import TrainingClassFactory
from example_project.training.models import TrainingClass
from example_project.training.webhooks import TrainingClasses
from tests import uncaptured
from tests.factories import WebhookFactory
from tms_webhooks import reconciliation
from tms_webhooks.models import Event, SourceState

NAME = "training.TrainingClass:TrainingClasses"


@pytest.fixture
def reconciled(monkeypatch):
    monkeypatch.setattr(TrainingClasses, "reconcile", True)


@pytest.fixture
def renamed(reconciled):
    """A class that was renamed unseen after the first pass."""
    training_class = TrainingClassFactory()
    WebhookFactory(organization=training_class.organization, events=["class.*"])
    run()
    uncaptured.update(TrainingClass.objects.all(), name="Renamed")
    return training_class


FAILED = f"Failures are in the log, and the next run tries again: {NAME}.\n"


def line(**counts):
    names = ("seen", "created", "changed", "deleted", "noted", "events", "failed_objects", "unbuilt")
    return f"{NAME}: {', '.join(f'{counts.get(name, 0)} {name}' for name in names)}.\n"


def run(*arguments):
    out = io.StringIO()
    call_command("webhooks_drain", "--once", "reconcile", *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_the_changes_and_events(renamed):
    assert run() == line(seen=1, changed=1, events=1)
    assert Event.objects.get().actor_kind == "reconcile"


def test_json_is_one_object(renamed):
    facts = json.loads(run("--json"))

    assert facts == {
        "dry_run": False,
        "sources": {
            NAME: {
                "seen": 1,
                "created": 0,
                "changed": 1,
                "deleted": 0,
                "noted": 0,
                "events": 1,
                "finished": True,
                "failed": False,
                "failed_objects": 0,
                "unbuilt": 0,
            }
        },
    }


def test_the_first_pass_says_that_it_takes_down(monkeypatch):
    TrainingClassFactory()
    monkeypatch.setattr(TrainingClasses, "reconcile", True)

    assert run() == line(seen=1, noted=1)
    assert SourceState.objects.count() == 1


def test_without_any_source_it_says_so():
    assert run() == "No source has reconcile = True: nothing was compared. Set it in the class of a source.\n"


@pytest.fixture
def failed(capsys):
    """Run the command, which must end with 1; return what it printed."""

    def failed():
        with pytest.raises(SystemExit, match="^1$"):
            call_command("webhooks_drain", "--once", "reconcile")
        return capsys.readouterr().out

    return failed


def test_a_source_that_fails_ends_it_with_1(renamed, monkeypatch, failed):
    monkeypatch.setattr(reconciliation, "reconcile", lambda *_args, **_options: [][0])

    assert failed() == line() + FAILED


def test_objects_that_fail_are_counted_and_end_it_with_1(renamed, caplog, failed):
    uncaptured.update(TrainingClass.objects.all(), confirmation_status_id=99)

    assert failed() == line(seen=1, failed_objects=1) + FAILED
    assert f"training.TrainingClass {renamed.pk} could not be reconciled." in caplog.text


def test_events_that_can_not_be_built_are_counted_and_end_it_with_1(renamed, settings_of_app, caplog, failed):
    settings_of_app(STRICT_PAYLOADS=False)
    other = TrainingClassFactory(organization=renamed.organization)
    run()
    uncaptured.update(TrainingClass.objects.filter(pk__in=[renamed.pk, other.pk]), confirmation_status_id=99)
    Event.objects.all().delete()

    assert failed() == line(seen=2, changed=2, unbuilt=2) + FAILED
    assert "was recorded without a payload: status: the value 99 is not" in caplog.text
    assert list(Event.objects.values_list("body", flat=True)) == [""] * 2
    assert run() == line(seen=2)
