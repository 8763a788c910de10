"""The digests of the objects that a webhook receives, one by one and in buckets, and how the copy of a receiver differs.

Nothing is stored: a request reads at most `MOST_READ` objects, and names where the next one continues.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from tms_webhooks.digests import bucket_of, digest_of_bucket
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.models import Webhook
from tms_webhooks.outbox import feed
from tms_webhooks.snapshot import EVERYTHING, ObjectDigest, Selection, SourceReader, available
from tms_webhooks.sources.registry import sources_of_noun

MOST_READ = 10_000
"""Objects that are read for the buckets of one page. The ids of all objects are read, too."""


class Place(NamedTuple):
    """Where a page of objects begins: the name of a source, and the key, as text, of the last object before it."""

    source: str
    key: str = ""


class DigestPage(NamedTuple):
    """The digests of some objects, and where the next page begins; None after the last one. A page may be empty."""

    objects: list[ObjectDigest]
    next: Place | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """The number of a bucket, from 0, the number of its objects, and its digest."""

    bucket: int
    count: int
    digest: str


class BucketPage(NamedTuple):
    """Some buckets, the number of the first one of the next page, and the cursor of the feed before they were read."""

    buckets: list[Bucket]
    next: int | None
    cursor: str


class Differences(NamedTuple):
    """How a copy differs, by the ids of objects as text, in their order. ``equal`` is the number of the others.

    ``lost`` are those that the copy lacks, ``stale`` those of which it has another state, and ``ghosts`` those that only
    the copy has.
    """

    equal: int
    lost: list[str]
    stale: list[str]
    ghosts: list[str]


class Comparison:
    """What a copy of the objects of one noun, or of some of them, is compared with.

    Raises `ReplayError` for a noun that a snapshot of the webhook can't have.
    """

    def __init__(self, webhook: Webhook, noun: str, selection: Selection = EVERYTHING) -> None:
        possible = available(webhook)
        if noun not in possible:
            message = _('"%(noun)s" can\'t be compared. This webhook can have: %(nouns)s.')
            raise ReplayError(
                message % {"noun": noun[:64], "nouns": ", ".join(possible) or "-"}, field="noun", code="unknown"
            )
        self._webhook = webhook
        self._readers = {source.name: SourceReader(webhook, source, selection) for source in sources_of_noun(noun)}

    def objects(self, place: Place | None, *, limit: int) -> DigestPage:
        """Return the digests of at most ``limit`` objects from a place on.

        Raises `ReplayError` for a place in a source that no longer exists.
        """
        names = list(self._readers)
        place = place or Place(names[0])
        if place.source not in names:
            message = _("The source of the objects no longer exists. Start without a cursor.")
            raise ReplayError(message, field="cursor", code="unknown")
        following = [Place(name) for name in names[names.index(place.source) + 1 :]]
        reader = self._readers[place.source]
        keys, end = reader.next_keys(place.key, limit=limit)
        if end is not None:
            following = [Place(place.source, end), *following]
        return DigestPage(list(reader.digests([*keys])), next(iter(following), None))

    def differences(self, copy: Mapping[str, str], *, of: int = 1, bucket: int = 0) -> Differences:
        """Return how a copy differs within a bucket, by default that of all objects. ``copy`` has the digests by their ids.

        Raises `ReplayError` if the bucket has more than `MOST_READ` objects.
        """
        found, _end = self._digests_of_buckets(of, bucket, bucket + 1)
        # A row may have objects in other buckets, too.
        there = {one.id: one.digest for one in found if bucket_of(one.id, of) == bucket}
        here = {key: digest for key, digest in copy.items() if bucket_of(key, of) == bucket}
        lost = [key for key in there if key not in here]
        stale = [key for key, digest in there.items() if key in here and here[key] != digest]
        return Differences(len(there) - len(lost) - len(stale), lost, stale, [key for key in here if key not in there])

    def buckets(self, *, of: int, first: int = 0) -> BucketPage:
        """Return buckets from the ``first`` on, as many as `MOST_READ` objects fill; ``of`` is the number of all buckets.

        Raises `ReplayError` if there are too few buckets: one of them has more objects than that.
        """
        # Before the first object is read: a change that the digests lack comes after it.
        cursor = feed.current_cursor(self._webhook.organization_id)
        found, end = self._digests_of_buckets(of, first, of)
        digests: dict[int, dict[str, str]] = {number: {} for number in range(first, end)}
        for one in found:
            # An id that changed since it was read may be in another bucket.
            digests.get(bucket_of(one.id, of), {})[one.id] = one.digest
        buckets = [Bucket(number, len(some), digest_of_bucket(some)) for number, some in digests.items()]
        return BucketPage(buckets, end if end < of else None, cursor)

    def _digests_of_buckets(self, of: int, first: int, end: int) -> tuple[Iterator[ObjectDigest], int]:
        """Return the digests of the objects in buckets from the ``first`` on, and the number after the last bucket.

        That is ``end``, or an earlier one if there are too many objects. The digests are read one page after the other.
        """
        by_bucket: dict[int, list[tuple[str, Any]]] = defaultdict(list)
        count = 0
        for name, reader in self._readers.items():
            for key, number in ((key, bucket_of(text, of)) for key, texts in reader.ids() for text in texts):
                if first <= number < end:
                    by_bucket[number].append((name, key))
                    count += 1
                while count > MOST_READ and end > first + 1:
                    end -= 1
                    count -= len(by_bucket.pop(end, ()))
                if count > MOST_READ:
                    message = _("Bucket %(bucket)d has more than %(most)d objects. Use more buckets, such as %(more)d.")
                    values = {"bucket": first, "most": MOST_READ, "more": 4 * of}
                    raise ReplayError(message % values, field="buckets", code="too_few")
        by_source: dict[str, list[Any]] = defaultdict(list)
        for name, key in chain.from_iterable(by_bucket.values()):
            by_source[name].append(key)
        return chain.from_iterable(self._readers[name].digests(keys) for name, keys in by_source.items()), end
