"""A time budget per organization, so that slow conditions and large contents take time from their own organization alone.

Matching: each organization has the budget once a turn, for the subscriptions of its webhooks. An event whose
subscriptions are not all evaluated within the turn is left for the next one, which continues with the remaining ones.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

from tms_webhooks.routing.filtered import Evaluation, Pair, Verdict

# Seconds per turn for the filters and conditions of one organization, and for the contents of its requests.
MATCHING_BUDGET = 0.02
# Budgets that all organizations of a turn may take together.
BUDGETS_PER_TURN = 4
# Events whose verdicts are kept for the next turn. An organization has one or two.
MOST_KEPT = 256


class Candidate(NamedTuple):
    """An event and a filtered subscription to its type, with its webhook and the organization of that."""

    event_id: int
    webhook_id: int
    subscription_id: int
    organization_id: Any


@dataclass(frozen=True, slots=True)
class TurnResult:
    """The result of one turn of matching.

    - ``verdicts``: of all pairs of an event and a subscription that were evaluated in this turn or before
    - ``unfinished``: the keys of events with pairs that were not
    - ``end``: the first event that was left because the turn was over for all; None if there was time for all
    """

    verdicts: Mapping[Pair, Verdict] = field(default_factory=dict)
    unfinished: frozenset[int] = frozenset()
    end: int | None = None


class TimeSpent:
    """The seconds that each organization has spent in a turn. Each may spend some, whatever its budget is."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._budget = MATCHING_BUDGET
        self._by_organization: dict[Any, float] = defaultdict(float)
        self._total = 0.0

    def spend(self, organization_id: Any, seconds: float) -> None:
        """Charge seconds to an organization."""
        self._by_organization[organization_id] += seconds
        self._total += seconds

    def is_over(self, organization_id: Any) -> bool:
        """Return whether an organization has used up its budget."""
        spent = self._by_organization
        return organization_id in spent and spent[organization_id] >= self._budget

    @property
    def is_over_for_all(self) -> bool:
        """Whether the turn is over for all organizations."""
        return bool(self._by_organization) and self._total >= BUDGETS_PER_TURN * self._budget


class BudgetedMatcher(threading.local):
    """Matches events in turns, and keeps the verdicts of unfinished events from one turn to the next, for each thread."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[UUID, dict[int, Verdict]] = OrderedDict()

    def match(self, candidates: Iterable[Candidate]) -> TurnResult:
        """Evaluate candidates in their order, until the budgets of their organizations are used up."""
        organizations = {(one.event_id, one.subscription_id): one.organization_id for one in candidates}
        evaluation, spent = Evaluation(organizations.keys()), TimeSpent(self._clock)
        uids = {pk: event.uid for pk, event in evaluation.events.items()}
        found = {pk: dict(self._kept.pop(uid, {})) for pk, uid in uids.items()}
        unfinished: dict[int, None] = {}
        end: int | None = None
        for (event_id, subscription_id), organization_id in organizations.items():
            verdicts = found.setdefault(event_id, {})
            if subscription_id in verdicts:
                continue
            if spent.is_over(organization_id):
                unfinished[event_id] = None
            elif spent.is_over_for_all:
                end = event_id if end is None else end
                unfinished[event_id] = None
            else:
                start = self._clock()
                verdicts[subscription_id] = evaluation.verdict(event_id, subscription_id)
                spent.spend(organization_id, self._clock() - start)
        self._kept.update({uids[pk]: found[pk] for pk in unfinished if found[pk]})
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return TurnResult(
            {(event, subscription): verdict for event, own in found.items() for subscription, verdict in own.items()},
            frozenset(unfinished),
            end,
        )
