"""The files of `webhooks_catalogue --format typescript` and `python`: they compile, fit each sample, and work."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from tests.acceptance.once import ONCE
from tests.acceptance.receivers import pages, typed
from tests.unit.catalogue.conftest import EXAM
from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType, Field, FieldKind
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.delivery.signing import signature_headers
from tms_webhooks.payloads.envelope import to_text

pytestmark = ONCE

SECRET = "whsec_" + "A" * 43 + "="
OLD = "whsec_" + "B" * 42 + "A="
OTHER = "whsec_" + "C" * 42 + "A="
NOW = 1_795_532_645
TSCONFIG = {
    "strict": True,
    "target": "ES2022",
    "lib": ["ES2022"],
    "module": "NodeNext",
    "types": [],
    "exactOptionalPropertyTypes": True,
    "noUncheckedIndexedAccess": True,
    "noUnusedLocals": True,
    "isolatedModules": True,
    "verbatimModuleSyntax": True,
    "outDir": "out",
}

# Names and texts that are special in one of the languages.
AWKWARD = EventType(
    "exam.sat_again",
    EXAM,
    'An exam was sat again: */ """ and \\ are text, and so is "this"',
    extra=(
        Field("class.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the class."),
        Field("class.2nd", FieldKind.STRING, FieldPrivacy.BASIC, doc="*/"),
        Field("import", FieldKind.JSON, FieldPrivacy.BASIC, doc='"""'),
        Field("__secret", FieldKind.IDS, FieldPrivacy.PERSONAL),
    ),
)


def run(*command: str | Path, folder: Path) -> str:
    """Return what a program printed; fail the test if it failed."""
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python_folder(tmp_path_factory) -> Path:
    """A folder with the Python module."""
    folder = tmp_path_factory.mktemp("python")
    with catalogue.temporarily(AWKWARD):
        call_command("webhooks_catalogue", format="python", output=folder / "tms_events.py")
        (folder / "samples.py").write_text(typed.python_samples())
    (folder / "use.py").write_text(typed.PYTHON_USE)
    (folder / "run.py").write_text(typed.PYTHON_RUN)
    return folder


@pytest.fixture(scope="module")
def typescript_folder(tmp_path_factory) -> Path:
    """A folder with the TypeScript module, compiled."""
    compiler, node = os.environ.get("TMS_TSC") or shutil.which("tsc"), shutil.which("node")
    if not compiler or not node:
        pytest.skip("node and TypeScript's compiler are not installed: npm install --global typescript")
    folder = tmp_path_factory.mktemp("typescript")
    with catalogue.temporarily(AWKWARD):
        call_command("webhooks_catalogue", format="typescript", output=folder / "tms_events.ts")
        (folder / "samples.ts").write_text(typed.typescript_samples())
    (folder / "use.ts").write_text(typed.TYPESCRIPT_USE)
    (folder / "run.mjs").write_text(typed.TYPESCRIPT_RUN)
    pages.write(folder, "typed")
    (folder / "platform.d.ts").write_text(typed.PLATFORM)
    (folder / "receive.mjs").write_text(typed.RECEIVE)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": TSCONFIG}))
    run(compiler, "--project", ".", folder=folder)
    return folder


def test_the_typescript_file_compiles_strictly_and_fits_each_sample(typescript_folder):
    assert (typescript_folder / "out" / "samples.js").exists()
    assert (typescript_folder / "out" / "use.js").exists()
    assert (typescript_folder / "out" / "receiver.js").exists()


def test_the_python_file_and_the_files_of_its_page_pass_strict_type_checks_and_each_sample_fits(python_folder):
    pytest.importorskip("mypy")
    pages.write(python_folder, "index", "typed")
    files = ("samples.py", "use.py", "inbox.py", "receiver.py", "handle.py", "read_feed.py")
    run(
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--cache-dir",
        os.devnull,
        *files,
        folder=python_folder,
    )


@pytest.fixture
def outcome_typescript(typescript_folder, given) -> Any:
    return json.loads(run("node", "run.mjs", given, folder=typescript_folder))


@pytest.fixture
def outcome_python(python_folder, given) -> Any:
    return json.loads(run(sys.executable, "-W", "error", "run.py", given, folder=python_folder))


@pytest.fixture(params=["typescript", "python"])
def outcome(request) -> Any:
    """What the program of a language made of the requests, pages and events in `given`."""
    return request.getfixturevalue(f"outcome_{request.param}")


def request_of(
    expected: str,
    *,
    signed_with: tuple[str, ...] = (SECRET,),
    secrets: tuple[str, ...] = (SECRET,),
    at: int = NOW,
    body: bytes | None = None,
    sent: bytes | None = None,
    headers: dict[str, str | None] | None = None,
    **options: float,
) -> dict[str, Any]:
    """Return a request that the package's own code signs, with changes, and the expected result."""
    body = to_text(catalogue.get("class.cancelled").example() | {"later": "ä"}).encode() if body is None else body
    signed = signature_headers(secrets=signed_with, message_id="evt_1", timestamp=at, body=body)
    return {
        "expected": expected,
        "headers": {name: value for name, value in {**signed, **(headers or {})}.items() if value is not None},
        "body": base64.b64encode(body if sent is None else sent).decode(),
        "secrets": secrets,
        "options": {"now": NOW, **options},
    }


