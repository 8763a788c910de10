"""How the actions of all viewsets are described: names, summaries, headers, problem responses and corrected serializers."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar

from rest_framework.decorators import action
from rest_framework.serializers import ChoiceField, JSONField, ListSerializer

from tms_webhooks.api import safe_writes
from tms_webhooks.api.problems import CONTENT_TYPE, PROBLEM_TYPES, URN
from tms_webhooks.api.schema.shim import AutoSchema, ResolvedComponent, parameter, utils
from tms_webhooks.api.serializers.base import IDField, Schema, StrictSerializer, WordField, one_of
from tms_webhooks.conf import DELAYS_LIMIT, LONGEST_DELAY
from tms_webhooks.validators import NAMED_SCHEDULES

STRING: Schema = {"type": "string"}

IDEMPOTENCY_KEY_HEADER = parameter(
    safe_writes.HEADER,
    {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
    "Makes a retry safe: for 24 hours, the same request with the same key only returns the first response again.",
    location="header",
)
IF_MATCH = parameter(
    "If-Match",
    STRING,
    "The `ETag` of an earlier response. The request fails with 412 if the webhook has changed since.",
    location="header",
)
ETAG = parameter("ETag", STRING, "The state of the webhook, for `If-Match`.", location="header", response=True)
LOCATION = parameter(
    "Location",
    {"type": "string", "format": "uri"},
    "The URL of the new object.",
    location="header",
    response=[201, 202],
)

PROBLEMS_OF_ALL_REQUESTS = {
    "invalid-request",
    "not-authenticated",
    "forbidden",
    "not-acceptable",
    "too-many-requests",
    "unavailable",
}
PROBLEMS_OF_BODIES = {"malformed-body", "body-too-large", "unsupported-media-type", "not-found"}
PROBLEMS_OF_POSTS = {"request-in-progress", "idempotency-key-reused"}

DATABASE_LIMITS = {2**bits - 1 for bits in (15, 16, 31, 32, 63, 64)}
"""The largest numbers of the databases' columns, which Django adds to fields without a maximum of their own."""

FREE_OBJECT: Schema = {"type": "object", "additionalProperties": {}}

JSON_FIELDS: dict[str, Schema] = {
    "filters": FREE_OBJECT,
    "condition": {**FREE_OBJECT, "type": ["object", "null"]},
    "contents": {"type": "object", "additionalProperties": STRING},
    "nouns": {"type": "array", "items": STRING},
}
"""The schemas of fields with a JSON value, by name."""

MAY_BE_EMPTY = {"error_class", "delay_reason", "disabled_reason", "hold_reason", "integration_kind"}
"""The choices that may be "": each is a component with the name of the field."""

SCHEDULE: Schema = {
    "oneOf": [
        one_of(("", *NAMED_SCHEDULES)),
        {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": LONGEST_DELAY},
            "maxItems": DELAYS_LIMIT,
        },
    ]
}

ERROR_ITEM: Schema = {
    "type": "object",
    "description": "One error in the request, and its place.",
    "properties": {
        "pointer": {**STRING, "description": "A JSON pointer into the body."},
        "parameter": {**STRING, "description": "The name of a query parameter."},
        "header": {**STRING, "description": "The name of a header."},
        "code": {**STRING, "description": "The kind of error, for programs."},
        "detail": {**STRING, "description": "The error, and how to correct it."},
    },
    "required": ["code", "detail"],
}

PROBLEM: Schema = {
    "type": "object",
    "description": "A problem with the request, as in RFC 9457.",
    "properties": {
        "type": {
            "type": "string",
            "format": "uri",
            "description": "The type of problem, a stable identifier.",
            "examples": [URN + name for name in PROBLEM_TYPES],
        },
        "title": STRING,
        "status": {"type": "integer"},
        "detail": STRING,
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/ErrorItem"}},
        "job": {**IDField.json_schema, "description": "For a conflict with an unfinished job: the id of this job."},
    },
    "required": ["type", "title", "status", "detail"],
}

