"""Programs that use the generated types, and the events that they are given."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tms_webhooks import catalogue
from tms_webhooks.choices import PayloadDetail
from tms_webhooks.documents.schemas import schema_name
from tms_webhooks.payloads.envelope import marked_as_test
from tms_webhooks.payloads.formats.detail import linked, reduced, truncated

TYPESCRIPT_USE = """
import { catchUp, dispatch, isKnown, MemorySeenIds, once } from "./tms_events.js";
import type { AnyEvent, ClassStatus, Handlers, KnownEvent, UnknownEvent } from "./tms_events.js";

export function narrowed(event: KnownEvent): string | undefined {
  if (event.type === "class.cancelled") return event.data.status?.name;
  if (event.type === "enrollment.completed") return String(event.data.class.id);
  // @ts-expect-error: not each event has a status
  return event.data.status;
}

export function unknown(event: AnyEvent): UnknownEvent | undefined {
  return isKnown(event) ? undefined : event;
}

export const handlers: Handlers = {
  "class.cancelled": (event) => console.log(event.data.status?.code === 2, event.previous.status?.name),
  "user.updated": async (event) => console.log(event.data.email, event.links?.event, event.left, event.truncated),
  // @ts-expect-error: a status has no such code
  "class.completed": (event) => event.data.status?.code === 99,
};

// @ts-expect-error: a status has no such name
export const wrongStatus: ClassStatus = { code: 2, name: "Canceled" };

// @ts-expect-error: an unknown event type
export const misspelled: Handlers = { "class.canceled": () => undefined };

export async function main(getJson: (url: string) => Promise<unknown>): Promise<void> {
  const seen = new MemorySeenIds();
  for await (const page of catchUp("/api/events/", "", getJson)) {
    for (const event of page.events) await once(seen, event.id, async () => void (await dispatch(event, handlers)));
    console.log(page.cursor, page.missing.length);
  }
}
"""

# The part of a platform's own types that the programs need.
PLATFORM = """
declare const console: { log(...values: unknown[]): void };
declare class Request {
  constructor(url: string, init: object);
  readonly headers: { get(name: string): string | null };
  arrayBuffer(): Promise<ArrayBuffer>;
}
declare class Response {
  constructor(body: null, init: { status: number });
  readonly status: number;
}
"""

RECEIVE = """
import { readFileSync } from "node:fs";
import { receive } from "./out/receiver.js";

const [{ headers, body, secrets }] = JSON.parse(readFileSync(process.argv[2], "utf8")).requests;
const request = (changed) => new Request("http://127.0.0.1/hook", { method: "POST", headers, body: changed });
const raw = Buffer.from(body, "base64");
Date.now = () => 1000 * Number(headers["webhook-timestamp"]);
const statuses = [];
for (const changed of [raw, raw, "{}"]) statuses.push((await receive(request(changed), secrets)).status);
console.log(...statuses);
"""

PYTHON_USE = """
from __future__ import annotations

from tms_events import AnyEvent, ClassCancelledEvent, ClassStatus, Handlers, KnownEvent, MemorySeenIds, catch_up, dispatch, known, once


def narrowed(event: KnownEvent) -> str:
    if event["type"] == "class.cancelled":
        return event["data"]["status"]["name"]
    if event["type"] == "enrollment.completed":
        return str(event["data"]["class"]["id"])
    return event["data"]["status"]["name"]  # type: ignore[typeddict-item]


def any_event(event: AnyEvent) -> str:
    one = known(event)
    return event["type"] if one is None else one["type"]


def cancelled(event: ClassCancelledEvent) -> None:
    if event["data"]["status"]["code"] == 2 and not event.get("left") and "truncated" not in event:
        print(event["correlation_id"], event["previous"]["status"])


HANDLERS: Handlers = {"class.cancelled": cancelled}
STATUS: ClassStatus = {"code": 2, "name": "Canceled"}  # type: ignore[typeddict-item]
MISSPELLED: Handlers = {"class.canceled": cancelled}  # type: ignore[typeddict-unknown-key]
WRONG: Handlers = {"class.completed": cancelled}  # type: ignore[typeddict-item]


def main() -> None:
    seen = MemorySeenIds()
    for page in catch_up("/api/events/", "", lambda url: {}):
        for event in page.events:
            if once(seen, event["id"], list):
                dispatch(event, HANDLERS)
        print(page.cursor, page.missing)
