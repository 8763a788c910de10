"""What can go wrong with a request, as problem details (RFC 9457): each kind has a ``type`` that never changes."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

CONTENT_TYPE = "application/problem+json"
URN = "urn:tms-webhooks:problem:"
NEXT_TRY = 5
"""Seconds after which to try again what the database was too busy for."""

MOST_FAULTS = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: its name in the ``type``, its status, its title, and when it happens."""

    name: str
    status: int
    title: str
    meaning: str

    @property
    def uri(self) -> str:
        """The ``type`` of such a problem."""
        return URN + self.name


KINDS = {
    kind.name: kind
    for kind in (
        Kind("malformed-body", 400, "Malformed body", "The body is not JSON, or not an object."),
        Kind(
            "invalid-request", 400, "Invalid request", "Fields, parameters or headers are wrong; `errors` names each."
        ),
        Kind(
            "invalid-cursor", 400, "Invalid cursor", "The cursor is none of this list, these filters and this caller."
        ),
        Kind("not-authenticated", 401, "Not authenticated", "There are no credentials, or wrong ones."),
        Kind("forbidden", 403, "Forbidden", "The caller may see this, and may not do that with it."),
        Kind("not-found", 404, "Not found", "There is no such thing, or it belongs to another organization."),
        Kind(
            "method-not-allowed",
            405,
            "Method not allowed",
            "The resource has no such method; `Allow` names those it has.",
        ),
        Kind("not-acceptable", 406, "Not acceptable", "`Accept` leaves out JSON, and there is nothing else."),
        Kind("conflict", 409, "Conflict", "It can't be done as things stand; `detail` says what can."),
        Kind("request-in-progress", 409, "Request in progress", "A request with this `Idempotency-Key` is under way."),
        Kind(
            "precondition-failed", 412, "Precondition failed", "It was changed since the state that `If-Match` names."
        ),
        Kind("body-too-large", 413, "Body too large", "The body has more bytes than `API_BODY_LIMIT`."),
        Kind("unsupported-media-type", 415, "Unsupported media type", "The body is something else than JSON."),
        Kind(
            "idempotency-key-reused",
            422,
            "Idempotency key reused",
            "The key came with another request before; use a new one.",
        ),
        Kind(
            "too-many-requests",
            429,
            "Too many requests",
            "The host's limit is reached; `Retry-After` says for how long.",
        ),
        Kind(
            "unavailable", 503, "Unavailable", "The database is too busy or away; `Retry-After` says when to try again."
        ),
    )
}

