"""Keep a copy of the objects of a training system in SQLite, and prove that it is equal."""

import hashlib
import json
import os
import sqlite3
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from standardwebhooks import Webhook, WebhookVerificationError

TABLES = """
CREATE TABLE IF NOT EXISTS mirror (noun TEXT, id TEXT, sequence INTEGER, digest TEXT, data TEXT, stored_at REAL, PRIMARY KEY (noun, id));
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT);"""
STORE = """
INSERT INTO mirror VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (noun, id) DO UPDATE
SET sequence = excluded.sequence, digest = excluded.digest, data = excluded.data, stored_at = excluded.stored_at
WHERE excluded.sequence >= mirror.sequence"""
KEPT = "SELECT id, digest FROM mirror WHERE noun = ? AND data IS NOT NULL"
GONE = ("deleted", "removed", "revoked")
BUCKETS = 64
MOST_IDS = 500
ROUNDS = 10
TRIES = 5
PAUSE = float(os.environ.get("PAUSE", "30"))  # seconds in which a change is in the feed, or a delivery
LOOK = min(PAUSE, 1)
MOST_WAIT = 600
REPAIRED = ()
REMEDIES = {
    400: "",  # the detail names it
    401: "Check TMS_AUTHORIZATION.",
    403: "The key needs view, view_payload and replay in the webhook's organization.",
    404: "Check TMS_API and WEBHOOK_ID.",
}


class Failed(SystemExit):
    """A request failed, or a snapshot or deliveries did not arrive. Uncaught, it ends the program with its text and status 1."""


def connect():
    connection = sqlite3.connect(os.environ.get("MIRROR", "mirror.sqlite3"), timeout=20)
    connection.executescript(TABLES)
    return closing(connection)


# --- Events ---


def handle(event, connection):
    """Store the object of an event, unless a later event of it was here before. An object that is gone keeps its number."""
    noun, _, verb = event["type"].partition(".")
    noun = "feedback" if noun.endswith("_feedback") else noun
    if event.get("test"):
        return
    if event["type"] == "webhook.snapshot_completed":
        note(connection, event["details"]["job_id"], json.dumps(event["details"]))
    elif noun != "webhook":
        data = None if verb in GONE else json.dumps(event["data"])
        row = noun, str(event["data"]["id"]), event["sequence"], event.get("digest"), data, time.time()
        connection.execute(STORE, row)


def note(connection, name, value):
    connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))


def noted(connection, name):
    return (connection.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone() or [None])[0]


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            Webhook(os.environ["WEBHOOK_SECRET"]).verify(body, dict(self.headers))
        except WebhookVerificationError:
            status = 401
        else:
            with connect() as connection, connection:
                handle(json.loads(body), connection)
            status = 204
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_arguments):
        pass


def listen():
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()


def follow():
    """Read what the feed of a pull-only webhook has after the last event that was read."""
    with connect() as connection:
        page = {"has_more": True}
        while page["has_more"]:
            page = call("events/", after=noted(connection, "cursor") or "")
            with connection:
                for one in page["results"]:
                    if one["body"] is not None:
                        handle(json.loads(one["body"]), connection)
                note(connection, "cursor", page["cursor"])


def call(path, body=None, **query):
    """Return the answer to a GET, or with a body to a POST. ``path`` is a URL, or below the webhook's; "/…" is below the API's."""
    below = os.environ["TMS_API"] + ("" if path.startswith("/") else f"/webhooks/{os.environ['WEBHOOK_ID']}/")
    url = (path if path.startswith("http") else below + path) + (f"?{urlencode(query)}" if query else "")
    headers = {"Authorization": os.environ["TMS_AUTHORIZATION"], "Content-Type": "application/json"}
    tries = TRIES
    while True:
        tries -= 1
        try:
            with urlopen(Request(url, body and json.dumps(body).encode(), headers), timeout=60) as answer:
                return json.load(answer)
        except HTTPError as error:
            if error.code not in (429, 503) or not tries:
                remedy = REMEDIES.get(error.code, "Compare again later.")
                raise Failed(f"{url}: {error.code} {detail_of(error)} {remedy}".rstrip()) from None
            seconds = error.headers.get("Retry-After", "")
            time.sleep(min(int(seconds) if seconds.isdecimal() else 10, 60))
        except (OSError, HTTPException, ValueError) as error:
            raise Failed(f"{url}: {error}. Check TMS_API, and compare again later.") from None


def detail_of(error):
    """Return the detail of the problem in an answer; without one, the name of its status."""
    try:
        return json.load(error)["detail"]
    except (OSError, HTTPException, ValueError, TypeError, KeyError):
        return f"{error.reason}."


def pages(path, **query):
    """Yield the results of all pages."""
    page = call(path, **query)
    yield from page["results"]
    while page["next"]:
        page = call(page["next"])
        yield from page["results"]


