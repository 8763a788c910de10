"""The errors of the API as problem details (RFC 9457): the types of problems, their exceptions and the exception handler."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from tms_webhooks.event_names import suggest
from tms_webhooks.exceptions import (
    CursorError,
    LimitReached,
    PullOnlyWebhook,
    ReplayError,
    SecretInUse,
    SubjectError,
    WebhooksError,
)

CONTENT_TYPE = "application/problem+json"
URN = "urn:tms-webhooks:problem:"
MAX_ERRORS = 100
"""The maximum number of ``errors`` in a response."""
MAX_SHOWN = 80
"""The number of characters of an unknown name or id that an error repeats. The app's own ids have at most 68."""
_DATABASE_RETRY_SECONDS = 5
"""``Retry-After`` if the database is overloaded or unreachable."""

REMEDIES = {406: " Accept application/json.", 415: " Send JSON, with Content-Type: application/json."}

logger = logging.getLogger(__name__)


class ProblemType(NamedTuple):
    """A type of problem: its name in ``type``, its HTTP status, and its documented meaning."""

    name: str
    status: int
    meaning: str

    @property
    def title(self) -> str:
        """The name as people write it."""
        return self.name.replace("-", " ").capitalize()

    @property
    def uri(self) -> str:
        """The value of ``type``, which never changes."""
        return URN + self.name


PROBLEM_TYPES = {
    problem_type.name: problem_type
    for problem_type in (
        ProblemType(
            "malformed-body",
            400,
            "The body is not valid JSON, or neither a JSON object nor `null`, which counts as `{}`.",
        ),
        ProblemType("invalid-request", 400, "Fields, parameters or headers are invalid; `errors` lists them."),
        ProblemType("invalid-cursor", 400, "The cursor does not match this list, its filters or the caller."),
        ProblemType("not-authenticated", 401, "Credentials are missing or invalid."),
        ProblemType("forbidden", 403, "The caller lacks the permission for this action."),
        ProblemType("not-found", 404, "The object does not exist, or belongs to another organization."),
        ProblemType(
            "method-not-allowed",
            405,
            "The resource does not support this method; the header `Allow` lists those that it supports.",
        ),
        ProblemType("not-acceptable", 406, "`Accept` excludes JSON, which is the only format."),
        ProblemType(
            "conflict",
            409,
            "The current state of the object, or a limit, does not allow this action; `detail` gives the reason.",
        ),
        ProblemType(
            "request-in-progress",
            409,
            "An earlier request with the same `Idempotency-Key` is still in progress.",
        ),
        ProblemType(
            "precondition-failed",
            412,
            "The webhook has changed since the response whose `ETag` is in `If-Match`.",
        ),
        ProblemType(
            "body-too-large",
            413,
            "The body has more bytes than this installation allows; `detail` gives the limit.",
        ),
        ProblemType("unsupported-media-type", 415, "The `Content-Type` is not `application/json`."),
        ProblemType(
            "idempotency-key-reused",
            422,
            "The `Idempotency-Key` was used for a different request; use a new key.",
        ),
        ProblemType(
            "too-many-requests",
            429,
            "A rate limit is reached; `Retry-After` is the number of seconds to wait.",
        ),
        ProblemType(
            "unavailable",
            503,
            "The database is overloaded or unreachable; `Retry-After` is the number of seconds to wait.",
        ),
    )
}


class ErrorItem(NamedTuple):
    """One item of ``errors``: an invalid part of the request.

    ``location`` is ``pointer`` (a JSON pointer into the body), ``parameter`` or ``header``; ``name`` is the pointer or the
    name of the parameter or header. ``detail`` says what is wrong and what to write instead, and never holds a secret.
    """

    location: str
    name: str
    code: str
    detail: str


class Problem(exceptions.APIException):
    """An error of the API. ``problem_type`` is a key of `PROBLEM_TYPES`; without a detail, it is that of the first of ``errors``."""

    def __init__(
        self,
        problem_type: str,
        detail: str = "",
        *,
        errors: Sequence[ErrorItem] = (),
        retry_after: int | None = None,
        job: str = "",
    ) -> None:
        super().__init__(detail, problem_type)
        self.problem_type = PROBLEM_TYPES[problem_type]
        self.status_code = self.problem_type.status
        self.errors = errors
        self.job = job
        # The attribute that Django REST framework's own exceptions have.
        self.wait = retry_after


