"""Prometheus metrics and OpenTelemetry traces, each optional.

The worker does not import this package. It sends signals and calls observers, and these modules register for them.
"""

from __future__ import annotations

import logging
from importlib import import_module

from tms_webhooks.conf import TELEMETRY_PACKAGES, app_settings

logger = logging.getLogger(__name__)


def connect() -> None:
    """Connect the modules that the setting TELEMETRY lists. A package that is missing is logged, and reported by a check."""
    setting: object = app_settings.TELEMETRY
    # A check reports other names in the setting, and a setting that is not a list.
    chosen = [name for name in TELEMETRY_PACKAGES if isinstance(setting, list | tuple) and name in setting]
    for name in chosen:
        try:
            module = import_module(f"tms_webhooks.telemetry.{name}")
        except ImportError as error:
            logger.warning("TELEMETRY lists %s, which can't be imported: %s", name, error)
        else:
            module.connect()
