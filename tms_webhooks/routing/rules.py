"""Reads the rules of subscriptions in chunks, and compiles each again only after it has changed."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tms_webhooks.db.sql import database, numbers, read
from tms_webhooks.routing.checks import SubscriptionRules

# Subscriptions that are read together: few enough that those with the longest conditions take some milliseconds.
CHUNK = 50
# Characters of filters and conditions whose rules are kept compiled. Compiled they take about ten times the memory.
MOST_KEPT = 16_000_000

# By the primary keys.
VERSIONS = """
SELECT s.id, w.audience, {version} FROM {subscription} s JOIN {webhook} w ON w.id = s.webhook_id WHERE s.id IN ({ids})"""
TEXTS = "SELECT s.id, {texts} FROM {subscription} s WHERE s.id IN ({ids})"

# For PostgreSQL, two columns that change with each change of the row. Others compare the texts themselves: PostgreSQL
# stores no texts, and to make them of long conditions takes longer than to match these.
VERSION_OF_ROW = "s.xmin::text, s.ctid::text"


class WebhookRules(NamedTuple):
    """The rules of a subscription, and the audience of its webhook."""

    rules: SubscriptionRules
    audience: str


class _Kept(NamedTuple):
    version: Sequence[str]
    rules: SubscriptionRules
    size: int


class _Cache(threading.local):
    """The rules that this thread has compiled, the least recently used first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._size = 0

    def get(self, subscription_id: int, version: Sequence[str]) -> SubscriptionRules | None:
        kept = self._kept.get(subscription_id)
        if kept is None or kept.version != version:
            return None
        self._kept.move_to_end(subscription_id)
        return kept.rules

    def put(self, subscription_id: int, kept: _Kept) -> None:
        before = self._kept.pop(subscription_id, None)
        self._kept[subscription_id] = kept
        self._size += kept.size - (before.size if before else 0)
        while self._size > MOST_KEPT:
            _id, oldest = self._kept.popitem(last=False)
            self._size -= oldest.size


_cache = _Cache()


class RuleReader:
    """The rules of these subscriptions as they are now. They are read when they are first needed, a chunk at a time."""

    def __init__(self, subscription_ids: Iterable[int]) -> None:
        self._unread = dict.fromkeys(sorted(subscription_ids))
        self._found: dict[int, WebhookRules | None] = {}

    def get(self, subscription_id: int) -> WebhookRules | None:
        """Return the rules of one of the subscriptions; None if it no longer exists."""
        if subscription_id not in self._found:
            self._read(subscription_id)
        return self._found[subscription_id]

    def _read(self, subscription_id: int) -> None:
        others = (pk for pk in self._unread if pk > subscription_id)
        chunk = [subscription_id, *(pk for pk, _number in zip(others, range(CHUNK - 1), strict=False))]
        for pk in chunk:
            self._unread.pop(pk, None)
            self._found[pk] = None
        by_row = database().vendor == "postgresql"
        # A reserved word in MariaDB.
        condition = database().ops.quote_name("condition")
        version_of = VERSION_OF_ROW if by_row else f"s.filters, s.{condition}"
        found = read(VERSIONS, ids=numbers(chunk), version=version_of)
        versions = {pk: (audience, version) for pk, audience, *version in found}
        current = {pk: _cache.get(pk, version) for pk, (_audience, version) in versions.items()}
        outdated = [pk for pk, rules in current.items() if rules is None]
        texts = [(pk, *versions[pk][1]) for pk in outdated]
        if by_row and outdated:
            texts = read(TEXTS, ids=numbers(outdated), texts=f"s.filters::text, s.{condition}::text")
        for pk, filters, condition in texts:
            current[pk] = rules = SubscriptionRules(pk, json.loads(filters), json.loads(condition or "null"))
            _cache.put(pk, _Kept(versions[pk][1], rules, len(filters) + len(condition or "")))
        for pk, current_rules in current.items():
            # None was deleted between the two queries.
            self._found[pk] = None if current_rules is None else WebhookRules(current_rules, versions[pk][0])
