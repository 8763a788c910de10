"""The comparison of docs/howto/mirror.py against an API that fails, and one whose objects change while it compares."""

import errno
import hashlib
import json
import os
import socket
import sqlite3
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.scenarios.mirror_program import names

NOUNS = ["class", "course"]
EQUAL, UNPROVED = "The mirror is equal.", "The mirror is not proved equal."


class Api:
    """The API as far as the program asks it, with the digests of objects by noun and id. ``failing`` answers come first."""

    def __init__(self):
        self.objects = {noun: {} for noun in NOUNS}
        self.failing, self.requests, self.pending, self.asked, self.delivers = {}, [], [], [], None
        self.before = lambda name, noun: None

    def answer(self, method, path, query):
        name, noun = (
            path.removeprefix("/api/").removeprefix("webhooks/whk_1/").strip("/") or "webhook",
            query.get("noun"),
        )
        name = f"POST {name}" if method == "POST" else name
        self.requests.append(f"{name} {noun}" if noun else name)
        self.before(name, noun)
        for place in (f"{name} {noun}", name):
            if self.failing.get(place):
                return self.failing[place].pop(0)
        return 200, {}, getattr(self, f"_{name.replace('POST ', 'post_')}")(noun, query)

    def _webhook(self, _noun, _query):
        return {"pull_only": False}

    def _snapshot(self, _noun, _query):
        return {"nouns": NOUNS}

    def _post_snapshot(self, _noun, query):
        noun, ids = query["nouns"][0], query["ids"]
        if self.delivers is not None:
            self.delivers(noun, ids)
        return {"jobs": [{"id": "job_1"}]}

    def _deliveries(self, _noun, query):
        self.asked.append(query)
        return {"next": None, "results": self.pending.pop(0) if self.pending else []}

    def _digests(self, noun, query):
        of = int(query["buckets"])
        rows = [
            [f"{key}:{digest}" for key, digest in sorted(self.objects[noun].items()) if bucket_of(key, of) == number]
            for number in range(of)
        ]
        digests = [hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:32] for lines in rows]
        return {"next": None, "results": [{"bucket": n, "digest": digest} for n, digest in enumerate(digests)]}

    def _objects(self, noun, query):
        of, bucket = int(query["buckets"]), int(query["bucket"])
        found = [{"id": k, "digest": one} for k, one in self.objects[noun].items() if bucket_of(k, of) == bucket]
        return {"next": None, "results": found}


def bucket_of(key, of):
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % of


class Program:
    """The program, with its table, and the seconds for which it slept."""

    def __init__(self):
        self.names, self.slept = names(), []
        self.names["time"] = self

    def monotonic(self):
        return sum(self.slept)

    time = monotonic

    def sleep(self, seconds):
        self.slept.append(seconds)

    def store(self, noun, key, digest):
        with closing(sqlite3.connect("mirror.sqlite3")) as table, table:
            table.executescript(self.names["TABLES"])
            table.execute("INSERT OR REPLACE INTO mirror VALUES (?, ?, 1, ?, '{}', 0)", (noun, key, digest))

    def note(self, job):
        with self.names["connect"]() as connection, connection:
            self.names["note"](connection, job, "{}")

    def run(self, command="compare"):
        """Return the message with which it ends; None where it ends well."""
        try:
            self.names[command]()
        except SystemExit as end:
            return str(end)
        return None


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def program(api, tmp_path, monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            split = urlsplit(self.path)
            query = dict(parse_qsl(split.query))
            if self.command == "POST":
                query = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, headers, body = api.answer(self.command, split.path, query)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode() if isinstance(body, str) else json.dumps(body).encode())

        do_POST = do_GET

        def log_message(self, *_arguments):
            pass

    monkeypatch.chdir(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        values = {"TMS_API": f"http://127.0.0.1:{server.server_port}/api", "TMS_AUTHORIZATION": "Api-Key k"}
        for name, value in {**values, "WEBHOOK_ID": "whk_1", "PAUSE": "30"}.items():
            monkeypatch.setenv(name, value)
        yield Program()
        server.shutdown()
        thread.join()


def problem(status, detail="Why.", **headers):
    return status, headers, {"status": status, "detail": detail}


# --- Errors ---


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (problem(401), "401 Why. Check TMS_AUTHORIZATION."),
        (problem(403), "403 Why. The key needs view, view_payload and replay in the webhook's organization."),
        (problem(404), "404 Why. Check TMS_API and WEBHOOK_ID."),
        (problem(400), "400 Why."),
        ((502, {}, "<h1>Bad</h1>"), "502 Bad Gateway. Compare again later."),
        ((500, {}, "[]"), "500 Internal Server Error. Compare again later."),
        (
            (200, {}, "<h1>Sign in</h1>"),
            "Expecting value: line 1 column 1 (char 0). Check TMS_API, and compare again later.",
        ),
    ],
)
@pytest.mark.parametrize("request_", ["digests", "objects"])
def test_a_noun_whose_request_fails_is_named_and_the_others_are_compared(api, program, capsys, answer, text, request_):
    for noun in NOUNS:
        api.objects[noun] = {"1": "a"}
    program.store("course", "1", "a")
    api.failing[f"{request_} class"] = [answer]

    assert program.run() == UNPROVED

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"class: not proved. {webhook_url()}/{request_}/?noun=class&buckets=64")
    assert line.endswith(f": {text}")
    assert api.requests[-1] == "digests course"


