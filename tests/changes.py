"""Every change that an object can undergo by itself, as far as a source shows it: for tests that try them all."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import NamedTuple

from django.db import models, transaction
from django.forms import modelform_factory
from rest_framework.serializers import ModelSerializer

from tests.catalogue import data_fields, object_fields
from tms_webhooks import catalogue
from tms_webhooks.choices import PayloadDetail
from tms_webhooks.digests import digest_of, digested, own_fields
from tms_webhooks.event_names import snapshot_of
from tms_webhooks.models import Event
from tms_webhooks.models.event import subject_key
from tms_webhooks.payloads.envelope import nested_json
from tms_webhooks.sources.rows import database_of, read_whole
from tms_webhooks.sources.states import SAVE_TIMESTAMPS, lists_of

# Edits of a list are made in each of these ways.
RELATION_WAYS = ("add", "remove", "set", "clear", "form", "api")
ROW_WAYS = ("create", "bulk_create", "save", "update", "delete", "delete all")
# Around the present, so that dates are in the past as often as in the future.
AROUND_NOW = 400
# Values that are tried until one is another than before.
ATTEMPTS = 30


# Values that are read only to compute others, and the owner, whose change is a move.
NOT_SENT = (
    "organization",
    "learner_organization",
    "input.",
    "key.input.",
    "key.organization",
    "key.learner_organization",
)


class Edit(NamedTuple):
    """An edit of one canonical field in one way. ``make`` returns, given dice, what is called with the object."""

    name: str
    way: str
    make: Callable[[Random], Callable[[models.Model], None]]


def check_all(source, obj, ways=None, **values):
    """Assert of each field and list of ``obj``, edited in each way, what `check_edit` does; the rest as for `edits`.

    Each edit follows another one, which is not observed: objects are found completed, cancelled, expired and so on.
    """
    every = edits(source, ways or WAYS, values)
    assert every, f"{source} shows nothing of {obj}"
    for name, way, make in every:
        dice, same = Random(f"{name} {way}"), [one for one in every if one.name == name]
        for _attempt in range(ATTEMPTS):
            before = dice.choice(dice.choice([every, same])).make(dice)
            if check_edit(source, obj, before, name, make(dice)):
                break
        else:
            raise AssertionError(f"No edit of {name} by {way} was a change.")


def edits(source, ways, chosen):
    """Return the edits of each canonical field and list of ``source``, and of the columns that its functions read.

    ``ways`` are functions that take an object, a field and its new value. ``chosen`` are lists of values of columns, where
    the general ones break a constraint of the model. Of a column with a single one, there is no edit.
    """
    found = []
    for name, mapped in source.own.items():
        field = source.model._meta.get_field(str(mapped.lookup))
        if not field.primary_key and name not in SAVE_TIMESTAMPS and len(chosen.get(field.name, "any")) > 1:
            for shown in _shown(source, name):
                found += [Edit(shown, way, _edit_of_column(field, chosen.get(field.name), ways[way])) for way in ways]
    for name, one in lists_of(source).items():
        if not name.startswith(NOT_SENT):
            verbs = RELATION_WAYS if one.relation.target else ROW_WAYS
            found += [Edit(name, verb, _edit_of_list(source.mapped[name].path, one.relation, verb)) for verb in verbs]
    return found


def _shown(source, name):
    """Return the names of the fields that show the value with this canonical name."""
    if name.startswith(NOT_SENT):
        made = {**source.computed, **source.functions}.items()
        return [field for field, (_made, names) in made if name in names and not field.startswith(NOT_SENT)]
    # The key behind a field of the host's own is in no payload, and the field's value is.
    return [name.removeprefix("key.")]


def _edit_of_column(field, values, way):
    def make(dice):
        value = dice.choice(values) if values else _value_of(field, dice)
        return partial(way, field=field, value=value)

    return make


def _save(obj, field, value):
    setattr(obj, field.attname, value)
    obj.save()


def _update(obj, field, value):
    type(obj)._default_manager.filter(pk=obj.pk).update(**{field.attname: value})


def _bulk_update(obj, field, value):
    setattr(obj, field.attname, value)
    type(obj)._default_manager.bulk_update([obj], [field.name])


def _by_user(way):
    def edit(obj, field, value):
        if not (field.editable and USERS_WAYS[way](obj, {field.name: value})):
            _save(obj, field, value)

    return edit


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
# Those of a column.
WAYS = {"save": _save, "update": _update, "bulk_update": _bulk_update, **{way: _by_user(way) for way in USERS_WAYS}}


def _value_of(field, dice):
    if field.null and dice.random() < 0.3:
        return None
    if isinstance(field, models.ForeignKey):
        return dice.choice(list(field.related_model._base_manager.order_by("pk").values_list("pk", flat=True)))
    if field.flatchoices:
        return dice.choice(field.flatchoices)[0]
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=dice.randint(-AROUND_NOW, AROUND_NOW), hours=1)
    word = "".join(dice.choices("abcdefghij", k=dice.randint(1, min(field.max_length or 10, 10))))
    # The more special kinds first.
    kinds = {
        models.BooleanField: dice.random() < 0.5,
        models.DateTimeField: at,
        models.DateField: at.date(),
        models.IntegerField: dice.randint(0, 100),
        models.FloatField: float(dice.randint(0, 100)),
        models.EmailField: f"{word}@example.com",
        models.URLField: f"https://meet.example/{word}",
    }
    return next((value for kind, value in kinds.items() if isinstance(field, kind)), word)


def _edit_of_list(path, relation, way):
    def make(dice):
        if not relation.target:
            return partial(_edit_rows, path=path, verb=way, days=dice.randint(0, 9))
        keys = list(relation.listed._base_manager.order_by("pk").values_list("pk", flat=True))
        return partial(edit_relation, path=path, verb=way, keys=set(dice.sample(keys, dice.randint(1, len(keys)))))

    return make


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
    """Assert that ``edit``, after ``before``, records exactly one event that names what it changes with the old values.

    It records none if it changes nothing. Return whether it changes this field. The database is left as it was.
    """
    using = database_of(source)
    events = Event.objects.using(using)
    try:
        with transaction.atomic(using=using):
            # No delivery refers to them yet. To look for the rows of each cascade takes a fifth of the time.
            events._raw_delete(using)
            before(type(obj)._default_manager.get(pk=obj.pk))
            _check_all_name_a_change(events)
            events._raw_delete(using)
            old, old_digests = shown_by(source, obj), digests_of(source, obj)
            edit(type(obj)._default_manager.get(pk=obj.pk))
            new, new_digests = shown_by(source, obj), digests_of(source, obj)
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
    changed = {name for name, value in old.items() if new[name] != value}
    if not changed:
        assert bodies == [], f"an event, though {name} is {old[name]!r} as before"
        assert old_digests == new_digests
        return False
    (body,) = bodies
    assert data_fields(body) == object_fields(catalogue.get(body["type"]))
    assert changed == old.keys() & body["changed"]
    for one in changed:
        assert (_value_at(body["previous"], one), _value_at(body["data"], one)) == (old[one], new[one])
    assert sent == [new_digests], "the receiver of the event has another digest than the row"
    if new_digests[PayloadDetail.FULL] is not None:
        # A key may change a value that is no part of the digest, and an id that is one.
        is_covered = any(field.name in body["changed"] for field in own_fields(source.noun.name))
        assert (old_digests[PayloadDetail.FULL] != new_digests[PayloadDetail.FULL]) is is_covered
    return name in changed


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
    for kind, body in events.values_list("type", "body"):
        assert json.loads(body)["changed"], kind


class _Undo(Exception):
    """Undoes the edits of one example."""


def shown_by(source, obj):
    """Return what the object shows of itself, by the canonical fields: not what another object of it shows."""
    raw = read_whole(source, obj.pk, using=database_of(source))
    assert raw is not None
    own = {*source.own, *lists_of(source), *source.computed, *source.functions, *source.keys_behind} - SAVE_TIMESTAMPS
    fields = [one for one in source.all_fields if one.name in own and not one.name.startswith(NOT_SENT)]
    values = source.canonical(raw)
    return {one.name: _value_at(nested_json([one], values), one.name) for one in fields}


def _value_at(nested, name):
    for segment in name.split("."):
        nested = nested[segment]
    return nested
