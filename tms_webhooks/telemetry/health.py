"""Health over HTTP, for monitors and load balancers that run no command. Its answers name no tenant and need no login.

Include this module in the URLs: ``path("webhooks/health/", include("tms_webhooks.telemetry.health"))``.
"""

from __future__ import annotations

import math
from functools import cache
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
# The level that was read last, and until when it is kept.
_level, _kept_until = HealthLevel.STOPPED, -math.inf


@login_not_required
@non_atomic_requests
@never_cache
@require_safe
def health(_request: HttpRequest, *, ready: bool = False) -> HttpResponse:
    """Answer 200 or 503, with the word of the level: whether webhooks are delivered, or if this process is ``ready`` to save."""
    try:
        # A level that is kept is no proof that the database answers now.
        DrainSlot.objects.exists()
        level = _migrated() if ready else _delivering()
    except Error:
        level = HealthLevel.STOPPED
    # Django would mail each 503 to ADMINS.
    return keep_out_of_log(HttpResponse(f"{level.name}\n", "text/plain", 503 if level == HealthLevel.STOPPED else 200))


def _delivering() -> HealthLevel:
    """Return the level. While one request reads it, the others get the one before; for the very first, they wait."""
    global _level, _kept_until
    is_first = _kept_until == -math.inf
    if monotonic() >= _kept_until and _reading.acquire(blocking=is_first):
        try:
            # Another request may have read it by now.
            if monotonic() >= _kept_until:
                _level = _read()
                _kept_until = monotonic() + KEPT_SECONDS
        finally:
            _reading.release()
    return _level


def _read() -> HealthLevel:
    try:
        return examine()[1].level
    except Error:
        return HealthLevel.STOPPED


# Kept once it is true. Until then each probe looks, so that a process is ready as soon as `migrate` has ended.
@cache
def _migrated() -> HealthLevel:
    if database_problem():
        raise Error
    return HealthLevel.OK


urlpatterns = [path("", health), path("ready/", health, {"ready": True})]
