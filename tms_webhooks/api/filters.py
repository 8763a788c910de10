"""Strict filtering of lists: unknown parameters and invalid values are rejected instead of ignored."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django_filters import ModelChoiceFilter, MultipleChoiceFilter
from django_filters.rest_framework import DjangoFilterBackend

from tms_webhooks.api.problems import ErrorItem, InvalidRequest, UnknownReference

_TIME_WITH_BLANK = re.compile(r"T[0-9:.]+ [0-9]{2}:?[0-9]{2}$")
MAX_SHOWN = 80
"""The number of characters of an unknown name that an error repeats."""


class StrictFilterBackend(DjangoFilterBackend):
    """Filters lists with the view's filter set, and never a single object."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        """Return the filtered rows; raise `InvalidRequest` with an item for each invalid parameter."""
        if view.detail:
            return queryset
        filterset = self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        given = {name: request.query_params.getlist(name) for name in filterset.filters}
        found = (
            malformed_parameter(name, values, is_list=isinstance(filterset.filters[name], MultipleChoiceFilter))
            for name, values in given.items()
        )
        errors = [item for item in found if item is not None]
        if not filterset.is_valid():
            self._raise_for_unknown_objects(filterset)
            reported = {item.name for item in errors}
            errors += [
                ErrorItem(
                    "parameter",
                    name,
                    error.code or "invalid",
                    _message(filterset.form.fields[name], error) + _lost_plus(given[name]),
                )
                for name, field_errors in filterset.form.errors.as_data().items()
                for error in field_errors
                if name not in reported
            ]
        if errors:
            raise InvalidRequest("A filter is invalid.", errors=errors)
        return filterset.qs

    def _raise_for_unknown_objects(self, filterset: Any) -> None:
        """Raise `UnknownReference` for an object that does not exist or that the caller may not view."""
        errors = [
            ErrorItem("parameter", name, "unknown", f"Unknown {name}; use the id of one of yours.")
            for name, problems in filterset.form.errors.as_data().items()
            if isinstance(filterset.filters[name], ModelChoiceFilter)
            and any(problem.code == "invalid_choice" for problem in problems)
        ]
        if errors:
            raise UnknownReference("A filter names an unknown object.", errors=errors)


def _lost_plus(values: list[str]) -> str:
    """Return a remedy if a time has lost the plus sign of its offset, which means a blank in a URL."""
    return " In a URL, write %2B for +." if any(map(_TIME_WITH_BLANK.search, values)) else ""


def require_known_parameters(request: Any, view: Any) -> None:
    """Raise `InvalidRequest` for query parameters that the view does not read, with the most similar known names."""
    known = _known_parameters(view)
    errors = [
        ErrorItem("parameter", name[:MAX_SHOWN], "unknown", unknown_name_message(name, known, kind="parameter"))
        for name in request.query_params
        if name not in known
    ]
    if errors:
        raise InvalidRequest(errors[0].detail, errors=errors)


def unknown_name_message(name: str, known: Iterable[str], *, kind: str) -> str:
    """Return the error for an unknown field or parameter, with similar names or else all known ones."""
    names = sorted(known)
    shown = name[:MAX_SHOWN]
    known_names = f" Known: {', '.join(names)}." if names else ""
    return f"Unknown {kind} {shown!r}.{did_you_mean(difflib.get_close_matches(shown, names)) or known_names}"


def did_you_mean(candidates: Iterable[str]) -> str:
    """Return the question for these similar names with a space before it, or "" without names."""
    quoted = " or ".join(repr(candidate) for candidate in candidates)
    return f" Did you mean {quoted}?" if quoted else ""


def malformed_parameter(name: str, values: Sequence[str], *, is_list: bool = False) -> ErrorItem | None:
    """Return the error of a parameter that is blank, repeated though it is no list, or has a NUL character; or else None.

    None of them may mean "all": a script with an empty variable would read the rows of all organizations.
    """
    if any(not value.strip() for value in values):
        return ErrorItem("parameter", name, "blank", "Empty; set a value or omit the parameter.")
    if len(values) > 1 and not is_list:
        return ErrorItem("parameter", name, "repeated", f"Given {len(values)} times; give it once.")
    if any("\0" in value for value in values):
        return ErrorItem("parameter", name, "null_character", "Contains a NUL character; remove it.")
    return None


def _message(field: Any, error: ValidationError) -> str:
    """Return the message of a form field's error; for an invalid choice with the valid ones."""
    if error.code != "invalid_choice" or not error.params:
        return " ".join(error.messages)
    names = ", ".join(str(value) for value, _label in field.choices if value)
    return f"{str(error.params['value'])[:40]!r} is not a valid choice; choose one of {names}."


def _known_parameters(view: Any) -> Collection[str]:
    known = {one.name for one in view.parameters.get(view.action, ()) if one.location == "query"}
    if view.action == "list" or view.action in view.paged:
        known |= {parameter["name"] for parameter in view.paginator.get_schema_operation_parameters(view)}
    if view.action == "list" and view.filterset_class is not None:
        known |= set(view.filterset_class.base_filters)
    return known
