"""The chain of events by which a change came about.

Two systems that answer each other's news with changes would go on for ever. So each request carries, sealed, how many
events led to it and the organizations whose receivers they went by. A receiver that calls the host's API while it handles
an event passes the header on; what it changes is then a link of the same chain, and a chain that is too long is not sent
on to those who made it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from django.core import signing

from tms_webhooks.conf import app_settings

HEADER = "tms-chain"
SALT = "tms_webhooks.chain"
MOST_ORGANIZATIONS = 50
# A seal says to the minute when it was made, so that one serves many requests.
MINUTE = 60

_sealed: ContextVar[str] = ContextVar("tms_webhooks_chain", default="")


class Chain(NamedTuple):
    """How many events led to what happens, and the organizations, by their keys as text, whose receivers they went by."""

    depth: int = 0
    organizations: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> Chain:
        """Return the chain that was written down as ``str`` has it; none for nothing."""
        if not text:
            return NONE
        depth, _, organizations = text.partition(":")
        return cls(int(depth), tuple(organizations.split(",")) if organizations else ())

    def __str__(self) -> str:
        return f"{self.depth}:{','.join(self.organizations)}" if self.depth else ""

    def by(self, organization: str) -> Chain:
        """Return what comes of an event of this chain that goes to a receiver of this organization."""
        others = tuple(one for one in self.organizations if one != organization)
        return Chain(self.depth + 1, (*others, organization)[-MOST_ORGANIZATIONS:])

    @property
    def is_too_long(self) -> bool:
        """Whether it is to end with those who made it."""
        return self.depth > app_settings.CHAIN_LIMIT

    def ends_with(self, organization: str) -> bool:
        """Return whether an event of this chain is kept from the webhooks of an organization.

        Only of one that it went by: nobody can keep news from others by a chain of their own.
        """
        return self.is_too_long and organization in self.organizations


NONE = Chain()


def current_chain() -> Chain:
    """Return the chain that what happens now belongs to."""
    sealed = _sealed.get()
    return _opened(sealed) if sealed else NONE


@contextmanager
def chain_context(sealed: str) -> Iterator[None]:
    """Make every change inside the ``with`` block a link of the chain that came as the header `HEADER`.

    The middleware does it for requests. For a job that a request leaves behind, pass it the header's value.
    """
    token = _sealed.set(sealed)
    try:
        yield
    finally:
        _sealed.reset(token)


def seal(chain: Chain, *, now: datetime) -> str:
    """Return a chain as the header has it, so that nobody else can make one."""
    return _seal(str(chain), int(now.timestamp()) // MINUTE)


@lru_cache(maxsize=1024)
def _seal(chain: str, minute: int) -> str:
    return signing.Signer(salt=SALT).sign_object([chain, minute])


def _opened(sealed: str) -> Chain:
    """Return the chain of a header; none where it is not ours, or from so long ago that it may be anybody's by now."""
    try:
        text, minute = signing.Signer(salt=SALT).unsign_object(sealed)
        age = time.time() - minute * MINUTE
        return Chain.read(text) if -5 * MINUTE <= age <= app_settings.CHAIN_LIFETIME else NONE
    except (signing.BadSignature, ValueError, TypeError):
        return NONE