# The first that matches counts.
_KINDS_OF: tuple[tuple[type[exceptions.APIException], str], ...] = (
    (exceptions.ValidationError, "invalid-request"),
    (exceptions.ParseError, "malformed-body"),
    (exceptions.AuthenticationFailed, "not-authenticated"),
    (exceptions.NotAuthenticated, "not-authenticated"),
    (exceptions.PermissionDenied, "forbidden"),
    (exceptions.NotFound, "not-found"),
    (exceptions.MethodNotAllowed, "method-not-allowed"),
    (exceptions.NotAcceptable, "not-acceptable"),
    (exceptions.UnsupportedMediaType, "unsupported-media-type"),
    (exceptions.Throttled, "too-many-requests"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request.

    ``place`` is ``pointer`` (a JSON pointer into the body), ``parameter`` or ``header``; ``where`` is what it names.
    ``detail`` says what was wrong and what would be right, and never holds a secret.
    """

    place: str
    where: str
    code: str
    detail: str

    def as_json(self) -> dict[str, str]:
        """Return it as an item of ``errors``."""
        return {self.place: self.where, "code": self.code, "detail": self.detail}


class Problem(exceptions.APIException):
    """A problem of one `Kind`. Extend it, and name the kind."""

    kind: ClassVar[str]

    def __init__(self, detail: str, *, faults: Sequence[Fault] = (), retry_after: int | None = None) -> None:
        super().__init__(detail, self.kind)
        self.status_code = KINDS[self.kind].status
        self.faults = tuple(faults)
        # The name under which REST framework's own exceptions have it.
        self.wait = retry_after


class InvalidRequest(Problem):
    """Parameters or headers are wrong. What is wrong with a body is a ``ValidationError``."""

    kind = "invalid-request"


class InvalidCursor(Problem):
    """A cursor that is none of this caller's."""

    kind = "invalid-cursor"


class MalformedBody(Problem):
    """A body that can't be read."""

    kind = "malformed-body"


class UnknownReference(Problem):
    """A request that names what is not there, or belongs to somebody else, which nobody is told apart."""

    kind = "not-found"


class Conflict(Problem):
    """What can't be done as things stand."""

    kind = "conflict"


class RequestInProgress(Problem):
    """A second request with one idempotency key, while the first is under way."""

    kind = "request-in-progress"


class PreconditionFailed(Problem):
    """A change of a state that is no longer there."""

    kind = "precondition-failed"


class BodyTooLarge(Problem):
    """A body that nobody reads to its end."""

    kind = "body-too-large"


class IdempotencyKeyReused(Problem):
    """An idempotency key that came with another request."""

    kind = "idempotency-key-reused"


class Unavailable(Problem):
    """Something that may go well a little later."""

    kind = "unavailable"


def answer(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Return the response for an exception that a view raised; None for one that nobody foresaw."""
    problem = _translated(error)
    if problem is None:
        return None
    set_rollback()
    kind = _kind_of(problem)
    faults = _faults(problem)
    data: dict[str, Any] = {
        "type": "about:blank" if kind is None else kind.uri,
        "title": problem.default_detail if kind is None else kind.title,
        "status": problem.status_code,
        "detail": _summary(problem, faults) + _remedy(problem, context),
    }
    if faults:
        data["errors"] = [fault.as_json() for fault in faults[:MOST_FAULTS]]
    headers = {}
    if getattr(problem, "auth_header", None):
        headers["WWW-Authenticate"] = str(problem.auth_header)  # type: ignore[attr-defined]
    wait = getattr(problem, "wait", None)
    if wait is not None or (kind is not None and kind.name == "too-many-requests"):
        headers["Retry-After"] = str(max(1, math.ceil(wait or 1)))
    return Response(data, status=problem.status_code, headers=headers, content_type=CONTENT_TYPE)


def _translated(error: Exception) -> exceptions.APIException | None:
    if isinstance(error, exceptions.APIException):
        return error
    if isinstance(error, Http404):
        return exceptions.NotFound()
    if isinstance(error, DjangoPermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(error, OperationalError):
        # The class alone in the answer; what the database says may hold a value.
        logger.warning("The database refused a request: %s", type(error).__name__, exc_info=error)
        return Unavailable("The database is too busy or away; nothing was changed.", retry_after=NEXT_TRY)
    return None


def _kind_of(problem: exceptions.APIException) -> Kind | None:
    if isinstance(problem, Problem):
        return KINDS[problem.kind]
    return next((KINDS[name] for parent, name in _KINDS_OF if isinstance(problem, parent)), None)


def _faults(problem: exceptions.APIException) -> Sequence[Fault]:
    if isinstance(problem, Problem):
        return problem.faults
    if isinstance(problem, exceptions.ValidationError):
        return tuple(_in_body(problem.detail, ""))
    return ()


def _in_body(detail: Any, pointer: str) -> Iterator[Fault]:
    """Yield what a serializer found wrong, each with its place in the body."""
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            is_whole = key == api_settings.NON_FIELD_ERRORS_KEY
            yield from _in_body(inner, pointer if is_whole else f"{pointer}/{escaped(key)}")
    elif isinstance(detail, list | tuple):
        for index, inner in enumerate(detail):
            is_place = isinstance(inner, Mapping | list | tuple)
            yield from _in_body(inner, f"{pointer}/{index}" if is_place else pointer)
    else:
        yield Fault("pointer", f"#{pointer}", str(getattr(detail, "code", "invalid")), str(detail))


def escaped(key: object) -> str:
    """Return a key as a segment of a JSON pointer."""
    return str(key).replace("~", "~0").replace("/", "~1")


def _summary(problem: exceptions.APIException, faults: Sequence[Fault]) -> str:
    if isinstance(problem.detail, str):
        return str(problem.detail)
    return " ".join(f"{fault.where}: {fault.detail}" for fault in faults[:1]) + (
        f" And {len(faults) - 1} more." if len(faults) > 1 else ""
    )


def _remedy(problem: exceptions.APIException, context: Mapping[str, Any]) -> str:
    """Say what would be right where REST framework says only what was wrong."""
    if isinstance(problem, exceptions.UnsupportedMediaType):
        return " Send JSON, with Content-Type: application/json."
    if isinstance(problem, exceptions.NotAcceptable):
        return " Accept application/json."
    if isinstance(problem, exceptions.MethodNotAllowed):
        methods = [name for name in context["view"].allowed_methods if name not in {"HEAD", "OPTIONS"}]
        return f" Use {', '.join(methods)}."
    return ""