@pytest.mark.parametrize("name", ["snapshot", "webhook"])
def test_a_failed_request_about_all_nouns_ends_the_comparison(api, program, capsys, name):
    api.objects["class"] = {"1": "a"}
    api.failing[name] = [problem(403)]

    message, text = program.run(), "403 Why. The key needs view, view_payload and replay in the webhook's organization."

    lines = capsys.readouterr().out.splitlines()
    if name == "snapshot":
        assert (message, lines) == (f"{webhook_url()}/snapshot/: {text}", [])
    else:
        assert (message, lines) == (UNPROVED, [f"class: 1 not settled, such as 1. {webhook_url()}/: {text}"])


def test_a_noun_whose_repair_is_refused_is_named(api, program, capsys):
    api.objects["class"] = {"1": "a"}
    api.failing["POST snapshot"] = [problem(409, "A job is running.")]

    assert program.run() == UNPROVED

    assert capsys.readouterr().out.splitlines() == [
        "class: 0 ghosts, 1 lost or stale",
        f"class: not proved. {webhook_url()}/snapshot/: 409 A job is running. Compare again later.",
    ]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"Retry-After": "7"}, 7), ({"Retry-After": "3600"}, 60), ({"Retry-After": "Fri"}, 10), ({}, 10)],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_program_waits_as_long_as_the_api_asks_a_minute_at_most(api, program, status, headers, seconds):
    api.failing["digests class"] = [problem(status, **headers)]

    assert program.run() is None

    assert program.slept == [seconds]


def test_after_five_tries_the_noun_is_not_proved(api, program, capsys):
    api.failing["digests class"] = [problem(429, **{"Retry-After": "7"})] * 9

    assert program.run() == UNPROVED

    assert program.slept == [7] * 4
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(": 429 Why. Compare again later.")


def test_without_a_server_the_message_is_one_line(program, monkeypatch):
    with closing(socket.create_server(("127.0.0.1", 0))) as closed:
        monkeypatch.setenv("TMS_API", f"http://127.0.0.1:{closed.getsockname()[1]}/api")

    refused = f"<urlopen error [Errno {errno.ECONNREFUSED}] Connection refused>"
    assert program.run() == f"{webhook_url()}/snapshot/: {refused}. Check TMS_API, and compare again later."


def webhook_url():
    return f"{os.environ['TMS_API']}/webhooks/whk_1"


# --- Changes ---

LOOK = ["webhook", "deliveries", "objects class"]


