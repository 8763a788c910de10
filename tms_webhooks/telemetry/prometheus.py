"""Metrics for Prometheus: attempts, counted as they are recorded, and the backlog, read at each scrape.

The host serves them from `prometheus_client.REGISTRY`. Processes that deliver have the attempts; any process can read
the backlog. With several processes on a machine, as in a django-q2 cluster, set PROMETHEUS_MULTIPROC_DIR and register a
`BacklogCollector` in the registry that is served.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import cached_property
from threading import Lock
from typing import Any

from django.db import DatabaseError, close_old_connections
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tms_webhooks import signals
from tms_webhooks.models import Delivery
from tms_webhooks.monitoring.liveness import HealthLevel, Liveness, examine

UID = "tms_webhooks.telemetry.prometheus"
DELIVERED = "delivered"
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0)

GAUGES = {
    "tms_webhooks_health": "Exit status of webhooks_health: 2 act now, 1 act within the day, 0 all else.",
    "tms_webhooks_deliveries_open": "Deliveries that wait or are in flight.",
    "tms_webhooks_deliveries_leased": "Due deliveries of webhooks that a worker has leased, in flight or not.",
    "tms_webhooks_delivery_due_seconds": "Seconds since the first delivery that may be sent became due; 0 without one.",
    "tms_webhooks_events_to_fan_out": "Events without deliveries yet.",
    "tms_webhooks_event_waiting_seconds": "Age of the first event without deliveries, in seconds; 0 without one.",
    "tms_webhooks_events_set_aside": "Events that are set aside, because their fan-out failed five times.",
    "tms_webhooks_event_set_aside_seconds": "Age of the first event that is set aside, in seconds; 0 without one.",
    "tms_webhooks_drains": "Drains that run, of the queue and of webhooks_drain.",
    "tms_webhooks_drains_cut_off": "Drains whose attempts all fail before an answer, for several organizations.",
}

logger = logging.getLogger(__name__)


class AttemptMetrics:
    """Counts and times the attempts of this process. The label ``outcome`` is "delivered" or the error class."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._is_failing = False
        # Two threads of a web server may send their first tests together, and a metric is registered only once. From
        # Python 3.12 on, `cached_property` has no lock of its own.
        self._lock = Lock()

    def record(self, *, error_class: str, seconds: float, **_kwargs: Any) -> None:
        """Count one attempt. Connected to the signal ``attempt_recorded``."""
        try:
            with self._lock:
                count, duration = self._count, self._seconds
            duration.observe(seconds)
            count.labels(error_class or DELIVERED).inc()
        except OSError as error:
            if not self._is_failing:
                logger.warning("Attempts are not counted (%s). Create the folder PROMETHEUS_MULTIPROC_DIR.", error)
            self._is_failing = True

    # A metric makes a file in PROMETHEUS_MULTIPROC_DIR. Most processes, such as those of commands, count nothing.
    @cached_property
    def _seconds(self) -> Histogram:
        text = "Duration of attempts, in seconds."
        return Histogram("tms_webhooks_attempt_seconds", text, buckets=BUCKETS, registry=self._registry)

    @cached_property
    def _count(self) -> Counter:
        return Counter("tms_webhooks_attempts", "Attempts by outcome.", ["outcome"], registry=self._registry)


class BacklogCollector(Collector):
    """Reads the backlog from the database at each scrape."""

    def describe(self) -> Iterable[Metric]:
        # Called while Django starts, so it does not query the database.
        return [GaugeMetricFamily(name, text) for name, text in GAUGES.items()]

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; none if the database can't be reached, so that other metrics are still served."""
        try:
            found, report = examine()
        except DatabaseError:
            logger.warning("The backlog can't be read for Prometheus.", exc_info=True)
            return
        finally:
            # As after a request: a scrape's thread would leave the connection open.
            close_old_connections()
        for name, value in zip(GAUGES, _values(found, report.level), strict=True):
            yield GaugeMetricFamily(name, GAUGES[name], value=value)


def _values(found: Liveness, level: HealthLevel) -> tuple[float, ...]:
    waits = found.backlog
    return (
        level,
        waits.deliveries,
        waits.leased,
        waits.oldest_due_seconds or 0.0,
        waits.events,
        waits.oldest_event_seconds or 0.0,
        waits.set_aside,
        waits.oldest_set_aside_seconds or 0.0,
        found.drains,
        len(found.cut_off),
    )


_connected: list[BacklogCollector] = []


def connect(registry: CollectorRegistry = REGISTRY) -> None:
    """Register the metrics in this registry. Idempotent."""
    if _connected:
        return
    signals.attempt_recorded.connect(AttemptMetrics(registry).record, sender=Delivery, dispatch_uid=UID, weak=False)
    collector = BacklogCollector()
    registry.register(collector)
    _connected.append(collector)