EVENT = catalogue.get("class.cancelled").example()
FUTURE = {**EVENT, "type": "class.teleported", "data": {"id": 1, "planet": {"name": "Mars"}}}
REQUESTS = [
    request_of("class.cancelled"),
    request_of("class.teleported", body=to_text(FUTURE).encode()),
    request_of("class.cancelled", signed_with=(SECRET, OLD), secrets=(OLD,)),
    request_of("class.cancelled", secrets=(OTHER, SECRET)),
    request_of("class.cancelled", at=NOW - 299),
    request_of("class.cancelled", at=NOW - 500, tolerance=600),
    request_of("too_old", at=NOW - 301),
    request_of("too_new", at=NOW + 301),
    request_of("wrong_signature", secrets=(OTHER,)),
    request_of("wrong_signature", secrets=()),
    request_of("wrong_signature", sent=to_text(FUTURE).encode()),
    request_of("wrong_signature", headers={"webhook-id": "evt_2"}),
    request_of("wrong_signature", headers={"webhook-timestamp": str(NOW - 1)}),
    request_of("wrong_signature", headers={"webhook-signature": "v1,AAAA v1,no-base64"}),
    request_of("malformed_header", headers={"webhook-signature": "v2,AAAA"}),
    request_of("malformed_header", headers={"webhook-timestamp": "soon"}),
    request_of("malformed_header", headers={"webhook-id": "evt.1"}),
    request_of("missing_header", headers={"webhook-signature": None}),
    request_of("not_an_event", body=b"[]"),
    request_of("not_an_event", body=b"Class cancelled"),
    request_of("TypeError", secrets=("whsec_short",)),
    request_of("TypeError", secrets=("A" * 43 + "=",)),
]


def item(event_id: str, **values: Any) -> dict[str, Any]:
    return {"id": event_id, "type": "class.cancelled", **values}


PAGES = {
    "/feed/?type=*&after=": {
        "results": [
            item("evt_1", payload_state="kept", payload={**EVENT, "id": "evt_1"}),
            item("evt_2", payload_state="pruned", payload=None),
            item("evt_3", body_state="kept", body=json.dumps({**FUTURE, "id": "evt_3"})),
        ],
        "cursor": "a+b/c=",
        "has_more": True,
    },
    "/feed/?type=*&after=a%2Bb%2Fc%3D": {"results": [], "cursor": "empty", "has_more": True},
    "/feed/?type=*&after=empty": {
        "results": [
            item("evt_4", body_state="failed", body=None),
            item("evt_5", body_state="kept", body="Class cancelled"),
        ],
        "cursor": "end",
        "has_more": False,
    },
}


@pytest.fixture
def given(tmp_path) -> Path:
    file = tmp_path / "given.json"
    events = [EVENT, FUTURE, {**EVENT, "version": 2}, {**EVENT, "test": True}]
    file.write_text(json.dumps({"requests": REQUESTS, "pages": PAGES, "events": events}))
    return file


def test_verify_accepts_what_is_signed_here_and_refuses_the_rest(outcome):
    # Each request is verified with two kinds of headers.
    assert outcome["verified"] == [one["expected"] for one in REQUESTS for _ in range(2)]


def test_the_feed_is_read_to_its_end_and_events_without_payload_are_named(outcome):
    assert outcome["read"] == [
        {
            "events": ["evt_1", "evt_3"],
            "missing": [{"id": "evt_2", "type": "class.cancelled", "state": "pruned"}],
            "cursor": "a+b/c=",
        },
        {"events": [], "missing": [], "cursor": "empty"},
        {
            "events": [],
            "missing": [
                {"id": "evt_4", "type": "class.cancelled", "state": "failed"},
                {"id": "evt_5", "type": "class.cancelled", "state": "format"},
            ],
            "cursor": "end",
        },
    ]


def test_an_unknown_type_or_version_or_a_test_reaches_no_handler_of_a_type(outcome):
    assert outcome["called"] == ["handler", "otherwise class.teleported", "otherwise class.cancelled", "test"]
    assert outcome["dispatched"] == [True, False] * 4


def test_an_event_is_processed_once_unless_its_handler_failed(outcome):
    # In memory are the newest two ids, so that "a" is forgotten after "c".
    assert outcome["handled"] == ["no", True, False, True, True, True]


def test_the_receiver_of_the_page_answers_401_to_what_is_not_signed(typescript_folder, given):
    assert run("node", "receive.mjs", given, folder=typescript_folder).splitlines() == [
        "cancelled 8840 Cancelled",
        "204 204 401",
    ]