def test_only_what_differed_is_compared_again_and_what_changed_is_not_repaired(api, program, capsys):
    api.objects = {"class": {"1": "a", "2": "b"}, "course": {"3": "c"}}
    program.store("course", "3", "c")
    program.store("class", "2", "old")

    def arrive(name, noun):
        if name == "webhook":
            # One arrives, one changes once more, and one that was equal differs.
            program.store("class", "1", "a")
            api.objects["class"]["2"] = "c"
            api.objects["course"]["3"] = "d"
            api.before = lambda name, _noun: name == "webhook" and program.store("class", "2", "c")

    api.before = arrive

    assert program.run() is None

    assert capsys.readouterr().out.splitlines() == [EQUAL]
    first = ["snapshot", "digests class", "objects class", "objects class", "digests course"]
    assert api.requests == first + ["webhook", "deliveries", "objects class", "objects class"] + LOOK
    assert program.slept == [30, 30]


def test_what_nothing_changed_since_is_repaired_and_compared_once_more(api, program, capsys):
    api.objects["class"] = {"1": "a"}
    program.store("course", "3", "ghost")

    def deliver(noun, ids):
        program.store(noun, *ids, "a")
        program.note("job_1")

    api.delivers = deliver

    assert program.run() is None

    assert capsys.readouterr().out.splitlines() == [
        "class: 0 ghosts, 1 lost or stale",
        "course: 1 ghosts, 0 lost or stale",
        EQUAL,
    ]
    assert program.slept == [30, 30]


def test_an_object_that_changes_before_each_comparison_is_counted_after_ten(api, program, capsys):
    def change(name, _noun):
        if name == "objects":
            api.objects["class"]["7"] = str(len(api.requests))

    api.objects["class"]["7"], api.before = "0", change

    assert program.run() == UNPROVED

    reason = "They changed before each comparison, or differ after a repair."
    assert capsys.readouterr().out.splitlines() == [f"class: 1 not settled, such as 7. {reason}"]
    assert api.requests == ["snapshot", "digests class", "objects class", "digests course"] + 9 * LOOK
    assert program.slept == [30] * 9


def test_an_object_that_a_repair_does_not_change_is_counted(api, program, capsys):
    api.objects["class"]["7"], api.delivers = "a", lambda _noun, _ids: program.note("job_1")

    assert program.run() == UNPROVED

    *repairs, line = capsys.readouterr().out.splitlines()
    assert set(repairs) == {"class: 0 ghosts, 1 lost or stale"}
    assert line == "class: 1 not settled, such as 7. They changed before each comparison, or differ after a repair."


# --- Deliveries ---


def test_a_difference_is_judged_when_no_earlier_delivery_is_pending(api, program):
    api.objects["class"]["7"] = "a"
    newest, older = ({"created_at": f"2026-11-24T15:04:05.12345{n}Z"} for n in (6, 5))
    api.pending = [[newest], [older], []]
    program.store("class", "7", "b")
    api.before = lambda name, _noun: program.store("class", "7", "a") if name == "deliveries" else None

    assert program.run() is None

    assert program.slept == [30, 1]
    waiting = {"webhook": "whk_1", "status": "pending", "page_size": "1"}
    until = {**waiting, "created_before": "2026-11-24T15:04:05.123457+00:00"}
    assert api.asked == [waiting, until, until]


@pytest.mark.parametrize("what", ["deliveries", "snapshot"])
def test_what_does_not_arrive_in_ten_minutes_is_named(api, program, capsys, what):
    api.objects["class"]["7"] = "a"
    if what == "deliveries":
        api.pending = [[{"created_at": "2026-11-24T15:04:05.123456Z"}]] * 700
        text = "1 not settled, such as 7. Deliveries still wait"
    else:
        text = "not proved. The snapshot job_1 is not complete"

    assert program.run() == UNPROVED

    line = capsys.readouterr().out.splitlines()[-1]
    advice = "Check that `listen` runs, and the health of the webhook."
    assert line == f"class: {text} after 600 seconds. {advice}"