def problem_at(location: str, name: str, code: str, detail: str, *, kind: str = "invalid-request") -> Problem:
    """Return the problem of one part of a request; see `ErrorItem`."""
    return Problem(kind, errors=[ErrorItem(location, name, code, detail)])


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Return the problem response for an exception of a view, or None for an unexpected exception."""
    location = "parameter" if context["request"].method in SAFE_METHODS else "pointer"
    exception = _as_api_exception(error, location)
    if exception is None:
        return None
    set_rollback()
    headers = {}
    if challenge := getattr(exception, "auth_header", None):
        headers["WWW-Authenticate"] = str(challenge)
    wait = getattr(exception, "wait", None)
    if wait is not None or isinstance(exception, exceptions.Throttled):
        headers["Retry-After"] = str(max(1, math.ceil(wait or 1)))
    return Response(details_of(exception), status=exception.status_code, headers=headers, content_type=CONTENT_TYPE)


def unknown_name_message(name: str, known: Iterable[str], *, kind: str) -> str:
    """Return the error for an unknown field or parameter, with similar names or else all known ones."""
    names = sorted(known)
    shown = name[:MAX_SHOWN]
    known_names = f" Known: {', '.join(names)}." if names else ""
    return f"Unknown {kind} {shown!r}.{suggest(shown, names) or known_names}"


def details_of(exception: exceptions.APIException) -> dict[str, Any]:
    """Return the body of the response to an exception."""
    errors: Sequence[ErrorItem] = getattr(exception, "errors", ())
    detail = str(exception.detail)
    if errors and not detail:
        more = f" And {len(errors) - 1} more." if len(errors) > 1 else ""
        detail = f"{errors[0].name}: {errors[0].detail}{more}"
    # With an authentication without a challenge, the status of the first two is 403.
    is_unknown = isinstance(exception, exceptions.NotAuthenticated | exceptions.AuthenticationFailed)
    status = 401 if is_unknown else exception.status_code
    problem_type = getattr(exception, "problem_type", None) or next(
        (one for one in PROBLEM_TYPES.values() if one.status == status), None
    )
    # Where Django REST framework says only what is wrong.
    remedy = REMEDIES.get(exception.status_code, "")
    scheme = str(getattr(exception, "auth_header", None) or "").partition(" ")[0]
    if isinstance(exception, exceptions.NotAuthenticated) and scheme:
        remedy = f" Send the header Authorization with the scheme {scheme}."
    data: dict[str, Any] = {
        "type": "about:blank" if problem_type is None else problem_type.uri,
        "title": exception.default_detail if problem_type is None else problem_type.title,
        "status": exception.status_code,
        "detail": detail + remedy,
    }
    if errors:
        shown = errors[:MAX_ERRORS]
        data["errors"] = [{one.location: one.name, "code": one.code, "detail": one.detail} for one in shown]
    if job := getattr(exception, "job", ""):
        data["job"] = job
    return data


def _as_api_exception(error: Exception, location: str) -> exceptions.APIException | None:
    """Return an error as the API reports it; None if it is unexpected. ``location`` is that of the request's own values."""
    if isinstance(error, exceptions.ValidationError):
        return Problem("invalid-request", errors=list(body_errors(error.detail, "")))
    if isinstance(error, exceptions.APIException):
        return error
    if isinstance(error, Http404):
        return exceptions.NotFound()
    if isinstance(error, DjangoPermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(error, WebhooksError) and error.field:
        name, code = f"#/{error.field}" if location == "pointer" else error.field, error.code
        kind = "invalid-cursor" if isinstance(error, CursorError) else "invalid-request"
        if code == SubjectError.NOT_FOUND:
            kind, code = "not-found", "unknown"
        return problem_at(location, name, code, str(error), kind=kind)
    if isinstance(error, LimitReached | ReplayError | SecretInUse | PullOnlyWebhook):
        wait = getattr(error, "retry_after", None)
        kind = "conflict" if wait is None else "too-many-requests"
        return Problem(kind, str(error), retry_after=wait, job=getattr(error, "job", ""))
    if isinstance(error, OperationalError):
        # The response leaves out the database's message, which may hold a value.
        logger.warning("The database refused a request: %s", type(error).__name__, exc_info=error)
        detail = "The database is overloaded or unreachable; nothing was changed."
        return Problem("unavailable", detail, retry_after=_DATABASE_RETRY_SECONDS)
    return None


def body_errors(detail: Any, pointer: str) -> Iterator[ErrorItem]:
    """Yield an item for each error of a serializer, with the pointer to its place in the body."""
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            is_whole = key == api_settings.NON_FIELD_ERRORS_KEY
            segment = str(key).replace("~", "~0").replace("/", "~1")
            yield from body_errors(inner, pointer if is_whole else f"{pointer}/{segment}")
    elif isinstance(detail, list | tuple):
        for index, inner in enumerate(detail):
            is_nested = isinstance(inner, Mapping | list | tuple)
            yield from body_errors(inner, f"{pointer}/{index}" if is_nested else pointer)
    else:
        yield ErrorItem("pointer", f"#{pointer}", str(getattr(detail, "code", "invalid")), str(detail))
