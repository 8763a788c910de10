"""Forward the events of a training management system to a receiver on this machine, for development behind a firewall.

    export TMS_KEY=… WEBHOOK_SECRET=whsec_…
    python webhooks-forward.py --api URL --key-env TMS_KEY --to http://127.0.0.1:9000/hook --secret-env WEBHOOK_SECRET \
        --cursor-file cursor.json

It reads the catch-up feed, or the feed of one webhook, and posts each event, signed by Standard Webhooks. Events are
posted in the order of the feed, each one until the receiver answers 2xx. An event that the receiver got while the
program was stopped can arrive twice: drop an id that you have seen.

The program needs Python 3.11 and its standard library alone. It prints neither secrets nor bodies.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

TIMEOUT = 30.0
"""Time limit of each step of an HTTP exchange, in seconds."""
FIRST_DELAY = 0.5
"""Seconds before the first retry. The delay doubles with each further one."""
LONGEST_DELAY = 15.0
"""Longest time between two tries, in seconds, unless the API asks for more time."""
LONGEST_RETRY_AFTER = 300.0
"""Longest time in seconds that the API can ask for."""
OLDEST, LATEST = "oldest", "latest"
"""Where to begin without a stored cursor."""

_EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_EVENT_TYPE = re.compile(r"[a-z0-9_.]{1,100}")
_CONTENT_TYPE = re.compile(r"[\x20-\x7e]{1,255}")
_WEBHOOK = re.compile(r"whk_[0-9a-f]{32}")


class ForwardingError(Exception):
    """The program can't continue. The message says why, and how to correct it."""


