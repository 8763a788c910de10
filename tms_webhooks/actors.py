"""The actor and the request behind the changes in this thread or task.

A middleware or a ``with`` block sets them; they are read when an event is recorded.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponseBase

from tms_webhooks.choices import ActorKind

LONGEST_ACTOR_ID = 64
"""Characters of an actor's id in the tables; a longer one is cut off."""
LONGEST_CORRELATION_ID = 64
_CORRELATION_ID = re.compile(rf"[A-Za-z0-9._:/+=@-]{{1,{LONGEST_CORRELATION_ID}}}")
REQUEST_ID_ATTRIBUTES = ("id", "request_id")
"""The attributes in which middlewares of hosts keep the id of a request."""
REQUEST_ID_HEADER = "X-Request-ID"


@dataclass(frozen=True, slots=True)
class Actor:
    """The cause of a change: its kind, the id of the user or API key as text, and a readable name."""

    kind: str
    id: str | None = None
    label: str = ""

    @property
    def stored_id(self) -> str:
        """The id as the tables keep it: at most `LONGEST_ACTOR_ID` characters, empty without one."""
        return (self.id or "")[:LONGEST_ACTOR_ID]


SYSTEM = Actor(ActorKind.SYSTEM)

# A function, so that the middleware reads request.user, which costs a query, only if an actor is needed.
_current: ContextVar[Callable[[], Actor]] = ContextVar("tms_webhooks_actor", default=lambda: SYSTEM)

# A function, too: most requests record no event and need no id.
_correlation: ContextVar[Callable[[], str | None]] = ContextVar("tms_webhooks_correlation", default=lambda: None)


def current_actor() -> Actor:
    """Return the current actor; the system, if none is set."""
    return _current.get()()


def current_correlation_id() -> str | None:
    """Return the id that all events of the current request share; None outside a request."""
    return _correlation.get()()


@contextmanager
def actor_context(kind: str, id: object = None, *, correlation_id: str | None = None) -> Iterator[Actor]:  # noqa: A002
    """Attribute every change made inside the ``with`` block to this actor.

    ``correlation_id`` is in every event of the block; without one, that of the surrounding request stays. Raise
    ``ValueError`` if ``kind`` is not a value of `ActorKind`, or the correlation id is not 1 to 64 letters, digits and
    ``._:/+=@-``.
    """
    actor = Actor(ActorKind(kind).value, None if id is None else str(id))
    if correlation_id is not None and not _CORRELATION_ID.fullmatch(correlation_id):
        raise ValueError(
            f"correlation_id is {correlation_id!r}; use 1 to {LONGEST_CORRELATION_ID} letters, digits and ._:/+=@-."
        )
    with _context(lambda: actor, _correlation.get() if correlation_id is None else lambda: correlation_id):
        yield actor


@contextmanager
def _context(actor: Callable[[], Actor], correlation_id: Callable[[], str | None]) -> Iterator[None]:
    tokens = _current.set(actor), _correlation.set(correlation_id)
    try:
        yield
    finally:
        _current.reset(tokens[0])
        _correlation.reset(tokens[1])


class ActorMiddleware:
    """Attribute the changes of a request to its user, and give all its events one correlation id.

    Place it after Django's AuthenticationMiddleware and after the middleware that sets the request's id, if there is one.
    """

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


def _caused_by(request: HttpRequest) -> AbstractContextManager[None]:
    return _context(lambda: actor_of(request), cache(lambda: correlation_id_of(request)))


def correlation_id_of(request: HttpRequest) -> str:
    """Return the host's id of a request, from `REQUEST_ID_ATTRIBUTES` or `REQUEST_ID_HEADER`; a new one if it has none.

    An id with other characters than `actor_context` accepts is not used: a client may have sent it.
    """
    given = [getattr(request, name, None) for name in REQUEST_ID_ATTRIBUTES]
    for one in (*given, request.headers.get(REQUEST_ID_HEADER)):
        if one is not None and _CORRELATION_ID.fullmatch(str(one)):
            return str(one)
    return uuid.uuid4().hex


def actor_of(request: HttpRequest) -> Actor:
    """Return the user of a request as an actor; the system, if the request has no authenticated user."""
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return SYSTEM
    # A session of the same user means a person in a browser; other authentication means a program that uses the API.
    # With a key or a token, request.user may be an object that is not a model.
    session: Any = getattr(request, "session", None)
    is_model = session is not None and hasattr(user, "_meta")
    if not (is_model and session.get(SESSION_KEY) == user._meta.pk.value_to_string(user)):
        return Actor(ActorKind.API.value, str(user.pk), str(user))
    kind = ActorKind.ADMINISTRATOR if getattr(user, "is_staff", False) else ActorKind.USER
    return Actor(kind.value, str(user.pk), str(user))
