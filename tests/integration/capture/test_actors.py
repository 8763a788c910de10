"""Every event says who is behind it."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, RequestFactory

from example_project.training.factories import UserFactory
from example_project.training.models import TrainingClass
from tms_webhooks.actors import SYSTEM, Actor, ActorMiddleware, actor_context, current_actor
from tms_webhooks.models import Event

pytestmark = pytest.mark.urls("tests.integration.capture.views")


@pytest.fixture
def actor(recorded):
    """Return who is behind the one recorded event, from the payload; the row says the same."""

    def read() -> tuple[str, str | None]:
        (event,) = recorded()
        row = Event.objects.get()
        assert (row.actor_kind, row.actor_id) == (event["actor"]["kind"], event["actor"]["id"] or "")
        return event["actor"]["kind"], event["actor"]["id"]

    return read


# By the middleware


@pytest.mark.parametrize("path", ["cancel", "cancel-asynchronously"])
def test_a_signed_in_user(client, training_class, actor, path):
    alice = UserFactory()
    client.force_login(alice)

    client.get(f"/{path}/{training_class.pk}/")

    assert actor() == ("user", str(alice.pk))


@pytest.mark.parametrize("path", ["cancel", "cancel-asynchronously"])
def test_a_signed_in_member_of_staff(client, training_class, actor, path):
    bob = UserFactory(is_staff=True)
    client.force_login(bob)

    client.get(f"/{path}/{training_class.pk}/")

    assert actor() == ("administrator", str(bob.pk))


@pytest.mark.parametrize("path", ["cancel", "cancel-asynchronously"])
def test_nobody_in_particular(client, training_class, actor, path):
    client.get(f"/{path}/{training_class.pk}/")

    assert actor() == ("system", None)


@pytest.mark.parametrize("path", ["cancel", "cancel-asynchronously"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_the_same_under_an_asynchronous_server(training_class, actor, path, signed_in):
    client, alice = AsyncClient(), UserFactory()
    if signed_in:
        client.force_login(alice)

    async_to_sync(client.get)(f"/{path}/{training_class.pk}/")

    assert actor() == (("user", str(alice.pk)) if signed_in else ("system", None))


def test_a_user_without_a_session_is_a_program(training_class, actor):
    program = UserFactory(is_staff=True)
    request = RequestFactory().get("/")
    request.user = program

    ActorMiddleware(lambda _request: training_class.cancel())(request)

    assert actor() == ("api", str(program.pk))


def test_a_program_beside_another_elses_session_is_a_program(client, training_class, actor, monkeypatch):
    program = UserFactory()
    client.force_login(UserFactory(is_staff=True))
    monkeypatch.setattr("django.core.handlers.wsgi.WSGIRequest.api_user", program, raising=False)

    client.get(f"/cancel-by-program/{training_class.pk}/")

    assert actor() == ("api", str(program.pk))


def test_a_request_without_authentication_is_the_system(training_class, actor):
    ActorMiddleware(lambda _request: training_class.cancel())(RequestFactory().get("/"))

    assert actor() == ("system", None)


def test_who_it_is_is_asked_only_when_something_is_recorded(django_assert_num_queries):
    class Asked:
        headers: dict[str, str] = {}

        @property
        def user(self):
            raise AssertionError

    ActorMiddleware(lambda _request: None)(Asked())


def test_after_the_request_it_is_the_system_again(client, training_class):
    client.force_login(UserFactory())
    client.get(f"/cancel/{training_class.pk}/")
    assert current_actor() == SYSTEM

    with pytest.raises(ZeroDivisionError):
        client.get("/raise/")
    assert current_actor() == SYSTEM


# By hand


def test_a_context(training_class, actor):
    with actor_context("api", 42) as current:
        training_class.cancel()

    assert current == Actor("api", "42")
    assert actor() == ("api", "42")


def test_a_context_without_an_id(training_class, actor):
    with actor_context("administrator"):
        training_class.cancel()

    assert actor() == ("administrator", None)


def test_the_innermost_context_counts_and_ends_with_its_block():
    with actor_context("user", 1):
        with actor_context("system"):
            assert current_actor() == Actor("system")
        assert current_actor() == Actor("user", "1")
        with pytest.raises(ZeroDivisionError), actor_context("api", 2):
            raise ZeroDivisionError
        assert current_actor() == Actor("user", "1")
    assert current_actor() == SYSTEM


def test_a_context_counts_more_than_the_request(training_class, actor):
    request = RequestFactory().get("/")
    request.user = UserFactory()

    def view(_request) -> None:
        with actor_context("system", "import"):
            training_class.cancel()

    ActorMiddleware(view)(request)

    assert actor() == ("system", "import")


@pytest.mark.parametrize("kind", ["User", "robot", ""])
def test_another_kind_is_refused(kind):
    with pytest.raises(ValueError, match="is not a valid ActorKind"), actor_context(kind):
        pass
    assert current_actor() == SYSTEM


def test_an_id_that_is_too_long_for_its_column_is_cut_there_and_whole_in_the_payload(training_class, recorded):
    with actor_context("api", "k" * 100):
        training_class.cancel()

    assert Event.objects.get().actor_id == "k" * 64
    assert recorded()[0]["actor"]["id"] == "k" * 100


def test_other_threads_have_actors_of_their_own():
    seen = []
    with actor_context("user", 1):
        thread = threading.Thread(target=lambda: seen.append(current_actor()))
        thread.start()
        thread.join()

    assert seen == [SYSTEM]


def test_tasks_that_run_at_once_have_actors_of_their_own():
    async def act(number: int) -> Actor:
        with actor_context("user", number):
            await asyncio.sleep(0)
            return current_actor()

    async def all_of_them() -> list[Actor]:
        return list(await asyncio.gather(*(act(number) for number in range(5))))

    assert asyncio.run(all_of_them()) == [Actor("user", str(number)) for number in range(5)]


def test_an_asynchronous_save_is_attributed(training_class, actor):
    async def cancel() -> None:
        with actor_context("api", 42):
            mine = await TrainingClass.objects.aget(pk=training_class.pk)
            mine.confirmation_status_id = 2
            await mine.asave(update_fields=["confirmation_status_id"])

    async_to_sync(cancel)()

    assert actor() == ("api", "42")


def test_asynchronous_creations_and_deletions_are_recorded(training_class, recorded):
    async def come_and_go() -> None:
        values = {"course": training_class.course, "organization": training_class.organization, "name": "New"}
        new = await TrainingClass.objects.acreate(
            **values, start_at=training_class.start_at, end_at=training_class.end_at
        )
        await new.adelete()

    async_to_sync(come_and_go)()

    assert [event["type"] for event in recorded()] == ["class.scheduled", "class.deleted"]
