"""Each private name of Django still does what this package uses it for. Run these first on a new version of Django."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import connection, connections, models, transaction
from django.db.models import F, Value
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext

from tests.testapp.models import Caterer
from tms_webhooks.db import django_private as private
from tms_webhooks.models import DrainSlot, FeedEnds, IdempotentRequest, Occurrence

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
MENUS = ("soup", "salad", "stew")


@pytest.fixture
def caterers():
    return [Caterer.objects.create(menu=menu) for menu in MENUS]


@pytest.fixture
def keys_of_many_rows(db):
    """Skip the test on a database that returns no keys of inserted rows. MariaDB is asked for its version."""
    if not connection.features.can_return_rows_from_bulk_insert:
        pytest.skip("this database returns no keys of many rows")


@pytest.fixture
def pools(monkeypatch):
    """The pools of the PostgreSQL backend: one that the connection of the alias "pooled" comes from."""
    backend = pytest.importorskip("django.db.backends.postgresql.base")
    pools = {"pooled": "a pool"}
    monkeypatch.setattr(backend.DatabaseWrapper, "_connection_pools", pools)
    return pools


def menus():
    return sorted(Caterer.objects.values_list("menu", flat=True))


# Tests


def test_outside_a_test_run_it_is_not_taken_for_one():
    code = "from tms_webhooks.db.django_private import is_test_environment as is_test; print(is_test())\n"
    code += "import django.test.utils; print(is_test())"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]


# Instances


def test_a_fixture_that_is_loaded_is_told_from_other_raw_saves(tmp_path):
    loading = []

    def receiver(*, raw, **_kwargs):
        loading.append((raw, private.is_loading_fixture()))

    text = serializers.serialize("json", [Caterer(pk=1, menu="soup")])
    path = tmp_path / "caterers.json"
    path.write_text(text)
    post_save.connect(receiver, sender=Caterer)
    try:
        call_command("loaddata", path, verbosity=0)
        connection.creation.deserialize_db_from_string(text)
        next(serializers.deserialize("json", text)).save()
    finally:
        post_save.disconnect(receiver, sender=Caterer)

    assert loading == [(True, True), (True, True), (True, False)]


def test_a_new_instance_is_like_one_of_the_constructor():
    made = private.new_instance(Caterer, {"caterer_id": None, "menu": "soup"})

    assert {name: value for name, value in vars(made).items() if name != "_state"} == {
        "caterer_id": None,
        "menu": "soup",
    }
    assert (made._state.adding, made._state.db) == (True, None)
    made.save()
    assert menus() == ["soup"]


# Connections


def test_a_forked_process_keeps_no_pool_and_no_pooled_connection_of_its_parent(pools, monkeypatch):
    pooled = SimpleNamespace(alias="pooled", connection="a socket of the pool")
    other = SimpleNamespace(alias="other", connection="a socket of its own")
    monkeypatch.setattr(private, "connections", SimpleNamespace(all=lambda initialized_only: [pooled, other]))
    monkeypatch.setattr(private, "_of_parents", [])

    private._forget_pools()

    assert (pools, pooled.connection, other.connection) == ({}, None, "a socket of its own")
    # Nothing of the parent's is finalized in the child.
    assert private._of_parents == ["a socket of the pool", {"pooled": "a pool"}]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has transaction modes")
@pytest.mark.django_db(transaction=True)
def test_sqlite_begins_a_transaction_with_its_write_lock(monkeypatch):
    monkeypatch.setattr(connections["default"], "transaction_mode", None)

    with CaptureQueriesContext(connection) as queries:
        with private.locking_transaction_mode(connections["default"]), transaction.atomic():
            pass
        with transaction.atomic():
            pass

    assert [query["sql"] for query in queries] == ["BEGIN IMMEDIATE", "COMMIT", "BEGIN", "COMMIT"]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has transaction modes")
def test_a_transaction_mode_of_the_host_is_kept(monkeypatch):
    monkeypatch.setattr(connections["default"], "transaction_mode", "EXCLUSIVE")

    with private.locking_transaction_mode(connection):
        assert connection.transaction_mode == "EXCLUSIVE"

    assert connection.transaction_mode == "EXCLUSIVE"


def test_the_atomic_blocks_are_those_around():
    before = private.atomic_blocks(connection)[:]

    with transaction.atomic():
        inner = private.atomic_blocks(connection)[:]

    assert inner[:-1] == before
    assert isinstance(inner[-1], transaction.Atomic)
    assert private.atomic_blocks(connection) == before


def test_the_last_function_to_run_on_commit_is_known():
    assert private.last_on_commit(connection) is None
    first, second = lambda: None, lambda: None

    transaction.on_commit(first)
    transaction.on_commit(second, robust=True)

    assert private.last_on_commit(connection) is second


def test_an_insert_that_ignores_conflicts_skips_what_is_there():
    DrainSlot.objects.create(number=1, owner="first", held_until=NOW)
    insert, suffix = private.insert_ignoring_conflicts(connection)
    table, keys = map(connection.ops.quote_name, (DrainSlot._meta.db_table, "keys"))
    held_until = connection.ops.adapt_datetimefield_value(NOW)

    with connection.cursor() as cursor:
        for number in (1, 2):
            cursor.execute(
                f"{insert} {table} (number, owner, held_until, {keys}) VALUES (%s, 'second', %s, '') {suffix}",
                [number, held_until],
            )

    assert list(DrainSlot.objects.order_by("number").values_list("number", "owner")) == [(1, "first"), (2, "second")]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="of PostgreSQL alone")
@pytest.mark.django_db(transaction=True)
def test_postgresql_prepares_statements_inside_the_block_only():
    connection.close()
    connection.ensure_connection()
    raw = connection.connection
    before = raw.cursor_factory, raw.prepare_threshold

    with private.server_side_binding(connection), connection.cursor() as cursor:
        cursor.execute("SELECT %s::int", [1])
        assert cursor.fetchall() == [(1,)]

    assert (raw.cursor_factory, raw.prepare_threshold) == before
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        assert cursor.fetchall() == [("SELECT $1::int",)]
    connection.close()


# Compiled queries and their columns


def test_a_compiled_query_selects_what_the_queryset_does(caterers):
    rows = Caterer.objects.filter(menu__in=("soup", "stew")).order_by("pk").values_list("menu", F("caterer_id") + 1)

    sql, params, selected = private.compile_select(rows)

    assert params[-2:] == ("soup", "stew")
    assert len(selected) == 2
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        assert [tuple(row) for row in cursor.fetchall()] == list(rows)


def test_a_column_of_a_table_has_a_type_and_a_computed_one_has_none():
    rows = FeedEnds.objects.values_list("published", Value(1, output_field=models.IntegerField()))
    _sql, _params, selected = private.compile_select(rows)

    types = [private.column_type(column, connection) for column in selected]

    assert types == [FeedEnds._meta.get_field("published").db_type(connection), None]
    assert types[0] == "bigint"


def test_a_drivers_value_is_converted_as_the_orm_converts_it():
    request = IdempotentRequest.objects.create(digest="a", fingerprint="b", created_at=NOW, headers={"etag": "x"})
    loaded = IdempotentRequest.objects.get()

    for name in ("created_at", "headers"):
        column = private.column_of(IdempotentRequest._meta.get_field(name), IdempotentRequest)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {name} FROM {IdempotentRequest._meta.db_table} WHERE id = %s", [request.pk])
            (value,) = cursor.fetchone()
        for convert in private.converters_of(column, connection):
            value = convert(value, column, connection)
        assert value == getattr(loaded, name)


# Migrations


def test_the_migrations_of_an_app_are_read_by_name(settings):
    assert private.migration_classes("tms_webhooks")["0001_initial"].initial is True

    settings.MIGRATION_MODULES = {"tms_webhooks": None}
    assert private.migration_classes("tms_webhooks") == {}
    assert private.migration_classes("nowhere") == {}


# Querysets


def test_a_queryset_for_writing_uses_the_database_to_write_to(settings):
    settings.DATABASE_ROUTERS = [SimpleNamespace(db_for_write=lambda *args, **hints: "elsewhere")]
    rows = models.QuerySet(Caterer)
    assert rows.db == "default"

    private.use_write_database(rows)

    assert rows.db == "elsewhere"


def test_a_queryset_that_forgets_its_results_asks_again(caterers):
    rows = Caterer.objects.order_by("pk")
    assert len(rows) == 3
    Caterer.objects.create(menu="pie")
    assert len(rows) == 3

    private.forget_results(rows)

    assert len(rows) == 4


def test_a_copy_without_conditions_keeps_the_annotations(caterers):
    rows = Caterer.objects.filter(menu="soup").annotate(next_key=F("pk") + 1)

    assert sorted(one.next_key for one in private.without_conditions(rows)) == [one.pk + 1 for one in caterers]
    assert len(rows) == 1


def test_a_deletion_without_signals_takes_one_statement(django_assert_num_queries):
    for key in "abc":
        Occurrence.objects.create(key=key, recorded_at=NOW)

    with django_assert_num_queries(1):
        deleted = private.delete_without_signals(Occurrence.objects.filter(key__in=("a", "b")))

    assert deleted == 2
    assert list(Occurrence.objects.values_list("key", flat=True)) == ["c"]


# Inserts


@pytest.fixture
def inserting():
    """A queryset, and for each batch that it inserts: whether it updates rows, and the keys."""
    batches = []

    class Inserting(models.QuerySet):
        def _insert(self, objs, fields, **options):
            found, returned = private.insert_returning_keys(models.QuerySet._insert, self, objs, fields, **options)
            batches.append((private.updates_existing(options), sorted(found)))
            return returned

    return Inserting(Caterer), batches


def keys(*menus):
    return list(Caterer.objects.filter(menu__in=menus).order_by("pk").values_list("pk", flat=True))


needs_keys = pytest.mark.usefixtures("keys_of_many_rows")


@needs_keys
def test_each_batch_of_an_insert_reports_the_keys_of_its_rows(inserting):
    rows, batches = inserting

    made = rows.bulk_create([Caterer(menu=menu) for menu in MENUS], batch_size=2)

    assert batches == [(False, keys("soup", "salad")), (False, keys("stew"))]
    assert [one.pk for one in made] == keys(*MENUS)


@needs_keys
def test_rows_that_are_ignored_report_no_keys(caterers, inserting):
    rows, batches = inserting
    objs = [Caterer(pk=caterers[0].pk, menu="again"), Caterer(pk=caterers[-1].pk + 1, menu="pie")]

    rows.bulk_create(objs, ignore_conflicts=True)

    assert batches == [(False, keys("pie"))]
    assert menus() == sorted([*MENUS, "pie"])


@needs_keys
def test_rows_that_are_updated_report_their_keys(caterers, inserting):
    rows, batches = inserting
    objs = [Caterer(pk=caterers[0].pk, menu="again"), Caterer(pk=caterers[-1].pk + 1, menu="pie")]
    # MariaDB updates a row with any equal unique field, and takes no names.
    unique = [] if connection.vendor == "mysql" else ["caterer_id"]

    rows.bulk_create(objs, update_conflicts=True, update_fields=["menu"], unique_fields=unique)

    assert batches == [(True, keys("again", "pie"))]


def test_a_method_of_all_querysets_is_replaced(caterers, monkeypatch):
    own = vars(models.QuerySet)["update"]
    monkeypatch.setattr(models.QuerySet, "update", own)
    calls = []

    def update(method, rows, **values):
        calls.append((method, rows.model, values))
        return method(rows, **values)

    private.wrap_queryset_methods({"update": update})

    assert Caterer.objects.filter(menu="soup").update(menu="stew") == 1
    assert models.QuerySet.update.alters_data is True
    assert calls == [(own, Caterer, {"menu": "stew"})]


# Saves


@pytest.fixture
def wrapped(monkeypatch):
    """Note each save, from before to after it."""
    notes = []

    def around(save_base, instance, *args, **kwargs):
        notes.append((instance.menu, args, kwargs, menus()))
        save_base(instance, *args, **kwargs)
        notes.append(menus())

    monkeypatch.setattr(models.Model, "save_base", models.Model.save_base)
    private.wrap_save_base(around)
    return notes


def test_a_save_runs_inside_its_wrapper(wrapped):
    Caterer(menu="soup").save()
    Caterer(pk=1_000_000_007, menu="stew").save_base(True, False, False, "default")

    options = {"using": "default", "force_insert": False, "force_update": False, "update_fields": None}
    assert wrapped == [
        ("soup", (), options, []),
        ["soup"],
        ("stew", (True, False, False, "default"), {}, ["soup"]),
        ["soup", "stew"],
    ]
