"""Measurements for those who collect them: Prometheus metrics and OpenTelemetry traces, each optional.

The engine knows nothing of this: it sends signals and lets itself be watched, whether or not anybody does.
"""

from __future__ import annotations

import logging
from importlib import import_module

from tms_webhooks.conf import TELEMETRY_PACKAGES, app_settings

logger = logging.getLogger(__name__)


def connect() -> None:
    """Begin to measure as the setting TELEMETRY says; what is not installed is logged, and told by a check."""
    wanted: object = app_settings.TELEMETRY
    # What else is in the setting, or in its place, is told by a check.
    known = [name for name in TELEMETRY_PACKAGES if isinstance(wanted, list | tuple) and name in wanted]
    for name in known:
        try:
            module = import_module(f"tms_webhooks.telemetry.{name}")
        except ImportError as error:
            logger.warning("TELEMETRY lists %s, which can't be imported: %s", name, error)
        else:
            module.connect()