class ApiUnavailable(Exception):
    """The API can't answer now: ask again after some seconds, at least ``retry_after``."""

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True)
class HttpAnswer:
    """The status, the headers by names in lower case, and the body of an HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, repr=False)
class FeedEvent:
    """An event of the feed. Without a body, ``state`` says why."""

    id: str
    type: str
    state: str
    content_type: str = "application/json"
    body: bytes | None = None


def exchange(method: str, url: SplitResult, headers: Mapping[str, str], body: bytes | None = None) -> HttpAnswer:
    """Send a request to a URL and return the answer; follow no redirect. Raise `OSError` without an answer."""
    connection_class = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    # Without a port, the class would read the end of an IPv6 address as one.
    connection = connection_class(url.hostname or "", url.port or connection_class.default_port, timeout=TIMEOUT)
    try:
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return HttpAnswer(response.status, found, response.read())
    except http.client.HTTPException as error:
        raise OSError(f"no valid HTTP answer ({type(error).__name__})") from error
    finally:
        connection.close()


def reason_of(error: OSError) -> str:
    """Return why a request got no answer, in a few words."""
    return "timeout" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()


class Feed:
    """A feed of the API, read with a key."""

    def __init__(self, api: SplitResult, webhook: str | None, authorization: str) -> None:
        self._url = api._replace(path=f"{api.path.rstrip('/')}/{f'webhooks/{webhook}/' if webhook else ''}events/")
        self._headers = {"authorization": authorization, "accept": "application/json", "user-agent": "webhooks-forward"}

    def page(self, after: str) -> tuple[list[FeedEvent], str, bool]:
        """Return the events after a cursor, the cursor of the next page, and whether it has events now.

        Raise `ApiUnavailable` if a later request may succeed, and `ForwardingError` if it can't.
        """
        url = self._url._replace(query=f"after={quote(after, safe='')}")
        try:
            answer = exchange("GET", url, self._headers)
        except OSError as error:
            raise ApiUnavailable(reason_of(error)) from error
        if answer.status in (408, 425, 429) or answer.status >= 500:
            raise ApiUnavailable(f"status {answer.status}", retry_after=_retry_after(answer))
        if answer.status != 200:
            raise ForwardingError(_refusal(answer))
        try:
            page = json.loads(answer.body)
            return [_event(item) for item in page["results"]], str(page["cursor"]), bool(page["has_more"])
        except (ValueError, KeyError, TypeError):
            raise ForwardingError(
                "The API's answer is not a page of the feed. Correct --api: it ends before /events/."
            ) from None


def _retry_after(answer: HttpAnswer) -> float:
    text = answer.headers.get("retry-after", "")
    return min(float(text), LONGEST_RETRY_AFTER) if text.isascii() and text.isdecimal() else 0.0


def _refusal(answer: HttpAnswer) -> str:
    """Return the sentence for a status that no retry changes."""
    match answer.status:
        case 400:
            return f"The API refuses the cursor{_code(answer)}. Delete the cursor file to begin again."
        case 401:
            return "The API refuses the key. Correct the variable of --key-env, or --key-scheme."
        case 403:
            return "The key may not read this feed. Give it the permission to see webhooks and payloads."
        case 404:
            return "The API has no such feed. Correct --api, or the id of --webhook."
        case status if 300 <= status < 400:
            return f"The API redirects (status {status}). Correct --api: redirects are not followed with a key."
        case status:
            return f"The API refuses the request with status {status}."


def _code(answer: HttpAnswer) -> str:
    try:
        code = str(json.loads(answer.body)["errors"][0]["code"])
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
    return f" ({code})" if _EVENT_TYPE.fullmatch(code) else ""


def _event(item: Mapping[str, Any]) -> FeedEvent:
    """Return an item of either feed; raise `ValueError` for an unexpected one."""
    event_id, event_type = str(item["id"]), str(item["type"])
    state = str(item.get("payload_state") or item.get("body_state"))
    body: bytes | None = None
    content_type = "application/json"
    if item.get("payload") is not None:
        # The same bytes as those that the training system sends.
        body = json.dumps(item["payload"], separators=(",", ":"), ensure_ascii=False).encode()
    elif item.get("body") is not None:
        body, content_type = str(item["body"]).encode(), str(item["content_type"])
    if not (
        _EVENT_ID.fullmatch(event_id) and _EVENT_TYPE.fullmatch(event_type) and _CONTENT_TYPE.fullmatch(content_type)
    ):
        raise ValueError
    return FeedEvent(event_id, event_type, state, content_type, body)


@dataclass
class Position:
    """How far the feed is forwarded, kept in a file: a cursor, and the last forwarded event of the page after it."""

    file: Path
    after: str
    last: str = ""

    @classmethod
    def load(cls, file: Path, *, start: str) -> Position:
        """Return the position in a file, or the start if the file does not exist. Raise `ForwardingError`."""
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
            return cls(file, str(stored["after"]), str(stored["last"]))
        except FileNotFoundError:
            return cls(file, "" if start == OLDEST else LATEST)
        except OSError as error:
            raise ForwardingError(f"{file} can't be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError):
            raise ForwardingError(
                f"{file} is not a cursor file. Name another file, or delete it to begin again."
            ) from None

    def advance(self, *, after: str | None = None, last: str = "") -> None:
        """Store a new position, if it differs."""
        before = (self.after, self.last)
        self.after, self.last = self.after if after is None else after, last
        if before != (self.after, self.last):
            self.store()

    def store(self) -> None:
        """Write the file. It is replaced as a whole, so that it is never half written. Raise `ForwardingError`."""
        part = self.file.with_name(f"{self.file.name}.part")
        try:
            part.write_text(json.dumps({"after": self.after, "last": self.last}) + "\n", encoding="utf-8")
            part.replace(self.file)
        except OSError as error:
            raise ForwardingError(f"{self.file} can't be written: {error.strerror}.") from error

    def remaining(self, events: list[FeedEvent]) -> list[FeedEvent]:
        """Return the events of the page that are not forwarded."""
        ids = [event.id for event in events]
        return events[ids.index(self.last) + 1 :] if self.last in ids else events


def sign(secret: str, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of Standard Webhooks. Raise `ValueError` for a malformed secret, without its text."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError("not whsec_ and the base64 of 24 to 64 bytes")
    content = f"{event_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


class Forwarder:
    """Posts the events of a feed to a receiver, in order, and keeps the position."""

    def __init__(
        self,
        feed: Feed,
        to: SplitResult,
        secret: str,
        position: Position,
        *,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._feed, self._to, self._secret, self._position = feed, to, secret, position
        self._report, self._clock, self._sleep = report, clock, sleep
        self.forwarded = self.skipped = 0

    def run(self, *, once: bool, interval: float) -> None:
        """Forward events until the end of the feed, or with a pause of ``interval`` seconds at each end for ever."""
        # An event is not sent before the position can be stored.
        self._position.store()
        while True:
            events, cursor, more = self._page()
            for event in self._position.remaining(events):
                self._forward(event)
            self._position.advance(after=cursor)
            if not more and once:
                return
            if not more:
                self._sleep(interval)

    def _page(self) -> tuple[list[FeedEvent], str, bool]:
        for delay in delays():
            try:
                return self._feed.page(self._position.after)
            except ApiUnavailable as error:
                wait = max(delay, error.retry_after)
                self._report(f"The API does not answer: {error}. Next try in {wait:g} s.")
                self._sleep(wait)
        raise AssertionError("delays end")

    def _forward(self, event: FeedEvent) -> None:
        """Send an event until it is accepted, store the position, and then report it."""
        name = f"{event.id} {event.type}"
        if event.state == "hidden":
            raise ForwardingError(f"{name}: the key may not see its payload. Give it the permission to see payloads.")
        if event.body is None:
            self._position.advance(last=event.id)
            self.skipped += 1
            self._report(f"{name}: skipped, it has no body ({event.state})")
            return
        for delay in delays():
            result, accepted = self._post(event, event.body)
            if accepted:
                self._position.advance(last=event.id)
                self.forwarded += 1
                self._report(f"{name}: {result}")
                return
            self._report(f"{name}: {result}. Next try in {delay:g} s.")
            self._sleep(delay)

    def _post(self, event: FeedEvent, body: bytes) -> tuple[str, bool]:
        """Send an event once; return the result in a few words, and whether the receiver accepted it."""
        signed = sign(self._secret, event.id, int(self._clock()), body)
        headers = {"content-type": event.content_type, "user-agent": "webhooks-forward", **signed}
        try:
            status = exchange("POST", self._to, headers, body).status
        except OSError as error:
            return reason_of(error), False
        return f"status {status}", 200 <= status < 300


def delays() -> Iterator[float]:
    """Yield the seconds before each retry, without an end."""
    delay = FIRST_DELAY
    while True:
        yield delay
        delay = min(2 * delay, LONGEST_DELAY)


def api_url(text: str) -> SplitResult:
    """Return the URL of the API; raise `ArgumentTypeError` unless a key may be sent to it."""
    url = _url(text)
    if url.query:
        raise argparse.ArgumentTypeError("use the URL without a query; events/ is added to its path")
    if url.scheme != "https" and not _is_loopback(url):
        raise argparse.ArgumentTypeError("use https, because the key is sent to it; http is for this machine only")
    return url


def receiver_url(text: str) -> SplitResult:
    """Return the URL of the receiver; raise `ArgumentTypeError` unless it is on this machine."""
    url = _url(text)
    if not _is_loopback(url):
        raise argparse.ArgumentTypeError("use an address of this machine, such as http://127.0.0.1:9000/hook")
    return url


def webhook_id(text: str) -> str:
    """Return the id of a webhook; raise `ArgumentTypeError` for another text."""
    if not _WEBHOOK.fullmatch(text):
        raise argparse.ArgumentTypeError("use the id of a webhook: whk_ and 32 hexadecimal digits")
    return text


def pause(text: str) -> float:
    """Return a pause in seconds; raise `ArgumentTypeError` unless it is from 0.1 to 3,600."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("use seconds, from 0.1 to 3600")
    return seconds


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        valid = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        valid = False
    if not valid or "@" in url.netloc or url.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError("use a URL that begins with http:// or https://, without user and fragment")
    return url