ViewAction = TypeVar("ViewAction", bound=Callable[..., Any])

RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}


class ResourceSchema(AutoSchema):
    """Describes the actions of this API, with the problems that each can return.

    An action sets its body, responses and parameters with ``extend_schema``. Its docstring is its summary and description.
    """

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """Return the operation with a response for each problem."""
        operation = super().get_operation(*args, **kwargs)
        responses = operation["responses"]
        expected = {PROBLEM_TYPES[name].status for name in self._problems(has_body="requestBody" in operation)}
        declared = {int(code) for code in responses if code >= "400"}
        for status in sorted(expected | declared):
            responses[str(status)] = self._problem(status)
        return operation

    def get_operation_id(self) -> str:
        return f"{self.view.basename}_{self.view.action}".replace("-", "_")

    def get_tags(self) -> list[str]:
        return [self.view.heading]

    def get_summary(self) -> str:
        """Return the first sentence of the action's docstring; the others are its description."""
        return f"{self._sentences()[0].rstrip('.')}."

    def get_description(self) -> str:
        return self._sentences()[2]

    def get_override_parameters(self) -> list[Any]:
        """Return the header for idempotency, the view's own parameters and filters, and those of a page that is no list of rows."""
        found = [*self.view.parameters.get(self.view.action, ())]
        if self.view.action == "list":
            found += [one.described(name) for name, one in self.view.list_filters.items()]
        if self.method == "POST":
            found.append(IDEMPOTENCY_KEY_HEADER)
        is_list = isinstance(self.get_response_serializers(), ListSerializer)
        if self.view.action in self.view.paged and not is_list:
            pages = self.view.paginator.get_schema_operation_parameters(self.view)
            found += [parameter(one["name"], one["schema"], one["description"]) for one in pages]
        return found

    def resolve_serializer(self, serializer: Any, direction: Any, **kwargs: Any) -> Any:
        """Return the component of a serializer, with the corrections that drf-spectacular can't derive."""
        serializer = serializer() if inspect.isclass(serializer) else serializer
        component = super().resolve_serializer(serializer, direction, **kwargs)
        if component.schema:
            self._correct(component.schema, serializer, direction)
        return component

    def _sentences(self) -> tuple[str, str, str]:
        # Django REST framework provides the actions without a docstring.
        text = (
            f"Return one {self.view.row_kind}." if self.view.action == "retrieve" else inspect.getdoc(type(self.view))
        )
        text = inspect.getdoc(getattr(self.view, self.view.action)) or text
        return " ".join(str(text).split()).partition(". ")

    def _problems(self, *, has_body: bool) -> Iterator[str]:
        yield from PROBLEMS_OF_ALL_REQUESTS
        if "{" in self.path or self.view.action == "list":
            yield "not-found"
        if has_body:
            yield from PROBLEMS_OF_BODIES
        if self.method == "POST":
            yield from PROBLEMS_OF_POSTS
        if IF_MATCH in self.get_override_parameters():
            yield "precondition-failed"

    def _problem(self, status: int) -> dict[str, Any]:
        self._register("ErrorItem", ERROR_ITEM)
        kinds = [kind for kind in PROBLEM_TYPES.values() if kind.status == status]
        response = {
            "description": "\n".join(f"- `{kind.uri}`: {kind.meaning}" for kind in kinds),
            "content": {CONTENT_TYPE: {"schema": self._register("Problem", PROBLEM)}},
            **({"headers": RETRY_AFTER} if status in (429, 503) else {}),
        }
        return self._register(f"Problem{status}", response, kind="responses")

    def _register(self, name: str, described: Schema, *, kind: str = "schemas") -> Schema:
        """Add a component to the document, and return a reference to it."""
        # A copy, because drf-spectacular changes what it is given. A `WordField` may have registered the same component.
        component = ResolvedComponent(name, kind, copy.deepcopy(described), object=WordField)
        self.registry.register_on_missing(component)
        return component.ref

    def _correct(self, schema: Schema, serializer: Any, direction: Any) -> None:
        """Correct a schema in place.

        Reject unknown names in a request, and set the types and limits that drf-spectacular can't derive. Remove limits
        that depend on the database. Remove titles, because they are labels of forms, and generators would name classes by
        them.
        """
        is_strict = isinstance(serializer, StrictSerializer)
        if direction == "request" and is_strict:
            schema["additionalProperties"] = False
        for name, value in schema.get("properties", {}).items():
            value.pop("title", None)
            if not is_strict:
                # Only answers have a serializer that is not strict: all of it is read.
                value.pop("readOnly", None)
            own = self._own_schema(name, serializer.fields[name])
            if own is not None:
                kept = {key: value[key] for key in ("description", "readOnly") if key in value}
                value.clear()
                value |= kept | own
            if value.get("maximum") in DATABASE_LIMITS:
                value.pop("maximum")
                value.pop("format", None)
            # A computed field is described by the docstring of its method.
            noun = str(value.get("description", "")).removeprefix("Return ")
            if noun:
                value["description"] = noun[0].upper() + noun[1:]

    def _own_schema(self, name: str, field: Any) -> Schema | None:
        """Return the schema of a field of JSON, or of choices that may be empty, or else None."""
        if isinstance(field, JSONField):
            if name == "schedule":
                return {"allOf": [self._register("Schedule", SCHEDULE)]}
            return JSON_FIELDS.get(name)
        if isinstance(field, ChoiceField) and name in MAY_BE_EMPTY:
            words = one_of(("", *filter(None, field.choices)))
            return {"allOf": [self._register(name.title().replace("_", ""), words)]}
        return None


