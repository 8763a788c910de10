"""Keep the values of a request out of Django's reports of exceptions, which are mailed to ADMINS.

A form or a body of this app may hold secrets: header values, tokens in a URL, custom content. Its variables do so in every
frame of a traceback, also in Django's own. So a report has neither.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.debug import SafeExceptionReporterFilter, get_default_exception_reporter_filter

View = Callable[..., HttpResponse]


def hide_values(view: View) -> View:
    """Return a view whose exception reports have no posted values and no variables."""

    @wraps(view)
    def hiding(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        mark(request)
        return view(request, *args, **kwargs)

    return hiding


def mark(request: HttpRequest) -> None:
    """Have reports of exceptions during this request leave out posted values and variables."""
    marked: Any = request
    marked.sensitive_post_parameters = "__ALL__"
    base: Any = type(get_default_exception_reporter_filter())
    marked.exception_reporter_filter = _filter_class(base)()


@cache
def _filter_class(base: type[SafeExceptionReporterFilter]) -> type[SafeExceptionReporterFilter]:
    """Return a class that hides more than the filter of the host's DEFAULT_EXCEPTION_REPORTER_FILTER."""

    class ValuesHidden(base):  # type: ignore[misc, valid-type]
        """Leaves out posted values and variables, except while DEBUG is on."""

        def get_post_parameters(self, request: Any) -> Any:
            """Return the names of the posted values."""
            found: Any = super().get_post_parameters(request)
            return dict.fromkeys(found, self.cleansed_substitute) if self.is_active(request) else found

        def get_traceback_frame_variables(self, request: Any, tb_frame: Any) -> Any:
            """Return the names of a frame's variables."""
            found: Any = super().get_traceback_frame_variables(request, tb_frame)
            return [(name, self.cleansed_substitute) for name, _value in found] if self.is_active(request) else found

    return ValuesHidden
