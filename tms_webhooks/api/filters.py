"""Filtering of lists by django-filter: a parameter that there is not is refused, and so is a value that means nothing."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django_filters import ModelChoiceFilter, MultipleChoiceFilter
from django_filters.rest_framework import DjangoFilterBackend

from tms_webhooks.api.problems import Fault, InvalidRequest, UnknownReference
from tms_webhooks.event_names import did_you_mean


class StrictFilterBackend(DjangoFilterBackend):
    """Filters lists, and never a single object."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        """Return what the parameters leave; raise `InvalidRequest` naming those that are wrong."""
        if view.detail:
            return queryset
        filterset = self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        faults = list(_not_given_once(filterset, request.query_params))
        if not filterset.is_valid():
            self._refuse_strangers(filterset)
            told = {fault.where for fault in faults}
            faults += [
                Fault("parameter", name, error.code or "invalid", _told(filterset.form.fields[name], error))
                for name, errors in filterset.form.errors.as_data().items()
                for error in errors
                if name not in told
            ]
        if faults:
            raise InvalidRequest("The filters are wrong.", faults=faults)
        return filterset.qs

    def _refuse_strangers(self, filterset: Any) -> None:
        """Raise `UnknownReference` for an object that is not there, or not to be seen."""
        faults = [
            Fault("parameter", name, "unknown", f"There is no such {name}; name one of yours by its id.")
            for name in filterset.errors
            if isinstance(filterset.filters[name], ModelChoiceFilter)
        ]
        if faults:
            raise UnknownReference("What to filter by is not there.", faults=faults)


def _not_given_once(filterset: Any, parameters: Any) -> Iterator[Fault]:
    """Yield a fault for each filter without a value, and for each with several of which but one would count.

    Neither may mean "all": a script whose variable is empty would read the rows of everybody.
    """
    for name, one in filterset.filters.items():
        values = parameters.getlist(name)
        if "" in values:
            yield Fault("parameter", name, "blank", "It is empty; give a value, or leave it out.")
        elif len(values) > 1 and not isinstance(one, MultipleChoiceFilter):
            yield Fault("parameter", name, "repeated", f"It is given {len(values)} times; give it once.")


def _told(field: Any, error: ValidationError) -> str:
    """Return what a form field finds wrong; of a closed list, with what would be right."""
    if error.code != "invalid_choice" or not error.params:
        return " ".join(error.messages)
    names = ", ".join(str(value) for value, _label in field.choices if value)
    return f"{str(error.params['value'])[:40]!r} is none of them; choose one of {names}."


def refuse_unknown_parameters(request: Any, view: Any) -> None:
    """Raise `InvalidRequest` for a query parameter that the view does not read, with the nearest that it does."""
    known = _known_parameters(view)
    faults = [
        Fault("parameter", name[:80], "unknown", unknown_name(name, known, what="parameter"))
        for name in request.query_params
        if name not in known
    ]
    if faults:
        raise InvalidRequest("The request has parameters that there are not.", faults=faults)


def unknown_name(name: str, known: Iterable[str], *, what: str) -> str:
    """Say that there is no field or parameter of this name, and which ones there are."""
    names = sorted(known)
    nearest = did_you_mean(difflib.get_close_matches(name[:80], names))
    there_are = f" There are {', '.join(names)}." if names and not nearest else ""
    return f"There is no {what} {name[:80]!r} here.{nearest or there_are}"


def _known_parameters(view: Any) -> Collection[str]:
    own: set[str] = set(view.parameters.get(view.action, ()))
    if view.action == "list" or view.action in view.paged:
        own |= {parameter["name"] for parameter in view.paginator.get_schema_operation_parameters(view)}
    if view.action == "list" and view.filterset_class is not None:
        own |= set(view.filterset_class.base_filters)
    return own
