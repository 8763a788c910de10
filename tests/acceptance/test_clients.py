"""Clients that generators make of the OpenAPI document compile and work: each runs its example of docs/howto/clients.md.

The generators are no dependencies of the tests. ``.ci/clients`` installs them into a folder and names it in
``TMS_CLIENT_TOOLS``; a test whose generator is not there is skipped, or fails if ``TMS_REQUIRE_CLIENTS`` names it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from example_project.training.models import ApiKey
from tests.acceptance.once import ONCE
from tests.receiver import Receiver

pytestmark = ONCE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "clients.md"
TOOLS = Path(os.environ.get("TMS_CLIENT_TOOLS") or "no-such-folder").resolve()
REQUIRED = os.environ.get("TMS_REQUIRE_CLIENTS", "").split()
SECONDS = 240

HARMLESS = (
    "OpenAPI 3.1 support is still in beta",
    "Ignoring complex example on request body",
    # An object with members of any type.
    "Failed to get the schema name: null",
    "Codegen property is null (e.g. map/dict of undefined type)",
    # C#'s class for the parameter `version`.
    "Version (reserved word) cannot be used as model name",
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
    """A folder with the document, in which the commands of the page run against a running server."""

    folder: Path
    environment: dict[str, str]
    receiver: Receiver

    def run(self, *command: str, folder: str = ".") -> str:
        """Run a command, and return its output; fail if its exit status is not 0."""
        process = subprocess.run(
            command,
            cwd=self.folder / folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert process.returncode == 0, process.stdout[-6000:]
        return process.stdout

    def generate(self, heading: str, *more: str) -> None:
        """Run the command of a section that generates the client; fail for a warning that changes the client."""
        needs((command := commands_below(heading))[0])
        printed = self.run(*command, *more)
        warnings = [line for line in printed.splitlines() if re.search(r"\b(WARN|ERROR)\b|^Unable to", line)]
        assert [line for line in warnings if not any(known in line for known in HARMLESS)] == []

    def write_example(self, heading: str, name: str) -> None:
        """Write the program of a section into a file."""
        (self.folder / name).write_text(block_below(heading, r"python|typescript"))


def needs(name: str) -> None:
    """Skip the test if a generator is not installed, or fail if it is required."""
    if shutil.which(name, path=path_of_tools()) is None:
        reason = f"{name} is not in TMS_CLIENT_TOOLS; .ci/clients installs it."
        pytest.fail(reason) if name in REQUIRED else pytest.skip(reason)


def path_of_tools() -> str:
    return os.pathsep.join([str(TOOLS / "bin"), str(TOOLS / "node_modules" / ".bin")])


def block_below(heading: str, language: str) -> str:
    """Return the first block of code in a section of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.search(rf"^```(?:{language})\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def commands_below(heading: str) -> list[str]:
    """Return the words of the command that reads the document."""
    (line,) = [one for one in block_below(heading, "sh").splitlines() if "openapi.json" in one]
    return line.removeprefix("npx ").split()


@pytest.fixture
def workshop(tmp_path, settings, world, live_server, one_request_at_a_time) -> Iterator[Workshop]:
    with closing(Receiver()) as receiver:
        settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_PORTS": [receiver.port]}
        organization = world.tenants[0].organization
        _key, clear = ApiKey.objects.create_key(name="HR system", organization=organization)
        served = requests.get(f"{live_server.url}/api/openapi.json", timeout=60)
        (tmp_path / "openapi.json").write_bytes(served.content)
        environment = {
            "PATH": path_of_tools() + os.pathsep + os.environ["PATH"],
            "HOME": str(tmp_path),
            "TMS_URL": live_server.url,
            "TMS_KEY": clear,
            "TMS_ORGANIZATION": str(organization.pk),
            "RECEIVER_URL": receiver.url,
        }
        yield Workshop(tmp_path, environment, receiver)


def assert_worked(workshop: Workshop, printed: str) -> None:
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

    workshop.run("mypy", "tms_client", "example.py", folder="client")

    assert_worked(workshop, workshop.run("python", "example.py", folder="client"))


def test_the_client_of_openapi_python_client_type_checks_and_works(workshop):
    heading = "Python: openapi-python-client"
    workshop.generate(heading, "--fail-on-warning")
    workshop.write_example(heading, "example.py")

    # Silent about the client's own modules: not all of them are written for --strict.
    workshop.run("mypy", "--strict", "--follow-imports=silent", "example.py")

    assert_worked(workshop, workshop.run("python", "example.py"))


@pytest.mark.parametrize("heading", ["TypeScript: openapi-typescript", "TypeScript: OpenAPI Generator"])
def test_a_typescript_client_compiles_strictly_and_works(workshop, heading):
    (workshop.folder / "node_modules").symlink_to(TOOLS / "node_modules")
    (workshop.folder / "package.json").write_text('{"type": "module"}')
    workshop.generate(heading)
    needs("tsc")
    workshop.write_example(heading, "example.ts")

    workshop.run("tsc", "--strict", "--target", "es2022", "--module", "nodenext", "--outDir", "js", "example.ts")

    assert_worked(workshop, workshop.run("node", "js/example.js"))


def test_the_java_client_compiles(workshop):
    needs("openapi-generator-cli")
    workshop.generate("Java")
    if shutil.which("javac") is None or not all(jar.exists() for jar in JARS):
        reason = "There is no javac, or Jackson for Java is not installed; .ci/clients installs them on Debian."
        pytest.fail(reason) if "javac" in REQUIRED else pytest.skip(reason)
    shutil.rmtree(workshop.folder / "client")
    more = ("--library", "native", "--schema-mappings", "Schedule=Object")
    workshop.generate("Java", *more, "--additional-properties", "openApiNullable=false,useJakartaEe=true")
    sources = workshop.folder / "client" / "src" / "main" / "java"
    # They are the generator's own, and need a newer Jackson than Debian's.
    for name in ("RFC3339InstantDeserializer", "RFC3339JavaTimeModule"):
        (sources / f"org/openapitools/client/{name}.java").unlink()
    for path in sources.rglob("*.java"):
        path.write_text(path.read_text().replace("RFC3339JavaTimeModule", "JavaTimeModule"))

    workshop.run(
        *("javac", "-nowarn", "-encoding", "UTF-8", "-d", "classes", "-cp", os.pathsep.join(map(str, JARS))),
        *map(str, sources.rglob("*.java")),
    )


def test_a_csharp_client_is_generated(workshop):
    workshop.generate("C#")

    assert [*(workshop.folder / "client").rglob("WebhooksApi.cs")]


def test_redoclys_linter_finds_nothing(workshop):
    needs("redocly")

    # All URLs of this API end with a slash, and the server of the test is localhost.
    skipped = ["--skip-rule", "no-path-trailing-slash", "--skip-rule", "no-server-example.com"]
    printed = workshop.run("redocly", "lint", "openapi.json", *skipped)

    assert "Your API description is valid" in printed
    assert "warning" not in re.sub("Deprecation warning", "", printed, flags=re.IGNORECASE)
