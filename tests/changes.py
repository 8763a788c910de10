"""Every change that an object can undergo by itself, as far as a source shows it: for tests that try them all."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial

from django.db import models, transaction
from django.forms import modelform_factory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.serializers import ModelSerializer

from tests.catalogue import data_fields, object_fields
from tms_webhooks import catalogue
from tms_webhooks.capture.many_to_many import lists_of
from tms_webhooks.choices import PayloadDetail
from tms_webhooks.digests import digest_of, digested, own_fields
from tms_webhooks.event_names import snapshot_of
from tms_webhooks.models import Event
from tms_webhooks.models.event import subject_key
from tms_webhooks.payloads.envelope import nested_json
from tms_webhooks.sources.rows import database_of, read_whole
from tms_webhooks.sources.states import SAVE_TIMESTAMPS

# Given the object, changes it and saves it.

WAYS = ("save", "form", "api", "update", "bulk_update")
# Around the present, so that dates are in the past as often as in the future.
AROUND_NOW = timedelta(days=400)


# Values that are read only to compute others, and the owner, whose change is a move.
NOT_SENT = ("organization.", "input.", "key.input.", "key.organization.", "key.learner_organization.")

# Enough for each field and list of a noun, each way.
PER_SOURCE = settings(
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def check_all(source, obj, **values):
    """Assert of many changes of ``obj``, each after another one, what `check_edit` does; ``values`` as for `edits`."""
    of_obj = edits(source, obj, values=values)

    @PER_SOURCE
    @given(before=of_obj, change=of_obj)
    def check(before, change):
        check_edit(source, obj, before[1], *change)

    check()


def edits(source, obj, *, values=None):
    """Return a strategy for pairs of a canonical field of ``source`` and an edit that gives it another value.

    ``values`` are strategies for the values of columns, where the general ones break a constraint of the model.
    """
    columns = {name: str(mapped.lookup) for name, mapped in source.own.items()}
    fields = {name: source.model._meta.get_field(column) for name, column in columns.items()}
    pairs = [
        # The key behind a field of the host's own is in no payload, and the field's value is.
        st.tuples(st.just(name.removeprefix("key.")), _edit_of_column(field, (values or {}).get(field.name)))
        for name, field in fields.items()
        if not field.primary_key and name not in SAVE_TIMESTAMPS and not name.startswith(NOT_SENT)
    ]
    pairs += [
        st.tuples(st.just(name), _edit_of_list(source.mapped[name].path, relation))
        for name, relation in lists_of(source).items()
        if not name.startswith(NOT_SENT)
    ]
    assert pairs, f"{source} shows nothing of {obj}"
    return st.one_of(pairs)


def _edit_of_column(field, values):
    return st.builds(
        lambda value, way: partial(_set_column, field=field, value=value, way=way),
        values if values is not None else _values_of(field),
        st.sampled_from(WAYS),
    )


def _set_column(obj, *, field, value, way):
    rows = type(obj)._default_manager
    if way == "update":
        rows.filter(pk=obj.pk).update(**{field.attname: value})
        return
    if way in USERS_WAYS and field.editable and USERS_WAYS[way](obj, {field.name: value}):
        return
    setattr(obj, field.attname, value)
    if way == "bulk_update":
        rows.bulk_update([obj], [field.name])
    else:
        obj.save()


def _submit_form(obj, values):
    """Save the values by a form, as an admin page does; return False if it refuses them."""

    def formfield(field, **kwargs):
        return field.formfield(**kwargs, **({"assume_scheme": "https"} if isinstance(field, models.URLField) else {}))

    form_class = modelform_factory(type(obj), fields=list(values), formfield_callback=formfield)
    form = form_class(values, instance=type(obj)._default_manager.get(pk=obj.pk))
    if is_valid := form.is_valid():
        form.save()
    return is_valid


def _patch(obj, values):
    """Save the values by a serializer of the REST framework; return False if it refuses them."""
    meta = type("Meta", (), {"model": type(obj), "fields": list(values)})
    serializer = type("Patched", (ModelSerializer,), {"Meta": meta})(obj, data=values, partial=True)
    if is_valid := serializer.is_valid():
        serializer.save()
    return is_valid


# What the pages and the API of a host do. A value that they refuse is saved by the object itself.
USERS_WAYS = {"form": _submit_form, "api": _patch}


def _values_of(field):
    found = _plain_values_of(field)
    return st.none() | found if field.null else found


def _plain_values_of(field):
    now = datetime.now(UTC).replace(microsecond=0)
    if isinstance(field, models.ForeignKey):
        return st.sampled_from(list(field.related_model._base_manager.order_by("pk").values_list("pk", flat=True)))
    if field.flatchoices:
        return st.sampled_from([value for value, _label in field.flatchoices])
    if isinstance(field, models.BooleanField):
        return st.booleans()
    if isinstance(field, models.DateTimeField):
        return st.integers(-AROUND_NOW.days, AROUND_NOW.days).map(lambda days: now + timedelta(days=days, hours=1))
    if isinstance(field, models.DateField):
        return st.integers(-AROUND_NOW.days, AROUND_NOW.days).map(lambda days: (now + timedelta(days=days)).date())
    if isinstance(field, models.IntegerField):
        return st.integers(0, 100)
    if isinstance(field, models.FloatField):
        return st.integers(0, 100).map(float)
    text = st.text("abcdefghij", min_size=1, max_size=min(field.max_length or 10, 10))
    if isinstance(field, models.EmailField):
        return text.map(lambda name: f"{name}@example.com")
    if isinstance(field, models.URLField):
        return text.map(lambda name: f"https://meet.example/{name}")
    return text


def _edit_of_list(path, relation):
    if relation.target:
        keys = list(relation.listed._base_manager.order_by("pk").values_list("pk", flat=True))
        return st.builds(
            lambda verb, chosen: partial(edit_relation, path=path, verb=verb, keys=chosen),
            st.sampled_from(["add", "remove", "set", "clear", *USERS_WAYS]),
            st.sets(st.sampled_from(keys), min_size=1),
        )
    return st.builds(
        lambda verb, days: partial(_edit_rows, path=path, verb=verb, days=days),
        st.sampled_from(["create", "bulk_create", "save", "update", "delete", "delete all"]),
        st.integers(0, 9),
    )


def edit_relation(obj, *, path, verb, keys):
    """Change a many-to-many list by ``add``, ``remove``, ``set`` or ``clear``, by a form, or by the API."""
    if verb in USERS_WAYS:
        field = obj._meta.get_field(path) if path in {one.name for one in obj._meta.many_to_many} else None
        is_edited = field is not None and field.remote_field.through._meta.auto_created
        if is_edited and USERS_WAYS[verb](obj, {path: sorted(keys)}):
            return
        verb = "set"
    arguments = {"clear": (), "set": (sorted(keys),)}
    getattr(getattr(obj, path), verb)(*arguments.get(verb, sorted(keys)))


def _edit_rows(obj, *, path, verb, days):
    """Edit rows that have a start and an end."""
    rows = getattr(obj, path)
    start_at = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(days=days)
    times = {"start_at": start_at, "end_at": start_at + timedelta(hours=8)}
    first = rows.first()
    if verb == "create":
        rows.create(**times)
    elif verb == "bulk_create":
        rows.bulk_create([rows.model(**{rows.field.name: obj}, **times)])
    elif verb == "update":
        rows.update(**times)
    elif verb == "delete all":
        rows.all().delete()
    elif first is not None and verb == "delete":
        first.delete()
    elif first is not None:
        first.start_at, first.end_at = times.values()
        first.save()


def check_edit(source, obj, before, name, edit):
    """Assert that ``edit``, after ``before``, records exactly one event with the old value; none if it changes nothing.

    The database is left as it was.
    """
    using = database_of(source)
    events = Event.objects.using(using)
    try:
        with transaction.atomic(using=using):
            events.all().delete()
            before(type(obj)._default_manager.get(pk=obj.pk))
            _check_all_name_a_change(events)
            events.all().delete()
            old, old_digests = _json_of(source, obj, name), digests_of(source, obj)
            edit(type(obj)._default_manager.get(pk=obj.pk))
            new, new_digests = _json_of(source, obj, name), digests_of(source, obj)
            _check_all_name_a_change(events)
            recorded = events.filter(subject_type=source.noun.name, subject_id=subject_key(obj.pk)).order_by("pk")
            bodies = [json.loads(event.body) for event in recorded]
            sent = [
                {detail: json.loads(digested(event.body, detail)).get("digest") for detail in PayloadDetail}
                for event in recorded
            ]
            raise _Undo
    except _Undo:
        pass
    if old == new:
        assert bodies == [], f"an event, though {name} is {old!r} as before"
        assert old_digests == new_digests
        return
    (body,) = bodies
    assert data_fields(body) == object_fields(catalogue.get(body["type"]))
    assert name in body["changed"]
    assert _value_at(body["previous"], name) == old
    assert _value_at(body["data"], name) == new
    assert sent == [new_digests], "the receiver of the event has another digest than the row"
    if new_digests[PayloadDetail.FULL] is not None:
        # A key may change a value that is no part of the digest, and an id that is one.
        is_covered = any(field.name in body["changed"] for field in own_fields(source.noun.name))
        assert (old_digests[PayloadDetail.FULL] != new_digests[PayloadDetail.FULL]) is is_covered


def digests_of(source, obj):
    """Return the digest of an object by its row, for each payload; null for one of a source without a snapshot."""
    if not source.snapshot:
        return dict.fromkeys(PayloadDetail)
    raw = read_whole(source, obj.pk, using=database_of(source))
    assert raw is not None
    noun = source.noun.name
    data = nested_json(catalogue.get(snapshot_of(noun)).fields, source.canonical(raw))
    return {detail: digest_of(noun, data, detail) for detail in PayloadDetail}


def _check_all_name_a_change(events):
    """Assert that each event names what changed, also those of other objects."""
    for event in events.all():
        assert json.loads(event.body)["changed"], event.type


class _Undo(Exception):
    """Undoes the edits of one example."""


def _json_of(source, obj, name):
    raw = read_whole(source, obj.pk, using=database_of(source))
    assert raw is not None
    return _value_at(nested_json([source.mapped[name].field], source.canonical(raw)), name)


def _value_at(nested, name):
    for segment in name.split("."):
        nested = nested[segment]
    return nested
