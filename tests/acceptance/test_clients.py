"""Clients and types that generators make of the documents compile and work, and judges of the documents find nothing in them.

The pages docs/howto/clients.md and receive/typed.md have their commands, and an example for each language. A program in ``clients/`` leads a webhook through its whole life with it, and
reads a body of each kind by its models.

The generators are no dependencies of the tests. ``.ci/clients`` installs them into a folder and names it in
``TMS_CLIENT_TOOLS``; a test whose generator is not there is skipped, or fails if ``TMS_REQUIRE_CLIENTS`` names it.
"""

import json
import os
import re
import shutil
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from django.utils import timezone

from example_project.training.models import ApiKey, TrainingClass
from tests.acceptance.once import ONCE
from tests.acceptance.receivers import pages
from tests.conftest import ROOT
from tests.factories import WebhookFactory
from tests.patience import PATIENCE
from tests.receiver import Receiver
from tms_webhooks import catalogue, snapshot
from tms_webhooks.choices import JobKind, PayloadDetail
from tms_webhooks.documents import asyncapi_document
from tms_webhooks.documents.schemas import schema_name
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Event
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.payloads.envelope import to_text
from tms_webhooks.payloads.formats import RequestFormat, render, tailored

pytestmark = [pytest.mark.slow, ONCE]

PAGE = ROOT / "docs" / "howto" / "clients.md"
TYPES = ROOT / "docs" / "howto" / "receive" / "typed.md"
PROGRAMS = Path(__file__).parent / "clients"
RULES = ROOT / ".ci"
TOOLS = Path(os.environ.get("TMS_CLIENT_TOOLS") or "no-such-folder").resolve()
REQUIRED = os.environ.get("TMS_REQUIRE_CLIENTS", "").split()

HARMLESS = (
    "OpenAPI 3.1 support is still in beta",
    "Ignoring complex example on request body",
    # An object with members of any type.
    "Failed to get the schema name: null",
    "Codegen property is null (e.g. map/dict of undefined type)",
    # Classes of C# and Go for parameters.
    "(reserved word) cannot be used as ",
)
"""Warnings of OpenAPI Generator that change nothing in a client."""

JARS = [
    Path("/usr/share/java") / f"{name}.jar"
    for name in (
        "jackson-core",
        "jackson-databind",
        "jackson-annotations",
        "jackson-datatype-jsr310",
        "jakarta-annotation-api",
    )
]


@dataclass(frozen=True)
class Workshop:
    """A folder with the documents, in which commands run, those of the page against a running server."""

    folder: Path
    environment: dict[str, str]
    receiver: Receiver | None = None

    def run(self, *command, folder="."):
        """Run a command, and return its output; fail if its exit status is not 0."""
        process = subprocess.run(
            command,
            cwd=self.folder / folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3 * PATIENCE,
            check=False,
        )
        assert process.returncode == 0, process.stdout[-6000:]
        return process.stdout

    def generate(self, heading, *more, page=PAGE):
        """Run the command of a section that generates the client; fail for a warning that changes the client."""
        needs((command := command_below(heading, page))[0])
        printed = self.run(*command, *more)
        warnings = [line for line in printed.splitlines() if re.search(r"\b(WARN|ERROR)\b|^Unable to", line)]
        assert [line for line in warnings if not any(known in line for known in HARMLESS)] == []

    def live(self, *command, folder=".", bodies=True):
        """Run a program that leads a webhook through its life, and reads the bodies; expect the answer of each step."""
        printed = self.run(*command, folder=folder)
        classes = TrainingClass.objects.filter(organization=self.environment["TMS_ORGANIZATION"]).count()
        assert printed.splitlines() == [
            "subscribed: enrollment.requested",
            "test: 200",
            f"dry run: {classes} 0",
            f"snapshot: {classes} snapshot pending",
            "resent: pending",
            "rotated: true",
            "webhooks: Payroll",
            "deleted: urn:tms-webhooks:problem:not-found",
            *([f"bodies: {len(self.bodies)}"] if bodies else []),
        ]

    @property
    def bodies(self):
        """The texts in the file BODIES."""
        return json.loads(Path(self.environment["BODIES"]).read_text(encoding="utf-8"))

    def copy(self, *programs, to="."):
        """Copy programs beside a client."""
        for name in programs:
            shutil.copy(PROGRAMS / name, self.folder / to)

    def write_bodies(self, types, member):
        """Write the bodies as a program of TypeScript, so that the compiler reads them; ``member`` is the type of a body."""
        lines = (
            f"export const body{index}: {member.format(class_of(text))} = {text};"
            for index, text in enumerate(self.bodies)
        )
        (self.folder / "bodies.ts").write_text("\n".join([types, *lines]))

    def write_example(self, heading, name):
        """Write the program of a section into a file."""
        (self.folder / name).write_text(block_below(heading, r"python|typescript"))


