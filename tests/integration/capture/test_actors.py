"""Every event says who is behind it."""

import asyncio

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client, RequestFactory

from example_project.training.factories import UserFactory
from tms_webhooks.actors import SYSTEM, Actor, ActorMiddleware, actor_context, current_actor
from tms_webhooks.models import Event

pytestmark = pytest.mark.urls("tests.integration.capture.views")


@pytest.fixture
def actor(recorded):
    """Return who is behind the one recorded event, from the payload; the row says the same."""

    def read():
        (event,) = recorded()
        row = Event.objects.get()
        assert (row.actor_kind, row.actor_id) == (event["actor"]["kind"], event["actor"]["id"] or "")
        return event["actor"]["kind"], event["actor"]["id"]

    return read


# By the middleware

SIGNED_IN = {
    "user": ({}, "user"),
    "member of staff": ({"is_staff": True}, "administrator"),
    "nobody in particular": (None, "system"),
}


@pytest.mark.parametrize("path", ["cancel", "cancel-asynchronously"])
@pytest.mark.parametrize("server", ["synchronous", "asynchronous"])
@pytest.mark.parametrize("values, kind", SIGNED_IN.values(), ids=SIGNED_IN)
def test_who_is_signed_in(training_class, actor, path, server, values, kind):
    client = Client() if server == "synchronous" else AsyncClient()
    user = None if values is None else UserFactory(**values)
    if user:
        client.force_login(user)

    get = client.get if server == "synchronous" else async_to_sync(client.get)
    get(f"/{path}/{training_class.pk}/")

    assert actor() == (kind, str(user.pk) if user else None)


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


def test_who_it_is_is_asked_only_when_something_is_recorded(django_assert_num_queries):
    class Asked:
        headers = {}

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

    def view(_request):
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


def test_tasks_that_run_at_once_have_actors_of_their_own():
    async def act(number):
        with actor_context("user", number):
            await asyncio.sleep(0)
            return current_actor()

    async def all_of_them():
        return list(await asyncio.gather(*(act(number) for number in range(5))))

    assert asyncio.run(all_of_them()) == [Actor("user", str(number)) for number in range(5)]
