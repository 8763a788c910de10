"""The code that the page of a secret shows: it verifies what is sent, and refuses what is not."""

import json
import subprocess
import time
from importlib.resources import files

import pytest
from standardwebhooks import WebhookVerificationError

from tests.acceptance.test_readme import blocks
from tests.patience import PATIENCE
from tms_webhooks.delivery.signing import signature_headers
from tms_webhooks.models.webhook import new_secret

BODY = '{"type":"class.cancelled","data":{"name":"Zoë"}}'.encode()
FOLDER = files("tms_webhooks") / "templates/admin/tms_webhooks/samples"
SAMPLES = {name: (FOLDER / f"{name}.txt").read_text("utf-8") for name in ("python", "javascript", "csharp", "php")}


@pytest.fixture
def secret(monkeypatch):
    secret = new_secret()
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    return secret


def headers_of(secret, body=BODY):
    return signature_headers(secrets=[secret], message_id="evt_1", timestamp=int(time.time()), body=body)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_each_reads_the_secret_of_the_environment_and_the_raw_body(sample):
    assert "WEBHOOK_SECRET" in sample
    assert "raw body" in sample


def test_the_one_in_python_verifies(secret):
    names = {}
    exec(compile(SAMPLES["python"], "python.txt", "exec"), names)

    assert names["receive"](headers_of(secret), BODY) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        names["receive"](headers_of(secret, b"{}"), BODY)
    with pytest.raises(WebhookVerificationError):
        names["receive"](headers_of(new_secret()), BODY)


@pytest.mark.parametrize(
    "code", [SAMPLES["javascript"], *blocks("Verify a webhook", "js")], ids=["of the page", "of the README"]
)
def test_the_one_in_javascript_verifies(node_modules, tmp_path, secret, code):
    (tmp_path / "node_modules").symlink_to(node_modules)
    (tmp_path / "receive.mjs").write_text(code)
    (tmp_path / "main.mjs").write_text(
        """
        import { receive } from "./receive.mjs";
        const [headers, wrong, body] = JSON.parse(process.argv[2]);
        let refused = false;
        try { receive(wrong, body); } catch { refused = true; }
        console.log(JSON.stringify([receive(headers, body), refused]));
        """
    )
    given = json.dumps([headers_of(secret), headers_of(new_secret()), BODY.decode()])

    ran = subprocess.run(["node", "main.mjs", given], cwd=tmp_path, capture_output=True, timeout=PATIENCE, check=True)

    assert json.loads(ran.stdout) == [json.loads(BODY), True]
