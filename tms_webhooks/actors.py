"""The actor of the changes in this thread or task: set by a middleware or a ``with`` block, read when an event is recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponseBase

from tms_webhooks.choices import ActorKind


@dataclass(frozen=True, slots=True)
class Actor:
    """The cause of a change: its kind, the id of the user or API key as text, and a readable name."""

    kind: str
    id: str | None = None
    label: str = ""


SYSTEM = Actor(ActorKind.SYSTEM)

# A function, so that the middleware reads request.user, which costs a query, only if an actor is needed.
_current: ContextVar[Callable[[], Actor]] = ContextVar("tms_webhooks_actor", default=lambda: SYSTEM)


def current_actor() -> Actor:
    """Return the current actor; the system, if none is set."""
    return _current.get()()


@contextmanager
def actor_context(kind: str, id: object = None) -> Iterator[Actor]:  # noqa: A002
    """Attribute every change made inside the ``with`` block to this actor.

    Raise ``ValueError`` if ``kind`` is not a value of `ActorKind`.
    """
    actor = Actor(ActorKind(kind).value, None if id is None else str(id))
    token = _current.set(lambda: actor)
    try:
        yield actor
    finally:
        _current.reset(token)


class ActorMiddleware:
    """Attribute the changes of a request to its user. Place it after Django's AuthenticationMiddleware."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._asynchronously(request)
        with _caused_by(request):
            response: HttpResponseBase = self.get_response(request)
            return response

    async def _asynchronously(self, request: HttpRequest) -> HttpResponseBase:
        with _caused_by(request):
            response: HttpResponseBase = await self.get_response(request)
            return response


@contextmanager
def _caused_by(request: HttpRequest) -> Iterator[None]:
    token = _current.set(lambda: actor_of(request))
    try:
        yield
    finally:
        _current.reset(token)


def actor_of(request: HttpRequest) -> Actor:
    """Return the user of a request as an actor; the system, if the request has no authenticated user."""
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return SYSTEM
    # A session of the same user means a person in a browser; other authentication means a program that uses the API.
    if not _has_session(user, getattr(request, "session", None)):
        return Actor(ActorKind.API.value, str(user.pk), str(user))
    kind = ActorKind.ADMINISTRATOR if getattr(user, "is_staff", False) else ActorKind.USER
    return Actor(kind.value, str(user.pk), str(user))


def _has_session(user: Any, session: Any) -> bool:
    # With a key or a token, request.user may be an object that is not a model.
    return (
        session is not None
        and hasattr(user, "_meta")
        and session.get(SESSION_KEY) == user._meta.pk.value_to_string(user)
    )
