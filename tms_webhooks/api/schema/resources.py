"""The schema class of all viewsets: operation names, summaries, problem responses and corrected serializers."""

from __future__ import annotations

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

SMALLEST_DATABASE_LIMIT = 32_767
"""The maximum of a small integer on PostgreSQL; limits from here on come from the database."""

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
        _allow_blank_choices(serializer)
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
        problem = ResolvedComponent("Problem", ResolvedComponent.SCHEMA, shapes.PROBLEM, object="Problem")
        self.registry.register_on_missing(problem)
        kinds = [kind for kind in PROBLEM_TYPES.values() if kind.status == status]
        response = ResolvedComponent(
            f"Problem{status}",
            "responses",
            {
                "description": "\n".join(f"- `{kind.uri}`: {kind.meaning}" for kind in kinds),
                "content": {CONTENT_TYPE: {"schema": problem.ref}},
                **({"headers": RETRY_AFTER} if status in (429, 503) else {}),
            },
            object=f"Problem{status}",
        )
        self.registry.register_on_missing(response)
        ref: dict[str, Any] = response.ref
        return ref


def extend_schema(**described: Any) -> Callable[[ViewAction], ViewAction]:
    """Return a decorator that describes an action, or one that does nothing without drf-spectacular."""

    def decorate(action: ViewAction) -> ViewAction:
        # Otherwise drf-spectacular would extend the schema class of the host.
        action.kwargs = {"schema": ResourceSchema, **getattr(action, "kwargs", {})}  # type: ignore[attr-defined]
        decorated: ViewAction = utils.extend_schema(**described)(action)
        return decorated

    return (lambda action: action) if utils is None else decorate


def _allow_blank_choices(serializer: Any) -> None:
    """Allow empty read-only choices where the model does: Django REST framework sets this only for writable fields."""
    model = getattr(getattr(serializer, "Meta", None), "model", None)
    blank = {column.name for column in model._meta.concrete_fields if column.blank} if model else set()
    for field in serializer.fields.values():
        if isinstance(field, ChoiceField) and field.read_only and field.source in blank:
            field.allow_blank = True


def _correct(schema: shapes.Schema, serializer: Any, direction: Any) -> None:
    """Reject unknown names in a request, remove limits that depend on the database, and correct descriptions in place."""
    if direction == "request" and isinstance(serializer, StrictMixin):
        schema["additionalProperties"] = False
    for name, value in schema.get("properties", {}).items():
        if isinstance(serializer.fields[name], JSONField) and name in shapes.JSON_FIELD_SCHEMAS:
            value.pop("oneOf", None)  # drf-spectacular's: any value or null
            value |= shapes.JSON_FIELD_SCHEMAS[name]
        if value.get("maximum", 0) >= SMALLEST_DATABASE_LIMIT:
            value.pop("maximum")
            value.pop("format", None)
        # A computed field is described by the docstring of its method.
        noun = str(value.get("description", "")).removeprefix("Return ")
        if noun:
            value["description"] = noun[0].upper() + noun[1:]
