"""``manage.py webhooks_reconcile``: emit events for out-of-band changes: raw SQL, a restored backup, another service."""

from __future__ import annotations

import difflib
import json
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.utils import timezone

from tms_webhooks.event_names import did_you_mean
from tms_webhooks.management import arguments
from tms_webhooks.management.counts import counted
from tms_webhooks.management.database_command import DatabaseCommand
from tms_webhooks.management.lookups import bad_input
from tms_webhooks.management.stopping import stop_on_signal
from tms_webhooks.reconcile import passes
from tms_webhooks.reconcile.passes import ReconcileResult
from tms_webhooks.sources.base import Source


class Command(DatabaseCommand):
    """Compare the rows of reconciled sources with their last recorded states."""

    help = (
        "Compare the objects of each source with reconcile = True with their last recorded state. Record "
        "events for out-of-band changes, with the actor kind 'reconcile'. The first pass over a source only "
        "records the current state. After SIGTERM or SIGINT it ends with the current batch, and the next run "
        "continues there. A scheduled task does the same once a day. Exit status 0: done, or stopped. 1: a "
        "source or an object failed, or an event can't be built; see the log. 2: nothing was started."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--source", action="append", metavar="APP.MODEL", default=[], help="only this model; repeatable"
        )
        parser.add_argument("--dry-run", action="store_true", help="count only, and change nothing")
        parser.add_argument(
            "--batch", type=arguments.size, default=passes.BATCH, metavar="N", help="objects read at a time"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *, source: list[str], dry_run: bool, batch: int, as_json: bool, **_options: Any) -> None:
        """Reconcile or count, and print the numbers."""
        sources, now = _chosen(source), timezone.now()
        if dry_run:
            found = {one: passes.preview(one, now=now, batch=batch) for one in sources}
        else:
            with stop_on_signal() as stop:
                found = passes.reconcile_all(sources, now=now, batch=batch, stop=stop.is_set)
        self._print(found, dry_run=dry_run, as_json=as_json)
        if any(one.failed or one.failed_objects or one.unbuilt for one in found.values()):
            sys.exit(1)

    def _print(self, found: Mapping[Source, ReconcileResult], *, dry_run: bool, as_json: bool) -> None:
        if as_json:
            facts = {source.name: asdict(one) for source, one in found.items()}
            self.stdout.write(json.dumps({"dry_run": dry_run, "sources": facts}))
            return
        if not found:
            self.stdout.write("No source has reconcile = True: nothing was compared. Set it in the class of a source.")
        for source, one in found.items():
            self.stdout.write(f"{source.name}: {_sentence(one, dry_run=dry_run)}")


def _sentence(one: ReconcileResult, *, dry_run: bool) -> str:
    if one.failed:
        return "failed; see the log. The next run continues from there."
    counts = f"{one.seen} compared, {one.created} new, {one.changed} changed, {one.deleted} deleted"
    noted = f", {one.noted} recorded for the first time" if one.noted else ""
    if dry_run:
        return f"{counts}{noted}; nothing was written.{_failures(one)}"
    events = counted(one.events, "event")
    stopped = "" if one.finished else " Stopped; the next run continues."
    return f"{counts}{noted}; {events}.{_failures(one)}{stopped}"


def _failures(one: ReconcileResult) -> str:
    """Return sentences with the numbers of objects that failed and of events without a payload; empty without any."""
    text = ""
    if one.failed_objects:
        text += f" {counted(one.failed_objects, 'object')} failed; see the log. The next pass tries again."
    if one.unbuilt:
        text += f" {counted(one.unbuilt, 'event')} can't be built and will not be sent; see the log."
    return text


def _chosen(labels: list[str]) -> list[Source]:
    """Return the reconciled sources, or the named ones among them."""
    sources = passes.reconciled_sources()
    if not labels:
        return sources
    by_label: dict[str, list[Source]] = {}
    for source in sources:
        by_label.setdefault(source.model._meta.label.lower(), []).append(source)
    for label in labels:
        if label.lower() not in by_label:
            known = sorted({source.model._meta.label for source in sources})
            nearest = did_you_mean(difflib.get_close_matches(label, known))
            raise bad_input(
                f"--source {label}: no source of that model has reconcile = True"
                + (f"; the models with one are {', '.join(known)}.{nearest}" if known else ", and no other source has.")
            )
    return [source for label in dict.fromkeys(map(str.lower, labels)) for source in by_label[label]]