"""

TYPESCRIPT_RUN = """
import { readFileSync } from "node:fs";
import { catchUp, dispatch, MemorySeenIds, once, verify } from "./out/tms_events.js";

const { requests, pages, events } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const verified = [];
for (const { headers, body, secrets, options } of requests) {
  const raw = Buffer.from(body, "base64");
  for (const given of [headers, new Headers(headers)]) {
    verified.push(await verify(given, raw, secrets, options).then(
      (event) => event.type,
      (error) => error.problem ?? error.name,
    ));
  }
}
const read = [];
const get = async (url) => pages[url];
for await (const { events, missing, cursor } of catchUp("/feed/?type=*", "", get)) {
  read.push({ events: events.map((event) => event.id), missing, cursor });
}
const called = [];
const handlers = { "class.cancelled": () => called.push("handler") };
const others = { otherwise: (event) => called.push(`otherwise ${event.type}`), test: () => called.push("test") };
const dispatched = [];
for (const event of events) dispatched.push(await dispatch(event, handlers, others), await dispatch(event, {}));
const seen = new MemorySeenIds(2);
const fail = () => { throw new Error("no"); };
const handled = [];
for (const [id, handle] of [["a", fail], ["a", () => {}], ["a", fail], ["b", () => {}], ["c", () => {}], ["a", () => {}]]) {
  handled.push(await once(seen, id, handle).catch((error) => error.message));
}
console.log(JSON.stringify({ verified, read, called, dispatched, handled }));
"""

PYTHON_RUN = """
import base64, json, sys
from dataclasses import asdict
import tms_events as tms

given = json.load(open(sys.argv[1]))
verified = []
for one in given["requests"]:
    for headers in one["headers"], {name.title(): value for name, value in one["headers"].items()}:
        try:
            event = tms.verify(headers, base64.b64decode(one["body"]), one["secrets"], **one["options"])
        except tms.VerificationError as error:
            verified.append(error.problem)
        except ValueError:
            verified.append("TypeError")
        else:
            verified.append(event["type"])
read = [
    {"events": [event["id"] for event in page.events], "missing": list(map(asdict, page.missing)), "cursor": page.cursor}
    for page in tms.catch_up("/feed/?type=*", "", given["pages"].__getitem__)
]
called = []
handlers = {"class.cancelled": lambda event: called.append("handler")}
others = {
    "otherwise": lambda event: called.append(f"otherwise {event['type']}"),
    "test": lambda event: called.append("test"),
}
dispatched = []
for event in given["events"]:
    dispatched += [tms.dispatch(event, handlers, **others), tms.dispatch(event, {})]
seen = tms.MemorySeenIds(2)

def fail():
    raise RuntimeError("no")

handled = []
for name, handle in ("a", fail), ("a", list), ("a", fail), ("b", list), ("c", list), ("a", list):
    try:
        handled.append(tms.once(seen, name, handle))
    except RuntimeError as error:
        handled.append(str(error))
print(json.dumps({"verified": verified, "read": read, "called": called, "dispatched": dispatched, "handled": handled}))
"""


def all_forms() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each sample with the name of its type, and one sample of each kind of `data` in the reduced forms."""
    seen = set()
    for event_type in catalogue.all_types():
        name, whole = schema_name(event_type), event_type.example()
        yield name, whole
        if (event_type.noun, event_type.extra, event_type.needs) in seen:
            continue
        seen.add((event_type.noun, event_type.extra, event_type.needs))
        yield name, {**marked_as_test(whole), "correlation_id": "3f0c"}
        yield name, reduced(whole, PayloadDetail.NO_PERSONAL)
        yield name, linked(truncated(whole), "/api")
        yield name, {**reduced(whole, PayloadDetail.THIN), "left": True}


def typescript_samples() -> str:
    """Return a file that assigns each form of each sample to its type."""
    return _assignments('import type * as tms from "./tms_events.js";', "export const s{}: tms.{} = {};", _json)


def python_samples() -> str:
    """Return a module that assigns each form of each sample to its type."""
    return _assignments("import tms_events as tms", "s{}: tms.{} = {}", repr)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _assignments(head: str, line: str, literal: Callable[[Any], str]) -> str:
    lines = [line.format(number, name, literal(form)) for number, (name, form) in enumerate(all_forms())]
    return "\n".join([head, *lines, ""])
