"""A time budget per organization, so that slow conditions and large contents take time from their own organization alone.

Matching: each organization has the budget once a turn, for the subscriptions of its webhooks. An event whose
subscriptions are not all evaluated within the turn is left for the next one, which continues with the remaining ones.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

from tms_webhooks.routing.filtered import Evaluation, Pair, Verdict

# Seconds per turn for the filters and conditions of one organization, and for the contents of its requests.
MATCHING_BUDGET = 0.02
# Budgets that all organizations of a turn may take together.
BUDGETS_PER_TURN = 4
# Verdicts that are kept for the next turn. An organization has those of one or two events.
MOST_KEPT = 20_000


class Candidate(NamedTuple):
    """An event and a filtered subscription to its type, with its webhook and the organization of that."""

    event_id: int
    webhook_id: int
    subscription_id: int
    organization_id: Any


class TurnResult(NamedTuple):
    """The result of one turn of matching.

    - ``verdicts``: of all pairs of an event and a subscription that were evaluated in this turn or before
    - ``unfinished``: the keys of events with pairs that were not
    - ``end``: the first event that was left because the turn was over for all; None if there was time for all
    """

    verdicts: Mapping[Pair, Verdict] = {}
    unfinished: frozenset[int] = frozenset()
    end: int | None = None


class TimeSpent:
    """The seconds that each organization has spent in a turn."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._by_organization: dict[Any, float] = defaultdict(float)
        self._total = 0.0

    def spend(self, organization_id: Any, seconds: float) -> None:
        """Charge seconds to an organization."""
        self._by_organization[organization_id] += seconds
        self._total += seconds

    def is_over(self, organization_id: Any) -> bool:
        """Return whether an organization has used up its budget."""
        return self._by_organization[organization_id] >= MATCHING_BUDGET

    @property
    def is_over_for_all(self) -> bool:
        """Whether the turn is over for all organizations."""
        return self._total >= BUDGETS_PER_TURN * MATCHING_BUDGET


class BudgetedMatcher(threading.local):
    """Matches events in turns, and keeps the verdicts of unfinished events from one turn to the next, for each thread."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        # By the event's uid and the subscription's key.
        self._kept: dict[tuple[UUID | None, int], Verdict] = {}

    def match(self, candidates: Iterable[Candidate]) -> TurnResult:
        """Evaluate candidates in their order, until the budgets of their organizations are used up."""
        organizations = {(one.event_id, one.subscription_id): one.organization_id for one in candidates}
        evaluation, spent = Evaluation(organizations), TimeSpent(self._clock)
        uids = {pk: event.uid for pk, event in evaluation.events.items()}
        keys = {pair: (uids.get(pair[0]), pair[1]) for pair in organizations}
        verdicts = {pair: self._kept.pop(key) for pair, key in keys.items() if key in self._kept}
        unfinished: set[int] = set()
        end: int | None = None
        for pair, organization_id in organizations.items():
            if pair in verdicts:
                continue
            if spent.is_over(organization_id):
                unfinished.add(pair[0])
            elif spent.is_over_for_all:
                end = pair[0] if end is None else end
                unfinished.add(pair[0])
            else:
                start = self._clock()
                verdicts[pair] = evaluation.verdict(*pair)
                spent.spend(organization_id, self._clock() - start)
        self._kept |= {keys[pair]: verdict for pair, verdict in verdicts.items() if pair[0] in unfinished}
        for key in list(self._kept)[:-MOST_KEPT]:
            del self._kept[key]
        return TurnResult(verdicts, frozenset(unfinished), end)
