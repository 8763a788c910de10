"""A cursor that can't be read on from is refused with what to do, and never taken for another place."""

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.feed.rows import NOW, loop, page, write
from tms_webhooks.exceptions import CursorError
from tms_webhooks.models import FeedEnds
from tms_webhooks.models.encryption import encrypt


@pytest.fixture
def acme():
    return OrganizationFactory.create()


def refused(*organizations, after):
    with pytest.raises(CursorError) as error:
        page(*organizations, after=after)
    return error.value.code, str(error.value)


@pytest.mark.parametrize("garbage", ["1", "evt_0123", "\0", "é", "x" * 5_000, "gAAAAA", "%00", "latest "])
def test_garbage_is_refused_without_being_repeated(acme, garbage):
    code, message = refused(acme, after=garbage)

    assert code == "malformed"
    assert message == "This is not a cursor; pass the cursor of the last page unchanged, or begin without one."


def test_a_cursor_with_a_letter_changed_or_cut_off_is_refused(acme):
    cursor = page(acme).cursor
    changed = cursor[:40] + ("A" if cursor[40] != "A" else "B") + cursor[41:]

    assert refused(acme, after=changed)[0] == "malformed"
    assert refused(acme, after=cursor[:-4])[0] == "malformed"


def test_something_else_that_was_encrypted_is_no_cursor(acme):
    """Whoever finds a secret's token in a dump can't have it opened here."""
    code, message = refused(acme, after=encrypt("whsec_very-secret"))

    assert code == "malformed"
    assert "very-secret" not in message


def test_a_cursor_tells_nothing_and_differs_each_time(acme):
    write(acme)
    first, second = page(acme).cursor, page(acme).cursor

    assert first != second
    assert len(first) < 200
    assert first.replace("-", "").replace("_", "").isalnum()


def test_a_cursor_of_another_organization_is_refused(acme):
    other = OrganizationFactory.create()
    cursor = page(other).cursor

    assert refused(acme, after=cursor) == ("foreign", "This cursor belongs to another organization; begin without one.")
    assert page(acme, other, after=cursor).events == []


def test_a_cursor_outlives_what_joins_and_leaves_its_owners_organizations(acme):
    child = OrganizationFactory.create(parent=acme)
    cursor = page(acme, child).cursor

    assert page(acme, after=cursor).events == []
    assert page(acme, child, OrganizationFactory.create(parent=acme), after=cursor).events == []


def test_a_cursor_after_which_events_were_deleted_is_too_old(acme):
    write(acme, 3)
    first = page(acme, limit=1).cursor
    second = page(acme, limit=2).cursor
    FeedEnds.objects.update(forgotten=2)

    code, message = refused(acme, after=first)

    assert code == "expired"
    assert "Begin without one, at the oldest event that is kept." in message
    assert len(page(acme, after=second).events) == 1


def test_the_cursor_of_a_quiet_organization_moves_on_with_the_others_and_grows_no_older(acme):
    start = page(acme).cursor
    write(OrganizationFactory.create(), 3)
    _seen, cursor = loop(acme, after=start)

    FeedEnds.objects.update(forgotten=3)

    assert page(acme, after=cursor).events == []
    assert refused(acme, after=start)[0] == "expired"


def test_a_cursor_from_before_the_database_was_set_back_is_refused(acme):
    write(acme, 3)
    cursor = page(acme).cursor
    FeedEnds.objects.update(published=1)

    assert refused(acme, after=cursor)[0] == "unknown"


def test_a_cursor_outlives_a_new_encryption_key(acme, settings_of_app):
    old, new = "Z" * 43 + "=", "Y" * 42 + "E="
    settings_of_app(ENCRYPTION_KEYS=[old])
    cursor = page(acme).cursor
    settings_of_app(ENCRYPTION_KEYS=[new, old])
    assert page(acme, after=cursor, now=NOW).events == []

    settings_of_app(ENCRYPTION_KEYS=[new])
    assert refused(acme, after=cursor)[0] == "malformed"