def wait_for_changes():
    """Wait until the changes until now have arrived: all of the feed, or all first attempts of deliveries."""
    time.sleep(PAUSE)
    if call("")["pull_only"]:
        follow()
        return
    query = {"webhook": os.environ["WEBHOOK_ID"], "status": "pending", "page_size": 1}
    if newest := call("/deliveries/", **query)["results"]:
        created_at = datetime.fromisoformat(newest[0]["created_at"])
        query["created_before"] = (created_at + timedelta(microseconds=1)).isoformat()
        wait_until(lambda: not call("/deliveries/", **query)["results"], "Deliveries still wait", MOST_WAIT)


def wait_until(happened, problem, seconds):
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise Failed(f"{problem} after {seconds} seconds. Check that `listen` runs, and the health of the webhook.")
        time.sleep(LOOK)


def send(nouns, seconds, **selection):
    """Request a snapshot, and wait until it is complete; return its last event."""
    (job,) = call("snapshot/", {"nouns": nouns, **selection})["jobs"]
    receive = follow if call("")["pull_only"] else lambda: None
    with connect() as connection:
        problem = f"The snapshot {job['id']} is not complete"
        wait_until(lambda: receive() or noted(connection, job["id"]), problem, seconds)
        return json.loads(noted(connection, job["id"]))


def snapshot():
    if call("")["pull_only"]:
        # First the older events of the feed, whose objects may be gone by now.
        follow()
    started_at = time.time()
    completed = send("all", float("inf"))
    if completed["failed"]:
        raise SystemExit(f"{completed['failed']} objects did not arrive. Recover them, then compare.")
    with connect() as connection, connection:
        for noun in completed["nouns"].split(","):
            # Without data, as a removed object: an event that is late does not bring it back.
            connection.execute("UPDATE mirror SET data = NULL WHERE noun = ? AND stored_at < ?", (noun, started_at))


# --- The comparison ---


def bucket_of(key):
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % BUCKETS


def digest_of(rows):
    lines = sorted(f"{key}:{digest}" for key, digest in rows.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def kept(noun):
    """Return the digests of the mirror by id, in a list of buckets."""
    found = [{} for _ in range(BUCKETS)]
    with connect() as connection:
        for key, digest in connection.execute(KEPT, (noun,)):
            found[bucket_of(key)][key] = digest
    return found


def differences(noun, buckets):
    """Return the digests there and here of each object in these buckets that differs, by its id. None: it is missing."""
    there = {}
    for number in buckets:
        listed = pages("objects/", noun=noun, buckets=BUCKETS, bucket=number, page_size=100)
        there[number] = {one["id"]: one["digest"] for one in listed}
    here = kept(noun)
    return {
        key: (some.get(key), here[number].get(key))
        for number, some in there.items()
        for key, _digest in some.items() ^ here[number].items()
    }


def look(noun, before):
    """Return the differences of all objects, or of those that differed before: repair the ones that nothing changed since."""
    if before is None:
        here, there = kept(noun), pages("digests/", noun=noun, buckets=BUCKETS)
        return differences(noun, [one["bucket"] for one in there if one["digest"] != digest_of(here[one["bucket"]])])
    found = differences(noun, {bucket_of(key) for key in before})
    same = {key: pair for key, pair in found.items() if before.get(key) == pair}
    if same:
        heal(noun, same)
    return {key: REPAIRED if key in same else found[key] for key in before if key in found}


def compare():
    """Compare all objects, and then only those that differ, until none does. Without this proof, the exit status is 1."""
    open_, failed = dict.fromkeys(call("snapshot/")["nouns"]), False
    reason = "They changed before each comparison, or differ after a repair."
    for number in range(ROUNDS):
        try:
            if number:
                wait_for_changes()
        except Failed as error:
            reason = error
            break
        for noun, before in list(open_.items()):
            try:
                open_[noun] = look(noun, before)
            except Failed as error:
                print(f"{noun}: not proved. {error}")
                failed, open_[noun] = True, {}
        open_ = {noun: found for noun, found in open_.items() if found}
        if not open_:
            break
    for noun, found in open_.items():
        print(f"{noun}: {len(found)} not settled, such as {min(found)}. {reason}")
    if open_ or failed:
        raise SystemExit("The mirror is not proved equal.")
    print("The mirror is equal.")


def heal(noun, found):
    ghosts = [key for key, (theirs, _ours) in found.items() if theirs is None]
    others = sorted(found.keys() - ghosts)
    print(f"{noun}: {len(ghosts)} ghosts, {len(others)} lost or stale")
    with connect() as connection, connection:
        connection.executemany("DELETE FROM mirror WHERE noun = ? AND id = ?", [(noun, key) for key in ghosts])
        # The number may be wrong, too: the snapshot has the right one.
        reset = "UPDATE mirror SET sequence = 0 WHERE noun = ? AND id = ?"
        connection.executemany(reset, [(noun, key) for key in others])
    for start in range(0, len(others), MOST_IDS):
        send([noun], MOST_WAIT, ids=others[start : start + MOST_IDS])


if __name__ == "__main__":
    {"listen": listen, "follow": follow, "snapshot": snapshot, "compare": compare}[sys.argv[1]]()
