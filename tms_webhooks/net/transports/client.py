"""The HTTP client of callers that wait for an answer: every request without libcurl goes through `Client.send`."""

from __future__ import annotations

import http.client
import ssl
import time

from requests import PreparedRequest, Session
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import ConfigurationError, UnsafeURL
from tms_webhooks.net import errors, urls
from tms_webhooks.net.resolver import Resolver, system_resolver
from tms_webhooks.net.transports.base import Request, Response, final_headers
from tms_webhooks.net.transports.connections import Exchange, TimedTLSSocket, WebhookAdapter


class _Session(Session):
    """A session of `requests` that does not look at the target of a redirect, which nothing follows."""

    def get_redirect_target(self, resp: object) -> None:
        return None


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
        self._session = _Session()
        adapter = WebhookAdapter(size=pool_size, resolve=resolve, tls=context)
        for scheme in urls.DEFAULT_PORTS:
            self._session.mount(f"{scheme}://", adapter)

    def send(self, request: Request) -> Response:
        """Send a request and return the answer, whatever its status.

        Raises `DeliveryError` if the answer is not complete within the deadline.
        """
        exchange = Exchange(request.deadline)
        prepared, host = PreparedRequest(), ""
        try:
            safe = urls.split_url(request.url)
            host = safe.host
            prepared.method, prepared.url, prepared.body = request.method, safe.url, request.body
            prepared.headers = final_headers(request, safe)  # type: ignore[assignment]
            answer = self._session.send(prepared, timeout=exchange, proxies={}, allow_redirects=False)  # type: ignore[arg-type]
        except (OSError, http.client.HTTPException, UnsafeURL) as error:
            raise errors.as_delivery_error(error, host=host, timing=exchange.timing(time.monotonic())) from error
        ended_at, limit = time.monotonic(), app_settings.RESPONSE_LIMIT_BYTES
        return Response(
            answer.status_code,
            answer.headers,
            answer.content[:limit],
            truncated=len(answer.content) > limit,
            elapsed=ended_at - exchange.started,
            timing=exchange.timing(ended_at),
        )

    def close(self) -> None:
        """Close every kept connection. A request sent later opens a new one."""
        self._session.close()
