"""Keep a copy of the objects of a training system in SQLite, and prove that it is equal."""

import hashlib
import json
import os
import sqlite3
import sys
import time
from contextlib import closing
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
ROUNDS = 5
PAUSE = float(os.environ.get("PAUSE", "30"))  # seconds in which a change arrives


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
    """Return the answer to a GET, or with a body to a POST; ``path`` is below the webhook's URL, or is a URL."""
    url = path if path.startswith("http") else f"{os.environ['TMS_API']}/webhooks/{os.environ['WEBHOOK_ID']}/{path}"
    headers = {"Authorization": os.environ["TMS_AUTHORIZATION"], "Content-Type": "application/json"}
    url += f"?{urlencode(query)}" if query else ""
    try:
        with urlopen(Request(url, body and json.dumps(body).encode(), headers), timeout=60) as answer:
            return json.load(answer)
    except HTTPError as error:
        raise SystemExit(f"{url}: {error.read().decode()}") from error


def pages(path, **query):
    """Yield the results of all pages."""
    page = call(path, **query)
    yield from page["results"]
    while page["next"]:
        page = call(page["next"])
        yield from page["results"]


def wait_for_changes():
    """Wait until changes in flight have arrived."""
    if call("")["pull_only"]:
        follow()
    time.sleep(PAUSE)


def send(nouns, **selection):
    """Request a snapshot, and wait until it is complete; return its last event."""
    (job,) = call("snapshot/", {"nouns": nouns, **selection})["jobs"]
    with connect() as connection:
        while (completed := noted(connection, job["id"])) is None:
            wait_for_changes()
    return json.loads(completed)


def snapshot():
    # First the older events of the feed, whose objects may be gone by now.
    wait_for_changes()
    started_at = time.time()
    completed = send("all")
    if completed["failed"]:
        raise SystemExit(f"{completed['failed']} objects did not arrive. Recover them, then compare.")
    with connect() as connection, connection:
        for noun in completed["nouns"].split(","):
            # Without data, as a removed object: an event that is late does not bring it back.
            connection.execute("UPDATE mirror SET data = NULL WHERE noun = ? AND stored_at < ?", (noun, started_at))


def bucket_of(key):
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % BUCKETS


def digest_of(rows):
    lines = sorted(f"{key}:{digest}" for key, digest in rows.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def differences(noun):
    """Return the id of each object that differs, with its digest there and here. None: it is missing."""
    with connect() as connection:
        rows = connection.execute(KEPT, (noun,)).fetchall()
    here = [{key: digest for key, digest in rows if bucket_of(key) == bucket} for bucket in range(BUCKETS)]
    found = set()
    for bucket in pages("digests/", noun=noun, buckets=BUCKETS):
        number, kept = bucket["bucket"], here[bucket["bucket"]]
        if bucket["digest"] != digest_of(kept):
            there = {one["id"]: one["digest"] for one in pages("objects/", noun=noun, buckets=BUCKETS, bucket=number)}
            found |= {(key, there.get(key), kept.get(key)) for key in dict(there.items() ^ kept.items())}
    return found


def compare():
    """Find and heal differences. One that a change in flight explains is another one, or none, a moment later."""
    nouns = call("snapshot/")["nouns"]
    for _ in range(ROUNDS):
        first = {noun: differences(noun) for noun in nouns}
        if not any(first.values()):
            print("The mirror is equal.")
            return
        wait_for_changes()
        for noun, found in first.items():
            heal(noun, found & differences(noun) if found else ())
    raise SystemExit("Differences remain.")


def heal(noun, found):
    ghosts = [key for key, theirs, _ours in found if theirs is None]
    others = sorted(key for key, theirs, _ours in found if theirs is not None)
    print(f"{noun}: {len(ghosts)} ghosts, {len(others)} lost or stale")
    with connect() as connection, connection:
        connection.executemany("DELETE FROM mirror WHERE noun = ? AND id = ?", [(noun, key) for key in ghosts])
        # The number may be wrong, too: the snapshot has the right one.
        reset = "UPDATE mirror SET sequence = 0 WHERE noun = ? AND id = ?"
        connection.executemany(reset, [(noun, key) for key in others])
    for start in range(0, len(others), MOST_IDS):
        send([noun], ids=others[start : start + MOST_IDS])


if __name__ == "__main__":
    {"listen": listen, "follow": follow, "snapshot": snapshot, "compare": compare}[sys.argv[1]]()