def sample_bodies():
    """Yield the bodies of each event type: in each detail, as a test, too large, and of a request."""
    for kind in catalogue.all_types():
        event = kind.example()
        for detail in PayloadDetail:
            shape = RequestFormat(detail=detail, api_url="https://tms.example.com/api")
            sent = tailored(shape, event)
            yield render(shape, sent, limit=100_000).body
            yield render(shape, {**sent, "test": True}, limit=100_000).body
            yield render(shape, sent, limit=10).body
        ids = tailored(RequestFormat(detail=PayloadDetail.THIN), event)
        yield to_text({**ids, "correlation_id": "job-7", "changed": ["organization"], "previous": {}})


def recorded_bodies(world):
    """Yield the bodies of events about each row of an organization, and about a learner who leaves it."""
    here, there = world.tenants
    webhook = WebhookFactory(organization=here.organization, events=["*"], include_children=True)
    WebhookFactory(organization=there.organization, events=["*"])
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=snapshot.available(webhook), now=timezone.now())
    while snapshot.work_on(job, now=timezone.now()):
        pass
    learner = here.people.learners[0]
    learner.organization = there.organization
    learner.save()
    while fan_out(timezone.now()):  # a body is complete when its event is fanned out
        pass
    events = Event.objects.all()
    assert events.filter(type__endswith=".snapshot").exists()
    assert events.filter(type__endswith=".removed").exists()
    yield from (event.body for event in events)


def class_of(body):
    """Return the name of a body's component, which a generator names its class by."""
    return schema_name(catalogue.get(json.loads(body)["type"]))


def needs(name):
    """Skip the test if a generator is not installed, or fail if it is required."""
    if shutil.which(name, path=path_of_tools()) is None:
        reason = f"{name} is not in TMS_CLIENT_TOOLS; .ci/clients installs it."
        pytest.fail(reason) if name in REQUIRED else pytest.skip(reason)


def path_of_tools():
    return os.pathsep.join([str(TOOLS / "bin"), str(TOOLS / "node_modules" / ".bin")])


