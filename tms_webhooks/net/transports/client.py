"""The HTTP client of the app: every webhook request goes through `Client.send`."""

from __future__ import annotations

import ssl
import time

from requests import PreparedRequest
from requests.exceptions import RequestException
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tms_webhooks.exceptions import ConfigurationError, UnsafeURL
from tms_webhooks.net import errors, urls
from tms_webhooks.net.deadline import TimedTLSSocket
from tms_webhooks.net.resolver import Resolver, system_resolver
from tms_webhooks.net.transports.adapter import WebhookAdapter, timing_of
from tms_webhooks.net.transports.base import Request, Response, final_headers
from tms_webhooks.net.urls import SafeURL


class Client:
    """Sends requests over connections that are kept per receiver.

    Threads may share a client. A forked process may not: create the client after the fork.

    ``pool_size`` is the number of idle connections kept per receiver: use the number of threads. ``resolve`` and
    ``ssl_context`` are for tests; the context must verify certificates and host names.
    """

    def __init__(
        self,
        *,
        pool_size: int = 64,
        resolve: Resolver = system_resolver,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        # One for all connections: reading the bundle again takes longer than the handshake.
        context = ssl_context or ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
        if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
            raise ConfigurationError("Client: ssl_context must verify certificates and host names.")
        context.sslsocket_class = TimedTLSSocket
        self._adapter = WebhookAdapter(pool_size=pool_size, resolve=resolve, ssl_context=context)

    def send(self, request: Request) -> Response:
        """Send a request and return the answer, whatever its status.

        Raises `DeliveryError` if the answer is not complete within the deadline.
        """
        started_at = time.monotonic()
        host = ""
        try:
            safe = urls.split_url(request.url)
            host = safe.host
            answer = self._adapter.send(_prepared(request, safe), timeout=request.deadline)
        except (RequestException, UnsafeURL) as error:
            raise errors.as_delivery_error(error, host=host, timing=timing_of(error)) from error
        return Response(
            status=answer.status_code,
            headers={name.lower(): value for name, value in answer.raw.headers.itermerged()},
            body=answer.content,
            truncated=answer.truncated,
            elapsed=time.monotonic() - started_at,
            timing=answer.timing,
        )

    def close(self) -> None:
        """Close every kept connection. A request sent later opens a new one."""
        self._adapter.close()


def _prepared(request: Request, safe: SafeURL) -> PreparedRequest:
    prepared = PreparedRequest()
    prepared.method = request.method
    prepared.url = request.url
    prepared.headers = final_headers(request, safe)  # type: ignore[assignment]
    prepared.body = request.body
    return prepared
