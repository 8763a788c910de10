"""A pass is done in batches, and one that is cut short goes on from where it was; two at once tell each change once."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.integration.capture.reconcile.conftest import Workshops, unseen, unseen_insert
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Workshop
from tests.threads import at_once, several
from tms_webhooks import reconciliation, tasks
from tms_webhooks.models import Event, Reconciliation, SourceState
from tms_webhooks.reconciliation import ReconcileResult, reconcile_all


def renamed():
    return [event.subject_id for event in Event.objects.filter(type="workshop.changed").order_by("pk")]


@pytest.mark.parametrize("batch", [1, 2, 5, 6])
def test_the_size_of_a_batch_changes_nothing(source, workshops, reconcile, batch):
    unseen("UPDATE testapp_workshop SET title = 'Renamed' WHERE seats > 0")
    unseen("DELETE FROM testapp_workshop WHERE seats = 0")

    assert reconcile(source, batch=batch) == ReconcileResult(seen=4, changed=4, deleted=1, events=5)
    assert renamed() == [str(workshop.pk) for workshop in workshops[1:]]


def test_a_pass_that_is_stopped_goes_on_from_there(source, workshops, reconcile):
    unseen("UPDATE testapp_workshop SET title = 'Renamed'")
    calls = iter([False, True])

    first = reconcile(source, batch=1, stop=lambda: next(calls))
    second = reconcile(source, batch=1, begin=False)

    assert (first.seen, first.changed, first.finished) == (2, 2, False)
    assert (second.seen, second.changed, second.finished) == (3, 3, True)
    assert len(renamed()) == 5
    assert reconcile(source, begin=False) == ReconcileResult()


@pytest.mark.parametrize("killed_at", ["advance", "overwrite", "record"])
def test_a_killed_pass_and_the_next_one_record_each_change_once(source, workshops, reconcile, monkeypatch, killed_at):
    unseen("UPDATE testapp_workshop SET title = 'Renamed'")
    where = {
        "advance": (Reconciliation, "advance"),
        "overwrite": (type(SourceState.objects), "overwrite"),
        "record": (reconciliation, "record_changes"),
    }[killed_at]
    own, calls = getattr(*where), iter(range(10))

    def dying(*args, **kwargs):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return own(*args, **kwargs)

    monkeypatch.setattr(*where, dying)
    with pytest.raises(KeyboardInterrupt):
        reconcile(source, batch=2)
    monkeypatch.undo()
    reconcile(source, batch=2, begin=False)

    assert sorted(renamed()) == sorted(str(workshop.pk) for workshop in workshops)


def test_a_first_pass_that_is_cut_short_is_still_the_first(source, organization, reconcile):
    for seats in range(4):
        unseen_insert(Workshop(organization=organization, title="Known", seats=seats))
    first = reconcile(source, batch=2, stop=lambda: True)

    assert (first.noted, first.finished) == (2, False)
    assert reconcile(source, batch=2).noted == 2
    assert not Event.objects.exists()


def test_one_object_that_can_not_be_recorded_does_not_stop_the_others(
    source, workshops, reconcile, monkeypatch, caplog
):
    unseen("UPDATE testapp_workshop SET title = 'Renamed'")
    own = Workshops.events_for

    def failing(self, change):
        if change.values["seats"] == 2:
            raise RuntimeError("the host's own mistake")
        return own(self, change)

    monkeypatch.setattr(Workshops, "events_for", failing)

    assert reconcile(source) == ReconcileResult(seen=5, changed=4, events=4, failed_objects=1)
    assert f"testapp.Workshop {workshops[2].pk} could not be reconciled." in caplog.text
    monkeypatch.undo()
    assert reconcile(source).changed == 1


def test_in_production_it_is_logged_and_not_tried_every_night(
    source, workshops, reconcile, monkeypatch, lenient, caplog
):
    unseen("UPDATE testapp_workshop SET title = 'Renamed'")
    monkeypatch.setattr(Workshops, "events_for", lambda self, change: [][change.values["seats"] // 4])

    assert reconcile(source) == ReconcileResult(seen=5, changed=5, unbuilt=5)
    assert "could not be turned into an event" in caplog.text
    assert reconcile(source) == ReconcileResult(seen=5)


def test_a_source_that_fails_does_not_stop_the_others(source, workshops, monkeypatch, caplog):
    own = reconciliation.compare_rows

    def failing(of, *args, **kwargs):
        if of is source:
            raise RuntimeError
        return own(of, *args, **kwargs)

    other = WorkshopSource(Workshop, {})
    monkeypatch.setattr(reconciliation, "compare_rows", failing)

    found = reconcile_all([source, other], now=timezone.now())

    assert (found[source].failed, found[other].failed, found[other].noted) == (True, False, 5)
    assert "could not be reconciled; the next run" in caplog.text


def test_unchanged_objects_take_the_same_few_queries_for_any_number(source, workshops, organization, reconcile):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            reconcile(source)
        return len(captured)

    few = queries()
    for seats in range(40):
        unseen_insert(Workshop(organization=organization, title="More", seats=seats))
    reconcile(source)

    assert queries() == few
    assert few <= 8


def test_the_states_of_a_source_that_is_no_longer_reconciled_are_deleted(source, workshops, monkeypatch, reconcile):
    tasks.reconcile()
    assert SourceState.objects.count() == 5

    monkeypatch.setattr(Workshops, "reconcile", False)
    tasks.reconcile()

    assert not SourceState.objects.exists()
    assert not Reconciliation.objects.exists()


def test_a_task_whose_time_is_up_leaves_the_rest_to_another(source, workshops, monkeypatch):
    enqueued = []
    monkeypatch.setattr(tasks, "TASK_SECONDS", -1.0)
    monkeypatch.setattr(tasks, "enqueue", lambda *call: enqueued.append(call))
    unseen("UPDATE testapp_workshop SET title = 'Renamed'")

    assert tasks.reconcile() == 5
    assert enqueued == [("tms_webhooks.tasks.reconcile", False)]
    assert tasks.reconcile(*enqueued[0][1:], later_argument=1) == 0
    assert Reconciliation.objects.get().phase == "done"


@several
@pytest.mark.django_db(transaction=True)
def test_two_concurrent_passes_record_each_change_once(source, workshops, organization):
    unseen("UPDATE testapp_workshop SET title = 'Renamed' WHERE seats > 1")
    unseen("DELETE FROM testapp_workshop WHERE seats = 0")
    unseen_insert(Workshop(organization=organization, title="Restored", seats=9))

    def one():
        reconciliation.reconcile(source, now=timezone.now(), batch=2)

    assert at_once(one, one, one) == []
    recorded = sorted((event.type, event.subject_id) for event in Event.objects.all())
    assert len(recorded) == len(set(recorded)) == 5
    assert SourceState.objects.count() == 5


@several
@pytest.mark.django_db(transaction=True)
def test_an_object_that_is_saved_during_a_pass_is_recorded_once(source, workshops):
    def saving():
        for number in range(20):
            for workshop in Workshop.objects.order_by("pk"):
                workshop.title = f"Renamed {number}"
                workshop.save()

    def reconciling():
        for _number in range(20):
            found = reconciliation.reconcile(source, now=timezone.now(), batch=2)
            assert (found.created, found.changed, found.deleted) == (0, 0, 0)

    assert at_once(saving, reconciling) == []
    assert len(renamed()) == 100


@several
@pytest.mark.django_db(transaction=True)
def test_an_object_that_is_created_and_deleted_during_a_pass_is_recorded_once(source, workshops, organization):
    def saving():
        for number in range(20):
            Workshop.objects.create(organization=organization, title=f"New {number}").delete()

    def reconciling():
        for _number in range(20):
            found = reconciliation.reconcile(source, now=timezone.now(), batch=2)
            assert (found.created, found.changed, found.deleted) == (0, 0, 0)

    assert at_once(saving, reconciling) == []
    assert Event.objects.count() == 40