def block_below(heading, language, page=PAGE):
    """Return the first block of code in a section of a page."""
    section = page.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.search(rf"^```(?:{language})\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def command_below(heading, page):
    """Return the words of the command that reads the document."""
    lines = block_below(heading, "sh", page).splitlines()
    (line,) = [one for one in lines if "openapi.json" in one or "events.schema.json" in one]
    return line.removeprefix("npx ").split()


@pytest.fixture
def _is_worthwhile():
    """Skip a test before a training system is made for it, where no generator is installed."""
    if not (TOOLS.is_dir() or REQUIRED):
        pytest.skip("There are no TMS_CLIENT_TOOLS; .ci/clients installs them.")


@pytest.fixture
def workshop(_is_worthwhile, tmp_path, settings_of_app, world, live_server, one_request_at_a_time):
    with closing(Receiver()) as receiver:
        settings_of_app(ALLOWED_PORTS=[receiver.port])
        organization = world.tenants[0].organization
        _key, clear = ApiKey.objects.create_key(name="HR system", organization=organization)
        for name in ("openapi.json", "events.schema.json"):
            (tmp_path / name).write_bytes(requests.get(f"{live_server.url}/api/{name}", timeout=PATIENCE).content)
        environment = {
            "PATH": path_of_tools() + os.pathsep + os.environ["PATH"],
            "HOME": str(tmp_path),
            "TMS_URL": live_server.url,
            "TMS_KEY": clear,
            "TMS_ORGANIZATION": str(organization.pk),
            "RECEIVER_URL": receiver.url,
            "BODIES": str(tmp_path / "bodies.json"),
        }
        (tmp_path / "bodies.json").write_text(json.dumps([*sample_bodies(), *recorded_bodies(world)]))
        yield Workshop(tmp_path, environment, receiver)


def assert_worked(workshop, printed):
    """Assert that the example created, tested, listed and read a webhook."""
    assert re.search(r"^secret: whsec_", printed, re.MULTILINE), printed
    assert re.search(r"^test: (True|true) 200$", printed, re.MULTILINE), printed
    assert "HR system" in printed.partition("webhooks:")[2]
    assert re.search(r"^state: .*enabled", printed, re.MULTILINE | re.IGNORECASE), printed
    assert len(workshop.receiver.received) == 1


def test_the_python_client_of_openapi_generator_type_checks_and_works(workshop):
    heading = "Python: OpenAPI Generator"
    workshop.generate(heading)
    workshop.write_example(heading, "client/example.py")
    workshop.copy("life.py", "bodies.py", to="client")

    workshop.run("mypy", "tms_client", "example.py", "life.py", folder="client")

    assert_worked(workshop, workshop.run("python", "example.py", folder="client"))
    workshop.live("python", "life.py", folder="client")


def test_the_client_of_openapi_python_client_type_checks_and_works(workshop):
    heading = "Python: openapi-python-client"
    workshop.generate(heading, "--fail-on-warning")
    workshop.copy("life_openapi_python_client.py", "bodies.py")

    # Silent about the client's own modules: not all of them are written for --strict.
    workshop.run("mypy", "--strict", "--follow-imports=silent", "life_openapi_python_client.py")

    workshop.live("python", "life_openapi_python_client.py")


def test_the_python_types_of_the_events_read_every_body(workshop):
    workshop.generate("Python", page=TYPES)
    workshop.copy("bodies.py")
    pages.write(workshop.folder, "index", "typed")
    program = """
import bodies, tms_events
bodies.read_all(lambda name, text: getattr(tms_events, name).model_validate_json(text).model_dump(mode="json", by_alias=True))
"""

    workshop.run("mypy", "--strict", "tms_events.py", "handle.py", "inbox.py")
    assert workshop.run("python", "-c", program) == f"bodies: {len(workshop.bodies)}\n"
    put = "import json, inbox, bodies; [inbox.put(str(index), json.loads(text)) for index, text in enumerate(bodies.all_bodies())]"
    workshop.run("python", "-c", put)
    handled = {line.split()[0] for line in workshop.run("python", "handle.py").splitlines()}
    assert handled == {"cancelled", "updated"}


def test_the_typescript_types_of_the_events_fit_every_body(workshop):
    workshop.generate("TypeScript", page=TYPES)
    needs("tsc")
    pages.write(workshop.folder, "typed")
    workshop.write_bodies('import type * as events from "./tms_events.js";', "events.{}")
    handle = (workshop.folder / "handle.ts").read_text()
    (workshop.folder / "misspelled.ts").write_text(handle.replace("event.data.status", "event.data.state"))
    command = ("tsc", "--strict", "--noEmit", "--target", "es2022", "--module", "nodenext")

    workshop.run(*command, "handle.ts", "bodies.ts")

    with pytest.raises(AssertionError, match="Property 'state' does not exist on type 'ClassEventData'"):
        workshop.run(*command, "misspelled.ts")


@pytest.mark.parametrize(
    "heading, program",
    [("TypeScript: openapi-typescript", "life_openapi_fetch.ts"), ("TypeScript: OpenAPI Generator", "life.ts")],
)
def test_a_typescript_client_compiles_strictly_and_works(workshop, heading, program):
    (workshop.folder / "node_modules").symlink_to(TOOLS / "node_modules")
    (workshop.folder / "package.json").write_text('{"type": "module"}')
    workshop.generate(heading)
    needs("tsc")
    shutil.copy(PROGRAMS / program, workshop.folder / "life.ts")
    programs = ["life.ts"]
    has_models = program == "life.ts"
    if not has_models:
        # It has types alone, so the compiler reads the bodies.
        head = 'import type { components } from "./webhooks.js";\ntype Schemas = components["schemas"];'
        workshop.write_bodies(head, "Schemas['{}']")
        workshop.write_example(heading, "example.ts")
        programs += ["bodies.ts", "example.ts"]

    workshop.run("tsc", "--strict", "--target", "es2022", "--module", "nodenext", "--outDir", "js", *programs)

    if not has_models:
        assert_worked(workshop, workshop.run("node", "js/example.js"))
    workshop.live("node", "js/life.js", bodies=has_models)


def test_the_java_client_compiles_and_works(workshop):
    needs("openapi-generator-cli")
    if shutil.which("javac") is None or not all(jar.exists() for jar in JARS):
        reason = "There is no javac, or Jackson for Java is not installed; .ci/clients installs them on Debian."
        pytest.fail(reason) if "javac" in REQUIRED else pytest.skip(reason)
    workshop.generate("Java", "--additional-properties", "openApiNullable=false,useJakartaEe=true")
    workshop.copy("Life.java")
    sources = workshop.folder / "client" / "src" / "main" / "java"
    # They are the generator's own, and need a newer Jackson than Debian's.
    for name in ("RFC3339InstantDeserializer", "RFC3339JavaTimeModule"):
        (sources / f"org/openapitools/client/{name}.java").unlink()
    for path in sources.rglob("*.java"):
        path.write_text(path.read_text().replace("RFC3339JavaTimeModule", "JavaTimeModule"))
    libraries = os.pathsep.join(map(str, JARS))

    workshop.run(
        *("javac", "-nowarn", "-encoding", "UTF-8", "-d", "classes", "-cp", libraries, "Life.java"),
        *map(str, sources.rglob("*.java")),
    )

    workshop.live("java", "-cp", os.pathsep.join(["classes", libraries]), "Life")


def test_the_go_client_compiles_and_works(workshop):
    needs("openapi-generator-cli")
    if shutil.which("go") is None:
        reason = "There is no compiler of Go; .ci/clients installs it on Debian."
        pytest.fail(reason) if "go" in REQUIRED else pytest.skip(reason)
    workshop.generate("Go")
    client = workshop.folder / "client"
    (client / "life").mkdir()
    workshop.copy("life.go", to="client/life")
    models = "".join(
        f'"{one.name}": func() any {{ return new(tms.{schema_name(one)}) }},\n' for one in catalogue.all_types()
    )
    head = 'package main\nimport tms "github.com/GIT_USER_ID/GIT_REPO_ID"\nvar MODELS = map[string]func() any'
    (client / "life" / "models.go").write_text(f"{head}{{\n{models}}}\n")
    # In place of a module that only Go's own proxy has. It checks tags of fields, and these have none.
    (client / "validator").mkdir()
    (client / "validator" / "go.mod").write_text("module gopkg.in/validator.v2\n")
    (client / "validator" / "validator.go").write_text(
        "package validator\nfunc Validate(interface{}) error { return nil }\n"
    )
    workshop.run("go", "mod", "edit", "-replace", "gopkg.in/validator.v2=./validator", folder="client")

    workshop.run("go", "build", "-o", "life.out", "./life", folder="client")

    workshop.live("./life.out", folder="client")


def test_a_csharp_client_is_generated(workshop):
    workshop.generate("C#")

    assert [*(workshop.folder / "client").rglob("WebhooksApi.cs")]


@pytest.fixture
def judges(tmp_path, client):
    (tmp_path / "openapi.json").write_bytes(client.get("/api/openapi.json").content)
    (tmp_path / "asyncapi.json").write_text(json.dumps(asyncapi_document()))
    path = path_of_tools() + os.pathsep + os.environ["PATH"]
    return Workshop(tmp_path, {"PATH": path, "HOME": str(tmp_path), "NODE_PATH": str(TOOLS / "node_modules")})


@pytest.mark.parametrize(
    "command, verdict",
    [
        (
            ("spectral", "lint", "--fail-severity=hint", f"--ruleset={RULES}/spectral.yaml"),
            "No results with a severity",
        ),
        (("redocly", "lint", f"--config={RULES}/redocly.yaml"), "Your API description is valid"),
    ],
)
def test_a_linter_finds_nothing_in_the_openapi_document(judges, command, verdict):
    needs(command[0])

    printed = judges.run(*command, "openapi.json")

    assert verdict in printed
    assert "warning" not in re.sub("Deprecation warning", "", printed, flags=re.IGNORECASE)


def test_the_official_parser_finds_nothing_in_the_asyncapi_document(judges):
    needs("spectral")  # They are installed together.

    printed = judges.run("node", str(PROGRAMS / "asyncapi.js"), "asyncapi.json")

    assert printed.splitlines() == [f"messages: {len(catalogue.all_types())}"]
