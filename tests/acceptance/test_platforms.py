"""docs/howto/low-code.md and hooks.md: each program subscribes itself, receives an event, subscribes again and unsubscribes.

Each stand-in does what its platform's documentation says, with the connector of the page: the document for Power Automate, the
integration for Zapier and the node for n8n, run by Node.js, and what the components for Make and Workato request.

The packages that judge the integration and the node are no dependencies of the tests. ``.ci/clients`` installs them.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
import requests
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from example_project.training.models import ApiKey
from tests.acceptance.once import ONCE
from tests.acceptance.test_clients import PROGRAMS, REQUIRED, TOOLS, needs, path_of_tools
from tests.conftest import ROOT
from tests.patience import PATIENCE
from tms_webhooks import catalogue
from tms_webhooks.choices import DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.documents import power_automate_document
from tms_webhooks.models import Webhook

pytestmark = [pytest.mark.slow, ONCE, pytest.mark.django_db(transaction=True)]

HOWTO = ROOT / "docs" / "howto"
ZAPIER, N8N = HOWTO / "zapier", HOWTO / "n8n"
EVENT = "class.cancelled"


def node(program, *arguments, given=None):
    """Run a program with Node.js, and return what it printed; ``given`` is its standard input as JSON."""
    if shutil.which("node") is None:
        pytest.skip("There is no Node.js.")
    environment = {**os.environ, "NODE_PATH": str(TOOLS / "node_modules")}
    done = subprocess.run(
        ["node", str(PROGRAMS / program), *map(str, arguments)],
        env=environment,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def needs_package(name):
    """Skip the test if a package of npm is not installed, or fail if it is required."""
    if not (TOOLS / "node_modules" / name).exists():
        reason = f"{name} is not in TMS_CLIENT_TOOLS; .ci/clients installs it."
        pytest.fail(reason) if name in REQUIRED else pytest.skip(reason)


def filled(value, **variables):
    """Return JSON with the value of each ``{{path}}``."""

    def value_at(match):
        found = variables
        for step in match[1].split("."):
            found = found[step]
        return json.dumps(found)[1:-1]

    return json.loads(re.sub(r"\{\{([\w.]+)\}\}", value_at, json.dumps(value)))


@dataclass
class Platform:
    """A platform with the URL of the API, a key, and the URL at which it receives events."""

    api: str
    key: str
    target: str
    folder: Path

    def prepare(self):
        """Do once what the page says."""

    def send(self, method, url, **values):
        """Send a request, and return the answer; fail for one of an error."""
        answer = requests.request(method, url, timeout=PATIENCE, **values)
        assert answer.ok, answer.text
        return answer

    def renew(self):
        """Subscribe again with the same URL, as after a restart."""
        self.subscribe()

    def read(self, body):
        """Return the event that a flow gets."""
        return json.loads(body)


class PowerAutomate(Platform):
    """Sends its URL in the marked field, deletes what Location names, and reads what the document describes.

    https://learn.microsoft.com/connectors/custom-connectors/create-webhook-trigger
    """

    def prepare(self):
        self.document = power_automate_document(catalogue.expand("class.*"))
        ((self.path, item),) = [
            (path, item)
            for path, item in self.document["paths"].items()
            if item.get("post", {}).get("x-ms-trigger") == "single"
        ]
        self.content = item["x-ms-notification-content"]["schema"]
        (self.body,) = [one["schema"] for one in item["post"]["parameters"] if one["in"] == "body"]
        (definition,) = self.document["securityDefinitions"].values()
        assert (definition["type"], definition["in"]) == ("apiKey", "header")
        self.headers = {definition["name"]: f"Bearer {self.key}"}

    def subscribe(self):
        base = f"{self.document['schemes'][0]}://{self.document['host']}{self.document['basePath']}"
        (field,) = [name for name, one in self.body["properties"].items() if one.get("x-ms-notification-url")]
        values = {field: self.target, "event": EVENT}
        jsonschema.validate(values, self.body)
        answer = self.send("POST", base + self.path, json=values, headers=self.headers)
        assert answer.status_code == 201
        self.location = answer.headers["Location"]
        (internal,) = [path for path, item in self.document["paths"].items() if "delete" in item]
        assert re.fullmatch(re.escape(base) + internal.replace("{id}", "[^/]+"), self.location)

    def renew(self):
        # A flow that is changed.
        self.unsubscribe()
        self.subscribe()

    def unsubscribe(self):
        self.send("DELETE", self.location, headers=self.headers)

    def read(self, body):
        event = json.loads(body)
        jsonschema.Draft4Validator(self.nullable(self.content)).validate(event)
        assert self.fields(event) <= self.fields_of(self.content)
        return event

    def nullable(self, schema):
        """Return a schema that takes null, too: Swagger 2.0 has no word for it."""
        changed = {"type": [schema["type"], "null"]} if "type" in schema else {}
        if "properties" in schema:
            changed["properties"] = {name: self.nullable(one) for name, one in schema["properties"].items()}
        if "items" in schema:
            changed["items"] = self.nullable(schema["items"])
        return {**schema, **changed}

    def fields(self, value, path=""):
        """Return the paths of the values of an object."""
        if not isinstance(value, dict):
            return {path}
        return {one for name, inner in value.items() for one in self.fields(inner, f"{path}.{name}")}

    def fields_of(self, schema, path=""):
        """Return the paths of the fields of a schema, also of objects, which may be null or have no values."""
        inner = schema.get("properties", {}).items()
        return {path, *(found for name, one in inner for found in self.fields_of(one, f"{path}.{name}"))}


class Zapier(Platform):
    """Runs the integration's own functions and requests. Subscribes again when its subscription expires.

    https://docs.zapier.com/platform/build/cli-hook-trigger
    """

    OPERATION = "triggers.event.operation."

    def run(self, part, **bundle):
        bundle = {"authData": {"url": self.api, "key": self.key}, "inputData": {"event": EVENT}, **bundle}
        return json.loads(node("zapier.js", ZAPIER, given=[part, bundle]))

    def subscribe(self):
        self.data = self.run(f"{self.OPERATION}performSubscribe", targetUrl=self.target)

    def renew(self):
        hook, first = Webhook.objects.existing().get(), self.data
        due = parse_datetime(first["expiration_date"])
        assert timezone.now() + timedelta(days=29) < due < hook.expires_at
        lifecycle.disable(hook, reason=DisabledReason.EXPIRED, now=timezone.now())
        self.subscribe()
        assert self.data["id"] == first["id"]

    def unsubscribe(self):
        self.run(f"{self.OPERATION}performUnsubscribe", targetUrl=self.target, subscribeData=self.data)

    def read(self, body):
        (event,) = self.run(f"{self.OPERATION}perform", cleanedRequest=json.loads(body))
        return event


class N8n(Platform):
    """Calls the methods of the compiled node. An active workflow has a hook, which is made again if it is gone.

    https://docs.n8n.io/integrations/creating-nodes/build/programmatic-style-node/ and the types of n8n-workflow
    """

    def prepare(self):
        self.compiled = compile_node(self.folder)

    def run(self, part, **values):
        given = {"url": self.target, "event": EVENT, "credentials": {"url": self.api, "key": self.key}, **values}
        return json.loads(node("n8n.js", self.compiled, given={"part": part, **given}))

    def subscribe(self):
        if not self.run("webhookMethods.default.checkExists"):
            assert self.run("webhookMethods.default.create") is True

    def renew(self):
        assert self.run("webhookMethods.default.checkExists") is True
        lifecycle.disable(Webhook.objects.existing().get(), reason=DisabledReason.EXPIRED, now=timezone.now())
        assert self.run("webhookMethods.default.checkExists") is False
        self.subscribe()

    def unsubscribe(self):
        assert self.run("webhookMethods.default.delete") is True

    def read(self, body):
        (((item,),),) = self.run("webhook", body=json.loads(body)).values()
        return item["json"]


class Make(Platform):
    """Fills its expressions into the app's components.

    https://developers.make.com/custom-apps-documentation/app-components/webhooks/dedicated/attached
    """

    def prepare(self):
        self.app = json.loads((HOWTO / "make.json").read_text())
        self.webhook = {"url": self.target}
        fields = [one["name"] for part in ("connection", "webhook") for one in self.app[part]["parameters"]]
        assert fields == ["url", "key", "event"]
        self.call(self.app["connection"]["communication"])

    def call(self, component):
        values = {"url": self.api, "key": self.key, "event": EVENT}
        variables = {"connection": values, "parameters": values, "webhook": self.webhook}
        base = filled(self.app["base"], **variables)
        given = filled({name: one for name, one in component.items() if name != "response"}, **variables)
        url = base["baseUrl"] + given["url"] if given["url"].startswith("/") else given["url"]
        answer = self.send(given.get("method", "GET"), url, json=given.get("body"), headers=base["headers"])
        if "response" in component:
            self.webhook |= filled(component["response"]["data"], body=answer.json())

    def subscribe(self):
        self.call(self.app["webhook"]["attach"])

    def unsubscribe(self):
        self.call(self.app["webhook"]["detach"])

    def read(self, body):
        assert self.app["webhook"]["communication"]["output"] == "{{body}}"
        return json.loads(body)


class Workato(Platform):
    """Does the two calls of the connector's code. What one returns, the other one gets.

    https://docs.workato.com/developing-connectors/sdk/guides/building-triggers/dynamic-webhook
    """

    def prepare(self):
        self.code = (HOWTO / "workato.rb").read_text()
        self.headers = {"Authorization": f"Bearer {self.key}"}
        assert '"Authorization": "Bearer #{connection["key"]}"' in self.code

    def subscribe(self):
        path, arguments = re.search(r'post\("([^"]+)", ([^)]+)\)', self.code).groups()
        known = {"webhook_url": self.target, 'input["event"]': EVENT}
        values = {name: known[value] for name, value in re.findall(r"(\w+): ([^,]+)", arguments)}
        test = re.search(r'get\("(.+)"\)', self.code)[1]
        self.send("GET", f"{self.api}/{test}", headers=self.headers)
        self.webhook = self.send("POST", f"{self.api}/{path}", json=values, headers=self.headers).json()

    def unsubscribe(self):
        path = re.search(r'delete\("(.+)"\)', self.code)[1].replace('#{webhook["id"]}', self.webhook["id"])
        self.send("DELETE", f"{self.api}/{path}", headers=self.headers)


class OwnClient(Platform):
    """Follows docs/howto/hooks.md, and refreshes its hook."""

    def prepare(self):
        self.page = (HOWTO / "hooks.md").read_text("utf-8")
        self.headers = {"Authorization": f"Bearer {self.key}"}

    def subscribe(self):
        if shutil.which("curl") is None:
            pytest.skip("There is no curl.")
        command = re.search(r"^```sh\n(.*?)^```$", self.page, re.MULTILINE | re.DOTALL)[1]
        environment = {**os.environ, "TMS_API": self.api, "TMS_AUTHORIZATION": self.headers["Authorization"]}
        answer = subprocess.check_output(
            ["sh", "-c", command.replace("https://hooks.example.com/1", self.target)], env=environment, timeout=PATIENCE
        )
        self.hook = json.loads(answer)
        self.address = f"{self.api}/hooks/{self.hook['id']}/"
        assert [one["type"] for one in self.send("GET", self.hook["sample"], headers=self.headers).json()] == [EVENT]

    def renew(self):
        for lifetime in (timedelta(hours=1), timedelta(days=30)):
            values = {"expires_at": (timezone.now() + lifetime).isoformat()}
            self.hook = self.send("POST", f"{self.address}refresh/", json=values, headers=self.headers).json()
        assert parse_datetime(self.hook["expires_at"]) > timezone.now() + timedelta(days=29)

    def unsubscribe(self):
        self.send("DELETE", self.address, headers=self.headers)


def compile_node(folder):
    """Compile n8n's node with the command of its package, and return the folder with the result."""
    needs("tsc")
    needs_package("n8n-workflow")
    package = shutil.copytree(N8N, folder / "n8n")
    (package / "node_modules").symlink_to(TOOLS / "node_modules")
    done = subprocess.run(
        json.loads((package / "package.json").read_text())["scripts"]["build"],
        shell=True,
        cwd=package,
        env={**os.environ, "PATH": path_of_tools() + os.pathsep + os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return package / "dist"


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def connect(organization, live_server, receiver, settings_of_app, tmp_path):
    """Return a platform that has a key of the organization."""
    _key, clear = ApiKey.objects.create_key(name="Platform", organization=organization)
    settings_of_app(API_URL=f"{live_server.url}/api")

    def connect(kind):
        platform = kind(f"{live_server.url}/api", clear, f"{receiver.url}?flow=1", tmp_path)
        platform.prepare()
        return platform

    return connect


@pytest.mark.parametrize("kind", [PowerAutomate, Zapier, N8n, Make, Workato, OwnClient])
def test_a_platform_subscribes_receives_subscribes_again_and_unsubscribes(
    kind, connect, organization, receiver, drain, clock
):
    platform = connect(kind)

    def events_of_a_cancelled_class():
        receiver.received.clear()
        TrainingClassFactory(organization=organization, name="Azure Basics").cancel()
        clock.now = timezone.now()
        drain()
        return [platform.read(request.body) for request in receiver.received]

    platform.subscribe()
    (event,) = events_of_a_cancelled_class()
    assert (event["type"], event["data"]["name"]) == (EVENT, "Azure Basics")
    assert receiver.received[0].path == "/hook?flow=1"

    platform.renew()
    assert len(events_of_a_cancelled_class()) == 1

    platform.unsubscribe()
    assert events_of_a_cancelled_class() == []
    assert not Webhook.objects.existing().exists()


def test_zapier_tests_a_connection_offers_events_and_shows_samples(connect):
    zapier = connect(Zapier)
    choices = zapier.run(f"{Zapier.OPERATION}inputFields.0.choices.perform")
    samples = zapier.run(f"{Zapier.OPERATION}performList")

    assert zapier.run("authentication.test")["caller"]["label"] == "Platform"
    assert [one["id"] for one in choices["results"]] == [one.name for one in catalogue.all_types() if one.offered]
    # Zapier needs an id to deduplicate.
    assert [(one["type"], one["id"][:4]) for one in samples] == [(EVENT, "evt_")]


def test_zapiers_own_schema_finds_nothing_in_the_integration_and_something_in_a_broken_one():
    needs_package("zapier-platform-schema")
    errors, finds_a_broken_one = node("zapier_schema.js", ZAPIER).splitlines()

    assert json.loads(errors) == []
    assert finds_a_broken_one == "true"


def test_n8ns_types_find_nothing_in_the_node_which_offers_events(connect):
    n8n = connect(N8n)
    offered = n8n.run("methods.loadOptions.getEvents")

    assert [one["value"] for one in offered] == [one.name for one in catalogue.all_types() if one.offered]


def test_n8ns_types_find_a_mistake_in_the_node(tmp_path, monkeypatch):
    broken = shutil.copytree(N8N, tmp_path / "broken")
    file = broken / "TmsTrigger.node.ts"
    file.write_text(file.read_text().replace("httpMethod: 'POST'", "method: 'POST'"))
    monkeypatch.setattr("tests.acceptance.test_platforms.N8N", broken)

    with pytest.raises(AssertionError, match="httpMethod"):
        compile_node(tmp_path)
