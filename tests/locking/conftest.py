"""A workflow folder whose experiments read one repository of the local hub."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils._http import default_client_factory

import trellis.locking.client
from local_hub import LocalHub
from lock_studies import FILES, NAME, write_study
from trellis.errors import TrellisError
from trellis.locking.drift import check
from trellis.locking.lock import lock

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workflow(tmp_path):
    """The workflow's folder; the demo's lock pins the wheels, so that pip is not asked."""
    (tmp_path / "config/locks").mkdir(parents=True)
    shutil.copy(ROOT / "config/locks/demo.json", tmp_path / "config/locks/demo.json")
    return tmp_path


@pytest.fixture
def hub(monkeypatch, tmp_path, workflow, turn_to):
    """A hub with one dataset, the client turned to it, and pauses that do not last."""
    for name in [name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with LocalHub() as hub:
        hub.add("dataset", NAME, FILES, licence="mit")
        turn_to(hub.endpoint)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(trellis.locking.client, "PAUSES", (0.01, 0.01))
        monkeypatch.setattr(trellis.locking.client, "TIMEOUT", 0.5)
        yield hub
        set_client_factory(default_client_factory)


@pytest.fixture
def turn_to(monkeypatch):
    """turn_to(endpoint): what HF_ENDPOINT does when the client is imported."""

    def turn(endpoint: str) -> None:
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    return turn


@pytest.fixture
def study(workflow):
    """study(part, ...) -> the path of an experiment whose one source has these parts."""
    return lambda *parts, **changes: write_study(workflow, {"own": list(parts)}, **changes)


@pytest.fixture
def locked(workflow):
    """locked(path) -> the sections of the lock that the command writes."""

    def make(path: Path) -> dict:
        lock(workflow, path)
        return json.loads((workflow / "config/locks/study.json").read_text())

    return make


@pytest.fixture
def refused(workflow):
    """refused(path, pattern) -> the one sentence that the command ends with; nothing is written."""

    def ask(path: Path, sentence: str) -> str:
        with pytest.raises(TrellisError, match=sentence) as caught:
            lock(workflow, path)
        assert "\n" not in str(caught.value) and not (workflow / "config/locks/study.json").exists()
        assert not list((workflow / "config/locks").glob(".*"))
        return str(caught.value)

    return ask


@pytest.fixture
def checked(workflow, capsys):
    """checked(path) -> (how many changes, what was said), and the lock is as it was."""
    file = workflow / "config/locks/study.json"

    def ask(path: Path) -> tuple[int, str]:
        before = file.read_bytes()
        capsys.readouterr()
        changes = check(workflow, path)
        assert file.read_bytes() == before
        return changes, capsys.readouterr().out

    return ask


@pytest.fixture
def trellis_lock(workflow):
    """trellis_lock(argument, ..., VARIABLE=value) -> (exit code, stdout, stderr) of a process of its own."""

    def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        environment = {"PYTHONPATH": str(ROOT / "workflow/scripts"), "PATH": "/usr/bin:/bin", **environment}
        command = [sys.executable, "-m", "trellis", "lock", *arguments]
        answer = subprocess.run(command, cwd=workflow, env=environment, capture_output=True, text=True)
        return answer.returncode, answer.stdout, answer.stderr

    return run
