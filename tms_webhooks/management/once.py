"""Run one periodic job now, for ``webhooks_drain --once``: count or do it, and return its facts and sentences."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from django.utils import timezone

from tms_webhooks.event_names import did_you_mean
from tms_webhooks.management.base import bad_input, counted
from tms_webhooks.management.process import progress_bar, stop_on_signal
from tms_webhooks.outbox import prune as pruning
from tms_webhooks.reconcile import passes
from tms_webhooks.reconcile.passes import ReconcileResult
from tms_webhooks.sources.base import Source


class JobReport(NamedTuple):
    """What a job did: the facts for JSON, the lines for people, and whether something failed."""

    facts: dict[str, Any]
    lines: Sequence[str]
    has_failed: bool = False


def prune(*, dry_run: bool) -> JobReport:
    """Blank and delete stored data whose retention period is over, or count it."""
    now = timezone.now()
    if dry_run:
        pruned = pruning.prunable(now)
    else:
        with stop_on_signal() as stop, progress_bar(lambda: sum(asdict(pruning.prunable(now)).values())) as show:
            pruned = pruning.prune(now, stop=stop.is_set, progress=show)
    facts = asdict(pruned)
    counts = ", ".join(f"{count} {name}" for name, count in facts.items())
    return JobReport(facts, [f"{'It would prune' if dry_run else 'Pruned'} {counts}."])


def reconcile(models: Sequence[str], *, batch: int) -> JobReport:
    """Emit events for out-of-band changes of these models, or of all with a reconciled source."""
    with stop_on_signal() as stop:
        found = passes.reconcile_all(_chosen(models), now=timezone.now(), batch=batch, stop=stop.is_set)
    lines = [f"{source.name}: {' '.join(_parts(result))}" for source, result in found.items()]
    return JobReport(
        {"sources": {source.name: asdict(result) for source, result in found.items()}},
        lines or ["No source has reconcile = True: nothing was compared. Set it in the class of a source."],
        any(result.failed or result.failed_objects or result.unbuilt for result in found.values()),
    )


def _parts(result: ReconcileResult) -> Iterator[str]:
    if result.failed:
        yield "failed; see the log. The next run continues from there."
        return
    counts = f"{result.seen} compared, {result.created} new, {result.changed} changed, {result.deleted} deleted"
    noted = f", {result.noted} recorded for the first time" if result.noted else ""
    yield f"{counts}{noted}; {counted(result.events, 'event')}."
    if result.failed_objects:
        yield f"{counted(result.failed_objects, 'object')} failed; see the log. The next pass tries again."
    if result.unbuilt:
        yield f"{counted(result.unbuilt, 'event')} can't be built and will not be sent; see the log."
    if not result.finished:
        yield "Stopped; the next run continues."


def _chosen(labels: Sequence[str]) -> list[Source]:
    """Return the reconciled sources, or those of the named models among them."""
    sources = passes.reconciled_sources()
    known = {source.model._meta.label.lower(): source.model._meta.label for source in sources}
    wanted = {label.lower(): label for label in labels}
    for label in wanted.keys() - known.keys():
        nearest = did_you_mean(difflib.get_close_matches(wanted[label], known.values()))
        others = f"; the models with one are {', '.join(sorted(known.values()))}.{nearest}"
        raise bad_input(
            f"--source {wanted[label]}: no source of that model has reconcile = True"
            f"{others if known else ', and no other source has.'}"
        )
    return [source for source in sources if not wanted or source.model._meta.label.lower() in wanted]
