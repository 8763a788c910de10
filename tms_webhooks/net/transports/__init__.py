"""The transports: how a worker sends requests. `new_transport` returns the one of this installation.

Libraries of HTTP are imported when the first request is sent, because most processes of a project send none.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.exceptions import ConfigurationError

if TYPE_CHECKING:
    from tms_webhooks.net.transports.base import Transport


def has_curl() -> bool:
    """Return True if pycurl is installed."""
    return find_spec("pycurl") is not None


def new_transport() -> Transport:
    """Return a new transport of the kind that the setting ``TRANSPORT`` names; if it is empty, the best one there is.

    Call it in the process and the thread that uses the transport. Raises `ConfigurationError` if libcurl is wanted and
    pycurl is not installed.
    """
    # pycurl is optional.
    if app_settings.TRANSPORT == "threads" or not (app_settings.TRANSPORT or has_curl()):
        from tms_webhooks.net.transports.client import ThreadTransport

        return ThreadTransport()
    try:
        from tms_webhooks.net.transports.curl import CurlTransport
    except ImportError as error:
        raise ConfigurationError(
            f"{SETTING_NAME}['TRANSPORT'] is 'curl', and pycurl can't be imported ({error}); "
            "install 'tms-webhooks[curl]', or use 'threads'."
        ) from error
    return CurlTransport()
