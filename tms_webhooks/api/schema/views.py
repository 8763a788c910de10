"""How drf-spectacular sees our views: by `OPERATIONS`, whatever the host's own schema class is."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from rest_framework.serializers import ChoiceField, JSONField

from tms_webhooks.api.problems import CONTENT_TYPE, KINDS
from tms_webhooks.api.schema import fields, parameters, shapes
from tms_webhooks.api.schema.operations import OPERATIONS, TAGS, Operation
from tms_webhooks.api.serializers.bases import Strict

# Extensions register themselves when they are imported.
__all__ = ["ResourceExtension", "ResourceSchema", "fields"]

REFUSALS = {"invalid-request", "not-authenticated", "forbidden", "not-acceptable", "too-many-requests", "unavailable"}
"""What can happen to every request."""
OF_BODIES = {"malformed-body", "body-too-large", "unsupported-media-type"}
OF_POSTS = {"request-in-progress", "idempotency-key-reused"}

SMALLEST_LIMIT_OF_DATABASES = 32_767  # of small whole numbers, on PostgreSQL

ETAG = {"ETag": {"description": "The state of the webhook, for `If-Match`.", "schema": {"type": "string"}}}
LOCATION = {"Location": {"description": "The address of what was made.", "schema": shapes.ADDRESS}}
RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}


class ResourceSchema(AutoSchema):
    """The operations of our resources."""

    @property
    def ours(self) -> Operation:
        """What the action takes and answers."""
        return OPERATIONS[self.view.basename, self.view.action]

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """Return the operation, with the problems that it may be answered with."""
        operation = super().get_operation(*args, **kwargs)
        for status in sorted({KINDS[name].status for name in self._problems()}):
            operation["responses"][str(status)] = self._problem(status)
        for code, response in operation["responses"].items():
            headers = (ETAG if self.ours.tagged else {}) | (LOCATION if self.ours.located and code != "200" else {})
            if code.startswith("2") and headers:
                response["headers"] = headers
        return operation

    def get_operation_id(self) -> str:
        """Return a name that clients make a method of."""
        return f"{self.view.basename}_{self.view.action}".replace("-", "_")

    def get_tags(self) -> list[str]:
        """Return the noun, for people."""
        return [TAGS[self.view.basename]]

    def get_summary(self) -> str:
        """Return the first sentence of what the action says of itself."""
        summary, _rest = self._sentences()
        return summary

    def get_description(self) -> str:
        """Return the rest of it."""
        _summary, rest = self._sentences()
        return rest

    def get_request_serializer(self) -> Any:
        """Return what the body is."""
        return self.ours.takes

    def get_response_serializers(self) -> dict[int, Any]:
        """Return the answers by status."""
        answers = dict(self.ours.answers)
        if self.ours.wrapped is not None:
            status, serializer = next(iter(answers.items()))
            answers[status] = self.ours.wrapped(self.resolve_serializer(serializer(), "response").ref)
        return answers

    def _sentences(self) -> tuple[str, str]:
        told = inspect.getdoc(getattr(self.view, self.view.action)) or self._by_default()
        text = " ".join(told.split())
        first, dot, rest = text.partition(". ")
        return f"{first.rstrip('.')}." if dot or first else "", rest

    def _by_default(self) -> str:
        """Return what the actions that Django REST framework has ready say."""
        return "Return one of them." if self.view.action == "retrieve" else str(inspect.getdoc(type(self.view)))

    def _get_parameters(self) -> list[dict[str, Any]]:
        known = parameters.in_path(self.view.basename)
        found = [known.get(one["name"], one) for one in super()._get_parameters() if one["in"] in ("path", "query")]
        found += self.ours.parameters()
        found += [parameters.KEY_OF_REQUEST] if self.method == "POST" else []
        found += [parameters.IF_MATCH] if self.ours.matched else []
        return found

    def _get_pagination_parameters(self) -> list[dict[str, Any]]:
        return []

    def _get_paginator(self) -> None:
        return None

    def _is_list_view(self, serializer: Any = None) -> bool:
        # What a page looks like is said by the operation.
        return False

    def _map_serializer(self, serializer: Any, direction: Any, bypass_extensions: bool = False) -> Any:  # noqa: FBT001, FBT002 (its signature)
        schema = super()._map_serializer(serializer, direction, bypass_extensions)
        if direction == "request" and isinstance(serializer, Strict):
            schema["additionalProperties"] = False
        for one in schema.get("properties", {}).values():
            # A limit of the database: another one has another, and the document is the same on each.
            if one.get("maximum", 0) >= SMALLEST_LIMIT_OF_DATABASES:
                one.pop("maximum")
                one.pop("format", None)
            # A computed field is described by the docstring of its method.
            noun = str(one.get("description", "")).removeprefix("Return ")
            if noun:
                one["description"] = noun[0].upper() + noun[1:]
        return schema

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:  # noqa: FBT001, FBT002
        if isinstance(field, ChoiceField) and field.read_only and _may_be_blank(field):
            # Nobody can set it, so nobody said that it may be empty.
            field.allow_blank = True
        schema = super()._map_serializer_field(field, direction, bypass_extensions)
        if _is_known_json(field):
            told = {"description": schema["description"]} if "description" in schema else {}
            return {**shapes.OF_JSON_FIELDS[field.field_name], **told}
        return schema

    def _problems(self) -> Iterator[str]:
        yield from REFUSALS
        if "{" in self.path or self.ours.takes is not None or self.view.action == "list":
            yield "not-found"
        if self.ours.takes is not None:
            yield from OF_BODIES
        if self.method == "POST":
            yield from OF_POSTS
        if self.ours.matched:
            yield "precondition-failed"
        if self.ours.conflicts:
            yield "conflict"

    def _problem(self, status: int) -> dict[str, Any]:
        problem = ResolvedComponent("Problem", ResolvedComponent.SCHEMA, shapes.PROBLEM, object="Problem")
        self.registry.register_on_missing(problem)
        kinds = [kind for kind in KINDS.values() if kind.status == status]
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


def _may_be_blank(field: Any) -> bool:
    model = getattr(getattr(field.parent, "Meta", None), "model", None)
    names = {} if model is None else {one.name: one for one in model._meta.concrete_fields}
    return field.source in names and bool(names[field.source].blank)


def _is_known_json(field: Any) -> bool:
    return isinstance(field, JSONField) and field.field_name in shapes.OF_JSON_FIELDS


class ResourceExtension(OpenApiViewExtension):
    """Has each of our views described by `ResourceSchema`."""

    target_class = "tms_webhooks.api.views.bases.ResourceViewSet"
    match_subclasses = True

    def view_replacement(self) -> Any:
        """Return the same view with our schema."""
        return type(self.target_callback.cls.__name__, (self.target_callback.cls,), {"schema": ResourceSchema()})