def extend_schema(**described: Any) -> Callable[[ViewAction], ViewAction]:
    """Return a decorator that describes an action, or one that does nothing without drf-spectacular."""

    def decorate(method: ViewAction) -> ViewAction:
        # Otherwise drf-spectacular would extend the schema class of the host.
        method.kwargs = {"schema": ResourceSchema, **getattr(method, "kwargs", {})}  # type: ignore[attr-defined]
        return utils.extend_schema(**described)(method)

    return (lambda method: method) if utils is None else decorate


def writes(answer: Any, *headers: Any, body: Any = None, atomic: bool = True) -> Callable[[ViewAction], ViewAction]:
    """Return a decorator for an action that gets neither the request nor its path.

    The action gets the validated values of the ``body``, a serializer, as keywords. It returns a response, or the object of
    ``answer``, a serializer or what ``extend_schema`` takes as responses. ``headers`` are those of request and response. If
    it is ``atomic``, it runs in one transaction, which stores its response for the idempotency key.
    """

    def decorate(method: ViewAction) -> ViewAction:
        @wraps(method)
        def run(view: Any, _request: Any, **_kwargs: Any) -> Any:
            values = view.read(body) if body else {}

            def work() -> Any:
                return view.response_of(answer, method(view, **values), is_new=LOCATION in headers)

            return view.commit(work) if atomic else work()

        described = {"request": body} if body else {}
        return extend_schema(responses=answer, parameters=list(headers), filters=False, **described)(run)  # type: ignore[return-value]

    return decorate


def row_action(
    answer: Any, *headers: Any, body: Any = None, atomic: bool | None = None, **options: Any
) -> Callable[[ViewAction], ViewAction]:
    """Return a decorator for an action of a row, as `writes`: by POST, if it has a ``body``, or else by GET.

    A POST is ``atomic`` by default. ``options`` are those of Django REST framework's ``action``.
    """
    decorate = writes(answer, *headers, body=body, atomic=body is not None if atomic is None else atomic)
    is_action = action(**{"detail": True, "methods": ["post" if body else "get"], **options})
    return lambda method: decorate(is_action(method))  # type: ignore[return-value]
