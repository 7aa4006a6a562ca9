"""Who may read what, what may be told of it, and where a lock may not lead."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

import hub_faults as faults
from hub_downloads import CUT, FILES, PLAIN, REPO, SIZE, TOKEN, A, failure, fetched
from trellis.command import execute

PACKAGE = Path(__file__).parents[3] / "workflow/scripts"
GATED = "trellis/gated"


@pytest.mark.parametrize(
    ("repo", "token", "said"),
    [
        (
            f"datasets/{GATED}",
            None,
            "is gated; accept the terms at {}/datasets/trellis/gated, create a token and set HF_TOKEN",
        ),
        (
            f"datasets/{GATED}",
            TOKEN,
            "the account of this token has no access; accept the terms at {}/datasets/trellis/gated",
        ),
        ("trellis/gated-model", None, "is gated; accept the terms at {}/trellis/gated-model, create"),
        (f"datasets/{REPO}", "hf_mistyped", "the hub refuses the token"),
        (
            "datasets/trellis/gone",
            None,
            "the hub has no such repository, or shows it to accounts with access only (set HF_TOKEN)",
        ),
        (
            "datasets/trellis/gone",
            TOKEN,
            "the hub has no such repository, or does not show it to the account of this token",
        ),
    ],
)
def test_a_repository_that_is_not_for_us(hub, order, out, repo, token, said, monkeypatch):
    revision = hub.add("dataset", GATED, FILES, gated="auto")
    hub.add("model", "trellis/gated-model", FILES, gated="manual")
    hub.refuse("hf_mistyped")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert said.format(hub.endpoint) in failure(order(repo=repo, revision=revision), out)
    assert len(hub.requests) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (faults.gone(), f"{A} has vanished from the locked commit"),
        (faults.status(403), f"the hub answered 403 for {A}; check HF_ENDPOINT"),
        (faults.status(451), f"the hub answered 451 for {A}; check HF_ENDPOINT"),
        (
            lambda *_: faults.error(403, None, "Access to this resource is disabled."),
            "the hub has disabled this repository",
        ),
    ],
)
def test_a_repository_that_has_changed(hub, order, out, fault, said):
    hub.fail("resolve", fault)
    sentence = failure(order(), out)
    assert said in sentence and "`python -m trellis lock test --check`" in sentence


def test_a_commit_that_is_gone(hub, order, out):
    said = failure(order(revision="0" * 40), out)
    assert "the locked commit is gone from the repository" in said and "lock test --check`, and lock again" in said


@pytest.mark.parametrize("way", ["HF_TOKEN", "login"])
def test_the_token_opens_the_gate_and_goes_to_the_hub_alone(hub, order, out, way, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    hub.add("dataset", GATED, FILES, gated="manual")
    hub.grant(GATED, TOKEN)
    hub.fail("/cdn/", CUT)
    hub.fail("/cdn/", faults.expired())
    monkeypatch.setenv("HF_TOKEN", TOKEN) if way == "HF_TOKEN" else (tmp_path / "token").write_text(TOKEN)
    execute(order(repo=f"datasets/{GATED}"), out)
    assert fetched(out) == FILES
    seen = {(request.server, request.token) for request in hub.requests}
    assert seen == {("hub", TOKEN), ("cdn", None)}  # two ports of one host
    assert not any(TOKEN in str(request.headers) for request in hub.requests if request.server == "cdn")
    assert TOKEN not in caplog.text and "Signature" not in caplog.text


def test_offline_mode_is_obeyed(hub, order, out, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids it; unset them" in failure(order(), out)
    assert not hub.requests


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "a//b", "a/", "", ".", "a/./b", "a\\b", "a\nb", "a\0b", f"{PLAIN}/b"]
)
def test_paths_that_lead_elsewhere_are_refused(hub, order, out, path):
    said = failure(order({**FILES, path: b"x"}), out)
    assert "do not trust this lock" in said and repr(path) in said
    assert not hub.requests and not (out / "work").exists()


def test_the_command_line_honours_the_endpoint_and_tells_no_secrets(hub, order, out, tmp_path):
    hub.add("dataset", GATED, FILES, gated="auto")
    hub.grant(GATED, TOKEN)
    hub.fail("/cdn/", faults.cut(1000))
    hub.fail("/cdn/", faults.expired())
    spec, log, home = order(repo=f"datasets/{GATED}"), tmp_path / "log.txt", tmp_path / "home"
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    words = [sys.executable, "-m", "trellis.download", "--spec", str(tmp_path / "spec.json"), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "HOME": str(home), "HF_TOKEN": TOKEN}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HUB_VERBOSITY": "info"}
    answer = subprocess.run([*words, "--log", str(log)], env=environment, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert fetched(out) == FILES
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["metrics"] == {"repo": f"datasets/{GATED}", "files": 3, "bytes": SIZE}
    written = log.read_text() + (out / "manifest.json").read_text()
    assert "asks again" in written and f"datasets/{GATED}" in written
    for secret in (TOKEN, "Signature", "127.0.0.1", hub.sha("dataset", GATED)):
        assert secret not in written
    assert not home.exists()  # the client's cache