def _is_loopback(url: SplitResult) -> bool:
    if url.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.hostname or "").is_loopback
    except ValueError:
        return False


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line. End the program with status 2 if it is invalid."""
    parser = argparse.ArgumentParser(
        prog="webhooks-forward.py",
        description="Read the events of a training management system and post them, signed, to a receiver on this machine.",
        epilog="Exit status 0: the end of the feed with --once, or Ctrl-C. 1: the API refuses. 2: the options are invalid.",
    )
    parser.add_argument("--api", type=api_url, required=True, metavar="URL", help="URL of the API; events/ is below it")
    parser.add_argument("--key-env", required=True, metavar="NAME", help="environment variable with the API key")
    parser.add_argument(
        "--key-scheme", default="Api-Key", metavar="SCHEME", help="scheme of the Authorization header; default: Api-Key"
    )
    parser.add_argument(
        "--to", type=receiver_url, required=True, metavar="URL", help="URL of the receiver, on loopback"
    )
    parser.add_argument(
        "--secret-env", required=True, metavar="NAME", help="environment variable with the secret that signs (whsec_…)"
    )
    parser.add_argument("--cursor-file", type=Path, required=True, metavar="PATH", help="where the position is kept")
    parser.add_argument(
        "--webhook", type=webhook_id, metavar="ID", help="the feed of this webhook; default: all events"
    )
    parser.add_argument(
        "--start",
        choices=[OLDEST, LATEST],
        default=OLDEST,
        help="where to begin without a cursor file; default: oldest",
    )
    parser.add_argument("--once", action="store_true", help="end at the end of the feed")
    parser.add_argument(
        "--interval", type=pause, default=5.0, metavar="SECONDS", help="pause at the end of the feed; default: 5"
    )
    parsed = parser.parse_args(argv)
    parsed.key = os.environ.get(parsed.key_env, "")
    if not parsed.key or not parsed.key.isascii() or not parsed.key.isprintable():
        parser.error(f"--key-env: the environment variable {parsed.key_env} has no API key; set it")
    try:
        parsed.secret = os.environ.get(parsed.secret_env, "")
        sign(parsed.secret, "", 0, b"")
    except ValueError as error:
        parser.error(f"--secret-env: the environment variable {parsed.secret_env} has no secret: {error}")
    return parsed


def report(line: str) -> None:
    """Print a line immediately, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(argv: list[str] | None = None) -> int:
    """Run the program; return its exit status."""
    options = arguments(argv)
    forwarder: Forwarder | None = None
    status = 0
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        position = Position.load(options.cursor_file, start=options.start)
        feed = Feed(options.api, options.webhook, f"{options.key_scheme} {options.key}".strip())
        forwarder = Forwarder(feed, options.to, options.secret, position, report=report)
        report(f"Forwarding events of {options.api.netloc} to {options.to.netloc}. Stop with Ctrl-C.")
        forwarder.run(once=options.once, interval=options.interval)
    except ForwardingError as error:
        sys.stderr.write(f"{error}\n")
        status = 1
    except KeyboardInterrupt:
        report("Stopped.")
    if forwarder is not None:
        report(
            f"Forwarded {forwarder.forwarded}, skipped {forwarder.skipped}. The position is in {options.cursor_file}."
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
