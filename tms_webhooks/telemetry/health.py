"""Health over HTTP, for monitors and load balancers that run no command. Its answers name no tenant and need no login.

Include this module in the URLs: ``path("webhooks/health/", include("tms_webhooks.telemetry.health"))``.
"""

from __future__ import annotations

from functools import cache, lru_cache
from threading import Lock
from time import monotonic

from django.contrib.auth.decorators import login_not_required
from django.db import Error
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from tms_webhooks.db.django_private import keep_out_of_log
from tms_webhooks.models import DrainSlot
from tms_webhooks.monitoring.liveness import HealthLevel, database_problem, examine

KEPT_SECONDS = 5.0
"""A process reads the health once in this time, because the probe needs no login."""
_reading = Lock()


@login_not_required
@non_atomic_requests
@never_cache
@require_safe
def health(_request: HttpRequest, *, ready: bool = False) -> HttpResponse:
    """Answer 200 or 503, with the word of the level: whether webhooks are delivered, or if this process is ``ready`` to save."""
    try:
        # A level that is kept is no proof that the database answers now.
        DrainSlot.objects.exists()
        level = _migrated() if ready else _level()
    except Error:
        level = HealthLevel.STOPPED
    # Django would mail each 503 to ADMINS.
    return keep_out_of_log(HttpResponse(f"{level.name}\n", "text/plain", 503 if level == HealthLevel.STOPPED else 200))


def _level() -> HealthLevel:
    with _reading:
        return _read(monotonic() // KEPT_SECONDS)


@lru_cache(1)
def _read(_period: float) -> HealthLevel:
    try:
        return examine()[1].level
    except Error:
        return HealthLevel.STOPPED


@cache
def _migrated() -> HealthLevel:
    if database_problem():
        raise Error
    return HealthLevel.OK


urlpatterns = [path("", health), path("ready/", health, {"ready": True})]
