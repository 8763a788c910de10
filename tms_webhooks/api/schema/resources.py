"""The schema class of all viewsets: operation names, summaries, problem responses and corrected serializers."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from rest_framework.serializers import ChoiceField, JSONField

from tms_webhooks.api.problems import CONTENT_TYPE, PROBLEM_TYPES
from tms_webhooks.api.schema import parameters, shapes
from tms_webhooks.api.schema.shim import AutoSchema, ResolvedComponent, utils
from tms_webhooks.api.serializers.strict import StrictMixin

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

ViewAction = TypeVar("ViewAction", bound=Callable[..., Any])

RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}


class ResourceSchema(AutoSchema):
    """Describes the actions of this API, with the problems that each can return.

    An action sets its body, responses and parameters with ``extend_schema``. Its docstring is its summary and description.
    """

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """Return the operation with a response for each problem."""
        operation = super().get_operation(*args, **kwargs)
        for name, schema in shapes.COMPONENTS.items():
            self._register(name, ResolvedComponent.SCHEMA, schema)
        responses = operation["responses"]
        expected = {PROBLEM_TYPES[name].status for name in self._problems(has_body="requestBody" in operation)}
        declared = {int(code) for code in responses if code >= "400"}
        for status in sorted(expected | declared):
            responses[str(status)] = self._problem(status)
        return operation

    def get_operation_id(self) -> str:
        """Return the operation id, which names the method in generated clients."""
        return f"{self.view.basename}_{self.view.action}".replace("-", "_")

    def get_tags(self) -> list[str]:
        """Return the tag of the viewset."""
        return [self.view.heading]

    def get_summary(self) -> str:
        """Return the first sentence of the action's docstring."""
        return self._sentences()[0]

    def get_description(self) -> str:
        """Return the other sentences of the action's docstring."""
        return self._sentences()[1]

    def get_override_parameters(self) -> list[Any]:
        """Return the parameters that do not depend on the action."""
        return [parameters.IDEMPOTENCY_KEY_HEADER] if self.method == "POST" else []

    def resolve_serializer(self, serializer: Any, direction: Any, **kwargs: Any) -> Any:
        """Return the component of a serializer, with the corrections that drf-spectacular can't derive."""
        serializer = serializer() if inspect.isclass(serializer) else serializer
        component = super().resolve_serializer(serializer, direction, **kwargs)
        if component.schema:
            _correct(component.schema, serializer, direction)
        return component

    def _sentences(self) -> tuple[str, str]:
        text = inspect.getdoc(getattr(self.view, self.view.action)) or self._default_text()
        first, _dot, rest = " ".join(text.split()).partition(". ")
        return f"{first.rstrip('.')}.", rest

    def _default_text(self) -> str:
        """Return the text for an action that Django REST framework provides."""
        if self.view.action == "retrieve":
            return f"Return one {self.view.queryset.model._meta.verbose_name}."
        return str(inspect.getdoc(type(self.view)))

    def _problems(self, *, has_body: bool) -> Iterator[str]:
        yield from PROBLEMS_OF_ALL_REQUESTS
        if "{" in self.path or self.view.action == "list":
            yield "not-found"
        if has_body:
            yield from PROBLEMS_OF_BODIES
        if self.method == "POST":
            yield from PROBLEMS_OF_POSTS
        if parameters.IF_MATCH in self.get_override_parameters():
            yield "precondition-failed"

    def _problem(self, status: int) -> dict[str, Any]:
        kinds = [kind for kind in PROBLEM_TYPES.values() if kind.status == status]
        response = {
            "description": "\n".join(f"- `{kind.uri}`: {kind.meaning}" for kind in kinds),
            "content": {CONTENT_TYPE: {"schema": shapes.PROBLEM}},
            **({"headers": RETRY_AFTER} if status in (429, 503) else {}),
        }
        return self._register(f"Problem{status}", "responses", response)

    def _register(self, name: str, kind: str, described: dict[str, Any]) -> dict[str, Any]:
        """Add a component to the document, and return a reference to it."""
        # A copy, because drf-spectacular changes what it is given.
        component = ResolvedComponent(name, kind, copy.deepcopy(described), object=name)
        self.registry.register_on_missing(component)
        ref: dict[str, Any] = component.ref
        return ref


def extend_schema(**described: Any) -> Callable[[ViewAction], ViewAction]:
    """Return a decorator that describes an action, or one that does nothing without drf-spectacular."""

    def decorate(action: ViewAction) -> ViewAction:
        # Otherwise drf-spectacular would extend the schema class of the host.
        action.kwargs = {"schema": ResourceSchema, **getattr(action, "kwargs", {})}  # type: ignore[attr-defined]
        decorated: ViewAction = utils.extend_schema(**described)(action)
        return decorated

    return (lambda action: action) if utils is None else decorate


def _correct(schema: shapes.Schema, serializer: Any, direction: Any) -> None:
    """Correct a schema in place.

    Reject unknown names in a request, and set the types and limits that drf-spectacular can't derive. Remove limits
    that depend on the database. Remove titles, because they are labels of forms, and generators would name classes by
    them.
    """
    if direction == "request" and isinstance(serializer, StrictMixin):
        schema["additionalProperties"] = False
    for name, value in schema.get("properties", {}).items():
        value.pop("title", None)
        if name in shapes.FIELD_SCHEMAS and isinstance(serializer.fields[name], JSONField | ChoiceField):
            kept = {key: value[key] for key in ("description", "readOnly") if key in value}
            value.clear()
            value |= kept | shapes.FIELD_SCHEMAS[name]
        value |= shapes.FIELD_LIMITS.get(name, {})
        if value.get("maximum") in DATABASE_LIMITS:
            value.pop("maximum")
            value.pop("format", None)
        # A computed field is described by the docstring of its method.
        noun = str(value.get("description", "")).removeprefix("Return ")
        if noun:
            value["description"] = noun[0].upper() + noun[1:]
