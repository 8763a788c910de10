"""Whether anybody delivers: facts from the tables, and what they mean.

A process that is alive proves nothing: a cluster whose worker was killed can hang and take no task ever again. Proof is
work that gets done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from tms_webhooks.delivery.backlog import Backlog, backlog
from tms_webhooks.models import DeliveryAttempt, DrainSlot

# The sweep starts a chain of drains that has ended: every minute, by schedules that are looked at every half.
CHAIN_PATIENCE = 180.0


class Level(IntEnum):
    """How bad it is: the exit status of ``webhooks_health``."""

    WELL = 0
    LATE = 1
    STANDING_STILL = 2


@dataclass(frozen=True, slots=True)
class Signs:
    """What can be seen of those who deliver.

    Attributes:
        backlog: What waits.
        drains: How many drains hold a slot now.
        drain_gone_seconds: Since when none does; 0 while one does, None if none ever did.
        last_attempt_seconds: When the last attempt began, whoever made it; None if there was none.
    """

    backlog: Backlog
    drains: int
    drain_gone_seconds: float | None
    last_attempt_seconds: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the signs mean, and in words what is wrong and what helps: one sentence or more for each thing."""

    level: Level
    reasons: tuple[str, ...]


def signs(*, now: datetime) -> Signs:
    """Read the signs of life."""
    # A slot that is let go says until when it was held; one that is held, until when it will be at the latest.
    slots = list(DrainSlot.objects.values_list("owner", "held_until"))
    held = DrainSlot.objects.held(now).count()
    gone = min(((now - until).total_seconds() for _owner, until in slots), default=None)
    last = DeliveryAttempt.objects.order_by("-started_at").values_list("started_at", flat=True).first()
    return Signs(
        backlog=backlog(now=now),
        drains=held,
        drain_gone_seconds=0.0 if held else None if gone is None else max(0.0, gone),
        last_attempt_seconds=None if last is None else max(0.0, (now - last).total_seconds()),
    )


def judge(found: Signs, *, max_lag: float, chains: bool, overdue: Sequence[str] = ()) -> Verdict:
    """Say what the signs mean.

    Args:
        found: The signs.
        max_lag: For how many seconds something may be due before that is late.
        chains: Whether the queue keeps drains at work all the time.
        overdue: The names of periodic jobs that should have run and did not.

    What is late while a drain is at work, or something was sent within ``max_lag``, is `Level.LATE`; what is late while
    nobody works is `Level.STANDING_STILL`.
    """
    reasons = []
    level = Level.WELL
    late = _late(found.backlog, max_lag)
    if late and _at_work(found, max_lag):
        level = Level.LATE
        reasons.append(f"{late}, although deliveries are being made. {_bottleneck(found.backlog)}")
    elif late:
        level = Level.STANDING_STILL
        reasons.append(
            f"{late}, and nobody delivers: {_absence(found)}. Restart django-q2 (manage.py qcluster): it can be "
            "alive and do nothing once one of its workers was killed. Or run manage.py webhooks_drain."
        )
    elif (
        chains and not found.drains and (found.drain_gone_seconds is None or found.drain_gone_seconds > CHAIN_PATIENCE)
    ):
        level = Level.LATE
        reasons.append(
            f"Nothing is late yet, but nobody would deliver: {_absence(found)}. Start or restart django-q2 (manage.py "
            "qcluster)."
        )
    if overdue:
        level = max(level, Level.LATE)
        reasons.append(
            f"The queue does not run what it should run regularly: {', '.join(overdue)}. Start or restart django-q2 "
            "(manage.py qcluster); the cluster named in Q_CLUSTER['name'] runs the schedules."
        )
    return Verdict(level, tuple(reasons))


def _at_work(found: Signs, max_lag: float) -> bool:
    return found.drains > 0 or (found.last_attempt_seconds is not None and found.last_attempt_seconds <= max_lag)


def _late(waits: Backlog, max_lag: float) -> str:
    if waits.oldest_due_seconds is not None and waits.oldest_due_seconds > max_lag:
        return f"A delivery of webhook {waits.oldest_due_webhook} has been due for {waits.oldest_due_seconds:.0f} s"
    if waits.oldest_event_seconds is not None and waits.oldest_event_seconds > max_lag:
        return f"An event has waited for its deliveries for {waits.oldest_event_seconds:.0f} s"
    return ""


def _bottleneck(waits: Backlog) -> str:
    if waits.oldest_due_webhook is None:
        return "Look into the log of the drain; more of them (TMS_WEBHOOKS['DRAINS']) may help."
    return (
        f"See webhooks_status --webhook {waits.oldest_due_webhook}: its receiver may be slow, or its max in flight or "
        "rate limit too low. If many webhooks are late, raise TMS_WEBHOOKS['DRAINS']."
    )


def _absence(found: Signs) -> str:
    if found.drain_gone_seconds is None:
        return "no drain was ever at work"
    return f"no drain has been at work for {found.drain_gone_seconds:.0f} s"
