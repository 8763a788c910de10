"""The own outage: a worker that reaches no receiver charges no receiver for it.

It is suspected when attempts for several organizations and hosts have failed before an answer, and none was answered in
between. From then on, such attempts use up no retry and do not count for health. After two minutes the drain reports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from tms_webhooks.choices import ErrorClass
from tms_webhooks.delivery.outgoing import SendResult
from tms_webhooks.models.drain import LONG_AGO

LEAST_ORGANIZATIONS = LEAST_HOSTS = 3
# Time without an answer. If receivers answer all the time, failures of a few others are no sign of an outage.
SUSPECTED_AFTER = timedelta(seconds=1)
REPORTED_AFTER = timedelta(minutes=2)

# Errors of attempts that reached no host, and of those that did. The others say nothing about the network.
UNREACHED = {
    ErrorClass.DNS_ERROR,
    ErrorClass.CONNECTION_REFUSED,
    ErrorClass.NETWORK_UNREACHABLE,
    ErrorClass.PROXY_ERROR,
}
REACHED = {ErrorClass.HTTP_STATUS, ErrorClass.CONNECTION_RESET, ErrorClass.TLS_ERROR, ErrorClass.TIMEOUT}


class OwnOutage:
    """Whether the attempts of a worker reach any host. Drains that follow each other in one process share it."""

    def __init__(self) -> None:
        self._answered_at = LONG_AGO
        # The first failure since the last answer, or None; and the last one.
        self._since: datetime | None = None
        self._failed_at: datetime | None = None
        self._organizations: set[object] = set()
        self._hosts: set[str | None] = set()
        self._is_resumed = False

    def resume(self, since: datetime) -> None:
        """Continue the outage that the last drain reported."""
        self._since, self._is_resumed = self._since or since, True

    def note(self, result: SendResult, now: datetime) -> None:
        """Note an attempt. An answer ends the outage."""
        if not result.outcome.success and _is_unreached(result):
            self._since, self._failed_at = self._since or result.started_at, now
            self._organizations.add(result.request.endpoint.webhook.organization_id)
            self._hosts.add(urlsplit(result.request.url or result.request.endpoint.webhook.url).hostname)
        elif result.outcome.success or result.outcome.error_class in REACHED:
            self._since = self._failed_at = None
            self._organizations.clear()
            self._hosts.clear()
            self._is_resumed, self._answered_at = False, now

    def since(self, now: datetime) -> datetime | None:
        """Return when the suspected outage began; None without one."""
        is_seen = len(self._organizations) >= LEAST_ORGANIZATIONS and len(self._hosts) >= LEAST_HOSTS
        is_quiet = now - self._answered_at >= SUSPECTED_AFTER
        return self._since if self._is_resumed or (is_seen and is_quiet) else None

    def reported_since(self, now: datetime) -> datetime | None:
        """Return when the outage began, if it is to be reported; None otherwise."""
        if self._since is None or (self._failed_at or now) - self._since < REPORTED_AFTER:
            return None
        return self.since(now)

    def excused(self, results: Sequence[SendResult], now: datetime) -> list[SendResult]:
        """Return the results; during an outage, those that failed before an answer use up no retry."""
        if self.since(now) is None:
            return list(results)
        return [
            result._replace(outcome=result.outcome._replace(own_outage=True, counts_for_health=False))
            # A failure of the proxy is uncharged anyway, and has a wait of its own.
            if not result.outcome.is_operators_fault
            and (_is_unreached(result) or result.outcome.error_class == ErrorClass.TOKEN_ERROR)
            else result
            for result in results
        ]


def _is_unreached(result: SendResult) -> bool:
    timing, outcome = result.timing, result.outcome
    is_connected = timing.tls is not None or timing.wait is not None
    return outcome.error_class in UNREACHED or (outcome.timed_out and not is_connected)
